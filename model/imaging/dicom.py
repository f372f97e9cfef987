"""DICOM bytes -> a Radiograph: the standard's order of operations, tolerant of what files hold.

Modality LUT (or slope and intercept), then VOI LUT or window, then one inversion, for MONOCHROME1
or a presentation LUT shape of INVERSE; then square pixels, and upright as PatientOrientation says.
What is absent, wrong or passed over stands in Radiograph.warnings; docs/reference/reading.md has
the table.

Only the elements named here, and those that model/imaging/header.py hashes, are ever parsed: no
patient's name is, and no message quotes a value that might identify one. Imports pydicom, so it is
imported only when needed.
"""

import logging
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO

import numpy as np
from pydicom import Dataset, dcmread, uid
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag

from model.errors import ImageError, ImageTooLarge, NotAnImage, NotARadiograph, UndecodableImage
from model.imaging.codecs import stored_values
from model.imaging.codes import MODALITIES, quoted
from model.imaging.color import gray_of_color
from model.imaging.dicom_display import all_voi, grayscale_of, palette_shown, pixel_aspect
from model.imaging.dicom_spacing import spacing_of
from model.imaging.elements import DAMAGE, Elements
from model.imaging.geometry import StoredGrid, Turn, square_pixels, square_size, turn_upright
from model.imaging.grayscale import Grayscale, Range, display
from model.imaging.header import read_identity
from model.imaging.pixel_layout import PixelLayout, pixel_layout
from model.imaging.radiograph import ImageWarning, Radiograph, ReadLimits
from model.imaging.stored import Extent, StoredImage
from model.imaging.views import view_of_code, view_of_words

__all__ = ["read_dicom", "read_stored_dicom"]

_ELEMENTS = (
    "SOPClassUID",
    "Modality",
    "SeriesDescription",
    "ViewPosition",
    "ViewCodeSequence",
    "PatientOrientation",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "PixelAspectRatio",
    "PixelSpacingCalibrationType",
    "EstimatedRadiographicMagnificationFactor",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
    "WindowCenterWidthExplanation",
    "PresentationLUTShape",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "EncapsulatedDocument",
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
_NO_IMAGES = {
    "AU",
    "DOC",
    "ECG",
    "HD",
    "KO",
    "PR",
    "RESP",
    "RTPLAN",
    "RTSTRUCT",
    "SR",
    "TEXTUREMAP",
}
"""Modalities of objects that hold no image."""
_DAMAGED = "the DICOM file is damaged or cut short: its header or its pixel data cannot be decoded"


def read_dicom(data: bytes, limits: ReadLimits) -> Radiograph:
    """Read a DICOM object, with or without preamble and file meta information.

    Raises:
        NotAnImage: an object of a kind that holds no image.
        NotARadiograph: another modality than radiography, color, several frames.
        UndecodableImage: cut short, damaged, contradicting itself, or of an unknown syntax.
        ImageTooLarge: more pixels, or more inflated bytes, than the limits allow.
    """
    with _opened(data, limits) as (header, syntax):
        layout = pixel_layout(header)
        shown, spoilt = _shown(header, layout, syntax, limits)
        aspect = pixel_aspect(header)
        stored = layout.rows, layout.columns
        height, width = square_size(stored, aspect, limits.max_pixels)
        if (height, width) != stored:
            header.note(
                f"Pixels are {aspect:.3g} times as wide as high: the image was resampled to "
                f"{width} x {height} square ones.",
                "pixel_aspect",
            )
        pixels = square_pixels(shown, aspect, limits.max_pixels)
        turn = _turn(header)
        whole = (width, height) if turn.exchanged else (height, width)
        view = _view(header)
        return Radiograph(
            turn(pixels),
            view,
            (*header.notes, *spoilt),
            read_identity(data),
            StoredGrid(*stored, turn),
            None if shown.shape == stored else whole,
        )


def read_stored_dicom(data: bytes, limits: ReadLimits) -> StoredImage:
    """The values of the same image as they are stored; Raises as `read_dicom`."""
    with _opened(data, limits) as (header, syntax):
        codes, grayscale = _stored(header, syntax, replace(limits, enough=None))
        turn = _turn(header)
        height, width = square_size(codes.shape, pixel_aspect(header), limits.max_pixels)
        spacing = spacing_of(header)
        exchanged = turn.exchanged
        extent = Extent(
            size=(width, height) if exchanged else (height, width),
            spacing=spacing.exchanged() if spacing and exchanged else spacing,
            directions=turn.directions if all(turn.directions) else None,
        )
        voi = all_voi(header, grayscale)
        return StoredImage.of(turn(codes), grayscale, voi, extent, _unit(header))


@contextmanager
def _opened(data: bytes, limits: ReadLimits) -> Iterator[tuple[Elements, uid.UID]]:
    """The elements of a radiograph, and its transfer syntax; damage inside is named."""
    _silence_pydicom()
    with _damage_named():
        ds, syntax = _dataset(data, limits)
        header = Elements(ds, little_endian=syntax != uid.ExplicitVRBigEndian)
        _check_kind(header)
        yield header, syntax


def _stored(header: Elements, syntax: uid.UID, limits: ReadLimits) -> tuple[np.ndarray, Grayscale]:
    """Unsigned integers (rows, columns) as for `display`, and what the header says of them.

    Of an image in color, of its gray; of a palette, of what it shows in 16 bits.
    """
    stored = stored_values(header, pixel_layout(header), syntax, limits)
    if stored.photometric == "RGB":
        gray, _ = gray_of_color(stored.values)
        return gray, Grayscale(bits=8 * gray.itemsize)
    if stored.photometric == "PALETTE COLOR":
        shown, _ = palette_shown(header, stored.values)
        return np.rint(shown * 0xFFFF).astype(np.uint16), Grayscale(voi=Range(0, 0xFFFF))
    return stored.values, grayscale_of(header, stored)


def _unit(header: Elements) -> str:
    """Of modality values, as RescaleType names it: "HU", "OD" and such; empty for none."""
    unit = header.code("RescaleType")
    return "" if unit in ("?", "US", "UNSPECIFIED") else unit


def _shown(
    header: Elements, layout: PixelLayout, syntax: uid.UID, limits: ReadLimits
) -> tuple[np.ndarray, tuple[ImageWarning, ...]]:
    """float32 (rows, columns) in [0, 1], as stored but for their values; and what was repaired."""
    stored = stored_values(header, layout, syntax, limits)
    if stored.photometric == "RGB":
        gray, colored = gray_of_color(stored.values)
        pixels, spoilt = display(gray, Grayscale(bits=8 * gray.itemsize))
        return pixels, (*colored, *spoilt)
    if stored.photometric == "PALETTE COLOR":
        return palette_shown(header, stored.values)
    return display(stored.values, grayscale_of(header, stored))


def _turn(header: Elements) -> Turn:
    values = [value.strip()[:1] for value in header.text("PatientOrientation").split("\\")]
    if len(values) != 2 or not all(value and value in "LRAPHF" for value in values):
        if any(values):
            header.note("PatientOrientation names no two directions and was passed over.")
        return Turn()
    turn = turn_upright(*values)
    if turn.in_words:
        header.note(
            f"PatientOrientation is {values[0]}, {values[1]}: {turn.in_words}.", "orientation"
        )
    return turn


def _view(header: Elements) -> str | None:
    """Of ViewPosition, else of the view's code, else of a description that says nothing else."""
    view = view_of_words(header.text("ViewPosition"))
    coded = None
    for item in header.items("ViewCodeSequence")[:1]:
        coded = view_of_code(item.text("CodeValue")) or view_of_words(item.text("CodeMeaning"))
    if view and coded and "LATERAL" in (view, coded) and view != coded:
        header.note(f"ViewPosition says {view}, ViewCodeSequence {coded}: the former was believed.")
    if view or coded or header.text("ViewPosition"):
        return view or coded
    return view_of_words(header.text("SeriesDescription"))


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
    except DAMAGE as error:
        raise UndecodableImage(_DAMAGED) from error
    except BaseException as error:
        # Panics of the RLE decoder, which is Rust, derive from BaseException.
        if type(error).__name__ != "PanicException":
            raise
        raise UndecodableImage(_DAMAGED) from error


def _dataset(data: bytes, limits: ReadLimits) -> tuple[Dataset, uid.UID]:
    """The elements named above, and the transfer syntax."""
    meta, start = _file_meta(data)
    if meta.get("MediaStorageSOPClassUID") == uid.MediaStorageDirectoryStorage:
        raise NotAnImage("a DICOMDIR, the table of contents of a disc: it holds no image")
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


def _check_kind(header: Elements) -> None:
    """Refuse what is not one radiograph."""
    modality, sop_class = header.code("Modality"), header.uid("SOPClassUID")
    name = uid.UID(sop_class).name
    if name == sop_class:  # not of the standard
        name = ""
    pixels = "PixelData" in header
    if not pixels and (
        modality in _NO_IMAGES or "EncapsulatedDocument" in header or (name and "Image" not in name)
    ):
        kind = name or f"modality {quoted(modality, MODALITIES)}"
        raise NotAnImage(f"{kind}: an object without an image")
    if modality not in _RADIOGRAPHY and (
        modality not in _UNSAID or sop_class not in _RADIOGRAPHY_CLASSES
    ):
        raise NotARadiograph(
            f"modality {quoted(modality, MODALITIES)}: radiographs are CR, DX or RG, or secondary "
            "captures"
        )
    if (frames := header.integer("NumberOfFrames") or 1) > 1:
        raise NotARadiograph(f"{frames} frames: a single one is needed")
    if not pixels:
        # What says it is something else did not come this far: a broken radiograph, then.
        raise UndecodableImage("no (7FE0,0010) Pixel Data: the file is cut short or holds none")
