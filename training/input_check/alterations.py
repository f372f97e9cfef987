"""What may happen to a chest radiograph before it comes in: what must pass, and what must not.

Every alteration takes float32 (height, width) in [0, 1] and a generator, and returns the same kind.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["ALTERATIONS", "Alteration", "bend", "cut", "exposure", "shuffled", "toned", "vary"]

Rng = np.random.Generator
Image = np.ndarray
TILT = 15.0
"""Degrees."""
TRIM = 0.10
"""Share of each side that a mild crop takes at most."""


def tilt(pixels: Image, rng: Rng, scale: float = 1.0) -> Image:
    """Turned by up to TILT degrees; black comes in at the corners."""
    height, width = pixels.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-TILT, TILT), scale)
    return cv2.warpAffine(pixels, turn, (width, height), flags=cv2.INTER_LINEAR)


def trim(pixels: Image, rng: Rng) -> Image:
    """Up to TRIM of the image cut off at each side."""
    height, width = pixels.shape
    top, bottom = (int(height * rng.uniform(0, TRIM)) for _ in range(2))
    left, right = (int(width * rng.uniform(0, TRIM)) for _ in range(2))
    return pixels[top : height - bottom, left : width - right]


def exposure(pixels: Image, rng: Rng) -> Image:
    """Another gamma, contrast and brightness, clipped to the range."""
    curve = pixels ** rng.uniform(0.6, 1.7)
    return _clipped((curve - 0.5) * rng.uniform(0.5, 1.3) + 0.5 + rng.uniform(-0.15, 0.15))


def grain(pixels: Image, rng: Rng) -> Image:
    noisy = pixels + rng.normal(0, rng.uniform(0.005, 0.05), pixels.shape)
    return _clipped(cv2.GaussianBlur(noisy, (0, 0), rng.uniform(0.3, 1.2)))


def border(pixels: Image, rng: Rng) -> Image:
    """Black or nearly black beside it, or a white page, up to 0.3 of the image at each side."""
    height, width = pixels.shape
    top, bottom = (int(height * rng.uniform(0, 0.3)) for _ in range(2))
    left, right = (int(width * rng.uniform(0, 0.3)) for _ in range(2))
    level = float(rng.uniform(0, 0.06) if rng.random() < 0.8 else rng.uniform(0.9, 1))
    return cv2.copyMakeBorder(
        pixels, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(level, level, level, level)
    )


def pad(pixels: Image, rng: Rng) -> Image:
    """Centerd on a black image of 16:9 or 9:16, as a slide or a telephone makes it."""
    height, width = pixels.shape
    more = int((max(height, width) * 16 / 9 - min(height, width)) / 2)
    across, down = (more, 0) if rng.random() < 0.5 else (0, more)
    return cv2.copyMakeBorder(pixels, down, down, across, across, cv2.BORDER_CONSTANT, value=0)


def marker(pixels: Image, rng: Rng) -> Image:
    """Letters near an edge, white or on a white label."""
    height, width = pixels.shape
    text = str(rng.choice(["L", "R", "AP PORTABLE", "ERECT", "SUPINE 12:30", "PA"]))
    x = int(width * (rng.uniform(0.01, 0.12) if rng.random() < 0.5 else rng.uniform(0.6, 0.9)))
    y = int(height * (rng.uniform(0.06, 0.2) if rng.random() < 0.7 else rng.uniform(0.8, 0.97)))
    size = max(height, width) / 512 * rng.uniform(0.5, 2)
    thick = max(1, round(2 * size))
    ink = np.zeros((height, width), np.uint8)
    cv2.putText(ink, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, 255, thick, cv2.LINE_AA)
    letters = ink.astype(np.float32) / 255
    if rng.random() < 0.7:
        return np.asarray(np.maximum(pixels, letters))
    label = np.zeros((height, width), np.uint8)
    (w, h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thick)
    cv2.rectangle(label, (x - 3, y + 3), (x + w + 3, y - h - 3), 1, -1)
    return np.where(label > 0, 1 - letters, pixels)


def arrows(pixels: Image, rng: Rng) -> Image:
    """One to three arrows, as publications have them."""
    height, width = pixels.shape
    marked = np.ascontiguousarray(pixels).copy()
    for _ in range(int(rng.integers(1, 4))):
        start = rng.uniform(0.1, 0.9, 2) * (width, height)
        end = start + rng.uniform(-0.2, 0.2, 2) * (width, height)
        places = [(int(x), int(y)) for x, y in (start, end)]
        thick = max(1, round(min(height, width) * rng.uniform(0.005, 0.02)))
        cv2.arrowedLine(
            marked, places[0], places[1], float(rng.random() < 0.7), thick, tipLength=0.4
        )
    return marked


def coarse(pixels: Image, rng: Rng) -> Image:
    """Of few pixels, as a thumbnail from a page."""
    height, width = pixels.shape
    scale = min(1.0, rng.uniform(24, 72) / max(height, width))
    few = max(2, round(width * scale)), max(2, round(height * scale))
    small = cv2.resize(np.ascontiguousarray(pixels), few, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def bend(pixels: Image, rng: Rng) -> Image:
    """Bent smoothly by up to some hundredths of its side, as patients differ in build."""
    height, width = pixels.shape
    moved = []
    for side in (width, height):
        field = rng.normal(0, rng.uniform(0.005, 0.03) * side, (4, 4)).astype(np.float32)
        moved.append(cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC))
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return cv2.remap(
        np.ascontiguousarray(pixels),
        x + moved[0],
        y + moved[1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def toned(pixels: Image, like: Image, rng: Rng) -> Image:
    """Some or all of the way to another image's distribution of values."""
    order = np.argsort(np.argsort(pixels, axis=None)) / (pixels.size - 1)
    values = np.quantile(like, order).reshape(pixels.shape)
    share = rng.uniform(0, 1)
    return _clipped(share * values + (1 - share) * pixels)


def covered(pixels: Image, rng: Rng) -> Image:
    """A rectangle of one gray over up to a quarter of the image."""
    hidden = np.ascontiguousarray(pixels).copy()
    height, width = hidden.shape
    h, w = int(height * rng.uniform(0.05, 0.5)), int(width * rng.uniform(0.05, 0.5))
    y, x = int(rng.integers(0, height - h)), int(rng.integers(0, width - w))
    hidden[y : y + h, x : x + w] = rng.uniform(0, 1)
    return hidden


def stretch(pixels: Image, rng: Rng) -> Image:
    """Wider or narrower by up to a sixth: chests differ in build."""
    height, width = pixels.shape
    wide = max(1, round(width * rng.uniform(0.85, 1.17)))
    return cv2.resize(np.ascontiguousarray(pixels), (wide, height), interpolation=cv2.INTER_LINEAR)


def invert(pixels: Image, rng: Rng) -> Image:
    return 1 - pixels


def _half(part: str) -> Callable[[Image, Rng], Image]:
    def halve(pixels: Image, rng: Rng) -> Image:
        height, width = pixels.shape
        return {
            "left": pixels[:, : width // 2],
            "right": pixels[:, width // 2 :],
            "upper": pixels[: height // 2],
            "lower": pixels[height // 2 :],
        }[part]

    return halve


def part(pixels: Image, rng: Rng) -> Image:
    """A window of 0.3 to 0.5 of each side, anywhere."""
    height, width = pixels.shape
    share = rng.uniform(0.3, 0.5)
    h, w = int(height * share), int(width * share)
    y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    return pixels[y : y + h, x : x + w]


def cut(pixels: Image, rng: Rng) -> Image:
    """Half of the image, more or less, or a window of it."""
    if rng.random() < 0.4:
        return part(pixels, rng)
    share = rng.uniform(0.38, 0.58)
    height, width = pixels.shape
    h, w = int(height * share), int(width * share)
    halves = (pixels[:, :w], pixels[:, width - w :], pixels[:h], pixels[height - h :])
    return halves[int(rng.integers(4))]


def shuffled(pixels: Image, rng: Rng) -> Image:
    """Tiles of a chest in another order: its values without its anatomy."""
    tiles = int(rng.integers(2, 6))
    side = min(pixels.shape) // tiles
    order = rng.permutation(tiles * tiles)
    if (order == np.arange(len(order))).all():
        order = order[::-1]
    rows = [
        np.hstack([_tile(pixels, int(k), tiles, side) for k in order[r * tiles : (r + 1) * tiles]])
        for r in range(tiles)
    ]
    return np.vstack(rows)


def _tile(pixels: Image, k: int, tiles: int, side: int) -> Image:
    y, x = k // tiles * side, k % tiles * side
    return pixels[y : y + side, x : x + side]


def _turned(quarters: int) -> Callable[[Image, Rng], Image]:
    def turn(pixels: Image, rng: Rng) -> Image:
        return np.rot90(pixels, -quarters)

    return turn


def mirror(pixels: Image, rng: Rng) -> Image:
    return pixels[:, ::-1]


def _same(pixels: Image, rng: Rng) -> Image:
    return pixels


def _clipped(pixels: Image) -> Image:
    return np.asarray(np.clip(pixels, 0, 1), np.float32)


def vary(pixels: Image, rng: Rng) -> Image:
    """What must not alarm, several at once; also of images of anything else, for fitting.

    Left stays left.
    """
    for change, chance in (
        (lambda p, r: tilt(p, r, r.uniform(0.85, 1.08)), 0.6),
        (trim, 0.5),
        (stretch, 0.5),
        (exposure, 0.6),
        (grain, 0.4),
        (coarse, 0.15),
        (arrows, 0.1),
        (covered, 0.15),
        (marker, 0.3),
        (border, 0.25),
        (pad, 0.05),
        (marker, 0.1),
    ):
        if rng.random() < chance:
            pixels = change(pixels, rng)
    return pixels


@dataclass(frozen=True)
class Alteration:
    """One change of an upright chest, and the code that must follow; None where none may."""

    name: str
    expected: str | None
    apply: Callable[[Image, Rng], Image]


ALTERATIONS = (
    Alteration("as it is", None, _same),
    Alteration("tilted to 15 degrees", None, tilt),
    Alteration("trimmed to 10 % a side", None, trim),
    Alteration("other exposure", None, exposure),
    Alteration("noise and blur", None, grain),
    Alteration("black borders", None, border),
    Alteration("padded to 16:9", None, pad),
    Alteration("marker", None, marker),
    Alteration("gray rectangle on it", None, covered),
    Alteration("arrows", None, arrows),
    Alteration("of few pixels", None, coarse),
    Alteration("mirrored", "mirrored", mirror),
    Alteration("inverted", "inverted", invert),
    Alteration("turned 90", "rotated", _turned(1)),
    Alteration("turned 180", "rotated", _turned(2)),
    Alteration("turned 270", "rotated", _turned(3)),
    Alteration("left half", "cropped", _half("left")),
    Alteration("right half", "cropped", _half("right")),
    Alteration("upper half", "cropped", _half("upper")),
    Alteration("lower half", "cropped", _half("lower")),
    Alteration("window of 0.3 to 0.5", "cropped", part),
    Alteration("tiles shuffled", "not_chest", shuffled),
)
