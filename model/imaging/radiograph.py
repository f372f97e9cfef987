"""What a reader gives and what it is allowed: values only."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from model.errors import ImageTooLarge
from model.imaging.geometry import StoredGrid

__all__ = ["Identity", "ImageWarning", "Radiograph", "ReadLimits", "WarningCode"]

WarningCode = Literal[
    # while a file is read
    "header_value",
    "encoding",
    "color",
    "display",
    "pixel_aspect",
    "orientation",
    # by the input check
    "blank",
    "not_chest",
    "lateral",
    "inverted",
    "rotated",
    "mirrored",
    "cropped",
    # by the encoder's features
    "out_of_distribution",
]


@dataclass(frozen=True)
class ImageWarning:
    """How one image was repaired while it was read, or a reason to distrust or refuse it."""

    code: WarningCode
    message: str
    """One sentence or two that quote what was found and say what was done or the way out. Never a
    value that may identify a patient."""
    refuses: bool = False
    """True: no report is written; False: a warning beside the report."""


@dataclass(frozen=True)
class Identity:
    """Whose image it is and of which study, to be compared and never shown: hashes and a date.

    Kept in memory only: no field may reach a log, a message or a record.
    """

    patient: str | None = field(default=None, repr=False)
    """Hash of PatientID and its issuer; None where the file does not say."""
    study: str | None = field(default=None, repr=False)
    """Hash of StudyInstanceUID; None where the file does not say."""
    date: str = field(default="", repr=False)
    """StudyDate, eight digits; empty where the file does not say."""
    time: str = field(default="", repr=False)
    """StudyTime, six digits; empty where the file does not say."""


@dataclass(frozen=True, eq=False)
class Radiograph:
    pixels: np.ndarray
    """float32 (height, width) in [0, 1], bone white: the whole image as it is to be shown, upright
    as its header or EXIF says and with square pixels; fewer of them where ReadLimits.enough says
    so."""
    view: str | None
    """"PA", "AP", "LATERAL" or None where the file does not say."""
    warnings: tuple[ImageWarning, ...] = ()
    """What reading repaired or passed over, in the order in which it was done."""
    identity: Identity = Identity()
    """Empty of PNG and JPEG."""
    stored: StoredGrid | None = None
    """The rows and columns of its file, and the way there; None of pixels that come of no file."""

    whole: tuple[int, int] | None = None
    """Height and width of the image where `pixels` is of a lower resolution."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the image: all maps and places are in these pixels."""
        height, width = self.whole or self.pixels.shape
        return height, width

    @property
    def grid(self) -> StoredGrid:
        """The same, of pixels that come of no file their own."""
        return self.stored or StoredGrid.of(self.pixels)


@dataclass(frozen=True)
class ReadLimits:
    max_bytes: int = 256 * 2**20
    """Of the file, and of a deflated DICOM data set once inflated."""
    max_pixels: int = 36_000_000
    """Rows times columns."""
    enough: int | None = None
    """Pixels along the shorter side that are enough: of JPEG 2000 only the lowest resolution that
    has as many is decoded. None: all that there are."""

    def check(self, width: int, height: int) -> None:
        """Raises ImageTooLarge for an image of more than max_pixels."""
        if width * height > self.max_pixels:
            raise ImageTooLarge(
                f"{width} x {height} is {width * height / 1e6:.1f} megapixels: "
                f"at most {self.max_pixels / 1e6:g} are read, so export it smaller"
            )
