"""Lungs that a person outlined on radiographs: corners in percent of width and height."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from model.errors import DataError

__all__ = ["Mask", "Outlines", "inside", "read_outlines"]

Mask = NDArray[np.bool_]
Outlines = Mapping[str, Sequence[NDArray[np.float64]]]


def read_outlines(file: Path) -> Outlines:
    """By image, as a path below the images' folder, two polygons (n, 2) in percent of width and
    height.

    Raises:
        DataError: it cannot be read, or holds something else.
    """
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        return {
            name: [np.array(sides[side], float).reshape(-1, 2) for side in ("right", "left")]
            for name, sides in stored.items()
        }
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise DataError(
            f'{file.name!r} does not hold {{image: {{"right": [[x, y], ...], "left": ...}}}} in '
            "percent of width and height"
        ) from error


def inside(outlines: Sequence[NDArray[np.float64]], height: int, width: int) -> Mask:
    """bool (height, width): within one of the polygons, in percent of width and height."""
    drawn = np.zeros((height, width), np.uint8)
    for outline in outlines:
        corners = outline / 100 * (width, height) - 0.5
        cv2.fillPoly(drawn, [np.round(corners).astype(np.int32)], 1)
    return drawn > 0
