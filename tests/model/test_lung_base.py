"""The lower end of a lung's mask: angles and hemidiaphragm follow from its outline."""

import cv2
import numpy as np
from numpy.typing import NDArray

from model.anatomy import segment
from model.lung_base import lung_base


def lung() -> NDArray[np.bool_]:
    """A right lung, on the image's left: its angle is its lowest point, at x 12 and y 90."""
    drawn = np.zeros((100, 60), np.uint8)
    corners = [(30, 5), (40, 20), (40, 70), (28, 66), (18, 74), (12, 90), (14, 40)]
    cv2.fillPoly(drawn, [np.array(corners, np.int32)], 1)
    return drawn > 0


def test_the_angles_are_the_corners_of_the_base() -> None:
    base = lung_base(lung(), "right")
    assert base is not None
    assert base.costophrenic_angle == (12, 90)
    assert base.cardiophrenic_angle == (40, 70)
    x, y = base.hemidiaphragm.T
    assert x.tolist() == list(range(12, 41))
    assert (y[0], y[-1]) == (90, 70) and y.min() == 66
    assert all(lung()[y, x]) and not any(lung()[y + 1, x])


def test_a_mirrored_lung_is_the_other_one() -> None:
    right, left = lung_base(lung(), "right"), lung_base(lung()[:, ::-1], "left")
    assert right is not None and left is not None
    assert left.costophrenic_angle == (59 - right.costophrenic_angle[0], 90)
    mirrored = right.hemidiaphragm[::-1] * [-1, 1] + [59, 0]
    assert np.array_equal(left.hemidiaphragm, mirrored)


def test_no_lung_has_no_base() -> None:
    assert lung_base(np.zeros((8, 8), bool), "left") is None
    assert segment(np.full((64, 64), 0.5, np.float32)).base("right") is None
