"""What the anatomy network is trained on: phantoms with exact masks, radiographs without."""

import csv
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from model.anatomy_parts import PARTS
from model.errors import DataError
from training.anatomy.outlines import Outlines, inside

__all__ = ["Example", "outlined", "radiographs", "read_phantoms"]

LONGEST = 176
"""Longest side at which radiographs are kept."""
UNKNOWN = 128
"""A part's probability where nobody has outlined it: learnt as neither there nor not."""


@dataclass(frozen=True)
class Example:
    """An image with where its parts are."""

    pixels: NDArray[np.uint8]
    """(height, width)."""
    parts: NDArray[np.uint8]
    """(PARTS, height, width): the probability of each part, 255 for 1, UNKNOWN for no label."""
    phantom: bool
    """True: the masks are exact."""


def read_phantoms(folder: Path) -> Iterator[Example]:
    """What `crossray prepare anatomy` wrote, by name.

    Raises:
        DataError: there is none, or an image without its parts.
    """
    files = sorted((folder / "parts").glob("*.png"))
    if not files:
        raise DataError(f"no parts/*.png in {str(folder)!r}: `crossray prepare anatomy` makes some")
    planes = np.arange(len(PARTS), dtype=np.uint8)[:, None, None]
    for file in files:
        bits, pixels = _gray(file), _gray(folder / "images" / file.name)
        parts = np.asarray((bits[None] >> planes & 1) * 255, np.uint8)
        yield Example(pixels, parts, phantom=True)


def radiographs(
    folder: Path, count: int, measured: Collection[str], rng: np.random.Generator
) -> Sequence[NDArray[np.uint8]]:
    """Up to `count` images of a folder with labels.csv, none of a patient that is measured on.

    Args:
        measured: names of the images with outlines, as paths below the folder's parent.

    Returns:
        uint8 (height, width), the longer side LONGEST.

    Raises:
        DataError: no labels.csv with the columns image and patient, or an image that is missing.
    """
    labels = folder / "labels.csv"
    if not labels.is_file():
        raise DataError(f"no labels.csv in {str(folder)!r}: it says which patient an image is of")
    with labels.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    apart = {row["patient"] for row in rows if f"{folder.name}/{row['image']}" in measured}
    usable = [
        row["image"]
        for row in rows
        if row["patient"] not in apart and row.get("aspect") != "squeezed"
    ]
    chosen = rng.permutation(len(usable))[:count]
    return [_shrunk(_gray(folder / usable[number])) for number in chosen]


def outlined(folder: Path, outlines: Outlines) -> list[Example]:
    """Radiographs with the lungs that a person outlined; other parts are UNKNOWN.

    Raises:
        DataError: an image that is missing.
    """
    examples = []
    for name, polygons in outlines.items():
        pixels = _shrunk(_gray(folder / name))
        parts = np.full((len(PARTS), *pixels.shape), UNKNOWN, np.uint8)
        for plane, polygon in zip(parts, polygons, strict=False):
            plane[:] = np.where(inside([polygon], *pixels.shape), 255, 0)
        examples.append(Example(pixels, parts, phantom=False))
    return examples


def _gray(path: Path) -> NDArray[np.uint8]:
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise DataError(f"{str(path)!r} cannot be read")
    return np.asarray(pixels, np.uint8)


def _shrunk(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = LONGEST / max(pixels.shape)
    size = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
