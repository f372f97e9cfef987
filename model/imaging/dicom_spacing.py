"""How large a pixel is, and what that size is worth: DICOM PS3.3 10.7.1.1 to 10.7.1.3."""

from model.imaging.elements import Elements
from model.imaging.stored import Spacing, SpacingKind

__all__ = ["spacing_of"]

_LEAST, _MOST = 0.005, 5.0
"""Millimeters between which a radiograph's pixels lie."""
_SAME = 1e-3
"""Relative difference below which two spacings are one."""


def spacing_of(header: Elements) -> Spacing | None:
    """The distance of stored pixels; None where the file does not say it.

    PixelSpacing that differs from ImagerPixelSpacing, or says how, has been corrected for
    magnification. Where it repeats ImagerPixelSpacing, or stands alone in an image whose kind has
    both, nothing was corrected: lengths are those of the shadow on the detector.
    """
    pixel, imager = _pair(header, "PixelSpacing"), _pair(header, "ImagerPixelSpacing")
    scanned = _pair(header, "NominalScannedPixelSpacing")
    calibrated = header.code("PixelSpacingCalibrationType") in ("GEOMETRY", "FIDUCIAL")
    if pixel and (calibrated or (imager and not _alike(pixel, imager))):
        return _spacing(pixel, "calibrated", header)
    if imager:
        return _spacing(imager, "imager", header)
    if pixel:
        return _spacing(pixel, "unstated", header)
    return _spacing(scanned, "scanned", header) if scanned else None


def _pair(header: Elements, keyword: str) -> tuple[float, float] | None:
    """Between rows and between columns, in millimeters; None for sizes that no pixel has."""
    values = [value for value in header.numbers(keyword) if value is not None]
    if len(values) < 2 or not all(_LEAST <= value <= _MOST for value in values[:2]):
        return None
    return values[0], values[1]


def _alike(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return all(abs(a - b) <= _SAME * b for a, b in zip(one, other, strict=True))


def _spacing(pair: tuple[float, float], kind: SpacingKind, header: Elements) -> Spacing:
    factor = header.number("EstimatedRadiographicMagnificationFactor", 0)
    return Spacing(*pair, kind, factor if 1 <= factor <= 3 else None)
