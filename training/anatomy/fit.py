"""The anatomy network trained: on phantoms, then also on radiographs by self-training.

Labels of radiographs are the network's own, found on the untouched image and learnt on an altered
one; of a few, lungs that a person outlined. The network that labels, and that is kept, is an
average over steps (Tarvainen and Valpola 2017).
"""

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from tqdm import tqdm

from model.anatomy import standardized, whole_window
from model.anatomy_network import AnatomyNetwork
from model.errors import DataError
from training.anatomy.alterations import Image, moved, recolored
from training.anatomy.examples import Example
from training.anatomy.pseudo_labels import pseudo_label
from training.device import keep_memory

__all__ = ["STAGES", "Material", "Stage", "fit_anatomy", "train_stage"]

BATCH = 16
KEPT = 0.995
"""Of the averaged network, a step."""
DECAY = 0.02
UNSURE = (0.2, 0.8)
"""Probabilities between which a pseudo-label says nothing."""
PHANTOMS, OUTLINED = 0.3, 0.3
"""Shares of a batch, once radiographs are learnt from; of outlined ones where there are any."""
LEAST_AGREEMENT = 0.85

log = logging.getLogger(__name__)

Rng = np.random.Generator
Source = Callable[[Rng], Example]


@dataclass(frozen=True)
class Stage:
    """One run of steps with a rate that rises and falls (Smith and Topin 2019)."""

    size: int
    """Side of the squares in pixels, a multiple of 32."""
    steps: int
    rate: float
    dropped: float | None = None
    """Share of the plausible radiographs, those with the least agreement, that are not learnt
    from; None where the stage is one of phantoms alone."""


STAGES = (
    Stage(96, 400, 3e-3),
    Stage(96, 350, 2e-3),
    Stage(96, 250, 1.5e-3, dropped=0.3),
    Stage(128, 400, 1.2e-3, dropped=0.3),
    Stage(128, 400, 1.2e-3, dropped=0.2),
    Stage(128, 400, 8e-4, dropped=0.1),
)


@dataclass(frozen=True)
class Material:
    """What is learnt from; nobody that is measured on is in it."""

    phantoms: Sequence[Example]
    radiographs: Sequence[np.ndarray]
    """uint8 (height, width) each, without masks."""
    outlined: Sequence[Example] = ()
    """Radiographs whose lungs a person outlined."""


def fit_anatomy(
    material: Material,
    stages: Sequence[Stage] = STAGES,
    seed: int = 0,
    measured: Callable[[str, AnatomyNetwork], None] | None = None,
) -> AnatomyNetwork:
    """The network after all stages.

    Args:
        measured: called with the name of each stage and its network.

    Raises:
        DataError: a stage learns from radiographs, and none shows plausible lungs.
    """
    keep_memory()
    torch.manual_seed(seed)
    network = AnatomyNetwork()
    rng = np.random.default_rng(seed)
    for number, stage in enumerate(stages, 1):
        source = _of(material.phantoms)
        if stage.dropped is not None:
            labelled = _labelled(network.eval(), material.radiographs, stage.dropped)
            outlined = [_completed(network, example) for example in material.outlined]
            source = _mixed(material.phantoms, labelled, outlined)
        styles = [_style(pixels, stage.size) for pixels in material.radiographs[::4]]
        network = train_stage(network, source, stage, styles, rng)
        if measured is not None:
            measured(f"stage {number}", network)
    return network


def _of(examples: Sequence[Example]) -> Source:
    return lambda rng: examples[int(rng.integers(len(examples)))]


def _mixed(
    phantoms: Sequence[Example], labelled: Sequence[Example], outlined: Sequence[Example]
) -> Source:
    def source(rng: Rng) -> Example:
        place = rng.random()
        if place < PHANTOMS:
            return _of(phantoms)(rng)
        return _of(outlined if outlined and place < PHANTOMS + OUTLINED else labelled)(rng)

    return source


def _completed(network: AnatomyNetwork, example: Example) -> Example:
    """An outlined radiograph whose other parts are the network's own, where it finds the lungs."""
    label = pseudo_label(network, example.pixels)
    if label is None:
        return example
    parts = np.concatenate([example.parts[:2], label.example.parts[2:]])
    return Example(example.pixels, parts, phantom=False)


def _style(pixels: np.ndarray, size: int) -> Image:
    square = whole_window(*pixels.shape).sample(pixels.astype(np.float32) / np.float32(255), size)
    return np.asarray(square, np.float32)


def _labelled(
    network: AnatomyNetwork, radiographs: Sequence[np.ndarray], dropped: float
) -> list[Example]:
    labels = [pseudo_label(network, pixels) for pixels in tqdm(radiographs, "labelling")]
    found = [label for label in labels if label is not None]
    limit = LEAST_AGREEMENT
    if found:
        limit = max(limit, float(np.quantile([label.agreement for label in found], dropped)))
    kept = [label.example for label in found if label.agreement >= limit]
    if not kept:
        raise DataError(
            f"plausible lungs were found on none of {len(radiographs)} radiographs: train longer "
            "on phantoms, or give more radiographs"
        )
    log.info("%d of %d radiographs labelled, %d learnt from", len(found), len(labels), len(kept))
    return kept


def train_stage(
    network: AnatomyNetwork, source: Source, stage: Stage, styles: Sequence[Image], rng: Rng
) -> AnatomyNetwork:
    """The network trained further, averaged over steps."""
    network.train().to(memory_format=torch.channels_last)
    averaged = copy.deepcopy(network).eval()
    optimizer = _optimizer(network, stage)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, stage.rate, total_steps=stage.steps, pct_start=0.1
    )
    for step in tqdm(range(stage.steps), f"{stage.size} pixels", mininterval=5, disable=None):
        squares, parts, counted = _batch(source, styles, stage.size, rng)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(squares.to(memory_format=torch.channels_last))
        optimizer.zero_grad()
        _loss(logits.float(), parts, counted).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        _average(averaged, network, min(KEPT, (step + 1) / (step + 10)))
    return averaged


def _optimizer(network: nn.Module, stage: Stage) -> torch.optim.Optimizer:
    weights = [value for value in network.parameters() if value.ndim > 1]
    others = [value for value in network.parameters() if value.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": DECAY},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=stage.rate)


@torch.no_grad()
def _average(averaged: nn.Module, network: nn.Module, kept: float) -> None:
    pairs = zip(averaged.state_dict().values(), network.state_dict().values(), strict=True)
    for mean, new in pairs:
        if mean.is_floating_point():
            mean.lerp_(new, 1 - kept)


def _batch(
    source: Source, styles: Sequence[Image], size: int, rng: Rng
) -> tuple[Tensor, Tensor, Tensor]:
    """Squares (BATCH, 1, size, size); where each part is, and where that counts, (BATCH, PARTS,
    size, size) each."""
    images, parts, counted = [], [], []
    for _ in range(BATCH):
        example = source(rng)
        pixels, masks = (
            plane.astype(np.float32) / np.float32(255) for plane in (example.pixels, example.parts)
        )
        image, inside = moved(pixels, masks, rng, size, mildly=not example.phantom)
        style = styles[int(rng.integers(len(styles)))] if styles else None
        images.append(recolored(image, inside, rng, style))
        parts.append(inside > 0.5)
        counted.append(example.phantom | (inside < UNSURE[0]) | (inside > UNSURE[1]))
    truth, counts = (
        torch.from_numpy(np.stack(planes).astype(np.float32)) for planes in (parts, counted)
    )
    return torch.from_numpy(standardized(np.stack(images))), truth, counts


def _loss(logits: Tensor, parts: Tensor, counted: Tensor) -> Tensor:
    """Cross-entropy and half of 1 - Dice (Milletari et al. 2016), over the pixels that count."""
    entropy = F.binary_cross_entropy_with_logits(logits, parts, reduction="none")
    chances, truth = torch.sigmoid(logits) * counted, parts * counted
    common = 2 * (chances * truth).sum((0, 2, 3)) + 1
    dice = common / (chances.sum((0, 2, 3)) + truth.sum((0, 2, 3)) + 1)
    return (entropy * counted).sum() / counted.sum() + 0.5 * (1 - dice).mean()
