"""Maps drawn over images: the colors, the letters and the sheets, for whoever shows them.

Images are uint8 (height, width, 3), blue, green, red.
"""

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np

from model.color_maps import INFERNO

__all__ = ["LINE_HEIGHT", "blend", "colors", "tiled", "write"]

LINE_HEIGHT = 20
OPACITY = 0.65
"""How much of the image a patch at the top of the scale hides."""
FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_SCALE = 0.45
WHITE = (235, 235, 235)
MARGIN = 8


def blend(shades: np.ndarray, level: np.ndarray) -> np.ndarray:
    """A map over an image; where it is 0 the image is as it was.

    Args:
        shades: uint8 (height, width), the image.
        level: float (height, width), the map on its scale, clipped to [0, 1].
    """
    entries = shades.astype(np.uint16) << 8 | np.rint(level.clip(0, 1) * 255).astype(np.uint16)
    # As numbers of 32 bits: numpy gathers those three times as fast as three bytes each.
    found = _blended()[entries].view(np.uint8).reshape(*shades.shape, 4)
    blended: np.ndarray = cv2.cvtColor(found, cv2.COLOR_BGRA2BGR)
    return blended


@cache
def _blended() -> np.ndarray:
    """Every shade under every step of the scale, uint32 (256 * 256,): blue, green, red, 0."""
    steps, shades = np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.float32)
    opacity = (OPACITY / 255 * steps.astype(np.float32))[:, None]
    color = colors(steps).astype(np.float32) * opacity
    mixed = np.zeros((256, 256, 4), np.uint8)
    mixed[..., :3] = np.rint(shades[:, None, None] * (1 - opacity) + color)
    return mixed.view(np.uint32).flatten()


def colors(levels: np.ndarray) -> np.ndarray:
    """uint8 (height, width) on the scale -> its colors."""
    result: np.ndarray = INFERNO[levels][..., ::-1]
    return result


def write(image: np.ndarray, text: str, x: int, y: int) -> None:
    """A line of ASCII into an image, its base line beginning at (x, y)."""
    cv2.putText(image, text, (x, y), FONT, FONT_SCALE, WHITE, 1, cv2.LINE_AA)


def tiled(tiles: Sequence[np.ndarray], across: int) -> np.ndarray:
    """Images of one height in rows of `across`, with margins."""
    width = max(tile.shape[1] for tile in tiles)
    padded = [np.pad(t, ((0, MARGIN), (0, width - t.shape[1]), (0, 0))) for t in tiles]
    across = min(across, len(padded))
    padded += [np.zeros_like(padded[0])] * (-len(padded) % across)
    rows = [np.hstack(padded[i : i + across]) for i in range(0, len(padded), across)]
    return np.vstack(rows)
