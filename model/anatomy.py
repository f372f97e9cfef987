"""Where the parts of a chest lie on a frontal radiograph: lungs, heart, mediastinum, bones.

A small U-Net (Ronneberger et al. 2015) on a square of SIZE pixels, applied twice: to the whole
image, then to a closer window around the lungs that it found, each also mirrored.
docs/explanation/anatomy.md says how it was trained and how far it can be trusted.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from model.anatomy_parts import PARTS, SIZE
from model.imaging.letterbox import Placement
from model.lung_base import LungBase, Side, lung_base

__all__ = [
    "MIRRORED",
    "ChestAnatomy",
    "RememberedSegmenter",
    "Segmenter",
    "Window",
    "closer_window",
    "infer",
    "percentile",
    "right_of_spine",
    "segment",
    "standardized",
    "whole_window",
]

MIRRORED = [1, 0, *range(2, len(PARTS))]
"""Order of the parts on a mirrored image: right and left lung change places."""
BLANK = 0.02
"""Of black to white: less between the darkest and the lightest pixel is no image."""
MARGIN = 0.15
"""Of the lungs' box on each side: what the second, closer window adds."""
LUNGS, HEART = (0, 1), PARTS.index("heart")
SMALLEST_LUNG, LARGEST_LUNG = 0.01, 0.45
"""Share of the image's area that one lung takes."""
SMALLEST_WINDOW = 0.2
"""Share of the image's longer side: what looks like smaller lungs is none."""
FURTHEST_SPINE = 0.25
"""Of the image's width from its middle, at its top and at its bottom."""


class Segmenter(Protocol):
    """The network, whatever computes it: PyTorch (anatomy_network.py) or an engine."""

    def logits(self, squares: NDArray[np.float32]) -> NDArray[np.float32]:
        """(batch, 1, SIZE, SIZE), of `standardized` -> (batch, PARTS, SIZE, SIZE)."""
        ...


class RememberedSegmenter:
    """A Segmenter that computes the same squares once: the heart's side and the spine's place are
    looked for on the same image."""

    def __init__(self, network: Segmenter | None) -> None:
        """
        Args:
            network: as for `segment`.
        """
        self._network = network
        self._found: dict[bytes, NDArray[np.float32]] = {}

    def logits(self, squares: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Segmenter."""
        given = squares.tobytes()
        if given not in self._found:
            self._network = self._network or _embedded()
            self._found[given] = self._network.logits(squares)
        return self._found[given]


def _embedded() -> Segmenter:
    """The network that CrossRay comes with, computed with PyTorch, which is loaded with it."""
    from model.anatomy_network import load_anatomy

    return load_anatomy()


def percentile(rows: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """np.percentile along the last axis, in half the time and without the import of numpy.ma.

    Args:
        rows: (rows, values).
        share: in [0, 1).
    """
    place = share * (rows.shape[1] - 1)
    below = int(place)
    above = min(below + 1, rows.shape[1] - 1)
    low, high = np.partition(rows, (below, above), axis=1)[:, [below, above]].T
    found: NDArray[np.float32] = low + (high - low) * np.float32(place - below)
    return found


def standardized(squares: NDArray[np.float32]) -> NDArray[np.float32]:
    """(batch, SIZE, SIZE) of any range -> float32 (batch, 1, SIZE, SIZE), about [-1, 1].

    The 1st percentile becomes -1, the 99th 1.
    """
    thinned = squares[:, ::2, ::2].reshape(len(squares), -1)
    low, high = (percentile(thinned, share)[:, None, None] for share in (0.01, 0.99))
    scaled = (squares - low) / np.maximum(high - low, 1e-4) * 2 - 1
    standardized: NDArray[np.float32] = scaled.clip(-1.5, 1.5).astype(np.float32)[:, None]
    return standardized


@dataclass(frozen=True)
class Window:
    """The square of the original image that the network looks at; it may reach beyond it."""

    left: float
    top: float
    side: float

    def sample(self, pixels: NDArray[np.float32], size: int = SIZE) -> NDArray[np.float32]:
        """float32 (size, size); what lies outside the image is as dark as its 1st percentile."""
        height, width = pixels.shape
        x0, y0 = max(0, math.floor(self.left)), max(0, math.floor(self.top))
        x1 = min(width, math.ceil(self.left + self.side))
        y1 = min(height, math.ceil(self.top + self.side))
        scale = size / self.side
        inner = np.ascontiguousarray(pixels[y0:y1, x0:x1])
        if scale < 1:  # averaged first: the warp below would skip pixels
            shape = max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))
            inner = np.asarray(cv2.resize(inner, shape, interpolation=cv2.INTER_AREA), np.float32)
        across, down = (x1 - x0) / inner.shape[1], (y1 - y0) / inner.shape[0]
        matrix = np.array(
            [
                [1 / (scale * across), 0, (0.5 / scale + self.left - x0) / across - 0.5],
                [0, 1 / (scale * down), (0.5 / scale + self.top - y0) / down - 0.5],
            ]
        )
        dark = float(percentile(inner.reshape(1, -1), 0.01)[0])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(
            cv2.warpAffine(inner, matrix, (size, size), flags=flags, borderValue=dark), np.float32
        )

    def restore(self, plane: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
        """(SIZE, SIZE) -> (height, width), the same values on the original pixels; far outside
        the window those of its rim."""
        scale = SIZE / self.side
        matrix = np.array(
            [
                [scale, 0, (0.5 - self.left) * scale - 0.5],
                [0, scale, (0.5 - self.top) * scale - 0.5],
            ]
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(
            cv2.warpAffine(
                plane, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
            ),
            np.float32,
        )


@dataclass(frozen=True)
class ChestAnatomy:
    """The parts found on one frontal image, on its own pixels."""

    height: int
    width: int
    window: Window
    logits: NDArray[np.float32]
    """(PARTS, SIZE, SIZE) over the window."""

    def mask(self, part: str) -> NDArray[np.bool_]:
        """bool (height, width). A lung or a heart is one piece without holes, empty
        where none is found."""
        return self.window.restore(self._planes[PARTS.index(part)], self.height, self.width) > 0

    @property
    def lungs(self) -> NDArray[np.bool_] | None:
        """bool (height, width), both lungs; None where one is missing or cannot be one."""
        areas = [float((self._planes[side] > 0).mean()) for side in LUNGS]
        share = self.window.side**2 / (self.height * self.width)
        if not all(SMALLEST_LUNG <= area * share <= LARGEST_LUNG for area in areas):
            return None
        return self.mask("right_lung") | self.mask("left_lung")

    def base(self, side: Side) -> LungBase | None:
        """Hemidiaphragm and costophrenic angle of one of the patient's lungs; None without it."""
        return lung_base(self.mask(f"{side}_lung"), side)

    @cached_property
    def midline(self) -> tuple[float, float] | None:
        """(a, b): the spine's middle lies at x = a + b * y, in original pixels; None without a
        spine. What lies at a smaller x is on the patient's right.

        A line through the middle of each row, where the lungs are or, without lungs, everywhere.
        """
        spine = np.maximum(self.logits[PARTS.index("spine")], 0)
        rows = np.asarray((self._planes[:2] > 0).any(axis=(0, 2)))
        spine = spine * rows[:, None] if rows.any() else spine
        weights = spine.sum(axis=1)
        if (weights > 0).sum() < SIZE // 8:
            return None
        places = (np.arange(SIZE) + 0.5) * self.window.side / SIZE
        y = places + self.window.top
        x = spine @ places / np.maximum(weights, 1e-6) + self.window.left
        slope, start = np.polyfit(y, x, 1, w=np.sqrt(weights))
        return float(start), float(slope)

    @cached_property
    def heart_lie(self) -> tuple[float, float] | None:
        """How the heart lies: (reach, share); None where it, a lung or the spine is not found.

        reach: how much further it reaches to the patient's left of the spine than to the right,
        in widths of both lungs. share: by how much the right lung is larger than the left one, as
        a share of both. Both have the other sign on a mirrored image.
        """
        right, left, heart = (self._planes[part] > 0 for part in (*LUNGS, HEART))
        if self.midline is None or not (right.any() and left.any() and heart.any()):
            return None
        scale = self.window.side / SIZE
        rows, columns = np.nonzero(heart)
        start, slope = self.midline
        y = (rows + 0.5) * scale + self.window.top
        beside = (columns + 0.5) * scale + self.window.left - (start + slope * y)
        both = np.flatnonzero((right | left).any(axis=0))
        width = (both[-1] - both[0]) * scale
        ends = np.percentile(beside, (2, 98))
        areas = float(right.sum()), float(left.sum())
        return float(ends.sum()) / max(width, scale), (areas[0] - areas[1]) / sum(areas)

    @cached_property
    def _planes(self) -> NDArray[np.float32]:
        """The logits, those of lungs and heart positive in one piece without holes only."""
        planes = self.logits.copy()
        for own, other in (*zip(LUNGS, LUNGS[::-1], strict=True), (HEART, HEART)):
            inside = _one_piece((self.logits[own] > 0) & (self.logits[own] >= self.logits[other]))
            kept, lost = np.maximum(planes[own], 1e-3), np.minimum(planes[own], -1e-3)
            planes[own] = np.where(inside, kept, lost)
        return planes


def right_of_spine(
    pixels: NDArray[np.float32],
    placement: Placement,
    grid: tuple[int, int],
    network: Segmenter | None = None,
) -> NDArray[np.float32]:
    """How much of each patch lies on the patient's right, of the spine or, where none is found
    near the middle, of the image.

    Args:
        pixels: (height, width) in [0, 1], bone white; or fewer of them, evenly spread.
        grid: rows and columns of the patches.
        network: as for `segment`.

    Returns:
        float32 (rows, columns) in [0, 1].
    """
    height, width = pixels.shape
    start, slope = segment(pixels, network, closer=False).midline or (width / 2, 0.0)
    ends = np.array([start, start + slope * height]) / width
    if (np.abs(ends - 0.5) > FURTHEST_SPINE).any():
        start, slope = width / 2, 0.0
    # From these pixels to the placement's.
    finer = placement.width / width
    start, slope = start * finer, slope * finer * height / placement.height
    rows, columns = grid
    left, top, across, down = placement.extent()
    x = left + (np.arange(columns) + 0.5) * across / columns
    y = top + (np.arange(rows)[:, None] + 0.5) * down / rows
    inside: NDArray[np.float32] = (0.5 + (start + slope * y - x) * columns / across).astype(
        np.float32
    )
    return inside.clip(0, 1)


def segment(
    pixels: NDArray[np.float32], network: Segmenter | None = None, closer: bool = True
) -> ChestAnatomy:
    """Find the parts of a chest on a frontal radiograph. Takes some 50 ms on one core.

    Args:
        pixels: (height, width) in [0, 1], bone white: `Radiograph.pixels`.
        network: instead of the one that CrossRay comes with, computed with PyTorch.
        closer: look again at a window around the lungs; half of the time is left without.

    Raises:
        ValueError: pixels that are not two-dimensional, or empty.
        CheckpointError: the weights are missing or altered.
    """
    if pixels.ndim != 2 or pixels.size == 0:
        raise ValueError(f"expected pixels (height, width), got an array of shape {pixels.shape}")
    network = network or _embedded()
    height, width = pixels.shape
    whole = whole_window(height, width)
    found = ChestAnatomy(height, width, whole, infer(network, whole.sample(pixels)).mean(axis=0))
    window = closer_window(found) if closer else None
    if window is None:
        return found
    return ChestAnatomy(height, width, window, infer(network, window.sample(pixels)).mean(axis=0))


def whole_window(height: int, width: int) -> Window:
    """The square around a whole image."""
    longest = max(height, width)
    return Window((width - longest) / 2, (height - longest) / 2, longest)


def infer(network: Segmenter, square: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (SIZE, SIZE) of any range -> logits (2, PARTS, SIZE, SIZE).

    First of the square as it is, then of its mirror image, mirrored back. Nothing is found on a
    blank one.
    """
    if float(np.ptp(square)) < BLANK:
        return np.full((2, len(PARTS), SIZE, SIZE), -10.0, np.float32)
    logits = network.logits(standardized(np.stack([square, square[:, ::-1]])))
    return np.stack([logits[0], logits[1][MIRRORED, :, ::-1]])


def closer_window(found: ChestAnatomy) -> Window | None:
    """The square around both lungs, MARGIN wider; None where they were not both found."""
    inside = found._planes[:2] > 0
    if not inside.any(axis=(1, 2)).all():
        return None
    rows, columns = (np.flatnonzero(inside.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    scale = found.window.side / SIZE
    top, bottom = rows[0] * scale, (rows[-1] + 1) * scale
    left, right = columns[0] * scale, (columns[-1] + 1) * scale
    side = max(bottom - top, right - left) * (1 + 2 * MARGIN)
    if side < SMALLEST_WINDOW * found.window.side:
        return None
    return Window(
        found.window.left + (left + right - side) / 2,
        found.window.top + (top + bottom - side) / 2,
        side,
    )


def _one_piece(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected region, its holes filled."""
    outlines, _ = cv2.findContours(
        inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    filled = np.zeros(inside.shape, np.uint8)
    if outlines:
        cv2.drawContours(filled, [max(outlines, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return filled > 0
