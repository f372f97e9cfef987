"""The input check of model/input_check.py fitted, and its false alarms and misses measured on other
images.

Nothing is measured on what was fitted: NIH images are split by patient, phantoms and photographs
lie in folders of their own, real laterals, DICOM files and scans are only measured on. What is
drawn is drawn with other seeds, and two kinds of it are only measured on.
"""

import csv
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from model.errors import DataError
from model.input_check import KINDS, THRESHOLDS, TURNS, InputCheck, features, thumbnail
from training.input_check.alterations import cut, exposure, shuffled, vary
from training.input_check.drawn_images import FITTED_KINDS, lateral_chest

__all__ = ["Chests", "fit_input_check", "nih_images", "phantom_images", "read_images"]

POOL_SIDE = 80
"""Longest side at which images are kept for fitting."""
DRAWN = 1400
"""Images drawn of all kinds but laterals, and half as many of these."""
SEEN = {"frontal": 6000, "lateral": 1000, "cropped": 1800, "not_chest": 5000}
"""Thumbnails fitted on of each kind, before they are turned, mirrored and inverted."""
UNITS, EPOCHS, BATCH, RATE, DECAY = 48, 22, 64, 2e-3, 0.1
ALLOWED = {
    "not_chest": 0.003,
    "lateral": 0.003,
    "cropped": 0.003,
    "inverted": 0.003,
    "rotated": 0.003,
}
"""Share of varied chests, set aside from the fitting, that a limit may let alarm."""
LOWEST, HIGHEST = 0.5, 0.999
VARIED = 6
"""Variations of each chest that the limits are chosen on."""
IGNORED = -1

Rng = np.random.Generator
Images = list[np.ndarray]


@dataclass(frozen=True)
class Chests:
    """Upright frontal chests: to fit weights with, and to choose limits on."""

    weights: Images
    limits: Images


def nih_images(folder: Path, measured: bool) -> Chests:
    """One half of the NIH images by patient, as float32 in [0, 1].

    Args:
        folder: JPEG files and labels.csv with the columns image and patient.
        measured: the half to measure on, all of it under `weights`; else the half to fit with, a
            quarter of whose patients is under `limits`.

    Raises:
        DataError: no such folder or images.
    """
    labels = folder / "labels.csv"
    if not labels.is_file():
        raise DataError(f"no labels.csv in {str(folder)!r}: name the folder of the NIH images")
    with labels.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    parts: dict[int, Images] = {0: [], 1: []}
    for row in rows:
        number = hashlib.sha256(row["patient"].encode()).digest()[0]
        if (number % 2 == 1) == measured:
            later = not measured and number // 2 % 4 == 0
            parts[later].append(_read(folder / row["image"]))
    return Chests(parts[0], parts[1])


def phantom_images(folder: Path) -> Chests:
    """The images of a prepared folder of phantoms; of every four, one is under `limits`."""
    images = read_images(folder / "images")
    return Chests([p for k, p in enumerate(images) if k % 4], images[::4])


def read_images(folder: Path) -> Images:
    """All PNG and JPEG files of a folder by name, gray, float32 in [0, 1].

    Raises:
        DataError: there is none.
    """
    files = sorted(p for p in folder.glob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
    if not files:
        raise DataError(f"no PNG or JPEG in {str(folder)!r}: name a folder that has some")
    return [_read(path) for path in files]


def _read(path: Path) -> np.ndarray:
    stored = cv2.imread(str(path), cv2.IMREAD_REDUCED_GRAYSCALE_2)
    if stored is None:
        raise DataError(f"{str(path)!r} cannot be read: fetch it again")
    return stored.astype(np.float32) / 255


def fit_input_check(nih: Path, phantoms: Path, others: Path) -> InputCheck:
    """Fit the input check's weights and choose its limits.

    Args:
        nih: folder of NIH images; the half that is not measured on is used.
        phantoms: prepared folder of another seed than the one measured on.
        others: folder of images of anything else, photographs mostly.

    Raises:
        DataError: a folder without images.
    """
    chests = [nih_images(nih, measured=False), phantom_images(phantoms)]
    source = _Source([c.weights for c in chests], read_images(others))
    input_check = _descend(*source.examples(), np.random.default_rng(2))
    rng = np.random.default_rng(1)
    limits = np.max([_limits(input_check, c.limits, rng) for c in chests], axis=0)
    return replace(input_check, thresholds=limits.astype(np.float32))


def _descend(inputs: np.ndarray, truth: np.ndarray, rng: Rng) -> InputCheck:
    """Adam (Kingma and Ba 2015) with decoupled weight decay and a rate that falls to 0.

    Args:
        inputs: float32 (examples, FEATURES).
        truth: int64 (examples, 3): kind, turn, inversion; the last two IGNORED where unknown.
    """
    mean, deviation = inputs.mean(axis=0), inputs.std(axis=0) + np.float32(0.05)
    inputs = (inputs - mean) / deviation
    targets, weights = _targets(truth)
    outputs = targets.shape[1]
    layers = [
        rng.normal(0, (2 / inputs.shape[1]) ** 0.5, (inputs.shape[1] + 1, UNITS)),
        rng.normal(0, (1 / UNITS) ** 0.5, (UNITS + 1, outputs)),
    ]
    layers = [layer.astype(np.float32) for layer in layers]
    first = [np.zeros_like(layer) for layer in layers]
    second = [np.zeros_like(layer) for layer in layers]
    total, step = EPOCHS * (len(inputs) // BATCH), 0
    for _ in tqdm(range(EPOCHS), desc="gate", disable=None):
        order = rng.permutation(len(inputs))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            rows, step = order[start : start + BATCH], step + 1
            slopes = _slopes(layers, inputs[rows], targets[rows], weights[rows], rng)
            rate = RATE * (1 - step / (total + 1))
            for k, slope in enumerate(slopes):
                first[k] += 0.1 * (slope - first[k])
                second[k] += 0.01 * (slope * slope - second[k])
                moved = first[k] / (1 - 0.9**step)
                moved /= np.sqrt(second[k] / (1 - 0.99**step)) + 1e-8
                layers[k] -= np.float32(rate) * (moved + DECAY * layers[k])
    none = np.full(len(THRESHOLDS), LOWEST, np.float32)
    return InputCheck(mean, deviation, layers[0], layers[1], none)


def _targets(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each output should be in [0, 1], and whether it counts: float32 (examples, 9) each."""
    kinds, turns = len(KINDS), len(TURNS)
    known = (truth[:, 2] != IGNORED).astype(np.float32)[:, None]
    targets = np.concatenate(
        [np.eye(kinds)[truth[:, 0]], np.eye(turns)[truth[:, 1]], truth[:, 2:]], axis=1
    ).astype(np.float32)
    counts = np.concatenate([np.ones((len(truth), kinds)), known.repeat(turns + 1, 1)], axis=1)
    return targets, counts.astype(np.float32)


def _slopes(
    layers: list[np.ndarray], inputs: np.ndarray, targets: np.ndarray, weights: np.ndarray, rng: Rng
) -> list[np.ndarray]:
    """Gradients of the mean cross-entropy in both layers, a fifth of the units dropped out."""
    hidden, output = layers
    kept = (rng.random((len(inputs), hidden.shape[1]), dtype=np.float32) > 0.2) * np.float32(1.25)
    units = np.maximum(inputs @ hidden[:-1] + hidden[-1], 0) * kept
    logits = units @ output[:-1] + output[-1]
    kinds, turns = len(KINDS), len(TURNS)
    told = np.concatenate(
        [
            _softmax(logits[:, :kinds]),
            _softmax(logits[:, kinds : kinds + turns]),
            1 / (1 + np.exp(-logits[:, -1:].clip(-30, 30))),
        ],
        axis=1,
    )
    wrong = (told - targets) * weights / np.float32(len(inputs))
    back = (wrong @ output[:-1].T) * kept * (units > 0)
    return [
        np.vstack([inputs.T @ back, back.sum(axis=0)]),
        np.vstack([units.T @ wrong, wrong.sum(axis=0)]),
    ]


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _limits(input_check: InputCheck, chests: Images, rng: Rng) -> list[float]:
    """The limit of each score that ALLOWED of these chests, varied, exceed."""
    seen = [thumbnail(vary(_pooled(p), rng)) for p in chests for _ in range(VARIED)]
    judged = input_check.judge(np.stack([t for t in seen if t is not None]))
    scores = {name: [one.scores[name] for one in judged] for name in THRESHOLDS}
    quantiles = [float(np.quantile(scores[name], 1 - ALLOWED[name])) for name in THRESHOLDS]
    return [min(max(q, LOWEST), HIGHEST) for q in quantiles]


class _Source:
    """Images altered at random, with what is true of each."""

    def __init__(self, chests: list[Images], others: Images) -> None:
        self.rng = np.random.default_rng(0)
        self.chests = [[_pooled(p) for p in some] for some in chests]
        self.others = [_shrunk(p, 4 * POOL_SIDE) for p in others]
        self.laterals = [_pooled(lateral_chest(self.rng)) for _ in range(DRAWN // 2)]
        kinds = list(FITTED_KINDS.values())
        self.drawn = [_pooled(kinds[k % len(kinds)](self.rng)) for k in range(DRAWN)]

    def examples(self) -> tuple[np.ndarray, np.ndarray]:
        """float32 (examples, FEATURES) and int64 (examples, 3); see _descend.

        Each thumbnail comes twice: a frontal one as it is and altered, any other altered twice.
        """
        thumbnails, truth = [], []
        for kind, count in SEEN.items():
            number, frontal = KINDS.index(kind), kind == "frontal"
            for _ in range(count):
                seen = thumbnail(self._image(kind))
                if seen is None:
                    continue
                for alter in (not frontal, True):
                    turn = int(self.rng.integers(4)) if alter else 0
                    inverted = int(alter and self.rng.random() < 0.5)
                    pixels = np.rot90(seen[:, ::-1] if self.rng.random() < 0.5 else seen, -turn)
                    thumbnails.append(-pixels if inverted else pixels)
                    place = (turn, inverted) if frontal else (IGNORED, IGNORED)
                    truth.append((number, *place))
        parts = [features(np.stack(thumbnails[k : k + 500])) for k in range(0, len(truth), 500)]
        return np.concatenate(parts), np.array(truth)

    def _image(self, kind: str) -> np.ndarray:
        rng = self.rng
        if kind == "lateral":
            return vary(self._one(self.laterals), rng)
        if kind != "not_chest":
            chest = self._chest()
            return vary(chest, rng) if kind == "frontal" else exposure(cut(chest, rng), rng)
        choice = rng.random()
        if choice < 0.45:
            return vary(self._one(self.drawn), rng)
        if choice < 0.85:
            return vary(_window(self._one(self.others), rng), rng)
        return vary(shuffled(self._chest(), rng), rng)

    def _chest(self) -> np.ndarray:
        return self._one(self.chests[0] if self.rng.random() < 0.75 else self.chests[1])

    def _one(self, images: Images) -> np.ndarray:
        return images[int(self.rng.integers(len(images)))]


def _window(pixels: np.ndarray, rng: Rng) -> np.ndarray:
    """A window of 0.15 to 1 of each side, at the size that images are kept at."""
    height, width = pixels.shape
    h, w = (max(8, int(side * rng.uniform(0.15, 1))) for side in (height, width))
    y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    return _pooled(pixels[y : y + h, x : x + w])


def _pooled(pixels: np.ndarray) -> np.ndarray:
    return _shrunk(pixels, POOL_SIDE)


def _shrunk(pixels: np.ndarray, longest: int) -> np.ndarray:
    scale = min(1.0, longest / max(pixels.shape))
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
