"""How the pixel data of a DICOM object are laid out, as its header says or lets be guessed.

What is absent is taken as the most radiographs have it; what cannot be is passed over. Each with a
note.
"""

from dataclasses import dataclass

from model.errors import NotARadiograph, UndecodableImage
from model.imaging.codes import PHOTOMETRIC_INTERPRETATIONS, quoted
from model.imaging.elements import Elements

__all__ = ["COLORS", "PixelLayout", "pixel_layout"]

_GRAY = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
COLORS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
"""Of three samples a pixel."""


@dataclass(frozen=True)
class PixelLayout:
    rows: int
    columns: int
    samples: int
    """A pixel's: 1 or 3."""
    allocated: int
    """Bits a sample takes up: 8 or 16."""
    stored: int
    """Bits of it that count."""
    shift: int
    """Bits below those."""
    signed: bool
    photometric: str
    """As the standard names it, one of MONOCHROME1, MONOCHROME2, PALETTE COLOR and COLORS."""
    planar: bool
    """Of three samples: one plane after the other."""

    @property
    def size(self) -> int:
        """Bytes of an uncompressed frame."""
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.rows * self.columns * samples * self.allocated // 8


def pixel_layout(header: Elements) -> PixelLayout:
    """Read, complete and check the elements of the image pixel module (PS3.3 C.7.6.3).

    Raises:
        NotARadiograph: a photometric interpretation that is neither gray nor a known color one.
        UndecodableImage: no size, or depths that cannot be.
    """
    rows, columns = _size(header, "Rows"), _size(header, "Columns")
    samples, photometric = _photometric(header)
    allocated = header.integer("BitsAllocated")
    if allocated is None:
        pixels = rows * columns * samples
        allocated = 8 if len(header.raw("PixelData")) < 2 * pixels else 16
        header.note(f"BitsAllocated is missing and was taken as {allocated}.")
    if allocated not in (8, 16):
        raise UndecodableImage(
            f"{allocated} bits allocated: a radiograph has 8 or 16, so convert it"
        )
    stored, high = header.integer("BitsStored"), header.integer("HighBit")
    if stored is None or not 1 <= stored <= allocated:
        header.note(f"BitsStored is missing or wrong and was taken as {allocated}.")
        stored = allocated
    if stored == 1:
        raise UndecodableImage("1 bits stored: a radiograph has 2 at least")
    if high is not None and not stored - 1 <= high < allocated:
        header.note(f"HighBit contradicts BitsStored and was taken as {stored - 1}.")
        high = None
    signed = header.integer("PixelRepresentation")
    if signed not in (0, 1):
        header.note("PixelRepresentation is missing or wrong and was taken as 0, unsigned.")
    planar = samples == 3 and header.integer("PlanarConfiguration") == 1
    shift = 0 if high is None else high + 1 - stored
    return PixelLayout(
        rows, columns, samples, allocated, stored, shift, signed == 1, photometric, planar
    )


def _size(header: Elements, keyword: str) -> int:
    value = header.integer(keyword)
    if value is None or value < 1:
        raise UndecodableImage(f"{keyword} is missing or damaged: the file may be cut short")
    return value


def _photometric(header: Elements) -> tuple[int, str]:
    """Samples a pixel and photometric interpretation, in agreement."""
    samples, photometric = (
        header.integer("SamplesPerPixel"),
        header.code("PhotometricInterpretation"),
    )
    if photometric not in (*_GRAY, *COLORS, "", "?"):
        code = quoted(photometric, PHOTOMETRIC_INTERPRETATIONS)
        raise NotARadiograph(f"photometric interpretation {code}: a radiograph is MONOCHROME1 or 2")
    if samples not in (1, 3):
        samples = 3 if photometric in COLORS else 1
        header.note(f"SamplesPerPixel is missing or wrong and was taken as {samples}.")
    if photometric not in (_GRAY if samples == 1 else COLORS):
        photometric = "MONOCHROME2" if samples == 1 else "RGB"
        header.note(
            f"PhotometricInterpretation is missing or wrong and was taken as {photometric}."
        )
    return samples, photometric
