"""Fit the network of model/input_check.py and choose its limits.

Nothing is measured on what was fitted: real chests are split by patient, phantoms and photographs
lie in folders of their own, real laterals, DICOM files and scans are only measured on. What is
drawn is drawn with other seeds, and two kinds of it are only measured on.

Real laterals to fit with are not at hand. The phantom's laterals and drawn ones stand for them,
bent, and given the tones of real chests, as its frontal images are too, so that neither the
simulation nor its gray values tell a lateral.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from model.input_check import (
    FEATURES,
    KINDS,
    OUTPUTS,
    THRESHOLDS,
    TURNS,
    InputCheck,
    features,
    thumbnail,
)
from training.input_check.alterations import bend, cut, exposure, shuffled, toned, vary
from training.input_check.drawn_images import FITTED_KINDS, lateral_chest
from training.input_check.material import Images, Material, pooled, window

__all__ = ["ALLOWED", "descend", "fit_input_check"]

DRAWN = 1400
"""Images drawn of all kinds but laterals, and half as many of these."""
SEEN = {"frontal": 9000, "lateral": 5000, "cropped": 3000, "not_chest": 6000}
"""Thumbnails fitted on of each kind, before they are turned, mirrored and inverted."""
UNITS, EPOCHS, BATCH, RATE, DECAY = 64, 16, 128, 2e-3, 0.1
DROPPED = 0.2
"""Share of hidden units left out of each step."""


@dataclass(frozen=True)
class Allowed:
    """How a limit is chosen."""

    share: float
    """Of varied chests set aside from the fitting, how many it may let alarm."""
    least: float
    """The limit is at least this."""


ALLOWED = {
    "refused": Allowed(0.01, 0.6),
    "not_chest": Allowed(0.02, 0.4),
    "lateral": Allowed(0.005, 0.25),
    "cropped": Allowed(0.005, 0.5),
    "inverted": Allowed(0.003, 0.5),
    "rotated": Allowed(0.003, 0.5),
    "mirrored": Allowed(0.002, 0.9),
}
HIGHEST = 0.999
VARIED = 4
"""Variations of each chest that the limits are chosen on."""
IGNORED = -1

Rng = np.random.Generator


def fit_input_check(material: Material) -> InputCheck:
    """Fit weights, then limits on chests that the weights have not seen."""
    torch.manual_seed(0)
    network = descend(*_Source(material).examples())
    rng = np.random.default_rng(1)
    groups = [_judged(network, chests, rng) for chests in material.limits]
    limits = np.max([_limits(scores) for scores in groups], axis=0)
    return InputCheck(**vars(network) | {"thresholds": limits.astype(np.float32)})


def descend(inputs: np.ndarray, truth: np.ndarray) -> InputCheck:
    """AdamW (Loshchilov and Hutter 2019) with a rate that falls to 0.

    Args:
        inputs: float32 (examples, FEATURES), or of another width in tests.
        truth: int64 (examples, 4): kind, turn, inverted, mirrored; the last three IGNORED where
            unknown.

    Returns:
        The network with limits that nothing exceeds.
    """
    mean, deviation = inputs.mean(axis=0), inputs.std(axis=0) + np.float32(0.05)
    standard = torch.from_numpy((inputs - mean) / deviation)
    targets = torch.from_numpy(truth)
    network = nn.Sequential(
        nn.Linear(inputs.shape[1], UNITS), nn.ReLU(), nn.Dropout(DROPPED), nn.Linear(UNITS, OUTPUTS)
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    steps = EPOCHS * max(1, len(inputs) // BATCH)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    for _ in tqdm(range(EPOCHS), desc="input check", disable=None):
        for rows in torch.randperm(len(inputs)).split(BATCH)[: max(1, len(inputs) // BATCH)]:
            optimizer.zero_grad()
            _loss(network(standard[rows]), targets[rows]).backward()
            optimizer.step()
            schedule.step()
    first, last = network[0], network[3]
    return InputCheck(
        mean, deviation, _layer(first), _layer(last), np.ones(len(THRESHOLDS), np.float32)
    )


def _loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of kind and turn, binary of inverted and mirrored, each where it is known."""
    kinds, turns = len(KINDS), len(TURNS)
    loss = functional.cross_entropy(logits[:, :kinds], truth[:, 0])
    turn = functional.cross_entropy(
        logits[:, kinds : kinds + turns], truth[:, 1], ignore_index=IGNORED, reduction="sum"
    )
    known = truth[:, 2:] != IGNORED
    both = functional.binary_cross_entropy_with_logits(
        logits[:, kinds + turns :][known], truth[:, 2:][known].float(), reduction="sum"
    )
    return loss + (turn + both) / len(logits)


def _layer(linear: nn.Module) -> np.ndarray:
    """float32 (inputs + 1, outputs), the bias last."""
    assert isinstance(linear, nn.Linear)
    return torch.cat([linear.weight.detach().T, linear.bias.detach()[None]]).numpy()


def _judged(input_check: InputCheck, chests: Images, rng: Rng) -> dict[str, list[float]]:
    seen = [thumbnail(vary(p, rng)) for p in chests for _ in range(VARIED)]
    judged = input_check.judge(np.stack([t for t in seen if t is not None]))
    return {name: [one.scores[name] for one in judged] for name in THRESHOLDS}


def _limits(scores: dict[str, list[float]]) -> list[float]:
    """The limit of each score that its allowed share exceeds."""
    quantiles = [float(np.quantile(scores[n], 1 - ALLOWED[n].share)) for n in THRESHOLDS]
    both = zip(quantiles, THRESHOLDS, strict=True)
    return [min(max(quantile, ALLOWED[name].least), HIGHEST) for quantile, name in both]


class _Source:
    """Images altered at random, with what is true of each."""

    def __init__(self, material: Material) -> None:
        self.rng = np.random.default_rng(0)
        self.real = material.chests
        self.phantoms = material.phantoms
        self.laterals = material.laterals
        self.others = material.others
        self.drawn_laterals = [pooled(lateral_chest(self.rng)) for _ in range(DRAWN // 2)]
        kinds = list(FITTED_KINDS.values())
        self.drawn = [pooled(kinds[k % len(kinds)](self.rng)) for k in range(DRAWN)]

    def examples(self) -> tuple[np.ndarray, np.ndarray]:
        """float32 (examples, FEATURES) and int64 (examples, 4); see `descend`.

        Each thumbnail comes twice: a frontal one as it is and altered, any other altered twice.
        """
        thumbnails: list[np.ndarray] = []
        truth: list[tuple[int, int, int, int]] = []
        for kind, count in SEEN.items():
            number, frontal = KINDS.index(kind), kind == "frontal"
            for _ in range(count):
                seen = thumbnail(self._image(kind))
                if seen is None:
                    continue
                for alter in (not frontal, True):
                    turn = int(self.rng.integers(4)) if alter else 0
                    inverted = int(alter and self.rng.random() < 0.5)
                    mirrored = int(self.rng.random() < 0.5)
                    pixels = np.rot90(seen[:, ::-1] if mirrored else seen, -turn)
                    thumbnails.append(-pixels if inverted else pixels)
                    known = (turn, inverted, IGNORED if turn else mirrored)
                    truth.append((number, *(known if frontal else (IGNORED,) * 3)))
        parts = [features(np.stack(thumbnails[k : k + 500])) for k in range(0, len(truth), 500)]
        inputs = np.concatenate(parts)
        assert inputs.shape[1] == FEATURES
        return inputs, np.array(truth)

    def _image(self, kind: str) -> np.ndarray:
        rng = self.rng
        if kind == "lateral":
            images = self.laterals if rng.random() < 0.75 else self.drawn_laterals
            return vary(self._as_real(self._one(images)), rng)
        if kind != "not_chest":
            chest = self._chest()
            return vary(chest, rng) if kind == "frontal" else exposure(cut(chest, rng), rng)
        choice = rng.random()
        if choice < 0.45:
            return vary(self._one(self.drawn), rng)
        if choice < 0.85:
            return vary(window(self._one(self.others), rng), rng)
        return vary(shuffled(self._chest(), rng), rng)

    def _chest(self) -> np.ndarray:
        if self.rng.random() < 0.75:
            chest = self._one(self.real[int(self.rng.integers(len(self.real)))])
            return bend(chest, self.rng) if self.rng.random() < 0.3 else chest
        return self._as_real(self._one(self.phantoms))

    def _as_real(self, simulated: np.ndarray) -> np.ndarray:
        like = self._one(self.real[int(self.rng.integers(len(self.real)))])
        return toned(bend(simulated, self.rng), like, self.rng)

    def _one(self, images: Images) -> np.ndarray:
        return images[int(self.rng.integers(len(images)))]
