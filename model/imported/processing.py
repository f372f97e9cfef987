"""The image processing that a published checkpoint asks for, and the way back for its maps."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

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

    def normalize(self, squares: Tensor) -> Tensor:
        """(..., 1, size, size) in [0, 1] -> the encoder's input (..., 3, size, size)."""
        mean, std = (
            torch.tensor(values, device=squares.device)[:, None, None]
            for values in (self.mean, self.std)
        )
        return (squares * self.scale - mean) / std


@dataclass(frozen=True)
class ProcessedPlacement(Placement):
    """One image's place in the square of a published checkpoint's encoder."""

    processing: Processing

    def square(self, pixels: np.ndarray) -> NDArray[np.float32]:
        """See Placement."""
        if pixels.shape != (self.height, self.width):
            raise ValueError(f"expected pixels {(self.height, self.width)}, got {pixels.shape}")
        left, top, width, height = self._inner()
        gray = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32))[None]
        mode = InterpolationMode(self.processing.interpolation)
        resized = transforms.resize(gray, [height, width], mode, antialias=True)
        square = torch.zeros(1, self.size, self.size)
        rows = slice(max(0, top), min(self.size, top + height))
        columns = slice(max(0, left), min(self.size, left + width))
        part = resized[:, rows.start - top : rows.stop - top]
        square[:, rows, columns] = part[:, :, columns.start - left : columns.stop - left]
        placed: NDArray[np.float32] = square.clamp(0, 1).numpy()  # bicubic interpolation overshoots
        return placed

    def apply(self, pixels: np.ndarray) -> NDArray[np.float32]:
        """float32 (height, width) in [0, 1] -> float32 (3, size, size), normalized."""
        normalized = self.processing.normalize(torch.from_numpy(self.square(pixels)))
        applied: NDArray[np.float32] = normalized.numpy()
        return applied

    def _inner(self) -> tuple[int, int, int, int]:
        if self.processing.fit == "stretch":
            return 0, 0, self.size, self.size
        shorter, shortest = min(self.height, self.width), self.processing.shortest
        height = int(shortest * self.height / shorter)
        width = int(shortest * self.width / shorter)
        return -((width - self.size) // 2), -((height - self.size) // 2), width, height
