"""Original pixels -> the square tensor the encoder sees, and places and maps on the way back.

Knows no file format and no network. Coordinates are continuous: the center of the first pixel is
(0.5, 0.5), its outer corner (0, 0); x runs along columns, y along rows.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.errors import ConfigError

__all__ = ["Letterbox", "Placement"]


@dataclass(frozen=True)
class Placement(ABC):
    """How one image lies in the encoder's square: there with pixels, and back with maps."""

    height: int
    """Rows of the original image."""
    width: int
    """Columns of the original image."""
    size: int
    """Side of the model's square in its own pixels."""

    def __post_init__(self) -> None:
        if min(self.height, self.width, self.size) < 1:
            raise ConfigError(f"{self} has an empty side: height, width and size start at 1")

    @abstractmethod
    def square(self, pixels: np.ndarray) -> NDArray[np.float32]:
        """float32 (height, width) in [0, 1] -> the image in its square, the rest black.

        Args:
            pixels: or fewer of them, evenly spread: the image at a lower resolution.

        Returns:
            float32 (1, size, size) in [0, 1]: what the encoder's input is before it is normalized.

        Raises:
            ValueError: pixels of another shape than this placement's.
        """

    @abstractmethod
    def apply(self, pixels: np.ndarray) -> NDArray[np.float32]:
        """float32 (height, width) in [0, 1] -> the encoder's input (channels, size, size)."""

    @abstractmethod
    def _inner(self) -> tuple[int, int, int, int]:
        """(left, top, width, height) of the image in the square, whole pixels.

        What the square cuts off lies outside it: left and top are then negative.
        """

    def to_model(self, x: float, y: float) -> tuple[float, float]:
        """A point of the original image -> the same point of the encoder's square."""
        left, top, width, height = self._inner()
        return left + x * width / self.width, top + y * height / self.height

    def to_original(self, x: float, y: float) -> tuple[float, float]:
        """A place in the model's square -> original pixels, outside the image on the padding."""
        left, top, width, height = self._inner()
        return (x - left) * self.width / width, (y - top) * self.height / height

    def extent(self) -> tuple[float, float, float, float]:
        """(left, top, width, height) of the whole square in original pixels.

        Left and top are negative where the square is padded.
        """
        left, top = self.to_original(0, 0)
        right, bottom = self.to_original(self.size, self.size)
        return left, top, right - left, bottom - top

    def restore(self, heatmap: np.ndarray) -> np.ndarray:
        """A map over the square's patches -> its density on the original pixels.

        Args:
            heatmap: (rows, columns), one share of attention a patch, covering the whole square.

        Returns:
            float32 (height, width): share of attention a pixel, interpolated bilinearly between
            the centers of patches. Its sum is about the share that fell inside the image; it is
            neither renormalized nor stretched.
        """
        rows, columns = heatmap.shape
        left, top, width, height = self.extent()
        down = _interpolation(self.height, rows, top, height)
        across = _interpolation(self.width, columns, left, width)
        density = heatmap.astype(np.float32) * (rows * columns / (width * height))
        result: np.ndarray = down @ density @ across.T
        return result


@dataclass(frozen=True)
class Letterbox(Placement):
    """One image's place in the model's square: aspect kept, centered, padded with black."""

    def square(self, pixels: np.ndarray) -> NDArray[np.float32]:
        """See Placement."""
        if not self._shows(pixels.shape):
            raise ValueError(f"expected pixels {(self.height, self.width)}, got {pixels.shape}")
        left, top, width, height = self._inner()
        shrinking = max(pixels.shape) > self.size
        inner = cv2.resize(
            np.ascontiguousarray(pixels, dtype=np.float32),
            (width, height),
            interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR,
        )
        square = np.zeros((1, self.size, self.size), np.float32)
        # Averaging areas leaves the range by some 1e-7.
        inside = inner.clip(0, 1)
        square[0, top : top + height, left : left + width] = inside
        return square

    def apply(self, pixels: np.ndarray) -> NDArray[np.float32]:
        """float32 (height, width) in [0, 1] -> float32 (1, size, size) in [-1, 1], black -1."""
        return self.square(pixels) * 2 - 1

    def _shows(self, shape: tuple[int, ...]) -> bool:
        """Whether pixels of this shape are the image, at its resolution or a lower one."""
        if shape == (self.height, self.width):
            return True
        if len(shape) != 2 or shape[0] > self.height or shape[1] > self.width:
            return False
        # Each side has been rounded, and once more where pixels were not square.
        rounding = 2 / self.height + 2 / self.width
        return abs(shape[0] / self.height - shape[1] / self.width) <= rounding

    def _inner(self) -> tuple[int, int, int, int]:
        """(left, top, width, height) of the image inside the square, whole pixels."""
        scale = self.size / max(self.height, self.width)
        width = max(1, round(self.width * scale))
        height = max(1, round(self.height * scale))
        return (self.size - width) // 2, (self.size - height) // 2, width, height


def _interpolation(pixels: int, patches: int, start: float, length: float) -> np.ndarray:
    """float32 (pixels, patches): how much each patch counts at the center of each pixel."""
    centers = (np.arange(pixels) + 0.5 - start) * patches / length - 0.5
    centers = centers.clip(0, patches - 1)
    distance = np.abs(centers[:, None] - np.arange(patches))
    result: np.ndarray = (1 - distance).clip(0).astype(np.float32)
    return result
