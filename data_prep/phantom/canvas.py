"""A square detector measured in centimetres, and the shapes that are drawn on it."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Canvas", "Plane", "spline"]

Plane = NDArray[Any]
"""float32 (size, size): one number a pixel, mostly centimetres of something along the ray."""

Point = Sequence[float] | NDArray[Any]
"""(x, y) in cm."""

FRACTION_BITS = 4
"""OpenCV draws at sixteenths of a pixel, so that anatomy moves smoothly with its parameters."""


class Canvas:
    """Maps centimetres to pixels. x grows to the patient's left, or back, y downwards.

    Args:
        size: pixels along each side.
        field: centimetres along each side.
        left, top: centimetres of the upper left corner; x = 0 is the patient's middle.
    """

    def __init__(self, size: int, field: float, left: float, top: float) -> None:
        self.size = size
        self.field = field
        self.origin = np.array([left, top])
        self.scale = size / field
        self.x: Plane = ((np.arange(size) + 0.5) / self.scale + left).astype(np.float32)[None, :]
        self.y: Plane = ((np.arange(size) + 0.5) / self.scale + top).astype(np.float32)[:, None]

    def empty(self) -> Plane:
        return np.zeros((self.size, self.size), np.float32)

    def _fixed_point(self, points: NDArray[Any], zoom: int = 1) -> NDArray[Any]:
        # OpenCV puts a pixel's center at whole numbers, hence the half
        pixels = (np.asarray(points) - self.origin) * self.scale * zoom - 0.5
        result: NDArray[Any] = np.round(pixels * (1 << FRACTION_BITS)).astype(np.int32)
        return result

    def polygon(self, points: NDArray[Any]) -> Plane:
        """Cover in [0, 1] of the polygon with corners `points` (n, 2) in cm."""
        cover = np.zeros((self.size, self.size), np.uint8)
        cv2.fillPoly(cover, [self._fixed_point(points)], 255, cv2.LINE_AA, FRACTION_BITS)
        return cover.astype(np.float32) / 255

    def strokes(
        self,
        curves: Sequence[NDArray[Any]],
        width: float,
        value: float = 1.0,
        onto: Plane | None = None,
    ) -> Plane:
        """Curves, each (n, 2) in cm, painted `width` cm wide with `value` in [0, 1].

        Drawn at twice the resolution and averaged; a curve thinner than half a pixel is drawn
        one half pixel wide and fainter, as a detector would see it. `onto` keeps the larger value.
        """
        zoom = 2
        pixels = width * self.scale * zoom
        thickness = max(1, round(pixels))
        strength = round(255 * value * min(1.0, pixels / thickness))
        paint = np.zeros((self.size * zoom, self.size * zoom), np.uint8)
        ends = np.cumsum([len(curve) for curve in curves])
        lines = np.split(self._fixed_point(np.concatenate(curves), zoom), ends[:-1])
        cv2.polylines(paint, lines, False, strength, thickness, cv2.LINE_AA, FRACTION_BITS)
        small = cv2.resize(paint, (self.size, self.size), interpolation=cv2.INTER_AREA)
        drawn = small.astype(np.float32) / 255
        return drawn if onto is None else np.maximum(onto, drawn)

    def slab(self, cover: Plane, depth: float, rounding: float) -> Plane:
        """Thickness in cm of a body with silhouette `cover`, rounded for `rounding` cm."""
        inside = (cover > 0.5).astype(np.uint8)
        reach = cv2.distanceTransform(inside, cv2.DIST_L2, 3) / (rounding * self.scale)
        rim = 1 - np.clip(reach, 0, 1)
        result: Plane = (depth * np.sqrt(1 - rim * rim) * cover).astype(np.float32)
        return result

    def ellipsoid(self, center: Point, radii: Point, depth: float) -> Plane:
        """Chord in cm through an ellipsoid with half axes `radii` in the plane, `depth` deep."""
        u = (self.x - center[0]) / radii[0]
        v = (self.y - center[1]) / radii[1]
        result: Plane = depth * np.sqrt(np.clip(1 - u * u - v * v, 0, None))
        return result

    def blur(self, plane: Plane, sigma: float) -> Plane:
        """Gaussian blur, sigma in cm; wide ones are done on a smaller image."""
        pixels = sigma * self.scale
        shrink = int(pixels // 4)
        if shrink < 2:
            return cv2.GaussianBlur(plane, (0, 0), max(pixels, 0.01))
        small_size = max(8, self.size // shrink)
        small = cv2.resize(plane, (small_size, small_size), interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(
            small, (0, 0), pixels * small_size / self.size, borderType=cv2.BORDER_REPLICATE
        )
        return cv2.resize(small, (self.size, self.size), interpolation=cv2.INTER_LINEAR)

    def clouds(self, rng: np.random.Generator, grain: float) -> Plane:
        """Smooth noise, mean 0 and deviation about 1, with features about `grain` cm wide."""
        cells = max(4, round(self.field / grain) + 3)
        noise = rng.standard_normal((cells, cells), dtype=np.float32)
        return cv2.resize(noise, (self.size, self.size), interpolation=cv2.INTER_CUBIC) * 1.3

    def box(self, cover: NDArray[Any], margin: float = 0.0) -> tuple[int, int, int, int] | None:
        """(x0, y0, x1, y1) in pixels around `cover`, `margin` cm wider; None if empty."""
        rows = np.flatnonzero(cover.any(axis=1))
        columns = np.flatnonzero(cover.any(axis=0))
        if not len(rows):
            return None
        wider = round(margin * self.scale)
        x0, x1 = int(columns[0]) - wider, int(columns[-1]) + 1 + wider
        y0, y1 = int(rows[0]) - wider, int(rows[-1]) + 1 + wider
        return max(0, x0), max(0, y0), min(self.size, x1), min(self.size, y1)

    def region(self, box: tuple[int, int, int, int]) -> tuple[float, float, float, float]:
        """A box in pixels as (x0, y0, x1, y1) in cm."""
        x0, y0, x1, y1 = (np.reshape(box, (2, 2)) / self.scale + self.origin).ravel().tolist()
        return x0, y0, x1, y1


def spline(
    points: Sequence[Sequence[float]] | NDArray[Any], samples: int = 12, closed: bool = False
) -> NDArray[Any]:
    """Catmull-Rom curve through `points` (n, 2): (m, 2), `samples` to each stretch."""
    knots = np.asarray(points, float)
    if closed:
        knots = np.concatenate([knots[-1:], knots, knots[:2]])
    else:
        knots = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    t = np.linspace(0, 1, samples, endpoint=False)[None, :, None]
    a, b, c, d = (knots[i : len(knots) - 3 + i, None] for i in range(4))
    curve = 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, knots[-2:-1]])
