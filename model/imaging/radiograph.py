"""What a reader gives and what it is allowed: values only."""

from dataclasses import dataclass

import numpy as np

from model.errors import ImageTooLarge

__all__ = ["Radiograph", "ReadLimits"]


@dataclass(frozen=True, eq=False)
class Radiograph:
    pixels: np.ndarray
    """float32 (height, width) in [0, 1], bone white: the stored rows and columns, nothing cut."""
    view: str | None
    """"PA", "AP", "LATERAL" or None where the file does not say."""


@dataclass(frozen=True)
class ReadLimits:
    max_bytes: int = 256 * 2**20
    """Of the file, and of a deflated DICOM data set once inflated."""
    max_pixels: int = 36_000_000
    """Rows times columns."""

    def check(self, width: int, height: int) -> None:
        """Raises ImageTooLarge for an image of more than max_pixels."""
        if width * height > self.max_pixels:
            raise ImageTooLarge(
                f"{width} x {height} is {width * height / 1e6:.1f} megapixels: "
                f"at most {self.max_pixels / 1e6:g} are read, so export it smaller"
            )
