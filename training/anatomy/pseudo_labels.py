"""The network's own masks of radiographs as labels, where they are likely to be right.

Pseudo-labels (Lee 2013). An image is used where the whole image and the window around the lungs,
each also mirrored, agree on its lungs, and where these have the shape of lungs.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.anatomy import ChestAnatomy, closer_window, infer, whole_window
from model.anatomy_network import AnatomyNetwork
from model.anatomy_parts import PARTS
from training.anatomy.examples import Example

__all__ = ["PseudoLabel", "plausible", "pseudo_label"]

RIM = 0.04
"""Of the window's side: so near to its edge the whole image decides."""
LUNG_AREA = (0.035, 0.33)
"""Share of the image."""
LARGEST_RATIO = 2.5
"""Of one lung's area to the other's."""
SMALLEST_SOLIDITY = 0.8
"""Share of its convex hull that a lung fills."""
SMALLEST_ELONGATION = 0.8
"""Height over width of a lung."""
SMALLEST_OVERLAP = 0.65
"""Share of the rows of both lungs that both have."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class PseudoLabel:
    example: Example
    agreement: float
    """The least Dice of the lungs between two ways of looking."""


def pseudo_label(network: AnatomyNetwork, pixels: NDArray[np.uint8]) -> PseudoLabel | None:
    """None where no lungs of a plausible shape are found."""
    shades = pixels.astype(np.float32) / np.float32(255)
    height, width = pixels.shape
    wide = whole_window(height, width)
    wide_logits, wide_agreement = _both_ways(network, wide.sample(shades))
    close = closer_window(ChestAnatomy(height, width, wide, wide_logits))
    if close is None:
        return None
    close_logits, close_agreement = _both_ways(network, close.sample(shades))
    found = ChestAnatomy(height, width, close, close_logits)
    lungs = [found.mask(side) for side in PARTS[:2]]
    if not plausible(*lungs):
        return None
    far = np.stack([wide.restore(plane, height, width) for plane in wide_logits])
    near = np.stack([close.restore(plane, height, width) for plane in close_logits])
    inner = np.zeros((height, width), bool)
    low, high = RIM * close.side, (1 - RIM) * close.side
    top, left = max(0, round(close.top + low)), max(0, round(close.left + low))
    inner[top : round(close.top + high), left : round(close.left + high)] = True
    chances = 1 / (1 + np.exp(-np.where(inner, near, far).clip(-20, 20)))
    for number, lung in enumerate(lungs):
        # Where the one piece and the network differ, the label says nothing: 0.5.
        agreed = np.where(lung, chances[number].clip(0.5), chances[number].clip(None, 0.5))
        chances[number] = agreed
    parts = np.round(chances * 255).astype(np.uint8)
    agreement = min(wide_agreement, close_agreement, _lung_dice(near, far))
    return PseudoLabel(Example(pixels, parts, phantom=False), agreement)


def _both_ways(
    network: AnatomyNetwork, square: NDArray[np.float32]
) -> tuple[NDArray[np.float32], float]:
    """Logits, and how far those of the square and of its mirror image agree on the lungs."""
    plain, mirrored = infer(network, square)
    return (plain + mirrored) / 2, _lung_dice(plain, mirrored)


def _lung_dice(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    first, second = one[:2] > 0, other[:2] > 0
    return float(2 * (first & second).sum() / max(1, first.sum() + second.sum()))


def plausible(right: Mask, left: Mask) -> bool:
    """Whether two masks have the sizes and shapes of the lungs of one chest."""
    areas = [float(lung.mean()) for lung in (right, left)]
    if min(areas) < LUNG_AREA[0] or max(areas) > LUNG_AREA[1]:
        return False
    if max(areas) > LARGEST_RATIO * min(areas):
        return False
    spans = []
    for lung in (right, left):
        outlines, _ = cv2.findContours(
            lung.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
        )
        outline = max(outlines, key=cv2.contourArea)
        hull = cv2.contourArea(cv2.convexHull(outline))
        rows, columns = np.flatnonzero(lung.any(axis=1)), np.flatnonzero(lung.any(axis=0))
        if cv2.contourArea(outline) < SMALLEST_SOLIDITY * hull:
            return False
        if np.ptp(rows) < SMALLEST_ELONGATION * np.ptp(columns):
            return False
        spans.append((int(rows[0]), int(rows[-1])))
    common = min(spans[0][1], spans[1][1]) - max(spans[0][0], spans[1][0])
    total = max(spans[0][1], spans[1][1]) - min(spans[0][0], spans[1][0])
    return common > SMALLEST_OVERLAP * total
