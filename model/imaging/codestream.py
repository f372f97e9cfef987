"""What an encoded image says of itself before it is decoded: size, components, depth, wholeness.

A few header bytes decide how much memory a decoder takes, so they are read here first, in plain
Python, and an image that is too large or is not what its DICOM header says never meets a decoder.
"""

import struct
import zlib
from dataclasses import dataclass, replace

from model.errors import NotARadiograph, UndecodableImage

__all__ = [
    "JPEG",
    "PNG",
    "FrameHeader",
    "j2k_header",
    "j2k_levels",
    "j2k_transforms_colors",
    "jpeg_header",
    "png_header",
]

JPEG = b"\xff\xd8\xff"
PNG = b"\x89PNG\r\n\x1a\n"

_SOI, _EOI, _SOS, _DNL = 0xD8, 0xD9, 0xDA, 0xDC
_START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""SOF0 to SOF15 without DHT, JPG and DAC; 0xF7 is JPEG-LS."""
_LOSSLESS = {0xC3, 0xC7, 0xCB, 0xCF}
_JPEG_LS = 0xF7
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}


@dataclass(frozen=True)
class FrameHeader:
    width: int
    height: int
    components: int
    precision: int
    """Bits a sample."""
    lossless: bool = False
    """Of JPEG: coded as differences of samples."""
    jpeg_ls: bool = False
    signed: bool = False
    """Of JPEG 2000: its samples may be below 0."""
    exif: bytes = b""
    """Of PNG: its EXIF block."""


def jpeg_header(data: bytes) -> FrameHeader:
    """The frame header of a JPEG or JPEG-LS stream that has its end-of-image marker.

    Raises:
        UndecodableImage: no frame header, a frame without height, or cut short.
    """
    frame = None
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise UndecodableImage("the JPEG stream is damaged: a marker is missing in its header")
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker in _WITHOUT_LENGTH:
            position += 2
            continue
        if marker in (_SOI, _EOI):
            break
        (length,) = struct.unpack_from(">H", data, position + 2)
        if marker in _START_OF_FRAME and position + 10 <= len(data):
            precision, height, width, components = struct.unpack_from(">BHHB", data, position + 4)
            frame = FrameHeader(
                width, height, components, precision, marker in _LOSSLESS, marker == _JPEG_LS
            )
        if marker == _SOS and frame is not None:
            # Inside the scan every 0xFF is stuffed, so this marker can only be the end itself.
            if data.find(bytes((0xFF, _EOI)), position) < 0:
                raise UndecodableImage("the JPEG stream is cut short: it has no end marker")
            if not (frame.width and frame.height):
                raise UndecodableImage(f"the JPEG frame is {frame.width} x {frame.height} pixels")
            return frame
        position += 2 + max(length, 2)
    raise UndecodableImage("the JPEG stream is cut short: it ends before its first scan")


def j2k_header(data: bytes) -> FrameHeader:
    """The size marker of a JPEG 2000 or HTJ2K codestream, bare or in JP2 boxes.

    Raises:
        UndecodableImage: no size marker, or an empty or subsampled image.
    """
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0 or start + 45 > len(data):
        raise UndecodableImage("the JPEG 2000 stream has no whole size marker")
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    components, depth, across, down = struct.unpack_from(">H3B", data, start + 40)
    if right <= left or bottom <= top or (across, down) != (1, 1):
        raise UndecodableImage("the JPEG 2000 size marker describes an empty or subsampled image")
    precision, signed = (depth & 0x7F) + 1, depth >> 7 == 1
    return FrameHeader(right - left, bottom - top, components, precision, signed=signed)


def j2k_levels(data: bytes) -> int:
    """How often a JPEG 2000 codestream's resolution can be halved; 0 where that is unknown, or
    where the image begins within the codestream's grid, off the first pixel of every resolution."""
    start, style = data.find(b"\xff\x4f\xff\x51"), data.find(b"\xff\x52")
    if start < 0 or style < start or style + 10 > len(data):
        return 0
    left, top = struct.unpack_from(">2I", data, start + 16)
    return 0 if left or top else data[style + 9]


def j2k_transforms_colors(data: bytes) -> bool:
    """Whether a JPEG 2000 codestream says that its components are to be turned into RGB."""
    style = data.find(b"\xff\x52")
    return style >= 0 and style + 9 <= len(data) and data[style + 8] == 1


_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def png_header(data: bytes) -> FrameHeader:
    """The header of a PNG whose chunks are all there and pass their checksums.

    Raises:
        UndecodableImage: cut short, a checksum that does not match, or no header.
        NotARadiograph: an animation.
    """
    position = len(PNG)
    frame, exif = None, b""
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 12 + length
        if end > len(data):
            break
        kind = data[position + 4 : position + 8]
        body = memoryview(data)[position + 4 : end - 4]
        if zlib.crc32(body) != struct.unpack_from(">I", data, end - 4)[0]:
            raise UndecodableImage("the PNG is damaged: a chunk does not match its checksum")
        if kind == b"IHDR" and length == 13:
            width, height, depth, color = struct.unpack_from(">IIBB", data, position + 8)
            frame = FrameHeader(width, height, _PNG_CHANNELS.get(color, 0), depth)
        if kind == b"acTL":
            raise NotARadiograph("the PNG is an animation: one still image is needed")
        if kind == b"eXIf":
            exif = bytes(body[4:])
        if kind == b"IEND":
            if frame is None or not (frame.width and frame.height and frame.components):
                raise UndecodableImage("the PNG has no header that describes an image")
            return replace(frame, exif=exif)
        position = end
    raise UndecodableImage("the PNG is cut short: it has no end chunk")
