"""Prepared studies as a report generator is given them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.manifest import Study
from model.exam import Exam
from model.generator import ReportGenerator
from model.imaging.read import read_image

__all__ = ["cut_indication", "exam_of"]


def exam_of(generator: ReportGenerator, study: Study, paths: Sequence[Path]) -> Exam:
    """Read a study's images, all of views that the model reads (see targets.readable).

    Args:
        paths: of its images. Their views are the manifest's: a PNG has none.
    """
    radiographs = [
        replace(read_image(path), view=image.view)
        for path, image in zip(paths, study.images, strict=True)
    ]
    both = list(zip(radiographs, study.images, strict=True))
    limit = generator.model.config.images_per_study
    return Exam(
        [radiograph for radiograph, image in both if not image.prior][:limit],
        cut_indication(generator, study.indication),
        [radiograph for radiograph, image in both if image.prior],
    )


def cut_indication(generator: ReportGenerator, indication: str) -> str:
    """As much of it as the model reads, cut as training cuts it; nothing where it reads none."""
    tokenizer, most = generator.tokenizer, generator.model.config.prompt_tokens
    # A letter of several bytes that is cut goes whole.
    return tokenizer.decode(tokenizer.encode(indication).ids[:most]).rstrip("\ufffd")
