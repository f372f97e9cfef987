"""The last layers of the anatomy network fitted to a few radiographs whose lungs were outlined.

The encoder stays as it is, so that a fit takes a minute on one core and twenty outlines are enough;
what the network says of other parts is held to what it said before.
"""

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from model.anatomy import (
    LUNGS,
    MIRRORED,
    ChestAnatomy,
    Window,
    closer_window,
    infer,
    standardized,
    whole_window,
)
from model.anatomy_network import AnatomyNetwork
from training.anatomy.examples import Example

__all__ = ["adapt"]

STEPS, EVERY = 240, 40
"""How many, and after how many the overlap is measured."""
BATCH, RATE = 16, 1.5e-3
WINDOWS = 5
"""Of each image: the whole, and the window around the lungs, moved and scaled a little."""
TUNED = 2
"""Blocks of the decoder that learn, the last ones, and the head."""
HELD = 0.02
"""Weight of the squared change of the other parts' logits."""


def adapt(
    network: AnatomyNetwork,
    outlined: Sequence[Example],
    overlap: Callable[[AnatomyNetwork], float],
    steps: int = STEPS,
    seed: int = 0,
) -> tuple[AnatomyNetwork, list[float]]:
    """The network with the largest overlap, the given one included, and the overlaps seen.

    Args:
        outlined: see training.anatomy.examples.outlined.
        overlap: of other outlined radiographs.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    levels, truth, before = _encoded(network, outlined, rng)
    best, overlaps = network, [overlap(network)]
    tuned = copy.deepcopy(network).eval()  # the statistics of its norms stay
    learning = nn.ModuleList([*tuned.up[-TUNED:], tuned.head])
    optimizer = torch.optim.AdamW(learning.parameters(), lr=RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(1, steps + 1):
        rows = torch.from_numpy(rng.integers(0, len(truth), BATCH))
        logits = tuned.decode([level[rows] for level in levels])
        optimizer.zero_grad()
        _loss(logits, truth[rows], before[rows]).backward()
        optimizer.step()
        schedule.step()
        if step % EVERY == 0:
            overlaps.append(overlap(tuned))
            if overlaps[-1] > max(overlaps[:-1]):
                best = copy.deepcopy(tuned)
    return best, overlaps


def _loss(logits: Tensor, lungs: Tensor, before: Tensor) -> Tensor:
    """Cross-entropy and half of 1 - Dice of the lungs, and how far the other parts moved."""
    own = logits[:, list(LUNGS)]
    chances = torch.sigmoid(own)
    dice = (2 * (chances * lungs).sum((2, 3)) + 1) / ((chances + lungs).sum((2, 3)) + 1)
    moved = (logits[:, len(LUNGS) :] - before[:, len(LUNGS) :]).square().mean()
    return F.binary_cross_entropy_with_logits(own, lungs) + 0.5 * (1 - dice).mean() + HELD * moved


@torch.no_grad()
def _encoded(
    network: AnatomyNetwork, outlined: Sequence[Example], rng: np.random.Generator
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Levels of the encoder, lungs float32 (images, 2, SIZE, SIZE) and logits, of each image and
    its mirror image."""
    squares, lungs = [], []
    for example in outlined:
        pixels = example.pixels.astype(np.float32) / np.float32(255)
        planes = example.parts[: len(LUNGS)].astype(np.float32) / np.float32(255)
        for window in _windows(network, pixels, rng):
            square = window.sample(pixels)
            masks = np.stack([window.sample(plane) for plane in planes]) > 0.5
            squares += [square, square[:, ::-1]]
            lungs += [masks, masks[MIRRORED[: len(LUNGS)], :, ::-1]]
    batch = torch.from_numpy(standardized(np.stack(squares).astype(np.float32)))
    parts = [network.encode(batch[row : row + BATCH]) for row in range(0, len(batch), BATCH)]
    levels = [torch.cat(level) for level in zip(*parts, strict=True)]
    logits = [
        network.decode([level[row : row + BATCH] for level in levels])
        for row in range(0, len(batch), BATCH)
    ]
    truth = torch.from_numpy(np.stack(lungs).astype(np.float32))
    return levels, truth, torch.cat(logits)


def _windows(network: AnatomyNetwork, pixels: np.ndarray, rng: np.random.Generator) -> list[Window]:
    height, width = pixels.shape
    whole = whole_window(height, width)
    found = ChestAnatomy(height, width, whole, infer(network, whole.sample(pixels)).mean(axis=0))
    around = closer_window(found) or whole
    windows = [whole, around]
    while len(windows) < WINDOWS:
        side = around.side * rng.uniform(0.92, 1.15)
        left, top = rng.normal(0, 0.03, 2) * side + (around.side - side) / 2
        windows.append(Window(around.left + left, around.top + top, side))
    return windows
