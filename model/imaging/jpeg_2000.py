"""JPEG 2000 and HTJ2K -> samples, whole or at a lower resolution.

A stream holds its image as a pyramid: half the resolution takes a quarter of the time, and nothing
but what is asked for is decoded. The whole comes from OpenJPEG by pylibjpeg, lower resolutions from
the same library by Pillow, which alone can leave levels out.
"""

from io import BytesIO

import cv2
import numpy as np

from model.imaging.codestream import FrameHeader, j2k_levels

__all__ = ["decode_jpeg_2000", "load_jpeg_2000_decoders", "reduced_jpeg_2000"]

_END = b"\xff\xd9"


def load_jpeg_2000_decoders() -> None:
    """Import them now: for a process that forks one child a file."""
    import openjpeg  # noqa: F401
    from PIL import Jpeg2KImagePlugin  # noqa: F401


def decode_jpeg_2000(frame: bytes) -> np.ndarray:
    """Unsigned samples; of a signed stream in two's complement."""
    import openjpeg

    samples = openjpeg.decode(frame)
    return samples.view(f"u{samples.itemsize}")


def reduced_jpeg_2000(frame: bytes, stream: FrameHeader, enough: int) -> np.ndarray | None:
    """The lowest resolution of a gray, unsigned stream whose shorter side has `enough` pixels.

    Returns:
        uint8 or uint16 (rows, columns), evenly spread over the whole image; None where the whole is
        needed: it has no such resolution, or may be damaged.
    """
    # A stream cut short may still hold the low resolutions: that it is damaged would be missed.
    if stream.components != 1 or stream.signed or _END not in frame[-4:]:
        return None
    fitting = [n for n in range(j2k_levels(frame) + 1) if _shorter(stream) >> n >= enough]
    if not fitting or fitting[-1] == 0:
        return None
    from PIL import Jpeg2KImagePlugin

    step = 1 << fitting[-1]
    try:
        image = Jpeg2KImagePlugin.Jpeg2KImageFile(BytesIO(frame))
        image.reduce = fitting[-1]
        # Pillow takes sides divided and rounded, the stream has them rounded up: multiples of
        # the step give both the same.
        image._size = (-(-stream.width // step) * step, -(-stream.height // step) * step)
        found = np.asarray(image)
    except (OSError, SyntaxError, ValueError):
        return None
    if found.ndim != 2 or found.dtype not in (np.uint8, np.uint16):
        return None
    # Pillow fills the whole range of its type.
    samples = found >> found.dtype.type(8 * found.itemsize - stream.precision)
    return _spread(samples, stream, step)


def _shorter(stream: FrameHeader) -> int:
    return min(stream.height, stream.width)


def _spread(samples: np.ndarray, stream: FrameHeader, step: int) -> np.ndarray:
    """Moved by less than a pixel to where pixels of a smaller image lie.

    Those of a lower resolution lie on every `step`-th pixel of the whole, from its first one on
    (ISO/IEC 15444-1, annex F.4), and not in the middle of `step` pixels. Unmoved, an image reduced
    to a quarter had 41 dB of the whole at 224 pixels, and has 55 dB so.
    """
    rows, columns = samples.shape
    down, across = stream.height / rows, stream.width / columns
    matrix = np.array(
        [[across / step, 0, (across - 1) / 2 / step], [0, down / step, (down - 1) / 2 / step]]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(
            samples, matrix, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
    )
