"""How well the anatomy network finds lungs on radiographs, and all parts on phantoms.

Lungs are compared with outlines that a person drew, and beside them stands a threshold rule.
Overlap is Dice (1945): twice the common area over the sum of both.
"""

import copy
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from model.anatomy import segment
from model.anatomy_network import AnatomyNetwork, load_anatomy, save_anatomy
from model.anatomy_parts import PARTS
from model.errors import DataError
from model.imaging.read import read_image
from model.lung_base import Side, lung_base
from model.overlay import tiled
from training.anatomy.adapt import adapt
from training.anatomy.examples import outlined, radiographs, read_phantoms
from training.anatomy.fit import Material, fit_anatomy
from training.anatomy.outlines import Mask, Outlines, inside, read_outlines
from training.anatomy.sheet import tile
from training.anatomy.threshold import threshold_lungs
from training.files import require_writable, write_json

__all__ = [
    "ENOUGH",
    "FitOptions",
    "Outputs",
    "Overlap",
    "dice",
    "lung_overlaps",
    "phantom_overlaps",
    "run_anatomy",
]

ENOUGH = 0.93
"""Dice from which a lung field counts as found, here: about what two people reach who draw one."""
ACROSS = 6
SIDES: tuple[Side, ...] = ("right", "left")
"""In the order of the polygons."""
PER_FOLDER = 600
"""Radiographs learnt from."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Overlap:
    """Dice over some images."""

    what: str
    images: int
    mean: float
    median: float
    smallest: float
    enough: float
    """Share of the images with at least ENOUGH."""


def dice(found: Mask, truth: Mask) -> float:
    """1 where both are empty."""
    total = int(found.sum()) + int(truth.sum())
    return 2 * int((found & truth).sum()) / total if total else 1.0


def lung_overlaps(
    find: Callable[[NDArray[np.float32]], Mask | None], folder: Path, outlines: Outlines
) -> dict[str, float]:
    """Dice of both lungs together by image; 0 where none were found.

    Raises:
        DataError: an image that the outlines name is not below `folder`.
        ImageError: it cannot be read.
    """
    missing = [name for name in outlines if not (folder / name).is_file()]
    if missing:
        raise DataError(f"no {missing[0]!r} in {str(folder)!r}, and {len(missing) - 1} more")
    overlaps = {}
    for name, polygons in outlines.items():
        pixels = read_image(folder / name).pixels
        found = find(pixels)
        truth = inside(polygons, *pixels.shape)
        overlaps[name] = 0.0 if found is None else dice(found, truth)
    return overlaps


@dataclass(frozen=True)
class FitOptions:
    """What `crossray anatomy` learns from and chooses on before it measures."""

    phantoms: Path | None = None
    """What `crossray prepare anatomy` wrote, to train on from random weights. None adapts the last
    layers of the network that is there."""
    outlines: Path | None = None
    """Of radiographs that are learned from."""
    validation: Path | None = None
    """Of others: the stage that finds their lungs best is kept. None keeps the last."""


@dataclass(frozen=True)
class Outputs:
    """Files to write; None writes none."""

    sheet: Path | None = None
    """PNG: the parts found on each image, and the outlines."""
    json_file: Path | None = None


def run_anatomy(
    images: Path,
    outlines_file: Path,
    phantoms: Path | None = None,
    fit: FitOptions | None = None,
    outputs: Outputs | None = None,
) -> str:
    """`crossray anatomy`: fit where asked, measure, return the table to print.

    Args:
        images: folder of the folders that hold the images which `outlines_file` names. With `fit`,
            each with a labels.csv is learnt from, but for the patients that are measured on.
        phantoms: what `crossray prepare anatomy` wrote, to measure on.
        fit: rewrites the weights beside model/anatomy.py first.

    Raises:
        DataError: a file or folder that is missing or does not hold what it must.
        CheckpointError: the network's weights are missing or altered.
    """
    outputs = outputs or Outputs()
    require_writable(outputs.sheet, outputs.json_file)
    outlines = read_outlines(outlines_file)
    if fit is not None:
        save_anatomy(_fitted(fit, images, outlines))
    found = lung_overlaps(lambda pixels: segment(pixels).lungs, images, outlines)
    rows = [
        *_by_source(found, "network"),
        *_by_source(lung_overlaps(threshold_lungs, images, outlines), "threshold"),
        *([] if phantoms is None else phantom_overlaps(phantoms)),
    ]
    bases = base_errors(images, outlines)
    if outputs.sheet is not None:
        _write_sheet(outputs.sheet, images, outlines, found)
    if outputs.json_file is not None:
        numbers = {"dice": [asdict(row) for row in rows], "bases": [asdict(row) for row in bases]}
        write_json(outputs.json_file, {**numbers, "images": found})
    return f"{_table(rows)}\n\n{_base_table(bases)}"


def _fitted(fit: FitOptions, images: Path, measured: Outlines) -> AnatomyNetwork:
    """The network of the stage that validates best."""
    validation, learned = (
        {} if file is None else read_outlines(file) for file in (fit.validation, fit.outlines)
    )
    if shared := learned.keys() & (validation.keys() | measured.keys()):
        raise DataError(f"{min(shared)!r} is learned from and measured on: leave it out of a file")

    def overlap(network: AnatomyNetwork) -> float:
        found = lung_overlaps(lambda own: segment(own, network).lungs, images, validation)
        return float(np.mean([*found.values()])) if found else float("nan")

    if fit.phantoms is None:
        if not (learned and validation):
            raise DataError("nothing to adapt to: give --learn and --validation, or --fit")
        network, overlaps = adapt(load_anatomy(), outlined(images, learned), overlap)
        log.info("Dice of the validation images: %s", " ".join(f"{each:.4f}" for each in overlaps))
        return network
    return _trained(fit.phantoms, images, learned, [*measured, *validation], overlap)


def _trained(
    phantoms: Path,
    images: Path,
    learned: Outlines,
    apart: Sequence[str],
    overlap: Callable[[AnatomyNetwork], float],
) -> AnatomyNetwork:
    rng = np.random.default_rng(0)
    folders = sorted(file.parent for file in images.glob("*/labels.csv"))
    pixels = [image for folder in folders for image in radiographs(folder, PER_FOLDER, apart, rng)]
    material = Material(list(read_phantoms(phantoms)), pixels, outlined(images, learned))
    networks: dict[float, AnatomyNetwork] = {}

    def keep(stage: str, network: AnatomyNetwork) -> None:
        found = overlap(network)
        log.info("%s: lungs of the validation images found with a Dice of %.4f", stage, found)
        networks[found] = copy.deepcopy(network)

    last = fit_anatomy(material, measured=keep)
    return networks[max(networks)] if np.isfinite(list(networks)).all() else last


def _write_sheet(file: Path, images: Path, outlines: Outlines, found: Mapping[str, float]) -> None:
    tiles = []
    for name, drawn in outlines.items():
        pixels = read_image(images / name).pixels
        tiles.append(tile(pixels, f"{found[name]:.3f}  {Path(name).name}", drawn))
    if not cv2.imwrite(str(file), tiled(tiles, ACROSS)):
        raise DataError(f"could not write {str(file)!r}: give a name that ends in .png")


def phantom_overlaps(folder: Path, network: AnatomyNetwork | None = None) -> list[Overlap]:
    """One row a part, of images whose truth is known.

    Raises:
        DataError: no phantoms in the folder.
    """
    overlaps: dict[str, list[float]] = {part: [] for part in PARTS}
    for example in read_phantoms(folder):
        found = segment(example.pixels.astype(np.float32) / np.float32(255), network)
        for part, truth in zip(PARTS, example.parts, strict=True):
            overlaps[part].append(dice(found.mask(part), truth > 0))
    return [_overlap(f"phantoms: {part.replace('_', ' ')}", overlaps[part]) for part in PARTS]


@dataclass(frozen=True)
class BaseError:
    """How far the lower ends of the lungs lie from those of the outlines, in percent of the
    image's width, over the lungs that were found."""

    what: str
    lungs: int
    mean: float
    median: float
    largest: float


def base_errors(folder: Path, outlines: Outlines) -> list[BaseError]:
    """Of costophrenic angles the distance, of hemidiaphragms the mean vertical one over the
    columns that both have."""
    angles, lines = [], []
    for name, polygons in outlines.items():
        pixels = read_image(folder / name).pixels
        found, width = segment(pixels), pixels.shape[1]
        for side, polygon in zip(SIDES, polygons, strict=True):
            own, true = found.base(side), lung_base(inside([polygon], *pixels.shape), side)
            if own is None or true is None:
                continue
            angles.append(math.dist(own.costophrenic_angle, true.costophrenic_angle) / width)
            rows, there = (dict(base.hemidiaphragm.tolist()) for base in (own, true))
            if common := rows.keys() & there.keys():
                lines.append(np.mean([abs(rows[x] - there[x]) for x in common]) / width)
    return [
        _base_error(what, values)
        for what, values in (("costophrenic angles", angles), ("hemidiaphragms", lines))
    ]


def _base_error(what: str, values: Sequence[float]) -> BaseError:
    percent = 100 * np.array(values or [np.nan])
    return BaseError(
        what, len(values), float(percent.mean()), float(np.median(percent)), float(percent.max())
    )


def _base_table(rows: Iterable[BaseError]) -> str:
    lines = [f"{'Distance, % of the width':<34}{'lungs':>7}{'mean':>7}{'median':>8}{'most':>7}"]
    lines += [
        f"{row.what:<34}{row.lungs:>7}{row.mean:>7.2f}{row.median:>8.2f}{row.largest:>7.2f}"
        for row in rows
    ]
    return "\n".join(lines)


def _by_source(overlaps: Mapping[str, float], finder: str) -> list[Overlap]:
    """A row for all images, and one for each folder they come from."""
    sources = {name.split("/")[0] for name in overlaps}
    rows = [_overlap(f"lungs, {finder}: all", list(overlaps.values()))]
    for source in sorted(sources) if len(sources) > 1 else ():
        own = [value for name, value in overlaps.items() if name.startswith(f"{source}/")]
        rows.append(_overlap(f"lungs, {finder}: {source}", own))
    return rows


def _overlap(what: str, values: Sequence[float]) -> Overlap:
    numbers = np.array(values)
    return Overlap(
        what,
        len(values),
        float(numbers.mean()),
        float(np.median(numbers)),
        float(numbers.min()),
        float((numbers >= ENOUGH).mean()),
    )


def _table(rows: Iterable[Overlap]) -> str:
    lines = [f"{'Dice':<34}{'images':>7}{'mean':>7}{'median':>8}{'least':>7}{f'>= {ENOUGH}':>9}"]
    lines += [
        f"{row.what:<34}{row.images:>7}{row.mean:>7.3f}{row.median:>8.3f}{row.smallest:>7.3f}"
        f"{row.enough:>9.2f}"
        for row in rows
    ]
    return "\n".join(lines)
