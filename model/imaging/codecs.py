"""The one frame of a DICOM object -> its stored values, whatever the transfer syntax.

One decoder a codec, chosen here and not by what else is installed, so that every machine gives the
same pixels. All of them are permissively licensed. Where the transfer syntax and the pixel data
disagree, the pixel data are followed if they say what they are.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from pydicom import uid
from pydicom.encaps import get_frame

from model.errors import UndecodableImage
from model.imaging.codestream import FrameHeader, j2k_header, j2k_transforms_colors, jpeg_header
from model.imaging.elements import Elements
from model.imaging.jpeg import decode_jpeg, load_jpeg_decoders
from model.imaging.jpeg_2000 import decode_jpeg_2000, load_jpeg_2000_decoders, reduced_jpeg_2000
from model.imaging.pixel_layout import COLORS, PixelLayout
from model.imaging.radiograph import ReadLimits

__all__ = ["GE_PRIVATE", "Stored", "load_decoders", "stored_values"]

GE_PRIVATE = "1.2.840.113619.5.2"
"""Implicit VR little endian with pixel data in the other byte order, as some writers have it."""
_NATIVE, _JPEG, _JPEG_LS, _JPEG_2000, _RLE = (
    "uncompressed",
    "JPEG",
    "JPEG-LS",
    "JPEG 2000",
    "RLE",
)
_CODECS = {
    uid.ImplicitVRLittleEndian: _NATIVE,
    uid.ExplicitVRLittleEndian: _NATIVE,
    uid.DeflatedExplicitVRLittleEndian: _NATIVE,
    uid.ExplicitVRBigEndian: _NATIVE,
    GE_PRIVATE: _NATIVE,
    uid.JPEGBaseline8Bit: _JPEG,
    uid.JPEGExtended12Bit: _JPEG,
    "1.2.840.10008.1.2.4.55": _JPEG,  # progressive, retired
    uid.JPEGLossless: _JPEG,
    uid.JPEGLosslessSV1: _JPEG,
    uid.JPEGLSLossless: _JPEG_LS,
    uid.JPEGLSNearLossless: _JPEG_LS,
    uid.JPEG2000Lossless: _JPEG_2000,
    uid.JPEG2000: _JPEG_2000,
    uid.HTJ2KLossless: _JPEG_2000,
    uid.HTJ2KLosslessRPCL: _JPEG_2000,
    uid.HTJ2K: _JPEG_2000,
    uid.RLELossless: _RLE,
}
_LOSSY = {
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,
    uid.JPEGLSNearLossless,
    uid.JPEG2000,
    uid.HTJ2K,
}
_GRAY = ("MONOCHROME1", "MONOCHROME2")
_NOT_AVERAGED = ("PixelPaddingValue", "ModalityLUTSequence")
_ITEM = b"\xfe\xff\x00\xe0"


@dataclass(frozen=True)
class Stored:
    """An image's values before they are shown."""

    values: np.ndarray
    """uint8 or uint16 (rows, columns), fewer than the header's where ReadLimits.enough says so:
    the `bits` bits of every pixel, what lies above or below
    them cleared; a signed image's are in two's complement. Or (rows, columns, 3): red, green and
    blue over the whole range of their type."""
    bits: int
    signed: bool
    photometric: str


def stored_values(
    header: Elements, layout: PixelLayout, syntax: uid.UID, limits: ReadLimits
) -> Stored:
    """Decode the pixel data.

    Raises:
        UndecodableImage: a syntax nobody decodes, data that are damaged or cut short, or a
            codestream of another size than the header's.
        ImageTooLarge: more pixels than the limits allow.
    """
    limits.check(layout.columns, layout.rows)
    data = header.raw("PixelData")
    declared = _CODECS.get(syntax)
    frame = _frame(data)
    codec = _NATIVE if frame is None else _codec_of(frame)
    if codec is None:
        if declared is not None:
            raise UndecodableImage(
                f"the pixel data are not the {declared} stream that the header announces"
            )
    elif declared is None and codec != _NATIVE:
        header.note(f"The transfer syntax is none of DICOM's: read as {codec}.", "encoding")
    elif declared is not None and codec != declared:
        _check_length_of(data, layout, codec, declared)
        header.note(
            f"The transfer syntax says {declared}, but the pixel data are {codec}: read as such.",
            "encoding",
        )
    elif declared is None:
        codec = None
    if codec is None:
        raise UndecodableImage(f"the transfer syntax is {_name(syntax)}: convert it, e.g. to JPEG")
    if codec == _NATIVE:
        stored = _native(header, layout, data, syntax)
    else:
        stored = _encoded(header, layout, bytes(frame or b""), codec, syntax, limits)
    return _in_rgb(stored) if stored.values.ndim == 3 else stored


def load_decoders() -> None:
    """Import every decoder now: for a process that forks one child a file."""
    import jpeg_ls  # noqa: F401
    import rle  # noqa: F401

    load_jpeg_decoders()
    load_jpeg_2000_decoders()


def _name(syntax: uid.UID) -> str:
    """A UID that is none of the standard's may be anything, so it is not quoted."""
    return f"{syntax.name} ({syntax})" if syntax.name != syntax else "of an unknown UID"


def _frame(data: bytes) -> bytes | None:
    """The one codestream of encapsulated pixel data, or a bare one; None for plain samples."""
    if data.startswith(_ITEM):
        return get_frame(data, 0, number_of_frames=1)
    return data if data.startswith((b"\xff\xd8\xff", b"\xff\x4f\xff\x51")) else None


def _codec_of(frame: bytes) -> str | None:
    """What a codestream is by its own first bytes."""
    if frame.startswith(b"\xff\xd8"):
        return _JPEG_LS if jpeg_header(frame).jpeg_ls else _JPEG
    if frame.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")):
        return _JPEG_2000
    segments = np.frombuffer(frame[:64], "<u4") if len(frame) >= 64 else np.zeros(1, np.uint32)
    return _RLE if 1 <= segments[0] <= 15 and segments[1] == 64 else None


def _check_length_of(data: bytes, layout: PixelLayout, codec: str, declared: str) -> None:
    """Plain samples under another codec's syntax are believed only if there are just enough."""
    if codec == _NATIVE and not 0 <= len(data) - layout.size <= 1:
        raise UndecodableImage(
            f"the transfer syntax says {declared}, but the {len(data)} bytes of pixel data are "
            f"neither that nor the {layout.size} of an uncompressed image"
        )


def _native(header: Elements, layout: PixelLayout, data: bytes, syntax: uid.UID) -> Stored:
    if len(data) < layout.size:
        raise UndecodableImage(
            f"the DICOM file is damaged or cut short: its pixel data hold {len(data)} bytes, and "
            f"{layout.size} are needed"
        )
    rows, columns, samples = layout.rows, layout.columns, layout.samples
    wide = layout.allocated == 16
    big = syntax == uid.ExplicitVRBigEndian
    if big and not wide and header.vr("PixelData") == "OW":
        data = np.frombuffer(data[: len(data) // 2 * 2], "<u2").byteswap().tobytes()
    kind = (">u2" if big else "<u2") if wide else "u1"
    flat = np.frombuffer(data, kind, layout.size // (1 + wide))
    if syntax == GE_PRIVATE and wide:
        flat = _smoother(flat.reshape(rows, -1), header).reshape(-1)
    if layout.photometric == "YBR_FULL_422":
        luma = flat.reshape(rows, columns // 2, 4)
        pairs = np.repeat(luma[:, :, 2:], 2, axis=1)
        values = np.concatenate([luma[:, :, :2].reshape(rows, columns, 1), pairs], axis=2)
    elif samples == 1:
        values = flat.reshape(rows, columns)
    elif layout.planar:
        values = np.moveaxis(flat.reshape(samples, rows, columns), 0, 2)
    else:
        values = flat.reshape(rows, columns, samples)
    if samples == 1:
        values = _masked(values >> layout.shift if layout.shift else values, layout.stored)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    return Stored(values, layout.stored, layout.signed, layout.photometric)


def _smoother(values: np.ndarray, header: Elements) -> np.ndarray:
    """The byte order in which neighboring pixels differ less."""
    swapped = values.byteswap()
    both = [np.abs(np.diff(v[::8].astype(np.int32), axis=1)).mean() for v in (values, swapped)]
    big = both[1] < both[0]
    header.note(
        f"GE's private transfer syntax: pixels were read in {'big' if big else 'little'} endian "
        "order, in which they are smooth.",
        "encoding",
    )
    return swapped if big else values


def _masked(values: np.ndarray, bits: int) -> np.ndarray:
    result: np.ndarray = values & np.asarray((1 << bits) - 1, values.dtype)
    return result


def _encoded(
    header: Elements,
    layout: PixelLayout,
    frame: bytes,
    codec: str,
    syntax: uid.UID,
    limits: ReadLimits,
) -> Stored:
    if codec == _RLE:  # It has no header: it is decoded into the size that the data set states.
        values = _rle(frame, layout)
        return Stored(values, layout.stored, layout.signed, layout.photometric)
    stream = j2k_header(frame) if codec == _JPEG_2000 else jpeg_header(frame)
    limits.check(stream.width, stream.height)
    layout = _agreed(header, layout, stream, codec)
    photometric = layout.photometric
    if codec == _JPEG:
        values = decode_jpeg(frame, stream, rgb=photometric == "RGB")
    elif codec == _JPEG_LS:
        values = _jpeg_ls(frame, stream)
    else:
        values = _jpeg_2000(header, layout, frame, stream, limits.enough)
    if layout.samples == 3:
        if codec == _JPEG or (codec == _JPEG_2000 and j2k_transforms_colors(frame)):
            photometric = "RGB"
        return Stored(values, 8 * values.itemsize, False, photometric)
    bits = layout.stored
    if syntax in _LOSSY and not layout.signed:
        # Masking would wrap 1025 of a lossy 10-bit image to 1.
        values = np.minimum(values, np.asarray((1 << bits) - 1, values.dtype))
    return Stored(_masked(values, bits), bits, layout.signed, photometric)


def _agreed(header: Elements, layout: PixelLayout, stream: FrameHeader, codec: str) -> PixelLayout:
    """The layout with the codestream's components and precision, where the header's are others.

    Whether the values are signed is the header's to say: most encoders know no sign.
    """
    if (stream.width, stream.height) != (layout.columns, layout.rows) or (
        stream.components not in (1, 3)
    ):
        raise UndecodableImage(
            f"the codestream holds {stream.width} x {stream.height} pixels of "
            f"{stream.components} components, the header says {layout.columns} x {layout.rows} "
            f"of {layout.samples}"
        )
    if not 2 <= stream.precision <= 16:
        raise UndecodableImage(f"the codestream holds {stream.precision} bits: 2 to 16 are read")
    if stream.components != layout.samples:
        header.note(
            f"SamplesPerPixel is {layout.samples}, the {codec} stream holds {stream.components} "
            "components: the stream was followed.",
            "encoding",
        )
        gray = stream.components == 1
        photometric = "MONOCHROME2" if gray else "RGB"
        layout = replace(layout, samples=stream.components, photometric=photometric)
    followed = stream.precision > layout.allocated or (
        layout.signed and stream.precision < layout.stored
    )
    if followed and layout.samples == 1:
        header.note(
            f"BitsStored is {layout.stored}, the {codec} stream holds {stream.precision} bits: the "
            "stream was followed.",
            "encoding",
        )
        layout = replace(layout, stored=stream.precision)
    return layout


def _jpeg_ls(frame: bytes, stream: FrameHeader) -> np.ndarray:
    import jpeg_ls

    data, info = jpeg_ls.decode_pixel_data(frame)
    flat = np.frombuffer(data, "<u2" if stream.precision > 8 else "u1")
    return _arranged(flat, stream.height, stream.width, stream.components, info["interleave_mode"])


def _arranged(
    flat: np.ndarray, rows: int, columns: int, samples: int, interleaved: int
) -> np.ndarray:
    if samples == 1:
        return flat.reshape(rows, columns)
    if interleaved:
        return flat.reshape(rows, columns, samples)
    return np.moveaxis(flat.reshape(samples, rows, columns), 0, 2)


def _jpeg_2000(
    header: Elements, layout: PixelLayout, frame: bytes, stream: FrameHeader, enough: int | None
) -> np.ndarray:
    """At a lower resolution only what may be averaged: no two's complement under a header that
    alone knows of it, no colors of a palette, no padding beside the image."""
    averaged = layout.samples == 1 and not layout.signed and layout.photometric in _GRAY
    if enough and averaged and not any(name in header for name in _NOT_AVERAGED):
        reduced = reduced_jpeg_2000(frame, stream, enough)
        if reduced is not None:
            # Beside an edge a low resolution may overshoot, by more than the header's bits hold.
            return np.asarray(np.minimum(reduced, reduced.dtype.type((1 << layout.stored) - 1)))
    return decode_jpeg_2000(frame)


def _rle(frame: bytes, layout: PixelLayout) -> np.ndarray:
    from rle.utils import decode_frame

    rows, columns = layout.rows, layout.columns
    planes = decode_frame(frame, rows * columns, layout.allocated, "<")
    flat = np.frombuffer(planes, "<u2" if layout.allocated == 16 else "u1")
    values = _arranged(flat, rows, columns, layout.samples, 0)
    if layout.samples > 1:
        return values
    return _masked(values >> layout.shift if layout.shift else values, layout.stored)


def _in_rgb(stored: Stored) -> Stored:
    """Red, green and blue over the whole range of their type."""
    values = np.ascontiguousarray(stored.values)
    if values.dtype == np.uint16 and stored.bits < 16:
        values = values << np.uint16(16 - stored.bits)
    if stored.photometric in COLORS and stored.photometric != "RGB":
        # OpenCV takes Cr before Cb.
        values = cv2.cvtColor(np.ascontiguousarray(values[:, :, [0, 2, 1]]), cv2.COLOR_YCrCb2RGB)
    return replace(stored, values=values, bits=8 * values.itemsize, photometric="RGB")
