"""Images without truth -> the share of the maps' attention that lies in the lungs.

Where nobody drew boxes, what can be asked is weaker: a word that names something in the lungs or
the pleura should attend to them. The lungs are those that model/anatomy.py finds.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data_prep.manifest import IN_LUNGS
from model.anatomy import segment
from model.errors import DataError, ImageError, RefusedError
from model.findings import NamedFinding
from model.generator import ReportGenerator
from model.imaging.read import read_image
from model.overlay import LINE_HEIGHT, blend, tiled, write
from model.report import Report
from training.bootstrap import Bootstrap, Score, interval
from training.files import write_json

__all__ = ["LungShare", "run_lungs"]

TILES, ACROSS, TILE = 24, 6, 300
LUNG_COLOR = (255, 255, 0)
SUFFIXES = {".png", ".jpg", ".jpeg", ".dcm"}


@dataclass(frozen=True)
class LungShare:
    """What was measured on a folder of images."""

    images: int
    unread: int
    """Files that hold no image the reader takes, or one that the input check refuses."""
    unclear: int
    """Images without two plausible lungs; they do not count."""
    attention: Score
    """Share of the maps' attention inside the lungs, over the report's lung findings."""
    area: Score
    """Share of the image that those lungs take: what a map without aim would score."""


def run_lungs(
    model_dir: Path | None,
    images: Path,
    limit: int | None = None,
    sheet: Path | None = None,
    json_file: Path | None = None,
) -> str:
    """`crossray lungs`: measure, write the sheet and the JSON where asked, return what to print.

    Raises:
        CheckpointError: the model cannot be loaded.
        DataError: no images in the folder, or the sheet cannot be written.
    """
    paths = sorted(p for p in images.rglob("*") if p.suffix.lower() in SUFFIXES)[:limit]
    if not paths:
        raise DataError(f"no image ({', '.join(sorted(SUFFIXES))}) below {str(images)!r}")
    generator = ReportGenerator.load(model_dir)
    measured, tiles = _measure(generator, paths)
    if sheet is not None:
        if not tiles:
            raise DataError("no report names a lung finding: there is nothing to draw")
        if not cv2.imwrite(str(sheet), tiled(tiles, ACROSS)):
            raise DataError(f"could not write {str(sheet)!r}: give a .png in a folder that exists")
    if json_file is not None:
        write_json(json_file, asdict(measured))
    return _table(generator.identity.name, measured)


def _measure(
    generator: ReportGenerator, paths: list[Path]
) -> tuple[LungShare, list[NDArray[np.uint8]]]:
    unread = unclear = 0
    rows: list[tuple[float, float, int]] = []
    """Per image: sum of shares inside the lungs, sum of the lungs' area, findings."""
    tiles: list[NDArray[np.uint8]] = []
    for path in tqdm(paths, "reading", unit=" images", mininterval=2):
        try:
            image = read_image(path)
            report = generator(image)
        except (ImageError, RefusedError):
            unread += 1
            continue
        lungs = segment(image.pixels).lungs
        if lungs is None:
            unclear += 1
            continue
        shares = []
        for finding, heatmap in _maps(report):
            shares.append(float(heatmap[lungs].sum() / heatmap.sum()))
            if len(tiles) < TILES and len(shares) == 1:
                tiles.append(_tile(image.pixels, lungs, heatmap, finding, shares[0]))
        rows.append((sum(shares), len(shares) * float(lungs.mean()), len(shares)))
    inside, area, findings = np.array(rows or [(0, 0, 0)], float).T
    bootstrap = Bootstrap(len(inside))
    return LungShare(
        images=len(paths) - unread,
        unread=unread,
        unclear=unclear,
        attention=bootstrap.ratio(inside, findings),
        area=bootstrap.ratio(area, findings),
    ), tiles


def _maps(report: Report) -> Iterator[tuple[NamedFinding, NDArray[np.float32]]]:
    """The report's grounded lung findings with their maps in original pixels."""
    for finding in report.findings:
        if finding.name in IN_LUNGS and finding.state == "grounded":
            yield finding, report.placements[0].restore(finding.heatmap[0])


def _tile(
    pixels: NDArray[np.float32],
    lungs: NDArray[np.bool_],
    heatmap: NDArray[np.float32],
    finding: NamedFinding,
    share: float,
) -> NDArray[np.uint8]:
    """The image with the map over it, the lungs' outline, and what was said."""
    size = (TILE, TILE)
    shades = cv2.resize((pixels * 255).astype(np.uint8), size, interpolation=cv2.INTER_AREA)
    level = cv2.resize(heatmap / heatmap.max(), size, interpolation=cv2.INTER_AREA)
    tile = blend(shades, np.clip(level, 0, 1))
    small = cv2.resize(lungs.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(small, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(tile, outlines, -1, LUNG_COLOR, 1)
    tile = np.pad(tile, ((0, LINE_HEIGHT), (0, 0), (0, 0)))
    write(tile, f"{finding.text}: {share:.2f} in lungs", 6, TILE + 14)
    return tile


def _table(model: str, measured: LungShare) -> str:
    lines = [
        f"{model} on {measured.images} images ({measured.unread} could not be read or were "
        f"refused, lungs unclear on {measured.unclear})"
    ]
    for name, score in (("attention in the lungs", measured.attention),
                        ("area of the lungs", measured.area)):  # fmt: skip
        lines.append(f"{name:<24}{interval(score, 3):<24}{score.n:>6} findings")
    return "\n".join(lines)
