"""`crossray prepare regions`: where the lung findings of labeled radiographs can lie at all.

A label says that a finding is there and not where. The lungs of the image are known
(model/anatomy.py): the words of a finding in lungs or pleura become phrases that point into them,
so that attention learns to stay there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data_prep.datasets.attach_boxes import prepared_note
from data_prep.manifest import (
    FINDINGS,
    IN_LUNGS,
    Finding,
    Image,
    Phrase,
    Study,
    read_studies,
    write_studies,
)
from data_prep.output import write_json, write_png
from model.anatomy import segment
from model.errors import DataError
from model.report_text.parser import read_findings

__all__ = ["LungsAttached", "attach_lungs"]


@dataclass
class LungsAttached:
    """What became of a prepared folder."""

    studies: int = 0
    """That have a region now."""
    unclear: int = 0
    """Studies with a lung finding, on whose image no two plausible lungs were found."""
    manifest_sha256: str = ""


def attach_lungs(prepared: Path) -> LungsAttached:
    """Give the lung findings that reports of labels assert the lungs as their region.

    Studies with several images, without labels, or with findings that have places stay as they
    are. The manifest is streamed, and replaced whole at the end.

    Raises:
        DataError: no prepared folder, one that was not finished or has them already, or an image
            that cannot be read.
    """
    note = prepared_note(prepared)
    if note.get("lungs"):
        raise DataError(f"{str(prepared)!r} has the lungs' regions already: there is nothing to do")
    (prepared / "masks").mkdir(exist_ok=True)
    done = LungsAttached()
    done.manifest_sha256 = write_studies(prepared, _with_lungs(prepared, done))
    changed = {**note, "lungs": True, "manifest_sha256": done.manifest_sha256}
    write_json(prepared / "prepared.json", changed)
    return done


def _with_lungs(prepared: Path, done: LungsAttached) -> Iterator[Study]:
    for study in tqdm(read_studies(prepared), "lungs", unit=" studies", mininterval=2):
        asserted = [each for each in read_findings(study.report) if each.name in IN_LUNGS]
        if study.labels is None or study.findings or len(study.images) > 1 or not asserted:
            yield study
            continue
        [image] = study.images
        lungs = _lungs(prepared / image.path)
        if lungs is None:
            done.unclear += 1
            yield study
            continue
        done.studies += 1
        names = sorted({each.name for each in asserted}, key=FINDINGS.index)
        phrases = [Phrase(each.start, each.end, (names.index(each.name),)) for each in asserted]
        marked = _write_mask(prepared, image, lungs, names)
        box = _box(lungs)
        findings = tuple(Finding(name, None, None, None, box, weak=True) for name in names)
        yield replace(study, images=(marked,), findings=findings, phrases=tuple(phrases))


def _lungs(path: Path) -> NDArray[np.bool_] | None:
    """bool (height, width), the convex hulls of both lungs; None where two were not found.

    An outline leaves out what is white: consolidation, fluid in an angle. A hull holds it.
    """
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise DataError(f"{path.name!r} of {str(path.parent.parent)!r} cannot be read")
    anatomy = segment(pixels.astype(np.float32) / np.float32(255))
    if anatomy.lungs is None:
        return None
    hulls = np.zeros(pixels.shape, np.uint8)
    for side in ("right_lung", "left_lung"):
        rows, columns = np.nonzero(anatomy.mask(side))
        hull = cv2.convexHull(np.stack((columns, rows), axis=1).astype(np.int32))
        cv2.fillConvexPoly(hulls, hull, 1)
    return hulls > 0


def _write_mask(prepared: Path, image: Image, lungs: NDArray[np.bool_], names: list[str]) -> Image:
    bits = np.uint16(sum(1 << FINDINGS.index(name) for name in names))
    mask = f"masks/{Path(image.path).stem}.png"
    write_png(prepared / mask, lungs.astype(np.uint16) * bits)
    return replace(image, mask=mask)


def _box(region: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
