"""From the anatomy of a phantom to that of a radiograph: a smooth map through their lungs.

Both pairs of lungs have corresponding points: on the inner and outer border at the same shares of a
lung's height, and along its base. A thin-plate spline (Bookstein 1989) through them says where in
the phantom each pixel of the radiograph lies.
"""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from model.lung_base import lung_base

__all__ = ["phantom_places"]

HEIGHTS = np.linspace(0.04, 0.8, 8)
"""Shares of a lung's height at which its two borders are compared; below that, its base is."""
ALONG_BASE = np.linspace(0, 1, 6)
COARSE = 48
"""Side of the grid on which the spline is computed: it is smooth."""
STIFFNESS = 1e-3
"""Smoothing of the spline: masks have ragged borders."""

Mask = NDArray[np.bool_]
Points = NDArray[np.float64]
SIDES: tuple[Literal["right", "left"], ...] = ("right", "left")


def phantom_places(
    phantom: tuple[Mask, Mask], radiograph: tuple[Mask, Mask]
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """x and y in the phantom's pixels of each pixel of the radiograph, (height, width) each.

    Args:
        phantom, radiograph: right and left lung, bool (height, width), on their images' pixels.

    Returns:
        None where a lung is missing.
    """
    pairs = [(_landmarks(lungs), lungs[0].shape) for lungs in (phantom, radiograph)]
    (source, (size, _)), (target, (height, width)) = pairs
    if source is None or target is None:
        return None
    scale = np.array([width, height], float)
    spline = RBFInterpolator(
        target / scale, source / size, kernel="thin_plate_spline", smoothing=STIFFNESS
    )
    steps = (np.arange(COARSE) + 0.5) / COARSE
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    places = (spline(grid) * size).astype(np.float32).reshape(COARSE, COARSE, 2)
    full = cv2.resize(places, (width, height), interpolation=cv2.INTER_CUBIC)
    return full[..., 0], full[..., 1]


def _landmarks(lungs: tuple[Mask, Mask]) -> Points | None:
    """(points, 2), the same number and order for all lungs."""
    found: list[tuple[float, float]] = []
    for lung, side in zip(lungs, SIDES, strict=True):
        base = lung_base(lung, side)
        if base is None:
            return None
        rows = np.flatnonzero(lung.any(axis=1))
        top, bottom = int(rows[0]), base.cardiophrenic_angle[1]
        if bottom <= top:
            return None
        for share in HEIGHTS:
            row = round(top + share * (bottom - top))
            columns = np.flatnonzero(lung[row])
            if not columns.size:
                return None
            found += [(float(columns[0]), float(row)), (float(columns[-1]), float(row))]
        line = base.hemidiaphragm if side == "right" else base.hemidiaphragm[::-1]
        found += [tuple(line[round(share * (len(line) - 1))].tolist()) for share in ALONG_BASE]
    return np.array(found)
