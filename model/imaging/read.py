"""DICOM, PNG or JPEG bytes -> display pixels in [0, 1], bone white. Content decides, not the name.

Knows no network: the square tensor is made by model/imaging/letterbox.py. Neither torch nor, until
a DICOM file comes, pydicom is imported, so that a process which only reads stays small.
"""

import os
import struct
from pathlib import Path
from stat import S_ISREG

import cv2
import numpy as np

from model.errors import ImageTooLarge, UndecodableImage, UnsupportedImage
from model.imaging.codestream import JPEG, PNG, jpeg_header, png_header
from model.imaging.color import gray_of_color
from model.imaging.geometry import StoredGrid, Turn, turn_by_exif
from model.imaging.grayscale import Grayscale, display
from model.imaging.jpeg import decode_jpeg
from model.imaging.radiograph import Radiograph, ReadLimits
from model.imaging.stored import StoredImage

__all__ = ["load_file", "read_image", "read_stored"]


def read_image(source: Path | bytes, limits: ReadLimits = ReadLimits()) -> Radiograph:
    """Read one radiograph.

    PNG and JPEG: gray of 8 to 16 bits, or stored in color (see model/imaging/color.py), turned
    upright by their EXIF orientation, what is transparent on black. DICOM: see
    model/imaging/dicom.py. How values are shown where the file does not say: see `display` in
    model/imaging/grayscale.py. What was repaired stands in Radiograph.warnings.

    A native decoder may crash on a hostile file: use model/imaging/sandbox.py for files of
    strangers.

    Args:
        source: a file's path, or its content.
        limits: what is refused before it is decoded.

    Raises:
        UnsupportedImage: not DICOM, PNG or JPEG.
        UndecodableImage: one of them, but unreadable, cut short, damaged or contradicting itself;
            or empty.
        NotARadiograph: another modality, color, several frames; NotAnImage: none at all.
        ImageTooLarge: more bytes or pixels than the limits allow.
    """
    data = source if isinstance(source, bytes) else load_file(source, limits)
    found = _samples(data, limits)
    if found is not None:
        return _radiograph(*found)
    from model.imaging.dicom import read_dicom

    return read_dicom(data, limits)


def read_stored(source: Path | bytes, limits: ReadLimits = ReadLimits()) -> StoredImage:
    """The same image with its values as they are stored; Args and Raises as for `read_image`."""
    data = source if isinstance(source, bytes) else load_file(source, limits)
    found = _samples(data, limits)
    if found is not None:
        samples, turn = found
        samples = turn(samples)
        gray, _ = gray_of_color(samples) if samples.ndim == 3 else (samples, ())
        return StoredImage.of(gray, Grayscale(bits=8 * gray.itemsize))
    from model.imaging.dicom import read_stored_dicom

    return read_stored_dicom(data, limits)


def _samples(data: bytes, limits: ReadLimits) -> tuple[np.ndarray, Turn] | None:
    """Of a PNG or JPEG file, uint8 or uint16 as stored, and its turn; None of what may be DICOM."""
    if len(data) > limits.max_bytes:
        raise _too_many_bytes(len(data), limits)
    if not data:
        raise UndecodableImage("an empty file: it was not copied whole, so fetch it again")
    # A DICOM preamble may hold anything, even another format's signature.
    if data[128:132] != b"DICM":
        if data.startswith(PNG):
            return _png(data, limits)
        if data.startswith(JPEG):
            return _jpeg(data, limits)
        if not _bare_dataset(data):
            raise UnsupportedImage(f"{_kind(data)}, not DICOM, PNG or JPEG")
    return None


def load_file(source: Path | int, limits: ReadLimits) -> bytes:
    """The content of a regular file, by its path or its open descriptor.

    Raises:
        UndecodableImage: not a file, or not readable. The path is not quoted: it may name a
            patient.
        ImageTooLarge: more bytes than the limits allow.
    """
    try:
        with open(
            source, "rb", opener=_without_waiting, closefd=not isinstance(source, int)
        ) as file:
            status = os.fstat(file.fileno())
            if not S_ISREG(status.st_mode):
                raise UndecodableImage("not a regular file: a device or a pipe")
            data = file.read(limits.max_bytes + 1) if status.st_size <= limits.max_bytes else b""
    except OSError as error:
        raise UndecodableImage(f"the file cannot be read: {error.strerror}") from error
    if max(status.st_size, len(data)) > limits.max_bytes:
        raise _too_many_bytes(max(status.st_size, len(data)), limits)
    return data


def _without_waiting(path: str, flags: int) -> int:
    # Opening a pipe that nobody writes to would wait for a writer.
    return os.open(path, flags | os.O_NONBLOCK)


def _too_many_bytes(size: int, limits: ReadLimits) -> ImageTooLarge:
    return ImageTooLarge(
        f"the file has {size / 2**20:.1f} MiB: at most {limits.max_bytes / 2**20:g} are read"
    )


def _bare_dataset(data: bytes) -> bool:
    """Whether the bytes begin like a DICOM data set without preamble, in either byte order."""
    head = data[:8]
    if len(head) < 8:
        return False
    if head[4:6].isalpha() and head[4:6].isupper():
        return head[:2] in (b"\x02\x00", b"\x08\x00", b"\x00\x08")
    first_group = head[:2] in (b"\x02\x00", b"\x08\x00") and head[3] == 0
    return first_group and int.from_bytes(head[4:], "little") <= len(data) - 8


_SIGNATURES = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"RIFF", "a WebP or other RIFF file"),
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive (unpack it)"),
    (b"\x1f\x8b", "a gzip archive (unpack it)"),
    (b"\xff\x4f\xff\x51", "a bare JPEG 2000 stream"),
    (b"\0\0\0\x0cjP  ", "a bare JPEG 2000 file"),
    (b"<?xml", "an XML document"),
    (b"<!doctype html", "an HTML page (a sign-in page instead of the download?)"),
    (b"<html", "an HTML page (a sign-in page instead of the download?)"),
)


def _kind(data: bytes) -> str:
    """What the bytes are, in words, without quoting them."""
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for signature, kind in _SIGNATURES:
        if data.startswith(signature) or head.startswith(signature):
            return kind
    return "a file of an unknown kind"


def _jpeg(data: bytes, limits: ReadLimits) -> tuple[np.ndarray, Turn]:
    header = jpeg_header(data)
    limits.check(header.width, header.height)
    _, _, exif = data[: data.find(b"\xff\xda")].partition(b"Exif\0\0")
    return decode_jpeg(data, header), _turn(exif)


def _turn(exif: bytes) -> Turn:
    """What brings an image upright by its EXIF block; nothing where it says none that is read."""
    if not exif:
        return Turn()
    from PIL import Image

    block = Image.Exif()
    try:
        block.load(exif)
        value = block.get(0x0112)
    except (ValueError, TypeError, LookupError, SyntaxError, OSError, struct.error):
        return Turn()
    return turn_by_exif(value) if isinstance(value, int) and 1 <= value <= 8 else Turn()


def _png(data: bytes, limits: ReadLimits) -> tuple[np.ndarray, Turn]:
    header = png_header(data)
    limits.check(header.width, header.height)
    transparent = header.components in (2, 4) or b"tRNS" in data[: data.find(b"IDAT")]
    # OpenCV would turn the image by its EXIF orientation, but not one that it reads unchanged.
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        stored = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED if transparent else flags
        )
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise ImageTooLarge("the image needs more memory than there is") from error
        raise UndecodableImage("the PNG cannot be decoded: it is damaged") from error
    if stored is None:
        raise UndecodableImage("the PNG cannot be decoded: it is damaged, or of a rare kind")
    if stored.dtype not in (np.uint8, np.uint16):
        raise UndecodableImage(f"{stored.dtype} samples: expected 8 or 16 bit integers")
    turn = _turn(header.exif)
    if stored.ndim == 2:
        return stored, turn
    samples = stored[:, :, 2::-1]
    return _on_black(samples, stored[:, :, 3]) if stored.shape[2] == 4 else samples, turn


def _on_black(samples: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """What is transparent lets a black ground through."""
    top = np.iinfo(samples.dtype).max
    if (alpha == top).all():
        return samples
    return np.rint(samples * (alpha[:, :, None] / top)).astype(samples.dtype)


def _radiograph(samples: np.ndarray, turn: Turn) -> Radiograph:
    """Gray, or red, green and blue, over the whole range of their type -> a radiograph."""
    grid = StoredGrid.of(samples, turn)
    samples = turn(samples)
    gray, colored = gray_of_color(samples) if samples.ndim == 3 else (samples, ())
    pixels, spoilt = display(gray, Grayscale(bits=8 * gray.itemsize))
    return Radiograph(pixels, None, (*colored, *spoilt), stored=grid)
