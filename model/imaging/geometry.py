"""Stored rows and columns -> the image as it is looked at: square pixels, upright, not mirrored."""

import cv2
import numpy as np

__all__ = ["square_pixels", "turned"]

_SQUARE = 0.01
"""Sides of a pixel that differ by less are equal."""


def square_pixels(pixels: np.ndarray, aspect: float, max_pixels: int) -> np.ndarray:
    """Resample an image so that its pixels are as wide as high.

    The coarser side gets more pixels, so that nothing is lost; where these would be too many, the
    finer one gets fewer.

    Args:
        pixels: float32 (height, width).
        aspect: width of a pixel over its height.
        max_pixels: how many there may be.
    """
    if abs(aspect - 1) < _SQUARE:
        return pixels
    height, width = pixels.shape
    larger = (height, round(width * aspect)) if aspect > 1 else (round(height / aspect), width)
    if larger[0] * larger[1] > max_pixels:
        larger = (round(height / aspect), width) if aspect > 1 else (height, round(width * aspect))
    rows, columns = (max(1, side) for side in larger)
    finer = rows * columns > pixels.size
    return cv2.resize(
        pixels, (columns, rows), interpolation=cv2.INTER_LINEAR if finer else cv2.INTER_AREA
    )


def turned(pixels: np.ndarray, along_rows: str, along_columns: str) -> tuple[np.ndarray, str]:
    """An image turned so that it is seen from before the patient, who stands upright.

    Args:
        pixels: (height, width).
        along_rows: where rows run to, one of L, R, A, P, H (head) and F (foot): the first letter of
            the first value of PatientOrientation (0020,0020), PS3.3 C.7.6.1.1.1.
        along_columns: where columns run to, down the image.

    Returns:
        The image, C-contiguous, with rows to the patient's left and columns to the feet; rows
        that run to front or back stay as they are, for lateral views are shown either way. And
        what was done to it, in words; empty for nothing, and for letters that make no such view.
    """
    done = []
    across, down = along_rows, along_columns
    if across in "HF" and down in "LRAP":
        pixels, across, down = pixels.T, down, across
        done.append("rows and columns were exchanged")
    if across not in "LRAP" or down not in "HF":
        return pixels, ""
    if down == "H":
        pixels = pixels[::-1]
        done.append("the image was turned upside down")
    # Each step so far has mirrored the image; a lateral one is turned back instead.
    mirrors = len(done) % 2 == 1 if across in "AP" else across == "R"
    if mirrors:
        pixels = pixels[:, ::-1]
        done.append("it was mirrored left to right")
    return np.ascontiguousarray(pixels), " and ".join(done)
