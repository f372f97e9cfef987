"""Small images with simple shapes, and texts that say which, on which side and how high.

Each shape lies on one patch. Large enough to tell ways of joining image and text apart, small
enough to train each of them several times: what it shows holds for such images, and is a hint for
radiographs.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "BOS",
    "EOS",
    "GRID",
    "KINDS",
    "PAD",
    "PATCH",
    "SIDES",
    "SIZE",
    "WORDS",
    "ZONES",
    "Toys",
    "make_toys",
    "read",
]

KINDS = ("disc", "ring", "bar", "cross")
SIDES, ZONES = ("right", "left"), ("upper", "mid", "lower")
WORDS = ("<pad>", "<bos>", "<eos>", ".", "no", *SIDES, *ZONES, *KINDS)
PAD, BOS, EOS = 0, 1, 2
SIZE, PATCH = 36, 6
GRID = SIZE // PATCH
NUMBER = {word: number for number, word in enumerate(WORDS)}
RADIUS = 2.5
LONGEST = 2 + 4 * len(KINDS)


@dataclass(frozen=True)
class Toys:
    """A batch. Sides are as on a radiograph: right lies on the left of the image."""

    images: Tensor
    """float32 (batch, views, 1, SIZE, SIZE), about 0 to 1."""
    tokens: Tensor
    """int64 (batch, 1 + tokens), from bos to eos, padded."""
    inside: Tensor
    """bool (batch, kinds, patches): where each kind shows; nowhere where it is absent."""
    sides: Tensor
    """int64 (batch, kinds): place in SIDES, -1 where it is absent."""

    @property
    def present(self) -> Tensor:
        """bool (batch, kinds)."""
        return self.sides >= 0


def make_toys(
    rng: np.random.Generator, count: int, rate: float = 0.4, noise: float = 0.1, views: int = 1
) -> Toys:
    """Draw toys.

    Args:
        rate: probability of each kind.
        noise: standard deviation of the pixels.
        views: images of each, which show the same with other noise.
    """
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    clean = np.zeros((count, SIZE, SIZE), np.float32)
    inside = np.zeros((count, len(KINDS), GRID * GRID), bool)
    sides = np.full((count, len(KINDS)), -1, np.int64)
    texts = []
    for row in range(count):
        words = []
        for kind, name in enumerate(KINDS):
            if rng.random() >= rate:
                words += ["no", name, "."]
                continue
            side = int(rng.integers(2))
            column, line = side * GRID // 2 + int(rng.integers(GRID // 2)), int(rng.integers(GRID))
            zone = line * len(ZONES) // GRID
            center = ((column + 0.5) * PATCH - 0.5, (line + 0.5) * PATCH - 0.5)
            shape = _shape(name, x - center[0], y - center[1])
            clean[row] = np.maximum(clean[row], 0.9 * shape)
            cells = (shape > 0.5).reshape(GRID, PATCH, GRID, PATCH).any(axis=(1, 3))
            inside[row, kind], sides[row, kind] = cells.ravel(), side
            words += [SIDES[side], ZONES[zone], name, "."]
        texts.append([BOS, *(NUMBER[word] for word in words), EOS])
    tokens = np.zeros((count, LONGEST), np.int64)
    for row, text in enumerate(texts):
        tokens[row, : len(text)] = text
    drawn = rng.normal(0, noise, (count, views, 1, SIZE, SIZE)) + clean[:, None, None]
    return Toys(
        torch.from_numpy(drawn.astype(np.float32)),
        torch.from_numpy(tokens),
        torch.from_numpy(inside),
        torch.from_numpy(sides),
    )


def _shape(name: str, x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    away = np.hypot(x, y)
    radius, thin = np.float32(RADIUS), np.float32(0.6)
    if name == "disc":
        return (away <= radius).astype(np.float32)
    if name == "ring":
        return (np.abs(away - radius) <= thin).astype(np.float32)
    if name == "bar":
        return ((np.abs(x) <= radius) & (np.abs(y) <= thin)).astype(np.float32)
    near = np.maximum(np.abs(x), np.abs(y)) <= radius
    cross = (np.abs(x - y) <= thin) | (np.abs(x + y) <= thin)
    drawn: NDArray[np.float32] = (near & cross).astype(np.float32)
    return drawn


def read(tokens: list[int]) -> dict[int, int]:
    """What a text asserts: kind -> side, of sentences that are whole."""
    asserted: dict[int, int] = {}
    words = [WORDS[token] for token in tokens]
    for place, word in enumerate(words):
        if word in KINDS and place >= 2 and words[place - 2] in SIDES:
            asserted[KINDS.index(word)] = SIDES.index(words[place - 2])
    return asserted
