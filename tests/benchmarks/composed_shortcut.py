"""Whether composed radiographs can be told from untouched ones where no finding was put.

    python tests/benchmarks/composed_shortcut.py data/nih data/composed

A small network learns on patches of train patients, half of whose images are composed and the other
half untouched, and is measured on validate patients: AUC on patches without a finding, which ought
to be .5 (no trace of compression, border or noise). Another one learns patches with a finding, to
show that such a network can learn. Patients are resampled for the interval.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from tqdm import tqdm

from data_prep.manifest import Study, read_studies

PATCH = 48
EACH = 24
"""Patches of an image."""
MARGIN = 9
"""Pixels around a finding that are neither with nor without it."""
AROUND = 12
"""Patches around a composed image's findings."""
EPOCHS = 8
BATCH = 128
RESAMPLES = 500


@dataclass(frozen=True)
class Patches:
    """Of some patients."""

    pixels: Tensor
    """float32 (patches, 1, PATCH, PATCH)"""
    composed: NDArray[np.bool_]
    finding: NDArray[np.bool_]
    patient: NDArray[np.int64]


def _cut(
    pixels: NDArray[np.uint8], mask: NDArray[np.uint8] | None, rng: np.random.Generator
) -> tuple[list[NDArray[np.uint8]], list[bool]]:
    """Patches at random places without a finding, and around random pixels of one."""
    room = np.array(pixels.shape) - PATCH
    kept: list[NDArray[np.uint8]] = []
    near = np.zeros_like(pixels)
    if mask is not None:
        near = np.asarray(cv2.dilate(mask, np.ones((MARGIN, MARGIN), np.uint8)), np.uint8)
    for y, x in rng.integers(0, room, (4 * EACH, 2)):
        here = slice(y, y + PATCH), slice(x, x + PATCH)
        if len(kept) < EACH and not near[here].any():
            kept.append(pixels[here])
    without = len(kept)
    places = np.argwhere(mask) if mask is not None else np.empty((0, 2), np.int64)
    for place in places[rng.integers(0, len(places), AROUND)] if len(places) else ():
        y, x = np.clip(place - PATCH // 2, 0, room)
        kept.append(pixels[y : y + PATCH, x : x + PATCH])
    return kept, [False] * without + [True] * (len(kept) - without)


def _patches(
    source: Path, folder: Path, of_source: dict[str, Study], composed: list[Study], seed: int
) -> Patches:
    rng = np.random.default_rng(seed)
    patients = sorted({study.patient or study.id for study in composed})
    # Each patient is of one kind only: else a patch and its untouched twin would meet.
    taken = set(rng.permutation(patients)[: len(patients) // 2].tolist())
    columns: tuple[list[NDArray[np.uint8]], list[bool], list[bool], list[int]] = ([], [], [], [])
    for study in tqdm(composed, "cutting", disable=None):
        patient = study.patient or study.id
        changed = patient in taken
        own = study if changed else of_source[study.id.rpartition("-")[0]]
        root = folder if changed else source
        image = cv2.imread(str(root / own.images[0].path), cv2.IMREAD_GRAYSCALE)
        assert image is not None, own.id
        mask = None
        if changed:
            bits = cv2.imread(str(folder / str(own.images[0].mask)), cv2.IMREAD_UNCHANGED)
            assert bits is not None, own.id
            mask = (bits > 0).astype(np.uint8)
        kept, finding = _cut(np.asarray(image, np.uint8), mask, rng)
        columns[0].extend(kept)
        columns[1].extend([changed] * len(kept))
        columns[2].extend(finding)
        columns[3].extend([patients.index(patient)] * len(kept))
    pixels = torch.from_numpy(np.stack(columns[0]))[:, None].float() / 255
    return Patches(pixels, *(np.array(column) for column in columns[1:]))


def _network() -> nn.Module:
    layers: list[nn.Module] = []
    width = 1
    for wider in (16, 32, 64):
        layers += [nn.Conv2d(width, wider, 3, padding=1), nn.BatchNorm2d(wider), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
        width = wider
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 1))


def _kind(patches: Patches, with_finding: bool) -> Patches:
    """Untouched patches, and the composed ones with or without a finding."""
    chosen = (patches.finding == with_finding) | ~patches.composed
    columns = (patches.composed, patches.finding, patches.patient)
    return Patches(patches.pixels[chosen], *(column[chosen] for column in columns))


def _learn(train: Patches, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = _network().train()
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.05)
    wanted = torch.from_numpy(train.composed).float()
    for _ in tqdm(range(EPOCHS), "epochs", disable=None):
        for rows in torch.randperm(len(wanted)).split(BATCH):
            found = network(train.pixels[rows])[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(found, wanted[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


@torch.inference_mode()
def _scores(network: nn.Module, patches: Patches) -> NDArray[np.float32]:
    parts = [network(part)[:, 0] for part in patches.pixels.split(512)]
    scores: NDArray[np.float32] = torch.cat(parts).numpy()
    return scores


def _auc(patches: Patches, scores: NDArray[np.float32], seed: int) -> tuple[float, float, float]:
    """AUC against untouched patches, and its 95 % interval over patients."""
    rng = np.random.default_rng(seed)
    patients = np.unique(patches.patient)
    rows_of = [np.flatnonzero(patches.patient == each) for each in patients]
    found = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(0, len(patients), len(patients))
        rows = np.concatenate([rows_of[each] for each in drawn])
        if 0 < patches.composed[rows].sum() < len(rows):
            found.append(roc_auc_score(patches.composed[rows], scores[rows]))
    low, high = np.percentile(found, [2.5, 97.5])
    return float(roc_auc_score(patches.composed, scores)), float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="the folder that was composed from")
    parser.add_argument("composed", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    of_source = {study.id: study for study in read_studies(asked.source)}
    made = list(read_studies(asked.composed))
    parts = {
        split: _patches(
            asked.source, asked.composed, of_source, [s for s in made if s.split == split], number
        )
        for number, split in enumerate(("train", "validate"), asked.seed)
    }
    for with_finding, what in ((False, "without a finding"), (True, "with one")):
        train, tested = (_kind(part, with_finding) for part in parts.values())
        value, low, high = _auc(tested, _scores(_learn(train, asked.seed), tested), asked.seed)
        sys.stdout.write(
            f"composed patches {what}, against untouched ones: AUC {value:.3f} "
            f"[{low:.3f}, {high:.3f}], {tested.composed.sum()} against {(~tested.composed).sum()} "
            f"of {len(np.unique(tested.patient))} patients\n"
        )


if __name__ == "__main__":
    main()
