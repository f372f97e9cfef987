"""Prepared studies as a model is given them: which images it reads, and what each one is."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.manifest import Image, Study
from model.exam import Exam, kind_of
from model.generator import ReportGenerator
from model.imaging.read import read_image
from model.interface import VIEWS
from training.partial_study import with_images

__all__ = ["cut_indication", "exam_of", "kind_in", "readable"]


def kind_in(image: Image) -> int:
    """What an image is to its study, a place in VIEWS."""
    return kind_of(image.view, image.prior)


def readable(studies: Iterable[Study], views: Collection[str]) -> Iterator[Study]:
    """Studies with those of their images that a model reads; those without any are left out.

    Args:
        views: of VIEWS, such as ReportConfig.views.
    """
    for study in studies:
        kinds = [VIEWS[kind_in(image)] for image in study.images]
        if set(kinds) & set(views) - {"prior"}:
            yield with_images(study, [kind in views for kind in kinds])


def exam_of(generator: ReportGenerator, study: Study, paths: Sequence[Path]) -> Exam:
    """Read a study's images, all of views that the model reads (see `readable`).

    Args:
        paths: of its images. Their views are the manifest's: a PNG has none.
    """
    radiographs = [
        replace(read_image(path), view=image.view)
        for path, image in zip(paths, study.images, strict=True)
    ]
    pairs = list(zip(radiographs, study.images, strict=True))
    limit = generator.model.config.images_per_study
    return Exam(
        [radiograph for radiograph, image in pairs if not image.prior][:limit],
        cut_indication(generator, study.indication),
        [radiograph for radiograph, image in pairs if image.prior],
    )


def cut_indication(generator: ReportGenerator, indication: str) -> str:
    """As much of it as the model reads, cut as training cuts it; nothing where it reads none."""
    tokenizer, most = generator.tokenizer, generator.model.config.prompt_tokens
    # A letter of several bytes that is cut goes whole.
    return tokenizer.decode(tokenizer.encode(indication).ids[:most]).rstrip("\ufffd")
