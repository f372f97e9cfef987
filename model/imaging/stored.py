"""An image's values as its file stores them, for a viewer that shows them itself.

The report's own reading, model/imaging/radiograph.py, has display values in [0, 1]; here nothing is
lost: samples have the file's own depth, and how they are shown stands beside them.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from model.imaging.grayscale import Grayscale, LookupTable, Range, Voi, Window, with_voi

__all__ = [
    "Extent",
    "PixelDescription",
    "Spacing",
    "SpacingKind",
    "StoredImage",
    "Table",
    "VoiDescription",
]

SpacingKind = Literal["calibrated", "imager", "unstated", "scanned"]
"""calibrated: corrected for magnification, in the patient; imager: on the detector, where all is
larger than in the patient; unstated: the file does not say which; scanned: on the film."""


@dataclass(frozen=True)
class Spacing:
    rows: float
    """Millimeters between the centers of two rows."""
    columns: float
    """Between two columns."""
    kind: SpacingKind
    magnification: float | None = None
    """What the file estimates, where it does: shadow over object."""

    def exchanged(self) -> "Spacing":
        """Of the image whose rows are this one's columns."""
        return Spacing(self.columns, self.rows, self.kind, self.magnification)


@dataclass(frozen=True)
class Table:
    """A lookup table: entries for the values from `first` on, clamped at both ends."""

    first: int
    white: float
    """The entry that is white."""
    entries: str
    """Base64 of uint16, little endian."""

    @classmethod
    def of(cls, table: LookupTable) -> "Table":
        entries = b64encode(table.entries.astype("<u2").tobytes()).decode()
        return cls(table.first, table.top, entries)


@dataclass(frozen=True)
class VoiDescription:
    """One way in which modality values become gray: DICOM PS3.3 C.11.2."""

    function: Literal["LINEAR", "LINEAR_EXACT", "SIGMOID", "LUT"]
    name: str
    """What the file calls it; empty where it says nothing."""
    center: float | None = None
    """None of a LUT, as `width`."""
    width: float | None = None
    table: Table | None = None

    @classmethod
    def of(cls, voi: Voi) -> "VoiDescription":
        match voi:
            case LookupTable():
                return cls("LUT", voi.name, table=Table.of(voi))
            case Window():
                return cls(voi.function, voi.name, voi.center, voi.width)  # type: ignore[arg-type]
            case Range():
                center, width = (voi.low + voi.high) / 2, max(voi.high - voi.low, 1e-6)
                return cls("LINEAR_EXACT", "", center, width)


@dataclass(frozen=True)
class PixelDescription:
    """What belongs to an image's samples. A stored value is `sample + lowest`."""

    rows: int
    """Of samples, upright as the header says."""
    columns: int
    width: int
    """Of the image with square pixels: all places of reports and maps are in these."""
    height: int
    bits: int
    """A sample's: it is in [0, 2**bits)."""
    lowest: int
    """Stored value of sample 0: negative of a signed image."""
    slope: float
    """Modality value = stored value x slope + intercept, where there is no modality_table."""
    intercept: float
    modality_table: Table | None
    unit: str
    """Of modality values, as RescaleType names it; empty for none."""
    shown: VoiDescription
    """How the image is shown at first, and how its report's model saw it."""
    voi: list[VoiDescription]
    """All LUTs and windows of the file."""
    inverted: bool
    """Small values are white: MONOCHROME1 or PresentationLUTShape INVERSE."""
    padding: tuple[int, int] | None
    """Stored values from the one to the other are outside the image: black."""
    spacing: Spacing | None
    directions: tuple[str, str] | None
    """Where rows and columns run to, of L, R, A, P, H and F; None where the file does not say."""


@dataclass(frozen=True)
class Extent:
    """What a file says of an image's size and direction."""

    size: tuple[int, int] | None = None
    """(height, width) with square pixels; None where they are square."""
    spacing: Spacing | None = None
    directions: tuple[str, str] | None = None
    """See PixelDescription."""


UNSTATED = Extent()


@dataclass(frozen=True, eq=False)
class StoredImage:
    samples: np.ndarray
    """uint8 or uint16 (rows, columns), C-contiguous, in the order of the stored values."""
    description: PixelDescription

    @classmethod
    def of(
        cls,
        codes: np.ndarray,
        grayscale: Grayscale,
        voi: Sequence[LookupTable | Window] = (),
        extent: Extent = UNSTATED,
        unit: str = "",
    ) -> "StoredImage":
        """
        Args:
            codes: as for `display` in model/imaging/grayscale.py.
            voi: all of the file's.
        """
        grayscale, _ = with_voi(codes, grayscale)
        assert grayscale.voi is not None
        lowest = -(1 << (grayscale.bits - 1)) if grayscale.signed else 0
        # The sign bit flipped puts two's complement into the order of the values.
        samples = codes ^ codes.dtype.type(-lowest) if lowest else codes
        height, width = extent.size or codes.shape
        table = grayscale.modality_lut
        description = PixelDescription(
            rows=codes.shape[0],
            columns=codes.shape[1],
            width=width,
            height=height,
            bits=grayscale.bits,
            lowest=lowest,
            slope=grayscale.slope,
            intercept=grayscale.intercept,
            modality_table=Table.of(table) if table else None,
            unit=unit,
            shown=VoiDescription.of(grayscale.voi),
            voi=[VoiDescription.of(one) for one in voi],
            inverted=grayscale.inverted,
            padding=grayscale.padding,
            spacing=extent.spacing,
            directions=extent.directions,
        )
        return cls(np.ascontiguousarray(samples), description)
