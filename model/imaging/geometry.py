"""Stored rows and columns -> the image as it is shown: square pixels, upright, not mirrored.

And back, for maps and places.
"""

from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["StoredGrid", "Turn", "square_pixels", "square_size", "turn_by_exif", "turn_upright"]

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
    rows, columns = square_size(pixels.shape, aspect, max_pixels)
    if (rows, columns) == pixels.shape:
        return pixels
    finer = rows * columns > pixels.size
    return cv2.resize(
        pixels, (columns, rows), interpolation=cv2.INTER_LINEAR if finer else cv2.INTER_AREA
    )


def square_size(shape: tuple[int, ...], aspect: float, max_pixels: int) -> tuple[int, int]:
    """(height, width) of what `square_pixels` makes of an image of this shape."""
    height, width = shape
    if abs(aspect - 1) < _SQUARE:
        return height, width
    larger = (height, round(width * aspect)) if aspect > 1 else (round(height / aspect), width)
    if larger[0] * larger[1] > max_pixels:
        larger = (round(height / aspect), width) if aspect > 1 else (height, round(width * aspect))
    return max(1, larger[0]), max(1, larger[1])


@dataclass(frozen=True)
class Turn:
    """What brings stored rows and columns upright, in this order."""

    exchanged: bool = False
    """Rows with columns."""
    upside_down: bool = False
    mirrored: bool = False
    """Left to right."""
    directions: tuple[str, str] = ("", "")
    """Where rows and columns then run to, as in `turn_upright`."""

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """(height, width) or (height, width, channels), turned and C-contiguous."""
        if self.exchanged:
            pixels = pixels.swapaxes(0, 1)
        if self.upside_down:
            pixels = pixels[::-1]
        if self.mirrored:
            pixels = pixels[:, ::-1]
        return np.ascontiguousarray(pixels)

    def undone(self, pixels: np.ndarray) -> np.ndarray:
        """The inverse: (height, width), turned back and C-contiguous."""
        if self.mirrored:
            pixels = pixels[:, ::-1]
        if self.upside_down:
            pixels = pixels[::-1]
        if self.exchanged:
            pixels = pixels.swapaxes(0, 1)
        return np.ascontiguousarray(pixels)

    @property
    def in_words(self) -> str:
        """Empty where nothing is to be done."""
        done = {
            "rows and columns were exchanged": self.exchanged,
            "the image was turned upside down": self.upside_down,
            "it was mirrored left to right": self.mirrored,
        }
        return " and ".join(words for words, was in done.items() if was)


@dataclass(frozen=True)
class StoredGrid:
    """The rows and columns that a file stores, and the way there from the image as it is shown."""

    rows: int
    columns: int
    turn: Turn = Turn()
    """What was done to the image, after its pixels were made square."""

    @classmethod
    def of(cls, stored: np.ndarray, turn: Turn = Turn()) -> "StoredGrid":
        """Of an image (rows, columns) or (rows, columns, channels) as its file has it."""
        return cls(stored.shape[0], stored.shape[1], turn)

    def matrix(self, height: int, width: int) -> tuple[float, float, float, float, float, float]:
        """(a, b, c, d, e, f) for the image as it is shown, of this height and width.

        Its place (x, y) lies in column a x + b y + c and row d x + e y + f of the file; (0, 0) is
        the outer corner of the first pixel in both.
        """
        mirrored, upside_down = self.turn.mirrored, self.turn.upside_down
        x = (-1.0, 0.0, float(width)) if mirrored else (1.0, 0.0, 0.0)
        y = (0.0, -1.0, float(height)) if upside_down else (0.0, 1.0, 0.0)
        if self.turn.exchanged:
            x, y, height, width = y, x, width, height
        across, down = self.columns / width, self.rows / height
        a, b, c = (across * part for part in x)
        d, e, f = (down * part for part in y)
        return a, b, c, d, e, f

    def to_stored(self, density: np.ndarray) -> np.ndarray:
        """A map on the pixels of the image as it is shown -> on those of the file.

        Args:
            density: (height, width), shares of something a pixel, such as `Placement.restore` of
                model/imaging/letterbox.py returns.

        Returns:
            float32 (rows, columns), shares a stored pixel: their sum stays what it was.
        """
        turned = self.turn.undone(density.astype(np.float32, copy=False))
        if turned.shape == (self.rows, self.columns):
            return turned
        coarser = self.rows * self.columns < turned.size
        resampled = cv2.resize(
            turned,
            (self.columns, self.rows),
            interpolation=cv2.INTER_AREA if coarser else cv2.INTER_LINEAR,
        )
        return np.asarray(resampled * (turned.size / (self.rows * self.columns)), np.float32)


def turn_by_exif(orientation: int) -> Turn:
    """What brings an image upright whose EXIF orientation is 1 to 8 (CIPA DC-008, 4.6.5.1.7)."""
    return Turn(
        exchanged=orientation >= 5,
        upside_down=orientation in (3, 4, 7, 8),
        mirrored=orientation in (2, 3, 6, 7),
    )


def turn_upright(along_rows: str, along_columns: str) -> Turn:
    """How an image is seen from before the patient, who stands upright.

    Args:
        along_rows: where rows run to, one of L, R, A, P, H (head) and F (foot): the first letter of
            the first value of PatientOrientation (0020,0020), PS3.3 C.7.6.1.1.1.
        along_columns: where columns run to, down the image.

    Returns:
        What makes rows run to the patient's left and columns to the feet; rows that run to front
        or back stay as they are, for lateral views are shown either way. Nothing to be done for
        letters that make no such view.
    """
    across, down = along_rows, along_columns
    exchanged = across in "HF" and down in "LRAP"
    if exchanged:
        across, down = down, across
    if across not in "LRAP" or down not in "HF":
        return Turn(directions=(along_rows, along_columns))
    upside_down = down == "H"
    # Each step so far has mirrored the image; a lateral one is turned back instead.
    mirrored = (exchanged + upside_down) % 2 == 1 if across in "AP" else across == "R"
    if mirrored:
        across = {"L": "R", "R": "L", "A": "P", "P": "A"}[across]
    return Turn(exchanged, upside_down, mirrored, (across, "F"))
