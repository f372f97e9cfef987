"""Findings of a study laid under a gray rectangle, so that their words must become improbable.

The masking test (training/grounding/masking.py) asks whether a model says what it can no longer
see. Phantoms made with covers teach it that a covered finding is not told; but once the text
before has begun to tell of something ("There is a"), nothing teaches that it is not what lies
under the rectangle. Here the text stays whole, and the words of what is covered are what the model
is told not to say.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data_prep.manifest import Study
from data_prep.occlusion import HIDDEN, Box, cover
from model.imaging.letterbox import Letterbox

__all__ = ["hide"]

WIDER = 0.05
"""By how much of the image's side a rectangle reaches beyond the finding at most, on each of its
four sides: its border is not where the finding ends."""


def hide(
    study: Study,
    images: list[NDArray[np.uint8]],
    areas: list[NDArray[np.uint16]],
    rng: np.random.Generator,
) -> frozenset[int]:
    """Cover all that one phrase of the report, drawn by chance, speaks of.

    Args:
        study: with the images and findings that are given.
        images: (size, size) each, letterboxed; those that are covered are replaced.
        areas: (size, size) each, bits as in Split.areas; cleared under the rectangles, in place.

    Returns:
        Which of the study's findings are no longer to be seen: those spoken of, and others that
        lie under the same rectangles. None where the report speaks of none.
    """
    phrases = [phrase.findings for phrase in study.phrases if phrase.findings]
    if not phrases:
        return frozenset()
    chosen = set(phrases[int(rng.integers(len(phrases)))])
    hidden = set(chosen)
    for number, area in enumerate(areas):
        own = [j for j, finding in enumerate(study.findings) if finding.image == number]
        before = [_seen(area, k) for k in range(len(own))]
        boxes = [_square_box(study, j, area.shape[0], rng) for j in own if j in chosen]
        if not boxes:
            continue
        gray = cover(images[number].astype(np.float32), boxes)
        images[number] = gray.round().astype(np.uint8)
        for x0, y0, x1, y1 in boxes:
            area[y0:y1, x0:x1] = 0
        hidden |= {
            j
            for k, j in enumerate(own)
            if before[k] and before[k] - _seen(area, k) >= HIDDEN * before[k]
        }
    return frozenset(hidden)


def _seen(area: NDArray[np.uint16], bit: int) -> int:
    return int(np.count_nonzero(area >> np.uint16(bit) & np.uint16(1)))


def _square_box(study: Study, finding: int, size: int, rng: np.random.Generator) -> Box:
    """A finding's box in the model's square, a little wider."""
    x0, y0, x1, y1 = study.findings[finding].box
    image = study.images[study.findings[finding].image]
    place = Letterbox(image.height, image.width, size)
    (left, top), (right, bottom) = place.to_model(x0, y0), place.to_model(x1, y1)
    wider: Sequence[float] = rng.uniform(0, WIDER * size, 4).tolist()
    low = max(0, int(left - wider[0])), max(0, int(top - wider[1]))
    high = min(size, int(np.ceil(right + wider[2]))), min(size, int(np.ceil(bottom + wider[3])))
    return (*low, *high)
