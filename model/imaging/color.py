"""Gray radiographs that are stored in color, by one rule for every container.

Scanners, viewers and JPEG encoders write gray images as color: their channels differ by noise, by
chroma subsampling, by the tint of a film, or where somebody drew a colored marker. A photograph
differs everywhere.
"""

import cv2
import numpy as np

from model.errors import NotARadiograph
from model.imaging.radiograph import ImageWarning

__all__ = ["check_color", "gray_of_color"]

STRONG = 48 / 255
"""A pixel whose channels differ by more is colored."""
COLORED = 0.08
"""Share of an image that may be colored: arrows, boxes and labels."""
TINT = 26 / 255
"""By how much the channels of the middle pixel may differ."""
_MOST = 1 << 18
"""Pixels that are read."""


def gray_of_color(samples: np.ndarray) -> tuple[np.ndarray, tuple[ImageWarning, ...]]:
    """Red, green and blue -> gray.

    Args:
        samples: uint8 or uint16 (height, width, 3), over the whole range of their type.

    Returns:
        Samples of the same type (height, width), which are the channels' own where these are
        equal, else their luma (ITU-R BT.601); and a warning where they are not equal.

    Raises:
        NotARadiograph: a color image.
    """
    height, width = samples.shape[:2]
    step = max(1, round((height * width / _MOST) ** 0.5))
    some = samples[::step, ::step].astype(np.int32)
    differences = (some.max(axis=2) - some.min(axis=2)) / np.iinfo(samples.dtype).max
    gray = cv2.cvtColor(np.ascontiguousarray(samples), cv2.COLOR_RGB2GRAY)
    if not differences.any() and (samples == gray[:, :, None]).all():
        return gray, ()
    return gray, check_color(differences.ravel())


def check_color(
    differences: np.ndarray, weights: np.ndarray | None = None
) -> tuple[ImageWarning, ...]:
    """By how much the channels of each pixel differ, in [0, 1] -> what to say of a gray image.

    Args:
        differences: (pixels,) greatest less least of red, green and blue.
        weights: how often each counts.

    Raises:
        NotARadiograph: a color image.
    """
    weights = np.ones(differences.size) if weights is None else weights
    share = float(weights[differences > STRONG].sum() / weights.sum())
    order = np.argsort(differences)
    half = np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)
    middle = float(differences[order[min(half, len(order) - 1)]])
    if share > COLORED or middle > TINT:
        raise NotARadiograph(
            f"a color image ({share:.0%} of it is colored, its channels differ by {middle:.0%} in "
            "the middle): a radiograph is gray"
        )
    return (
        ImageWarning(
            "color",
            f"The image is stored in color, with channels that differ ({share:.1%} of it is "
            "colored), and was read as gray.",
        ),
    )
