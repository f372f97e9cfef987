"""A study as given to the network, and studies of different sizes as one batch."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.imaging.letterbox import Letterbox
from model.imaging.radiograph import Radiograph
from model.interface import VIEWS, Engine, M

__all__ = ["Exam", "encode_studies", "enough_pixels", "kind_of", "why_unread"]

SPARE = 4 / 3
"""Pixels along an image's shorter side, for each along the square that it is shrunk into: then no
decoder's lower resolution shows there. Measured on real radiographs, at least 49 dB."""


@dataclass(frozen=True)
class Exam:
    """One study before its report: its images and what was said about it."""

    images: Sequence[Radiograph]
    """Of the study itself."""
    indication: str = ""
    """Why they were taken, as the request says; not part of the report."""
    priors: Sequence[Radiograph] = ()
    """Frontal images of an earlier study of the same patient. In a report's maps and lists they
    come after the study's own."""

    @property
    def shown(self) -> list[Radiograph]:
        """All images, as reports count them."""
        return [*self.images, *self.priors]

    @property
    def prior(self) -> tuple[bool, ...]:
        """Of `shown`, True where an image is of an earlier study."""
        return (False,) * len(self.images) + (True,) * len(self.priors)


def kind_of(view: str | None, prior: bool) -> int:
    """What an image is to its study, an index into VIEWS.

    Args:
        view: "PA", "AP", "LATERAL" or None; None counts as frontal.
    """
    if prior:
        return VIEWS.index("prior")
    return VIEWS.index("lateral" if view == "LATERAL" else "frontal")


def why_unread(known: Collection[str], view: str | None, prior: bool = False) -> str | None:
    """Why a model cannot read an image of this view; None where it was trained to.

    Args:
        known: what it was trained to read, of VIEWS.
        view: "PA", "AP", "LATERAL" or None, which counts as frontal.
        prior: it is of an earlier study.
    """
    kind = VIEWS[kind_of(view, prior)]
    if kind not in known:
        what = "image of an earlier study" if prior else f"{kind} view"
        return f"{what}: this model reads {' and '.join(known)} views; send those"
    if prior and view == "LATERAL":
        return "lateral view of an earlier study: only frontal ones are read; send that one"
    return None


def enough_pixels(engine: Engine[Any]) -> int | None:
    """Pixels along an image's shorter side that its report needs: see ReadLimits.enough.

    None: what a published checkpoint prepares images with takes them whole.
    """
    size = engine.config.image_size
    own = isinstance(engine.place(size, size), Letterbox)
    return math.ceil(size * SPARE) if own else None


def encode_studies(
    engine: Engine[M],
    images: Iterable[NDArray[np.float32] | Sequence[NDArray[np.float32]]],
    kinds: Sequence[Sequence[int]],
    prompts: Sequence[Sequence[int]],
) -> M:
    """Engine.read_images of studies with different numbers of images and lengths of indication.

    Args:
        images: per study one or more of (channels, size, size), of `engine.place(...).apply`.
        kinds: per study what each image is, an index into VIEWS.
        prompts: per study the tokens of its indication, which may be none.

    Raises:
        DataError: as `read_images`.
    """
    images = list(images)
    most, longest = max(map(len, images)), max(map(len, prompts))
    stacked = np.zeros((len(images), most, *np.shape(images[0][0])), np.float32)
    mask: NDArray[np.bool_] = np.zeros((len(images), most), bool)
    views = np.zeros((len(images), most), np.int64)
    prompt = np.full((len(images), longest), engine.config.pad_token_id)
    for row, (study, study_kinds, tokens) in enumerate(zip(images, kinds, prompts, strict=True)):
        mask[row, : len(study)] = True
        views[row, : len(study)] = study_kinds
        prompt[row, longest - len(tokens) :] = tokens
        for column, image in enumerate(study):
            stacked[row, column] = image
    return engine.read_images(stacked, None if mask.all() else mask, views, prompt)
