"""An image with masks of its anatomy -> the same in another pose and of another appearance.

Appearance varies far more than it does in reality (domain randomization, Tobin et al. 2017), so
that of what phantoms and radiographs share only the anatomy is left. Images are float32 in [0, 1],
masks float32 (parts, SIZE, SIZE) in [0, 1].
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from model.anatomy import MIRRORED
from model.anatomy_parts import PARTS, SIZE

__all__ = ["Image", "moved", "recolored"]

Image = NDArray[Any]
"""float32 (height, width), or (parts, height, width) for masks."""
Rng = np.random.Generator


def moved(
    pixels: Image, masks: Image, rng: Rng, size: int = SIZE, mildly: bool = False
) -> tuple[Image, Image]:
    """Scaled, turned, sheared, bent and perhaps mirrored, on a square of `size` pixels.

    Args:
        pixels: float32 (height, width).
        masks: float32 (parts, height, width).
        mildly: less of each, for images that vary by themselves.
    """
    if rng.random() < 0.5:
        pixels, masks = pixels[:, ::-1], masks[MIRRORED, :, ::-1]
    x, y = _sampling(pixels.shape, size, rng, 0.6 if mildly else 1.0)
    inside = (np.abs(x * 2 / pixels.shape[1] - 1) < 1) & (np.abs(y * 2 / pixels.shape[0] - 1) < 1)
    edge = cv2.BORDER_REPLICATE if rng.random() < 0.3 else cv2.BORDER_CONSTANT
    image = cv2.remap(np.ascontiguousarray(pixels), x, y, cv2.INTER_LINEAR, borderMode=edge)
    stack = np.ascontiguousarray(np.moveaxis(masks, 0, 2))
    bent = cv2.remap(stack, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    if edge == cv2.BORDER_CONSTANT:
        image[~inside] = 0
    return image, np.ascontiguousarray(np.moveaxis(bent, 2, 0))


def _sampling(shape: tuple[int, ...], size: int, rng: Rng, strength: float) -> tuple[Image, Image]:
    """Where in the image each pixel of the square comes from: x and y, float32 (size, size)."""
    height, width = shape
    longest = max(height, width)
    grid = (np.mgrid[0:size, 0:size].astype(np.float32) + 0.5) / size - 0.5
    bend = rng.normal(0, 0.022 * strength, (2, 5, 5)).astype(np.float32)
    grid += np.stack([cv2.resize(b, (size, size), interpolation=cv2.INTER_CUBIC) for b in bend])
    angle = rng.normal(0, np.radians(7) * strength)
    zoom = np.exp(rng.uniform(-0.42, 0.42) * strength)
    aspect, shear = np.exp(rng.normal(0, 0.09) * strength), rng.normal(0, 0.06) * strength
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, shear], [0, 1]])
    matrix = (matrix * [zoom * aspect, zoom / aspect]).astype(np.float32)
    middle = rng.normal(0, 0.05, 2) * strength
    x = matrix[0, 0] * grid[1] + matrix[0, 1] * grid[0] + np.float32(middle[0])
    y = matrix[1, 0] * grid[1] + matrix[1, 1] * grid[0] + np.float32(middle[1])
    return x * longest + width / 2 - 0.5, y * longest + height / 2 - 0.5


def recolored(image: Image, masks: Image, rng: Rng, style: Image | None = None) -> Image:
    """The image as another detector, display and ward would show it.

    Args:
        image: float32 (size, size).
        style: a radiograph of the same size whose histogram and low frequencies it may take.
    """
    if rng.random() < 0.6:
        image = _parts_shaded(image, masks, rng)
    if style is not None and rng.random() < 0.5:
        image = _spectrum_of(image, style, rng)
    if style is not None and rng.random() < 0.5:
        image = _histogram_of(image, style)
    for alteration, probability in _ALTERATIONS:
        if rng.random() < probability:
            image = alteration(image, rng)
    return np.clip(image, 0, 1).astype(np.float32)


def _clouds(rng: Rng, size: int, cells: int) -> Image:
    """Smooth noise of mean 0 and deviation about 1."""
    noise = rng.standard_normal((cells, cells), dtype=np.float32)
    return 1.3 * cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)


SHADES = {"heart": (-0.06, 0.14), "clavicles": (0, 0.06), "ribs": (0.02, 0.06)}
"""Mean and deviation of what a part is made lighter by: a phantom's heart is whiter than most."""


def _parts_shaded(image: Image, masks: Image, rng: Rng) -> Image:
    """Each part lighter or darker by its own, soft or hard at its rim; lungs clouded."""
    image = image.copy()
    for number, part in enumerate(PARTS):
        amount = rng.normal(*SHADES.get(part, (0, 0.12)))
        soft = cv2.GaussianBlur(masks[number], (0, 0), rng.uniform(0.5, 5))
        image += np.float32(amount) * soft
    lungs = masks[0] + masks[1]
    if rng.random() < 0.6:
        clouds = np.clip(
            _clouds(rng, len(image), int(rng.integers(4, 9))) - rng.uniform(-0.5, 1), 0, 2
        )
        image += np.float32(rng.uniform(0, 0.22)) * clouds * cv2.GaussianBlur(lungs, (0, 0), 1.5)
    if rng.random() < 0.15:  # the bases fade into the abdomen, as in a short breath
        rows = np.flatnonzero(lungs.any(axis=1))
        if len(rows):
            height = np.arange(len(image), dtype=np.float32)[:, None]
            depth = np.clip(
                (height - rows[-1]) / max(np.ptp(rows), 1) * rng.uniform(2, 5) + 1, 0, 1
            )
            image += np.float32(rng.uniform(0, 0.2)) * depth * lungs
    return image


def _spectrum_of(image: Image, style: Image, rng: Rng) -> Image:
    """The lowest frequencies' amplitudes of a radiograph (Yang and Soatto 2020)."""
    reach = int(rng.integers(1, 5))
    own, other = (
        cv2.dft(image, flags=cv2.DFT_COMPLEX_OUTPUT),
        cv2.dft(style, flags=cv2.DFT_COMPLEX_OUTPUT),
    )
    amount = np.float32(rng.uniform(0.3, 1))
    for rows in (slice(0, reach + 1), slice(-reach, None)):
        for columns in (slice(0, reach + 1), slice(-reach, None)):
            mine = np.linalg.norm(own[rows, columns], axis=2, keepdims=True)
            theirs = np.linalg.norm(other[rows, columns], axis=2, keepdims=True)
            own[rows, columns] *= 1 - amount + amount * theirs / np.maximum(mine, 1e-6)
    return cv2.idft(own, flags=cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT)


def _histogram_of(image: Image, style: Image) -> Image:
    own, other = np.sort(image[::2, ::2], axis=None), np.sort(style[::2, ::2], axis=None)
    levels = np.linspace(0, len(own) - 1, 33).astype(int)
    rising = own[levels] + np.arange(33) * 1e-6
    result: Image = np.interp(image, rising, other[levels]).astype(np.float32)
    return result


def _curve(image: Image, rng: Rng) -> Image:
    """Gamma and a random rising curve."""
    low, high = np.percentile(image[::3, ::3], (1, 99))
    unit = np.clip((image - low) / max(high - low, 1e-3), 0, 1)
    rises = np.exp(rng.normal(0, 0.8, 6))
    knots = np.concatenate([[0], np.cumsum(rises) / rises.sum()])
    bent = np.interp(unit, np.linspace(0, 1, 7), knots)
    result: Image = (bent ** np.exp(rng.normal(0, 0.35))).astype(np.float32)
    return result


def _equalized(image: Image, rng: Rng) -> Image:
    clahe = cv2.createCLAHE(rng.uniform(1, 5), (int(rng.integers(2, 9)),) * 2)
    return clahe.apply((np.clip(image, 0, 1) * 255).astype(np.uint8)).astype(np.float32) / 255


def _sharpened(image: Image, rng: Rng) -> Image:
    wide = cv2.GaussianBlur(image, (0, 0), rng.uniform(1, 14))
    result: Image = image + np.float32(rng.uniform(0.2, 1.6)) * (image - wide)
    return result


def _shaded(image: Image, rng: Rng) -> Image:
    field = _clouds(rng, len(image), int(rng.integers(2, 6)))
    return image * (1 + np.float32(rng.uniform(0, 0.25)) * field) + np.float32(0.06) * field


def _blurred(image: Image, rng: Rng) -> Image:
    return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.8)).astype(np.float32)


def _noisy(image: Image, rng: Rng) -> Image:
    noise: Image = rng.standard_normal(image.shape, dtype=np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.2, 1.2))
    result: Image = image + np.float32(rng.uniform(0.01, 0.12)) * noise
    return result


def _darker_abdomen(image: Image, rng: Rng) -> Image:
    """Everything below, or beside a slanted line, lighter or darker."""
    start, reach = rng.uniform(0.4, 1), rng.uniform(0.1, 0.5)
    slope = np.clip((np.arange(len(image), dtype=np.float32) / len(image) - start) / reach, 0, 1)
    field = slope[:, None] if rng.random() < 0.7 else slope[None, :: int(rng.choice([-1, 1]))]
    return image + np.float32(rng.uniform(-0.5, 0.3)) * field


def _devices(image: Image, rng: Rng) -> Image:
    """Tubes, wires, electrodes, boxes and letters, lighter than what they lie on."""
    ink = np.zeros(image.shape, np.uint8)
    for _ in range(int(rng.integers(1, 6))):
        kind, start = rng.random(), rng.uniform(0, len(image), 2)
        if kind < 0.6:
            steps = rng.normal(0, 14, (6, 2)) + rng.normal(0, 14, 2)
            path = np.concatenate([start[None], start + np.cumsum(steps, 0)])
            fine = cv2.resize(path.astype(np.float32), (2, 60), interpolation=cv2.INTER_CUBIC)
            width = int(rng.choice([1, 1, 1, 2, 3]))
            cv2.polylines(ink, [np.round(fine).astype(np.int32)], False, 255, width, cv2.LINE_AA)
        elif kind < 0.8:
            radius = int(rng.integers(2, 9))
            center = (int(start[0]), int(start[1]))
            cv2.circle(ink, center, radius, 255, int(rng.choice([-1, 1])), cv2.LINE_AA)
        else:
            place, letter = (int(start[0]), int(start[1])), str(rng.choice(list("RLAPX")))
            cv2.putText(ink, letter, place, cv2.FONT_HERSHEY_SIMPLEX, rng.uniform(0.3, 0.8), 255, 1)
    soft = cv2.GaussianBlur(ink.astype(np.float32) / 255, (0, 0), rng.uniform(0.3, 0.8))
    result: Image = image + np.float32(rng.uniform(0.1, 0.7)) * soft
    return result


def _hidden(image: Image, rng: Rng) -> Image:
    """A rectangle of one shade."""
    (y, x), (h, w) = rng.integers(0, len(image), 2), rng.integers(6, len(image) // 3, 2)
    image = image.copy()
    image[y : y + h, x : x + w] = rng.random()
    return image


def _collimated(image: Image, rng: Rng) -> Image:
    """Black or white beyond the edges of a slightly turned frame."""
    edges = rng.uniform(0, 0.12, 4) * len(image) * (rng.random(4) < 0.6)
    left, top, right, bottom = edges[0], edges[1], len(image) - edges[2], len(image) - edges[3]
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    corners += rng.normal(0, 0.02 * len(image), (4, 2)) * (rng.random() < 0.5)
    window = np.zeros(image.shape, np.float32)
    cv2.fillPoly(window, [np.round(corners * 16).astype(np.int32)], 1.0, cv2.LINE_8, 4)
    shade = np.float32(rng.choice([0.0, 0.0, 0.0, 0.15, 1.0]))
    return image * window + shade * (1 - window)


_ALTERATIONS = (
    (_curve, 0.7),
    (_sharpened, 0.4),
    (_equalized, 0.35),
    (_shaded, 0.4),
    (_darker_abdomen, 0.35),
    (_blurred, 0.4),
    (_devices, 0.4),
    (_noisy, 0.5),
    (_hidden, 0.12),
    (_collimated, 0.35),
)
"""In this order, each with its probability."""
