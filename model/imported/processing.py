"""The image processing that a published checkpoint asks for, and the way back for its maps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from model.imaging.letterbox import Placement

__all__ = ["ProcessedPlacement", "Processing"]


@dataclass(frozen=True)
class Processing:
    """How an image becomes the encoder's square, as transformers' image processors do it."""

    size: int
    """Side of the square, in pixels."""
    fit: Literal["stretch", "crop"]
    """"stretch": resized to the square whatever its aspect. "crop": its shorter side is resized to
    `shortest`, and the middle is cut out."""
    shortest: int
    """Of "crop", in pixels."""
    interpolation: Literal["nearest", "bilinear", "bicubic"]
    scale: float
    """What pixels in [0, 1] are multiplied by, before mean and standard deviation."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Processing":
        """From what JSON holds of one."""
        return cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})


@dataclass(frozen=True)
class ProcessedPlacement(Placement):
    """One image's place in the square of a published checkpoint's encoder."""

    processing: Processing

    def square(self, pixels: np.ndarray) -> NDArray[np.float32]:
        """See Placement."""
        if pixels.shape != (self.height, self.width):
            raise ValueError(f"expected pixels {(self.height, self.width)}, got {pixels.shape}")
        from PIL import Image  # not needed where only the settings are read

        left, top, width, height = self._inner()
        image = Image.fromarray(np.ascontiguousarray(pixels, dtype=np.float32))
        # Where it shrinks, every pixel counts, as in torchvision with antialias.
        filters = Image.Resampling[self.processing.interpolation.upper()]
        resized = np.asarray(image.resize((width, height), filters))
        square = np.zeros((1, self.size, self.size), np.float32)
        rows = slice(max(0, top), min(self.size, top + height))
        columns = slice(max(0, left), min(self.size, left + width))
        part = resized[rows.start - top : rows.stop - top]
        square[0, rows, columns] = part[:, columns.start - left : columns.stop - left]
        return square.clip(0, 1)  # bicubic interpolation overshoots

    def apply(self, pixels: np.ndarray) -> NDArray[np.float32]:
        """float32 (height, width) in [0, 1] -> float32 (3, size, size), normalized."""
        mean, std = (
            np.array(values, np.float32)[:, None, None]
            for values in (self.processing.mean, self.processing.std)
        )
        normalized: NDArray[np.float32] = (
            self.square(pixels) * np.float32(self.processing.scale) - mean
        ) / std
        return normalized

    def _inner(self) -> tuple[int, int, int, int]:
        if self.processing.fit == "stretch":
            return 0, 0, self.size, self.size
        shorter, shortest = min(self.height, self.width), self.processing.shortest
        height = int(shortest * self.height / shorter)
        width = int(shortest * self.width / shorter)
        return -((width - self.size) // 2), -((height - self.size) // 2), width, height
