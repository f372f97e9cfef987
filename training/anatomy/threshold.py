"""Lungs by a threshold: the baseline that the anatomy network is compared with."""

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["threshold_lungs"]

SIDE = 256
STRICTER = (1.0, 0.9, 0.8, 0.7, 0.6)
"""Of Otsu's limit, tried in turn: a lung that is joined to the air outside comes apart from it."""
ONE_LUNG = (0.10, 0.60)
"""Share of half the image that a lung takes."""


def threshold_lungs(pixels: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """Where the lungs are on a frontal radiograph, by brightness and place; None where unclear.

    The two largest dark regions that do not reach the image's border, one on each half, smoothed
    and closed. What makes a lung white (an effusion, a consolidation) is cut out of it, so
    the mask is the aired lung, and its hull by rows: most of the field a reader would outline.

    Args:
        pixels: float32 (height, width) in [0, 1], bone white.

    Returns:
        bool (height, width).
    """
    height, width = pixels.shape
    small = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 3)
    levels = cv2.createCLAHE(2.0, (4, 4)).apply((small * 255).astype(np.uint8))
    middle = levels[SIDE // 8 : -SIDE // 8, SIDE // 8 : -SIDE // 8]
    limit, _ = cv2.threshold(middle, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    for share in STRICTER:
        lungs = _dark_halves(levels < share * limit)
        if lungs is not None:
            return cv2.resize(lungs, (width, height), interpolation=cv2.INTER_NEAREST) > 0
    return None


def _dark_halves(dark: NDArray[np.bool_]) -> NDArray[np.uint8] | None:
    """The largest dark region of each half, None where one is too small or large for a lung."""
    opened = cv2.morphologyEx(dark.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    inner = _without_border(opened.astype(np.uint8))
    halves = [_hull(_largest(half)) for half in np.split(inner, 2, axis=1)]
    sizes = [float(half.mean()) for half in halves]
    if not all(ONE_LUNG[0] <= size <= ONE_LUNG[1] for size in sizes):
        return None
    return np.hstack(halves).astype(np.uint8)


def _without_border(dark: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What is dark and joined to the image's edge is air beside the patient."""
    framed = np.pad(dark, 1, constant_values=1)
    cv2.floodFill(framed, None, (0, 0), 0)
    return framed[1:-1, 1:-1]


def _largest(region: NDArray[np.uint8]) -> NDArray[np.uint8]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(region))
    if count < 2:
        return np.zeros_like(region)
    result: NDArray[np.uint8] = (labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())).astype(
        np.uint8
    )
    return result


def _hull(region: NDArray[np.uint8]) -> NDArray[np.uint8]:
    outlines, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    filled = np.zeros_like(region)
    if outlines:
        cv2.fillConvexPoly(filled, cv2.convexHull(np.concatenate(outlines)), 1)
    return filled
