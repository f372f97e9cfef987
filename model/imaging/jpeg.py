"""JPEG of every kind -> its samples; a damaged entropy stream is an error wherever it is noticed.

libjpeg decodes what is left of a damaged stream and merely warns. simplejpeg hands its warnings on,
for 8 bits a sample: baseline, progressive, arithmetic and lossless. Deeper streams (12-bit
extended, lossless of up to 16 bits) go through imagecodecs, which keeps them to itself, so what a
cut leaves behind is looked for here: docs/reference/reading.md says what that cannot find.
"""

import numpy as np

from model.errors import NotARadiograph, UndecodableImage
from model.imaging.codestream import FrameHeader, jpeg_header

__all__ = ["decode_jpeg", "load_jpeg_decoders"]

_DAMAGE = ("corrupt jpeg data", "premature end")
"""How libjpeg's warnings begin that mean damage; its others are about harmless oddities."""
_END = b"\xff\xd9"
_TAIL = 8
"""Samples at the end of a cut lossless image, all as far from what is predicted."""
_ADOBE_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
"""Says that three components are red, green and blue and not YCbCr."""


def load_jpeg_decoders() -> None:
    """Import them now: for a process that forks one child a file."""
    import imagecodecs._jpeg8  # noqa: F401
    import simplejpeg  # noqa: F401


def decode_jpeg(data: bytes, header: FrameHeader | None = None, rgb: bool = False) -> np.ndarray:
    """Decode a JPEG stream (not JPEG-LS, not JPEG 2000).

    Args:
        data: from its first marker on; what follows its end marker is ignored.
        header: what `jpeg_header` says of it, where the caller has asked already.
        rgb: three components are red, green and blue where no marker of the stream says what they
            are.

    Returns:
        uint8 or uint16 (height, width), or (height, width, 3) red, green, blue.

    Raises:
        UndecodableImage: damaged, cut short, or of a kind that nobody decodes.
        NotARadiograph: another number of components than one or three.
    """
    header = jpeg_header(data) if header is None else header
    if header.components not in (1, 3):
        raise NotARadiograph(f"a JPEG of {header.components} components: a radiograph is gray")
    if header.precision > 8:
        return _deep(data, header)
    if rgb and not _says_color(data):
        data = data[:2] + _ADOBE_RGB + data[2:]
    import simplejpeg

    space = "GRAY" if header.components == 1 else "RGB"
    try:
        samples = simplejpeg.decode_jpeg(data, space, strict=True)
    except ValueError as error:
        if str(error).lower().startswith(_DAMAGE):
            raise UndecodableImage("the JPEG stream is damaged or cut short") from error
        samples = _lenient(data, space)
    return np.asarray(samples[:, :, 0] if header.components == 1 else samples)


def _lenient(data: bytes, space: str) -> np.ndarray:
    """What libjpeg warned of is no damage, unless it cannot go on at all."""
    import simplejpeg

    try:
        return np.asarray(simplejpeg.decode_jpeg(data, space, strict=False))
    except ValueError as error:
        raise UndecodableImage("the JPEG stream is damaged, or of a rare kind") from error


def _says_color(data: bytes) -> bool:
    """Whether a JFIF or Adobe marker stands before the first scan."""
    head = data[: data.find(b"\xff\xda")]
    return b"JFIF\0" in head or b"Adobe" in head


def _deep(data: bytes, header: FrameHeader) -> np.ndarray:
    samples = _decoded(data)
    if header.lossless and int(samples.max()) >> header.precision:
        # Differences are added up without bounds, so a stream that has lost its place leaves them.
        raise UndecodableImage("the lossless JPEG stream is damaged: its samples are out of range")
    if samples.ndim == 2 and _may_be_cut(samples, data, header):
        # A whole stream is not read beyond its last sample; a cut one reads what is appended.
        end = data.rfind(_END)
        if not np.array_equal(samples, _decoded(data[:end] + b"\x5a\xa5\x3c" * 40 + _END)):
            raise UndecodableImage("the JPEG stream is cut short")
    return samples


def _decoded(data: bytes) -> np.ndarray:
    # The submodule: imagecodecs' own names are loaded lazily, which costs at the first decode.
    from imagecodecs._jpeg8 import jpeg8_decode

    try:
        return np.asarray(jpeg8_decode(data))
    except (RuntimeError, ValueError) as error:
        raise UndecodableImage("the JPEG stream is damaged, or of a rare kind") from error


def _may_be_cut(samples: np.ndarray, data: bytes, header: FrameHeader) -> bool:
    """Whether the image ends as one does whose stream ran out.

    libjpeg goes on with bits of 0 to the end of the row, then with coefficients of 0, or with
    differences of 0 from the middle of the range.
    """
    height, width = samples.shape
    if not header.lossless:
        last = samples[(height - 1) // 8 * 8 :, (width - 1) // 8 * 8 :]
        return bool((last == last.flat[0]).all())
    scan = data.find(b"\xff\xda")
    predictor, point = data[scan + 7], data[scan + 9] & 15
    rows = samples[-2:, -_TAIL - 1 :].astype(np.int64) >> point
    left, here = rows[-1, :-1], rows[-1, 1:]
    above, corner = (rows[0, 1:], rows[0, :-1]) if height > 1 else (left, left)
    predictions = (
        left,
        above,
        corner,
        left + above - corner,
        left + ((above - corner) >> 1),
        above + ((left - corner) >> 1),
        (left + above) >> 1,
    )
    if not 1 <= predictor <= len(predictions):
        return False
    differences = (here - predictions[predictor - 1]) & 0xFFFF
    return bool((here == left).all() or (differences == differences[:1]).all())
