"""The parts found on an image, drawn over it."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from model.anatomy import segment
from model.overlay import LINE_HEIGHT, write

__all__ = ["TILE", "tile"]

TILE = 320
COLORS = {
    "right_lung": (0, 255, 255),
    "left_lung": (255, 255, 0),
    "heart": (0, 0, 255),
    "mediastinum": (255, 0, 255),
    "clavicles": (255, 128, 0),
}
SPINE_COLOR, HAND_COLOR = (0, 160, 0), (255, 255, 255)


def tile(
    pixels: NDArray[np.float32], title: str, hand_made: Sequence[NDArray[np.float64]] = ()
) -> NDArray[np.uint8]:
    """uint8 (TILE + LINE_HEIGHT, TILE, 3): outlines of parts, the spine's middle, and a title.

    Args:
        hand_made: polygons (n, 2) in percent of width and height, drawn in white.
    """
    found = segment(pixels)
    scale = TILE / max(pixels.shape)
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    shades = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    low, high = np.percentile(shades, (1, 99))
    gray = (np.clip((shades - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
    drawn = cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)
    for polygon in hand_made:
        corners = np.round(polygon / 100 * size).astype(np.int32)
        cv2.polylines(drawn, [corners], True, HAND_COLOR, 1, cv2.LINE_AA)
    for part, color in COLORS.items():
        small = cv2.resize(found.mask(part).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(small, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, outlines, -1, color, 1)
    if found.midline is not None:
        start, slope = found.midline
        bottom = round((start + slope * pixels.shape[0]) * scale)
        cv2.line(drawn, (round(start * scale), 0), (bottom, size[1]), SPINE_COLOR, 1)
    square = np.zeros((TILE + LINE_HEIGHT, TILE, 3), np.uint8)
    square[: drawn.shape[0], : drawn.shape[1]] = drawn
    write(square, title, 4, TILE + 14)
    return square
