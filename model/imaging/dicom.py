"""DICOM bytes -> a Radiograph: the standard's order of operations, tolerant of minor deviations.

Modality LUT (or slope and intercept), then VOI LUT or window, then one inversion, for MONOCHROME1
or a presentation LUT shape of INVERSE. Chosen where files leave a choice: a VOI LUT comes before a
window; of several, the first; a window of a width that the standard forbids (0, for one) is passed
over, as if it were not there; values that the file marks as padding are black.

Only the elements named here are ever parsed: no patient's name, dates or numbers are, and no
message quotes a value that might hold one. Imports pydicom, so it is imported only when needed.
"""

import logging
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from math import isfinite
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread, uid
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag

from model.errors import ImageError, ImageTooLarge, NotARadiograph, UndecodableImage
from model.imaging.codecs import stored_codes
from model.imaging.grayscale import Grayscale, LookupTable, Window, display
from model.imaging.radiograph import Radiograph, ReadLimits

__all__ = ["read_dicom"]

_ELEMENTS = (
    "SOPClassUID",
    "Modality",
    "ViewPosition",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
    "PresentationLUTShape",
    "PixelData",
)
_TAGS: list[BaseTag | int] = [Tag(name) for name in _ELEMENTS]
_RADIOGRAPHY = {"CR", "DX", "RG", "DR", "XR"}
"""CR, DX and RG are the standard's; DR and XR are what some devices write instead."""
_UNSAID = {"", "OT"}
_RADIOGRAPHY_CLASSES = {
    "",
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation,
    uid.DigitalXRayImageStorageForProcessing,
    uid.SecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
}
_VIEWS = {"PA": "PA", "AP": "AP", "LL": "LATERAL", "RL": "LATERAL", "LATERAL": "LATERAL"}
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    BytesLengthException,
    InvalidDicomError,
    struct.error,
    zlib.error,
)
"""What pydicom and the decoders raise on damaged files; RecursionError is a RuntimeError."""


def read_dicom(data: bytes, limits: ReadLimits) -> Radiograph:
    """Read a DICOM object, with or without preamble and file meta information.

    Raises:
        NotARadiograph: another modality than radiography, color, several frames, no image.
        UndecodableImage: cut short, damaged, contradicting itself, or of an unknown syntax.
        ImageTooLarge: more pixels, or more inflated bytes, than the limits allow.
    """
    _silence_pydicom()
    with _damage_named():
        ds, syntax = _dataset(data, limits)
        _check_kind(ds)
        codes = stored_codes(ds, syntax, limits)
        pixels = display(codes, _grayscale(ds, syntax))
        return Radiograph(pixels, view=_VIEWS.get(_code(ds, "ViewPosition")))


def _silence_pydicom() -> None:
    # pydicom's warnings quote the offending value, which may be a patient's name. Both calls leave
    # nothing behind when they are repeated.
    warnings.filterwarnings("ignore", module=r"pydicom\b")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)


@contextmanager
def _damage_named() -> Iterator[None]:
    """Turn whatever pydicom and the decoders raise into one typed error."""
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageTooLarge("the DICOM file needs more memory than there is to decode") from error
    except _DAMAGE as error:
        raise UndecodableImage(_damage(error)) from error
    except BaseException as error:
        # Panics of the RLE decoder, which is Rust, derive from BaseException.
        if type(error).__name__ != "PanicException":
            raise
        raise UndecodableImage(_damage(error)) from error


def _damage(error: BaseException) -> str:
    return f"the DICOM file is damaged or cut short: reading it failed with {type(error).__name__}"


def _dataset(data: bytes, limits: ReadLimits) -> tuple[Dataset, uid.UID]:
    """The elements named above, and the transfer syntax."""
    meta, start = _file_meta(data)
    if meta.get("MediaStorageSOPClassUID") == uid.MediaStorageDirectoryStorage:
        raise NotARadiograph("a DICOMDIR, the table of contents of a disc: it holds no image")
    syntax = meta.get("TransferSyntaxUID")
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        inflated = BytesIO(_inflated(data[start:], limits.max_bytes))
        return read_dataset(inflated, False, True, specific_tags=_TAGS), syntax
    ds = dcmread(BytesIO(data), force=True, specific_tags=_TAGS)
    if not syntax:
        implicit, little = ds.original_encoding
        explicit = uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
        syntax = uid.ImplicitVRLittleEndian if implicit else explicit
        # as_array compares it with the decoder's.
        ds.file_meta.TransferSyntaxUID = syntax
    return ds, syntax


def _file_meta(data: bytes) -> tuple[Dataset, int]:
    """The file meta information, empty where there is none, and where the data set starts."""
    file = BytesIO(data)
    file.seek(132 if data[128:132] == b"DICM" else 0)
    if data[file.tell() :][:2] != b"\x02\x00":
        return Dataset(), file.tell()
    meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    return meta, file.tell()


def _inflated(deflated: bytes, limit: int) -> bytes:
    """Inflate at most `limit` bytes: a megabyte may hold gigabytes."""
    inflator = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflator.decompress(deflated, limit)
    if inflator.unconsumed_tail:
        raise ImageTooLarge(f"the deflated data set holds more than {limit / 2**20:g} MiB")
    if not inflator.eof:
        raise UndecodableImage("the deflated data set is cut short")
    return inflated


def _check_kind(ds: Dataset) -> None:
    """Refuse what is not one gray radiograph."""
    modality, sop_class = _code(ds, "Modality"), ds.get("SOPClassUID") or ""
    if modality not in _RADIOGRAPHY and (
        modality not in _UNSAID or sop_class not in _RADIOGRAPHY_CLASSES
    ):
        raise NotARadiograph(
            f"modality {modality!r}: radiographs are CR, DX or RG, or secondary captures"
        )
    if int(ds.get("NumberOfFrames") or 1) > 1:
        raise NotARadiograph(f"{int(ds.NumberOfFrames)} frames: a single one is needed")
    if "PixelData" not in ds:
        # What says it is something else did not come this far: a broken radiograph, then.
        raise UndecodableImage("no (7FE0,0010) Pixel Data: the file is cut short or holds none")
    photometric = _code(ds, "PhotometricInterpretation")
    if ds.get("SamplesPerPixel", 1) != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise NotARadiograph(
            f"photometric interpretation {photometric!r}: radiographs are MONOCHROME1 or 2"
        )


def _code(ds: Dataset, keyword: str) -> str:
    """A code string, upper case; "?" for what is none, so that messages may quote it."""
    value = ds.get(keyword)
    if isinstance(value, MultiValue):
        value = value[0] if value else None
    text = str(value or "").strip().upper()
    return text if re.fullmatch(r"[A-Z0-9_ ]{0,16}", text) else "?"


def _grayscale(ds: Dataset, syntax: uid.UID) -> Grayscale:
    signed = ds.PixelRepresentation == 1
    little = syntax != uid.ExplicitVRBigEndian
    slope, intercept = _number(ds, "RescaleSlope", 1), _number(ds, "RescaleIntercept", 0)
    if slope == 0:
        raise UndecodableImage("RescaleSlope is 0, which would make every pixel the same")
    modality = _lookup_table(ds, "ModalityLUTSequence", little, signed)
    # The input of a VOI LUT is the output of the modality LUT.
    negative = modality is None and (signed or intercept < 0 or slope < 0)
    voi = _lookup_table(ds, "VOILUTSequence", little, negative)
    shape = _code(ds, "PresentationLUTShape")
    return Grayscale(
        bits=int(ds.BitsStored),
        signed=signed,
        slope=slope,
        intercept=intercept,
        modality_lut=modality,
        voi=voi or _window(ds),
        inverted=_code(ds, "PhotometricInterpretation") == "MONOCHROME1" or shape == "INVERSE",
        padding=_padding(ds, little, signed),
    )


def _number(ds: Dataset, keyword: str, default: float) -> float:
    values = _numbers(ds, keyword)
    if values and not isfinite(values[0]):
        raise UndecodableImage(f"{keyword} is {values[0]}")
    return values[0] if values else default


def _numbers(ds: Dataset, keyword: str) -> list[float]:
    value = ds.get(keyword)
    if value is None or value == "":
        return []
    return [float(one) for one in (value if isinstance(value, MultiValue) else [value])]


def _window(ds: Dataset) -> Window | None:
    function = _code(ds, "VOILUTFunction") or "LINEAR"
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise UndecodableImage(f"VOI LUT function {function!r}: LINEAR, LINEAR_EXACT or SIGMOID")
    centers, widths = _numbers(ds, "WindowCenter"), _numbers(ds, "WindowWidth")
    for center, width in zip(centers, widths, strict=False):
        allowed = width >= 1 if function == "LINEAR" else width > 0
        if allowed and isfinite(center) and isfinite(width):
            return Window(center, width, function)
    return None


def _lookup_table(ds: Dataset, keyword: str, little: bool, signed: bool) -> LookupTable | None:
    """The first table of a modality or VOI LUT sequence."""
    items = ds.get(keyword)
    if not items:
        return None
    count, first, bits = _words(items[0], "LUTDescriptor", little)[:3].tolist()
    count = count or 1 << 16
    if signed and first >= 1 << 15:
        first -= 1 << 16
    data = _words(items[0], "LUTData", little)
    if bits == 8 and len(data) == (count + 1) // 2:
        # Two entries a word, the first in the low byte.
        data = data.astype("<u2").view(np.uint8)
    if not 8 <= bits <= 16 or len(data) < count:
        raise UndecodableImage(f"a LUT of {len(data)} entries, {count} of {bits} bits announced")
    return LookupTable(first, data[:count], bits)


def _padding(ds: Dataset, little: bool, signed: bool) -> tuple[int, int] | None:
    ends = []
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        if ds.get(keyword) is not None:
            ends.append(
                int(_words(ds, keyword, little).astype(np.int16 if signed else np.uint16)[0])
            )
    return (min(ends), max(ends)) if ends and "PixelPaddingValue" in ds else None


def _words(ds: Dataset, keyword: str, little: bool) -> np.ndarray:
    """uint16 (values,): an element that writers encode as US, SS or OW alike."""
    value: Any = ds.get(keyword)
    if isinstance(value, bytes):
        whole = value[: len(value) // 2 * 2]
        return np.frombuffer(whole, "<u2" if little else ">u2").astype(np.uint16)
    words = [value] if isinstance(value, int) else list(value)
    return (np.array(words, np.int64) & 0xFFFF).astype(np.uint16)
