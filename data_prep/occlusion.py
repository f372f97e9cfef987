"""A gray rectangle laid over part of an image: what is under it can no longer be seen.

The masking test asks it of a model (cover the finding and its words must go, cover as much
elsewhere and they must stay), and covered phantoms teach it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["HIDDEN", "Box", "cover", "elsewhere", "overlap"]

Box = tuple[int, int, int, int]
"""(x0, y0, x1, y1) in pixels, x1 and y1 exclusive."""
TRIES = 200
HIDDEN = 0.7
"""Share of a finding that lies under a cover when it counts as not to be seen."""


def cover(pixels: NDArray[np.float32], boxes: Sequence[Box]) -> NDArray[np.float32]:
    """A copy with the boxes in the image's mean, float32 (height, width) in [0, 1]."""
    covered = pixels.copy()
    for x0, y0, x1, y1 in boxes:
        covered[y0:y1, x0:x1] = pixels.mean()
    return covered


def overlap(box: Box, other: Box) -> float:
    """Share of `other`'s area that `box` covers."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    area = (other[2] - other[0]) * (other[3] - other[1])
    return max(0, width) * max(0, height) / area


def elsewhere(
    like: Box, avoid: Sequence[Box], shape: tuple[int, int], rng: np.random.Generator
) -> Box | None:
    """A box as large as `like` that touches none of `avoid`, or None where there is no room.

    Args:
        shape: (height, width) of the image.
    """
    width, height = like[2] - like[0], like[3] - like[1]
    for _ in range(TRIES):
        x0 = int(rng.integers(shape[1] - width + 1))
        y0 = int(rng.integers(shape[0] - height + 1))
        box = (x0, y0, x0 + width, y0 + height)
        if not any(overlap(box, other) for other in avoid):
            return box
    return None
