"""One image's stored values as a stream of bytes that a browser unpacks: small first, then whole.

The format, all integers little endian (docs/reference/rest-api.md describes it to clients):

    uint32 n, n bytes    JSON: model/imaging/stored.py's PixelDescription, and `levels`
    uint32 n, n bytes    one band of rows of the first level, deflated (zlib)
    ...                  its other bands from top to bottom, then the next level's

Before deflating, each sample but the first of its row is replaced by its difference to the one on
its left, modulo the range of its type, and the low bytes of all are put before the high ones.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import asdict

import cv2
import numpy as np

from model.imaging.stored import StoredImage

__all__ = ["MEDIA_TYPE", "pixel_stream"]

MEDIA_TYPE = "application/vnd.crossray.pixels"
FIRST_SIDE = 512
"""Longest side of the first level of a larger image: so few samples are on the screen at once."""
BAND_SAMPLES = 1 << 20
"""About so many samples at a time: what is shown grows while the rest is on its way."""


def pixel_stream(image: StoredImage) -> Iterator[bytes]:
    """An image's description and samples, in pieces as they are to be sent."""
    levels = [image.samples]
    if max(image.samples.shape) > FIRST_SIDE:
        levels.insert(0, _smaller(image.samples))
    described = {
        **asdict(image.description),
        "levels": [
            {
                "rows": level.shape[0],
                "columns": level.shape[1],
                "bytes": level.itemsize,
                "band": _band(level),
            }
            for level in levels
        ],
    }
    yield _sized(json.dumps(described).encode())
    for level in levels:
        step = _band(level)
        for top in range(0, level.shape[0], step):
            yield _sized(_packed(level[top : top + step]))


def _smaller(samples: np.ndarray) -> np.ndarray:
    scale = FIRST_SIDE / max(samples.shape)
    height, width = (max(1, round(side * scale)) for side in samples.shape)
    return cv2.resize(samples, (width, height), interpolation=cv2.INTER_AREA)


def _band(level: np.ndarray) -> int:
    """Rows sent at a time."""
    result: int = max(1, BAND_SAMPLES // level.shape[1])
    return result


def _packed(band: np.ndarray) -> bytes:
    differences = band.copy()
    differences[:, 1:] -= band[:, :-1]
    planes = differences.astype(f"<u{band.itemsize}").view(np.uint8).reshape(-1, band.itemsize)
    return zlib.compress(np.ascontiguousarray(planes.T).tobytes(), level=1)


def _sized(content: bytes) -> bytes:
    return struct.pack("<I", len(content)) + content
