"""Findings of a study occluded with a gray rectangle, so that their words must become improbable.

The occlusion test (training/grounding/occluded_findings.py) measures whether a model reports what
it cannot see. Phantoms prepared with occlusion teach it that an occluded finding is not reported;
but once the text before has announced something ("There is a"), nothing teaches that it is not what
lies under the rectangle. Here the text stays whole, and the words of what is occluded are what the
model learns not to write.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from data_prep.manifest import Image, Study
from data_prep.occlusion import HIDDEN, Box, cover
from model.imaging.letterbox import Placement

__all__ = ["occlude"]

WIDER = 0.05
"""By how much of the image's side a rectangle reaches beyond the finding at most, on each of its
four sides: its border is not where the finding ends."""


def occlude(
    study: Study,
    images: list[NDArray[np.uint8]],
    areas: list[NDArray[np.uint16]],
    placed: Callable[[Image], Placement],
    rng: np.random.Generator,
) -> frozenset[int]:
    """Occlude all findings that one phrase of the report, drawn at random, names.

    Args:
        study: with the images and findings that are given.
        images: (size, size) each, as the network places them; those that are occluded are
            replaced.
        areas: (size, size) each, bits as in ImageStore.areas; cleared in place under the
            rectangles.
        placed: how the network places an image.

    Returns:
        Which of the study's findings are not visible: those named, and others under the same
        rectangles. None where the report names none whose place is known.
    """
    phrases = [
        phrase.findings
        for phrase in study.phrases
        if phrase.findings and not any(study.findings[j].weak for j in phrase.findings)
    ]
    if not phrases:
        return frozenset()
    chosen = set(phrases[int(rng.integers(len(phrases)))])
    occluded = set(chosen)
    for number, area in enumerate(areas):
        here = [j for j, finding in enumerate(study.findings) if finding.image == number]
        before = [_seen(area, k) for k in range(len(here))]
        place = placed(study.images[number])
        boxes = [_square_box(study.findings[j].box, place, rng) for j in here if j in chosen]
        if not boxes:
            continue
        gray = cover(images[number].astype(np.float32), boxes)
        images[number] = gray.round().astype(np.uint8)
        for x0, y0, x1, y1 in boxes:
            area[y0:y1, x0:x1] = 0
        occluded |= {
            j
            for k, j in enumerate(here)
            if before[k] and before[k] - _seen(area, k) >= HIDDEN * before[k]
        }
    return frozenset(occluded)


def _seen(area: NDArray[np.uint16], bit: int) -> int:
    return int(np.count_nonzero(area >> np.uint16(bit) & np.uint16(1)))


def _square_box(box: Box, place: Placement, rng: np.random.Generator) -> Box:
    """A finding's box in the model's square, a little wider."""
    x0, y0, x1, y1 = box
    size = place.size
    (left, top), (right, bottom) = place.to_model(x0, y0), place.to_model(x1, y1)
    wider: Sequence[float] = rng.uniform(0, WIDER * size, 4).tolist()
    low = max(0, int(left - wider[0])), max(0, int(top - wider[1]))
    high = min(size, int(np.ceil(right + wider[2]))), min(size, int(np.ceil(bottom + wider[3])))
    return (*low, *high)
