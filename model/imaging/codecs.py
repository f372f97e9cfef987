"""The one frame of a DICOM object -> its stored values, whatever the transfer syntax.

One decoder a syntax, chosen here and not by what else is installed, so that every machine gives
the same pixels. All of them are permissively licensed. The JPEG family other than JPEG-LS goes
through imagecodecs, which pydicom does not know of, so this module is also a pydicom decoding
plugin: `is_available`, `DECODER_DEPENDENCIES` and `decode_jpeg` are what `add_plugin` asks for.
"""

import threading
from typing import Any

import numpy as np
from pydicom import Dataset, uid
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder
from pydicom.pixels.decoders.base import Decoder, DecodeRunner

from model.errors import UndecodableImage
from model.imaging.codestream import FrameHeader, j2k_header, jpeg_header
from model.imaging.radiograph import ReadLimits

__all__ = ["DECODER_DEPENDENCIES", "decode_jpeg", "is_available", "load_decoders", "stored_codes"]

_NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
)
_PLUGINS = {
    uid.JPEGBaseline8Bit: "crossray",
    uid.JPEGExtended12Bit: "crossray",
    uid.JPEGLossless: "crossray",
    uid.JPEGLosslessSV1: "crossray",
    uid.JPEGLSLossless: "pyjpegls",
    uid.JPEGLSNearLossless: "pyjpegls",
    uid.JPEG2000Lossless: "pylibjpeg",
    uid.JPEG2000: "pylibjpeg",
    uid.HTJ2KLossless: "pylibjpeg",
    uid.HTJ2KLosslessRPCL: "pylibjpeg",
    uid.HTJ2K: "pylibjpeg",
    uid.RLELossless: "pylibjpeg",
}
_LOSSY = {
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,
    uid.JPEGLSNearLossless,
    uid.JPEG2000,
    uid.HTJ2K,
}
DECODER_DEPENDENCIES = {
    syntax: ("imagecodecs",) for syntax, plugin in _PLUGINS.items() if plugin == "crossray"
}
_registering = threading.Lock()


def is_available(uid: str) -> bool:
    """Whether this plugin decodes a transfer syntax."""
    return uid in DECODER_DEPENDENCIES


def decode_jpeg(frame: bytes, runner: DecodeRunner) -> bytes:
    """Baseline, 12-bit extended or lossless JPEG -> samples of 1 or 2 bytes, little endian."""
    # The submodule: imagecodecs' own names are loaded lazily, which costs at the first decode.
    from imagecodecs._jpeg8 import jpeg8_decode

    samples = jpeg8_decode(frame)
    runner.set_option("bits_allocated", 8 * samples.itemsize)
    return samples.astype(samples.dtype.newbyteorder("<")).tobytes()


def stored_codes(ds: Dataset, syntax: uid.UID, limits: ReadLimits) -> np.ndarray:
    """The stored values of a single-frame, single-sample image.

    Returns:
        uint8 or uint16 (rows, columns): the BitsStored bits of every pixel, what lies above or
        below them cleared; a signed image's values are in two's complement.

    Raises:
        UndecodableImage: a syntax nobody decodes, depths that cannot be, or a codestream of
            another size than the header's.
        ImageTooLarge: more pixels than the limits allow.
    """
    rows, columns = _positive(ds, "Rows"), _positive(ds, "Columns")
    limits.check(columns, rows)
    shift = _shift(ds)
    if syntax in _NATIVE:
        plugin = ""
    elif syntax in _PLUGINS:
        plugin = _PLUGINS[syntax]
        _check_codestream(ds, syntax, limits)
    else:
        name = f"{syntax.name} ({syntax})" if syntax.is_valid else "damaged"
        raise UndecodableImage(f"the transfer syntax is {name}: convert it, e.g. to JPEG 2000")
    # pydicom's own correction of unused bits would wrap 1025 of a lossy 10-bit image to 1.
    options: dict[str, Any] = {"correct_unused_bits": False, "apply_j2k_sign_correction": False}
    options |= {"apply_jls_sign_correction": False, "view_only": True}
    stored, _ = _decoder(syntax).as_array(ds, index=0, raw=True, decoding_plugin=plugin, **options)
    bits = int(ds.BitsStored)
    if syntax in _LOSSY and not ds.PixelRepresentation:
        return np.minimum(stored, (1 << bits) - 1)
    codes = stored.view(f"{stored.dtype.byteorder}u{stored.itemsize}")
    if syntax in _NATIVE and shift:
        codes = codes >> shift
    codes = codes & np.asarray((1 << bits) - 1, codes.dtype)
    return codes.astype(codes.dtype.newbyteorder("="), copy=False)


def load_decoders() -> None:
    """Import every decoder now: for a process that forks one child a file."""
    import imagecodecs._jpeg8  # noqa: F401

    for syntax in _PLUGINS:
        _decoder(syntax)


def _decoder(syntax: uid.UID) -> Decoder:
    decoder = get_decoder(syntax)
    if _PLUGINS.get(syntax) == "crossray":
        with _registering:
            if "crossray" not in decoder.available_plugins:
                decoder.add_plugin("crossray", ("model.imaging.codecs", "decode_jpeg"))
    return decoder


def _shift(ds: Dataset) -> int:
    """How many bits lie below the stored ones; checks the depths on the way."""
    allocated, stored = _positive(ds, "BitsAllocated"), _positive(ds, "BitsStored")
    if allocated not in (8, 16) or not 2 <= stored <= allocated:
        raise UndecodableImage(
            f"{stored} bits stored in {allocated}: a radiograph has 8 or 16 bits allocated"
        )
    if ds.get("PixelRepresentation") not in (0, 1):
        raise UndecodableImage("(0028,0103) Pixel Representation is neither 0 nor 1")
    high = ds.get("HighBit")
    high = stored - 1 if high is None else int(high)
    if not stored - 1 <= high < allocated:
        raise UndecodableImage(f"high bit {high} contradicts {stored} bits stored in {allocated}")
    return high + 1 - stored


def _positive(ds: Dataset, keyword: str) -> int:
    value = ds.get(keyword)
    if not isinstance(value, int) or value < 1:
        raise UndecodableImage(f"{keyword} is missing or damaged: the file may be cut short")
    return value


def _check_codestream(ds: Dataset, syntax: uid.UID, limits: ReadLimits) -> None:
    if syntax == uid.RLELossless:
        return  # RLE has no header: it is decoded into the size that the data set states.
    frame = get_frame(ds.PixelData, 0, number_of_frames=1)
    header = _header(frame, syntax)
    limits.check(header.width, header.height)
    if (header.width, header.height) != (ds.Columns, ds.Rows) or header.components != 1:
        raise UndecodableImage(
            f"the codestream holds {header.width} x {header.height} pixels of "
            f"{header.components} components, the header says {ds.Columns} x {ds.Rows} of 1"
        )
    if header.precision > ds.BitsAllocated:
        raise UndecodableImage(
            f"the codestream holds {header.precision} bits, the header allocates {ds.BitsAllocated}"
        )


def _header(frame: bytes, syntax: uid.UID) -> FrameHeader:
    if _PLUGINS[syntax] == "pylibjpeg":
        return j2k_header(frame)
    if not frame.startswith(b"\xff\xd8"):
        raise UndecodableImage("the pixel data are not the JPEG stream that the header announces")
    return jpeg_header(frame)
