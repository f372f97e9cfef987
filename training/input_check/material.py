"""The images that the input check is fitted with and measured on, read and split by patient."""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from data_prep.manifest import read_studies
from model.errors import DataError

__all__ = [
    "Chests",
    "Images",
    "Material",
    "chest_images",
    "material",
    "phantom_images",
    "pooled",
    "read_images",
    "window",
]

POOL_SIDE = 80
"""Longest side at which images are kept for fitting."""
MOST = 700
"""Images of one folder that are fitted with, and as many that are measured on."""

Rng = np.random.Generator
Images = list[np.ndarray]


@dataclass(frozen=True)
class Chests:
    """Upright frontal chests: to fit weights with, and to choose limits on."""

    weights: Images
    limits: Images


@dataclass(frozen=True)
class Material:
    """What the input check is fitted with; float32 (height, width) in [0, 1], POOL_SIDE long."""

    chests: list[Images]
    """Real frontal chests, by folder."""
    phantoms: Images
    """Simulated frontal chests."""
    laterals: Images
    """Simulated laterals."""
    others: Images
    """Photographs and the like, four times as long."""
    limits: list[Images]
    """Frontal chests to choose limits on, by folder."""


def material(chests: Sequence[Path], phantoms: Path, others: Path) -> Material:
    """Read what the input check is fitted with.

    Args:
        chests: folders of real chests; the half that is not measured on is used.
        phantoms: prepared folder of another seed than the one measured on, with laterals.
        others: folder of images of anything else, photographs mostly.

    Raises:
        DataError: a folder without images, or phantoms without laterals.
    """
    real = [chest_images(folder, measured=False) for folder in chests]
    frontal, laterals = phantom_images(phantoms), phantom_images(phantoms, lateral=True)
    return Material(
        [[pooled(p) for p in part.weights] for part in real],
        [pooled(p) for p in frontal.weights],
        [pooled(p) for p in laterals.weights + laterals.limits],
        [_shrunk(p, 4 * POOL_SIDE) for p in read_images(others)],
        [[pooled(p) for p in part.limits] for part in (*real, frontal)],
    )


def chest_images(folder: Path, measured: bool) -> Chests:
    """One half of a folder's chests by patient, at most MOST images, as float32 in [0, 1].

    Args:
        folder: images and labels.csv with the columns image and patient.
        measured: the half to measure on, all of it under `weights`; else the half to fit with, a
            quarter of whose patients is under `limits`.

    Raises:
        DataError: no such folder or images.
    """
    labels = folder / "labels.csv"
    if not labels.is_file():
        raise DataError(f"no labels.csv in {str(folder)!r}: name a folder of chest radiographs")
    with labels.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows.sort(key=lambda row: hashlib.sha256(row["image"].encode()).digest())
    parts: dict[bool, Images] = {False: [], True: []}
    count = 0
    for row in rows:
        number = hashlib.sha256(row["patient"].encode()).digest()[0]
        if (number % 2 == 1) == measured and count < MOST:
            later = not measured and number // 2 % 4 == 0
            parts[later].append(_read(folder / row["image"]))
            count += 1
    return Chests(parts[False], parts[True])


def phantom_images(folder: Path, lateral: bool = False) -> Chests:
    """A prepared folder's frontal images, or its laterals; of every four, one is under `limits`.

    Raises:
        DataError: there is none.
    """
    paths = [
        folder / image.path
        for study in read_studies(folder)
        for image in study.images
        if (image.view == "LATERAL") == lateral
    ]
    if not paths:
        kind = "lateral" if lateral else "frontal"
        raise DataError(
            f"no {kind} image in {str(folder)!r}: make some, `crossray prepare phantom --lateral 1`"
        )
    images = [_read(path) for path in paths]
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


def window(pixels: np.ndarray, rng: Rng) -> np.ndarray:
    """A window of 0.15 to 1 of each side, at the size that images are kept at."""
    height, width = pixels.shape
    h, w = (max(8, int(side * rng.uniform(0.15, 1))) for side in (height, width))
    y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    return pooled(pixels[y : y + h, x : x + w])


def pooled(pixels: np.ndarray) -> np.ndarray:
    """At the size that images are kept at."""
    return _shrunk(pixels, POOL_SIDE)


def _shrunk(pixels: np.ndarray, longest: int) -> np.ndarray:
    scale = min(1.0, longest / max(pixels.shape))
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)


def _read(path: Path) -> np.ndarray:
    stored = cv2.imread(str(path), cv2.IMREAD_REDUCED_GRAYSCALE_2)
    if stored is None:
        raise DataError(f"{str(path)!r} cannot be read: fetch it again")
    return stored.astype(np.float32) / 255
