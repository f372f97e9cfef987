"""How often the input check alarms falsely and how often it misses: the table of `crossray
input-check`.

Intervals are Wilson's, 95 %. Where several images are of one thing (windows of one photograph,
encodings of one radiograph), they count as one in the interval.
"""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.stats import binomtest
from tqdm import tqdm

from model.errors import DataError
from model.heart_side import heart_warning
from model.imaging.radiograph import Radiograph
from model.imaging.read import read_image
from model.input_check import THRESHOLDS, examine, load_input_check, save_input_check
from training.input_check.alterations import ALTERATIONS, vary
from training.input_check.drawn_images import FITTED_KINDS, UNFITTED_KINDS, lateral_chest
from training.input_check.fit import fit_input_check
from training.input_check.heart_side import fit_heart_side
from training.input_check.material import (
    Images,
    chest_images,
    material,
    phantom_images,
    read_images,
)

__all__ = ["Folders", "Row", "measure_input_check", "run_input_check", "wilson"]

MEASURED_SIDE = 192
"""Longest side of the images that are altered: alike at any, and quick."""
DRAWN = 150
"""Images drawn of each kind."""
WINDOWS = 10
"""Windows cut from each photograph."""
SEED = 4_000_000


@dataclass(frozen=True)
class Folders:
    """What to measure on; None is left out of the table."""

    chests: tuple[Path, ...] = ()
    """Images and labels.csv each: the half by patient that is never fitted."""
    phantoms: Path | None = None
    """A prepared folder with laterals, of another seed than the one fitted with."""
    images: Path | None = None
    """`fit` is fitted with; every other folder in it is a row."""
    dicom: Path | None = None
    """DICOM files; the name up to the first underscore says what shows the same thing."""
    openi: Path | None = None
    """UID_K.png is row K of this UID in indiana_projections.csv, which gives its projection."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    source: str
    image: str
    expected: str | None
    """The code that should come; None: none should."""
    images: int
    independent: int
    """Different things shown; what the intervals are computed with."""
    refused: int
    warned: int
    """With a warning and no refusal."""
    codes: dict[str, int]


def run_input_check(
    folders: Folders, fit_phantoms: Path | None = None, file: Path | None = None
) -> str:
    """Fit the input check anew where `fit_phantoms` is given, measure it, return the table to
    print.

    Args:
        folders: what to measure on; to fit with, the other half of its chests and `images/fit`.
        fit_phantoms: prepared folder to fit with; the weights beside model/input_check.py are
            rewritten.
        file: JSON file for the numbers.

    Raises:
        DataError: a folder that lacks what it must hold, or images both fitted and measured.
        CheckpointError: the input check's weights are missing or altered.
    """
    if file is not None and not file.parent.is_dir():
        raise DataError(f"no folder {str(file.parent)!r} to write {file.name!r} in")
    if fit_phantoms is not None:
        if not folders.chests or folders.images is None:
            raise DataError("fitting needs --chests and --images: name both")
        if folders.phantoms is not None and _seed(fit_phantoms) == _seed(folders.phantoms):
            raise DataError("phantoms of one seed to fit and to measure: prepare another seed's")
        found = material(folders.chests, fit_phantoms, folders.images / "fit")
        save_input_check(fit_input_check(found))
    rows = measure_input_check(folders)
    limits = dict(zip(THRESHOLDS, load_input_check().thresholds.tolist(), strict=True))
    if file is not None:
        content = {"limits": limits, "rows": [asdict(row) for row in rows]}
        file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    listed = ", ".join(f"{name.replace('_', ' ')} {limit:.3f}" for name, limit in limits.items())
    printed = f"{_table(rows)}\n\nLimits: {listed}."
    if folders.chests:
        weights, limit = fit_heart_side(folders.chests)
        shown = ", ".join(f"{weight:.2f}" for weight in weights)
        printed += f"\n\nHeart's side, fitted anew: weights {shown}; limit {limit:.2f}."
    return printed


def _seed(prepared: Path) -> int | None:
    note = prepared / "prepared.json"
    if not note.is_file():
        raise DataError(f"no prepared.json in {str(prepared)!r}: name a prepared folder")
    result: int | None = json.loads(note.read_text(encoding="utf-8")).get("seed")
    return result


def measure_input_check(folders: Folders) -> list[Row]:
    """The input check on every kind of image there is a folder for, and on drawn ones."""
    rows: list[Row] = []
    for folder in folders.chests:
        measured = chest_images(folder, measured=True).weights
        rows += _altered(folder.name, measured)
        rows += _hearts(folder.name, measured)
    if folders.phantoms is not None:
        chests, laterals = (phantom_images(folders.phantoms, lateral) for lateral in (False, True))
        rows += _altered("phantom", chests.weights + chests.limits)
        both = [_small(pixels) for pixels in laterals.weights + laterals.limits]
        rows.append(_row("phantom", "lateral", "lateral", both))
        rng = np.random.default_rng(SEED)
        rows.append(_row("phantom", "lateral, varied", "lateral", (vary(p, rng) for p in both)))
    if folders.dicom is not None:
        rows += list(_dicom(folders.dicom))
    if folders.openi is not None:
        rows += list(_openi(folders.openi))
    rows += list(_drawn())
    if folders.images is not None:
        rows += list(_photographs(folders.images))
    return rows


def _row(
    source: str,
    image: str,
    expected: str | None,
    images: Iterable[np.ndarray],
    independent: int | None = None,
) -> Row:
    count = refused = warned = 0
    codes: Counter[str] = Counter()
    for pixels in images:
        warnings = examine(pixels)
        count += 1
        refusal = any(warning.refuses for warning in warnings)
        refused += refusal
        warned += bool(warnings) and not refusal
        codes.update(warning.code for warning in warnings)
    independent = count if independent is None else independent
    return Row(source, image, expected, count, independent, refused, warned, dict(codes))


def _altered(source: str, chests: Images) -> list[Row]:
    small = [_small(pixels) for pixels in chests]
    rng = np.random.default_rng(SEED)
    return [
        _row(source, change.name, change.expected, (change.apply(p, rng) for p in small))
        for change in tqdm(ALTERATIONS, desc=source, disable=None)
    ]


def _hearts(source: str, chests: Images) -> list[Row]:
    """With the anatomy network, which needs more pixels."""
    rows = []
    for image, expected in (("heart's side", None), ("heart's side, mirrored", "mirrored")):
        step = 1 if expected is None else -1
        warned = sum(
            heart_warning(Radiograph(np.ascontiguousarray(pixels[:, ::step]), None)) is not None
            for pixels in tqdm(chests, desc=f"{source}: {image}", disable=None)
        )
        codes = {"mirrored": warned} if warned else {}
        rows.append(Row(source, image, expected, len(chests), len(chests), 0, warned, codes))
    return rows


def _dicom(folder: Path) -> Iterator[Row]:
    """By what is shown; a name that begins with chest, or RG1, is a chest."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.dcm")):
        groups.setdefault(path.stem.split("_")[0], []).append(path)
    if not groups:
        raise DataError(f"no .dcm in {str(folder)!r}: name a folder that has some")
    for name, paths in groups.items():
        expected = None if name in ("chest", "RG1") else "not_chest"
        files = [_small(read_image(path).pixels) for path in paths]
        yield _row("DICOM", f"{name}, {len(files)} encodings", expected, files, independent=1)


def _openi(folder: Path) -> Iterator[Row]:
    table = folder / "indiana_projections.csv"
    if not table.is_file():
        raise DataError(f"no {table.name} in {str(folder)!r}: name the folder of Open-i")
    projections: dict[str, list[str]] = {}
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            projections.setdefault(row["uid"], []).append(row["projection"])
    found: dict[str, Images] = {"Frontal": [], "Lateral": []}
    for path in sorted(folder.glob("*_*.png")):
        uid, _, number = path.stem.partition("_")
        found[projections[uid][int(number) - 1]].append(_small(read_image(path).pixels))
    for projection, images in found.items():
        expected = "lateral" if projection == "Lateral" else None
        yield _row("Open-i", projection.lower(), expected, images)


def _drawn() -> Iterator[Row]:
    def drawn(draw: Callable[[np.random.Generator], np.ndarray], seed: int) -> Iterator[np.ndarray]:
        rng = np.random.default_rng(seed)
        return (draw(rng) for _ in range(DRAWN))

    yield _row("drawn", "lateral chest", "lateral", drawn(lateral_chest, SEED))
    for kinds, note in ((FITTED_KINDS, ""), (UNFITTED_KINDS, ", a kind not fitted")):
        for seed, (name, draw) in enumerate(kinds.items(), SEED + 1):
            yield _row("drawn", name + note, "not_chest", drawn(draw, seed))


def _photographs(folder: Path) -> Iterator[Row]:
    for kind in sorted(p for p in folder.iterdir() if p.is_dir() and p.name != "fit"):
        images = read_images(kind)
        yield _row(kind.name, "whole", "not_chest", images)
        yield _row(kind.name, "windows", "not_chest", _windows(images), len(images))


def _windows(images: Images) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(SEED)
    for pixels in images:
        for _ in range(WINDOWS):
            height, width = pixels.shape
            h, w = (max(8, int(side * rng.uniform(0.2, 0.9))) for side in (height, width))
            y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
            yield pixels[y : y + h, x : x + w]


def _small(pixels: np.ndarray) -> np.ndarray:
    scale = min(1.0, MEASURED_SIDE / max(pixels.shape))
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of `count` (Wilson 1927)."""
    if count == 0:
        return 0.0, 1.0
    interval = binomtest(round(share * count), count).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _table(rows: list[Row]) -> str:
    """Markdown; shares in per cent with their intervals."""
    lines = [
        "| source | image | should | n | refused % | warned % | codes % |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        number = str(row.images)
        if row.independent != row.images:
            number += f" of {row.independent}"
        codes = [f"{code} {_percent(count, row)}" for code, count in sorted(row.codes.items())]
        cells = [row.source, row.image, row.expected or "pass", number]
        cells += [_percent(row.refused, row), _percent(row.warned, row), "; ".join(codes)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _percent(count: int, row: Row) -> str:
    share = count / row.images if row.images else 0.0
    low, high = wilson(share, row.independent)
    return f"{100 * share:.1f} ({100 * low:.1f}-{100 * high:.1f})"
