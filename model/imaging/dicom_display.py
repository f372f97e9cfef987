"""What a DICOM header says of how its values are shown, with what cannot be used passed over."""

import re
from dataclasses import replace

import numpy as np

from model.errors import UndecodableImage
from model.imaging.codecs import Stored
from model.imaging.color import check_color
from model.imaging.elements import Elements
from model.imaging.grayscale import Grayscale, LookupTable, Window
from model.imaging.radiograph import ImageWarning

__all__ = ["all_voi", "grayscale_of", "palette_shown", "pixel_aspect"]

_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
_SPACINGS = (
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "PixelAspectRatio",
)
_MOST_ASPECT = 8.0


def grayscale_of(header: Elements, stored: Stored) -> Grayscale:
    """The chain of PS3.3 C.11: modality, values of interest, presentation.

    The first usable VOI LUT comes before the first usable window. Without either, see `display`.
    """
    slope, intercept = header.number("RescaleSlope", 1), header.number("RescaleIntercept", 0)
    if slope == 0:
        header.note("RescaleSlope is 0, which would make every pixel the same: taken as 1.")
        slope = 1
    modality = next(iter(_lookup_tables(header, "ModalityLUTSequence", stored.signed)), None)
    shape = header.code("PresentationLUTShape")
    grayscale = Grayscale(
        bits=stored.bits,
        signed=stored.signed,
        slope=slope,
        intercept=intercept,
        modality_lut=modality,
        inverted=stored.photometric == "MONOCHROME1" or shape == "INVERSE",
        padding=_padding(header, stored.signed),
    )
    voi = next(iter(_voi_tables(header, grayscale)), None)
    if voi is not None and voi.top < (1 << voi.bits) - 1:
        header.note(
            f"VOILUTSequence states {voi.bits} bits, its entries fill fewer: {voi.top:g} was taken "
            "as white."
        )
    return replace(grayscale, voi=voi or next(iter(_windows(header)), None))


def all_voi(header: Elements, grayscale: Grayscale) -> tuple[LookupTable | Window, ...]:
    """Every usable VOI LUT and window of the file, in the order in which they are preferred."""
    return (*_voi_tables(header, grayscale), *_windows(header))


def _voi_tables(header: Elements, grayscale: Grayscale) -> list[LookupTable]:
    # The input of a VOI LUT is the output of the modality LUT.
    negative = grayscale.modality_lut is None and (
        grayscale.signed or grayscale.intercept < 0 or grayscale.slope < 0
    )
    return _lookup_tables(header, "VOILUTSequence", negative)


def _windows(header: Elements) -> list[Window]:
    centers, widths = header.numbers("WindowCenter"), header.numbers("WindowWidth")
    function = header.code("VOILUTFunction") or "LINEAR"
    if function not in _FUNCTIONS:
        header.note("VOILUTFunction is none of DICOM's and was taken as LINEAR.")
        function = "LINEAR"
    least = 1 if function == "LINEAR" else 0
    names = header.text("WindowCenterWidthExplanation").split("\\")
    names += [""] * (len(centers) - len(names))
    windows = [
        Window(center, width, function, _name(name))
        for center, width, name in zip(centers, widths, names, strict=False)
        if center is not None and width is not None and width >= least and width > 0
    ]
    if not windows and any(value is not None for value in (*centers, *widths)):
        header.note(
            f"WindowCenter and WindowWidth hold no window that {function} allows and were passed "
            "over."
        )
    return windows


def _name(text: str) -> str:
    """What a window or table is called; nothing where it is not a few plain words."""
    text = text.strip()
    return text if re.fullmatch(r"[A-Z0-9][A-Z0-9 _+-]{0,23}", text) else ""


def _lookup_tables(header: Elements, keyword: str, signed: bool) -> list[LookupTable]:
    """The usable tables of a modality or VOI LUT sequence.

    Args:
        signed: whether the input may be negative.
    """
    items = header.items(keyword)
    tables = [
        replace(table, name=_name(item.text("LUTExplanation")))
        for item in items
        if (table := _table(item.words("LUTDescriptor"), item.words("LUTData"), signed))
    ]
    if items and not tables:
        header.note(
            f"{keyword} holds no usable table (too few entries, or no descriptor) and was passed "
            "over."
        )
    return tables


def _table(descriptor: np.ndarray, data: np.ndarray, signed: bool) -> LookupTable | None:
    """A table of PS3.3 C.11.1.1, C.11.2.1.1 or C.7.9; None for one that cannot be used."""
    if len(descriptor) < 3:
        return None
    count, first, bits = descriptor[:3].tolist()
    count = count or 1 << 16
    if signed and first >= 1 << 15:
        first -= 1 << 16
    if len(data) == (count + 1) // 2 < count:
        # Two entries a word, the first in the low byte.
        data = data.astype("<u2").view(np.uint8)
    if len(data) < count or not data[:count].any():
        return None
    if not 1 <= bits <= 16:
        bits = int(data[:count].max()).bit_length()
    return LookupTable(first, data[:count], bits)


def _padding(header: Elements, signed: bool) -> tuple[int, int] | None:
    if "PixelPaddingValue" not in header:
        return None
    kind = np.int16 if signed else np.uint16
    ends = [
        int(words.astype(kind)[0])
        for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")
        if len(words := header.words(keyword))
    ]
    return (min(ends), max(ends)) if ends else None


def palette_shown(
    header: Elements, codes: np.ndarray
) -> tuple[np.ndarray, tuple[ImageWarning, ...]]:
    """Indices into a palette -> float32 (rows, columns) in [0, 1], where the palette is gray.

    Args:
        codes: unsigned integers (rows, columns).

    Raises:
        NotARadiograph: colors.
        UndecodableImage: a palette that is not whole.
    """
    tables = [
        _table(header.words(f"{color}Descriptor"), header.words(f"{color}Data"), False)
        for color in (f"{name}PaletteColorLookupTable" for name in ("Red", "Green", "Blue"))
    ]
    if any(table is None for table in tables):
        raise UndecodableImage("the palette of a PALETTE COLOR image is missing or cut short")
    counts = np.bincount(codes.ravel(), minlength=1 << (8 * codes.itemsize))
    values = np.arange(len(counts), dtype=np.float64)
    channels = np.stack([table(values) / table.top for table in tables if table is not None])
    differences = channels.max(axis=0) - channels.min(axis=0)
    used = counts > 0
    differing = bool((differences[used] > 1 / 255).any())
    warnings = check_color(differences[used], counts[used]) if differing else ()
    shown = (np.array([0.299, 0.587, 0.114]) @ channels).clip(0, 1)
    return shown.astype(np.float32)[codes], warnings


def pixel_aspect(header: Elements) -> float:
    """Width of a pixel over its height; 1 where nothing usable is said."""
    for keyword in _SPACINGS:
        values = [value for value in header.numbers(keyword) if value is not None and value > 0]
        if len(values) >= 2:
            aspect = values[1] / values[0]
            if 1 / _MOST_ASPECT <= aspect <= _MOST_ASPECT:
                return aspect
            header.note(f"{keyword} makes pixels {aspect:.3g} times as wide as high: passed over.")
    return 1.0
