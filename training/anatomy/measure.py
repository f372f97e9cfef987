"""How well the anatomy network finds lungs on radiographs, and all parts on phantoms.

Lungs are compared with outlines that a person drew, and beside them stands a threshold rule.
Overlap is Dice (1945): twice the common area over the sum of both.
"""

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from model.anatomy import PARTS, AnatomyNetwork, save_anatomy, segment
from model.errors import DataError
from model.imaging.read import read_image
from model.overlay import tiled
from training.anatomy.examples import radiographs, read_phantoms
from training.anatomy.fit import fit_anatomy
from training.anatomy.sheet import tile
from training.anatomy.threshold import threshold_lungs
from training.files import require_writable, write_json

__all__ = [
    "ENOUGH",
    "Outputs",
    "Overlap",
    "dice",
    "lung_overlaps",
    "phantom_overlaps",
    "read_outlines",
    "run_anatomy",
]

ENOUGH = 0.93
"""Dice from which a lung field counts as found, here: about what two people reach who draw one."""
ACROSS = 6
PER_FOLDER = 600
"""Radiographs learnt from."""

log = logging.getLogger(__name__)

Mask = NDArray[np.bool_]
Outlines = Mapping[str, Sequence[NDArray[np.float64]]]


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


def read_outlines(file: Path) -> Outlines:
    """By image, as a path below the images' folder, two polygons (n, 2) in percent of width and
    height.

    Raises:
        DataError: it cannot be read, or holds something else.
    """
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        return {
            name: [np.array(sides[side], float).reshape(-1, 2) for side in ("right", "left")]
            for name, sides in stored.items()
        }
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise DataError(
            f'{file.name!r} does not hold {{image: {{"right": [[x, y], ...], "left": ...}}}} in '
            "percent of width and height"
        ) from error


def inside(outlines: Sequence[NDArray[np.float64]], height: int, width: int) -> Mask:
    """bool (height, width): within one of the polygons, in percent of width and height."""
    drawn = np.zeros((height, width), np.uint8)
    for outline in outlines:
        corners = outline / 100 * (width, height) - 0.5
        cv2.fillPoly(drawn, [np.round(corners).astype(np.int32)], 1)
    return drawn > 0


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
class Outputs:
    """Files to write; None writes none."""

    sheet: Path | None = None
    """PNG: the parts found on each image, and the outlines."""
    json_file: Path | None = None


def run_anatomy(
    images: Path,
    outlines_file: Path,
    phantoms: Path | None = None,
    fit: Path | None = None,
    outputs: Outputs | None = None,
) -> str:
    """`crossray anatomy`: fit where asked, measure, return the table to print.

    Args:
        images: folder of the folders that hold the images which `outlines_file` names. With `fit`,
            each with a labels.csv is learnt from, but for the patients with outlines.
        phantoms: what `crossray prepare anatomy` wrote, to measure on.
        fit: the same of another seed, to train on; the weights beside model/anatomy.py are
            rewritten.

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
    if outputs.sheet is not None:
        _write_sheet(outputs.sheet, images, outlines, found)
    if outputs.json_file is not None:
        write_json(outputs.json_file, {"dice": [asdict(row) for row in rows], "images": found})
    return _table(rows)


def _fitted(phantoms: Path, images: Path, outlines: Outlines) -> AnatomyNetwork:
    rng = np.random.default_rng(0)
    folders = sorted(file.parent for file in images.glob("*/labels.csv"))
    pools = [radiographs(folder, PER_FOLDER, outlines, rng) for folder in folders]

    def report(stage: str, network: AnatomyNetwork) -> None:
        overlaps = lung_overlaps(lambda pixels: segment(pixels, network).lungs, images, outlines)
        log.info("%s: lungs found with a mean Dice of %.3f", stage, np.mean([*overlaps.values()]))

    pixels = [image for pool in pools for image in pool]
    return fit_anatomy(list(read_phantoms(phantoms)), pixels, measured=report)


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
