"""`crossray prepare boxes`: the boxes of a box file put on the images of a prepared folder.

Images are known by the name that their data set gives them (Image.source), which box files use
too. Where the region's words stand in the study's report, they become a phrase that points there,
so that training is guided by it and `crossray grounding` measures on it; in a report that was made
of labels, any words that assert the region's finding do.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean as mean
from typing import Any

from data_prep.datasets.boxes import Region, read_boxes
from data_prep.files import IMAGE_ENDINGS, files_below
from data_prep.manifest import (
    Finding,
    Image,
    Phrase,
    Study,
    manifest_hash,
    read_studies,
    write_studies,
)
from data_prep.output import write_json
from model.errors import DataError
from model.imaging.sandbox import read_image_isolated
from model.report_text.parser import read_denials, read_findings

__all__ = ["Attached", "attach", "prepared_note"]

Box = tuple[float, float, float, float]

NAMES = {
    "opacity": "opacity, lung opacity, consolidation, pneumonia, infiltration, infiltrate, "
    "infiltrates, alveolar pattern",
    "pleural_effusion": "pleural effusion, effusion, costophrenic angle blunting",
    "pneumothorax": "pneumothorax, hydropneumothorax",
    "cardiomegaly": "cardiomegaly",
    "edema": "edema, pulmonary edema",
    "atelectasis": "atelectasis, laminar atelectasis, lobar atelectasis, total atelectasis, "
    "round atelectasis, atelectasis basal",
    "nodule": "nodule, mass, nodule/mass, multiple nodules, pulmonary mass",
    "rib_fracture": "rib fracture, callus rib fracture",
    "hyperinflation": "hyperinflation, hyperinflated lung, emphysema, air trapping",
    "hiatal_hernia": "hiatal hernia",
    "endotracheal_tube": "endotracheal tube",
    "central_line": "central venous catheter, central venous catheter via jugular vein, "
    "central venous catheter via subclavian vein, central venous catheter via umbilical vein",
    "pacemaker": "pacemaker, dual chamber device, single chamber device",
}
"""Labels of NIH, MS-CXR, VinDr-CXR and PadChest-GR that mean one of FINDINGS, as
model/report_text/parser.py understands it: a mass is a nodule, pneumonia an opacity."""
FINDING_OF = {label: name for name, labels in NAMES.items() for label in labels.split(", ")}
SAME = 0.5
"""Intersection over union from which two boxes of one phrase are two readers' of one place."""
MOST = 16
"""Findings on one image; training has no room for more (training/dataset/split.py)."""
SLACK = 2
"""Prepared pixels by which a box may end beyond its image, and shapes may differ."""
SHOWN = 3
"""Names of each side that an error shows."""


@dataclass
class Attached:
    """What became of a box file."""

    regions: int = 0
    """Regions whose image is in the folder and whose label means a finding."""
    images: int = 0
    """Images that they lie on."""
    findings: int = 0
    phrases: int = 0
    """Stretches of reports that now point at them."""
    elsewhere: int = 0
    """Regions on images that are not in the folder."""
    crowded: int = 0
    """Places left out because their image had 16 already."""
    unmapped: Counter[str] = field(default_factory=Counter)
    """Labels that mean none of FINDINGS, with the number of their regions in the folder."""
    manifest_sha256: str = ""


def attach(prepared: Path, box_file: Path, originals: Path | None = None) -> Attached:
    """Add a box file's regions to the studies of a prepared folder, or nothing at all.

    Findings and phrases that were there stay. Boxes of one phrase that overlap by half are one
    place: their mean. The manifest is streamed.

    Args:
        originals: where the images are that the boxes were drawn on; needed for box files that do
            not say how large those are (VinDr-CXR).

    Raises:
        DataError: no prepared folder, or one that was not finished; no box file; one that is
            attached already; no image or no label in common; a box beyond its image, or drawn
            on one of another shape; sizes that are not stated, and no `originals`.
    """
    regions = read_boxes(box_file)
    with box_file.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    note = prepared_note(prepared)
    if any(known["sha256"] == digest for known in note.get("boxes", [])):
        raise DataError(f"{box_file.name} is attached already: there is nothing to do")
    done = Attached()
    by_image: dict[str, list[Region]] = {}
    for region in regions:
        by_image.setdefault(region.image, []).append(region)
    sizes = _Sizes(originals, {region.image for region in regions if region.size is None})
    done.manifest_sha256 = write_studies(prepared, _attached(prepared, by_image, sizes, done))
    note["boxes"] = [*note.get("boxes", []), {"file": box_file.name, "sha256": digest}]
    if box_file.name in (again := note.pop("boxes_again", [])):
        again.remove(box_file.name)
    if again:
        note["boxes_again"] = again
    write_json(prepared / "prepared.json", {**note, "manifest_sha256": done.manifest_sha256})
    return done


def prepared_note(prepared: Path) -> dict[str, Any]:
    """What prepared.json says of a folder that was finished.

    Raises:
        DataError: no prepared folder, or one whose run was interrupted.
    """
    manifest = manifest_hash(prepared)
    path = prepared / "prepared.json"
    try:
        note: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = note.get("manifest_sha256")
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{path.name} of {str(prepared)!r} cannot be read: {error}") from error
    if known != manifest:
        raise DataError(
            f"studies.jsonl of {str(prepared)!r} is not what prepared.json describes: a run was "
            "interrupted, so prepare the folder again first"
        )
    return note


def _attached(
    prepared: Path, by_image: dict[str, list[Region]], sizes: "_Sizes", done: Attached
) -> Iterator[Study]:
    """The studies with their boxes; raises at the end where there were none."""
    met: set[str] = set()
    names: list[str] = []
    for study in read_studies(prepared):
        for number, image in enumerate(study.images):
            if image.source is None or image.prior:
                continue
            names += [image.source][: SHOWN - len(names)]
            regions = by_image.get(image.source, [])
            if regions:
                met.add(image.source)
                before = len(study.findings)
                study = _with_regions(study, number, regions, sizes, done)
                done.images += len(study.findings) > before
        yield study
    done.elsewhere = sum(len(regions) for name, regions in by_image.items() if name not in met)
    if not met:
        raise DataError(
            f"no image of the box file is in the folder: it names {_shown(by_image)}, the "
            f"folder has {_shown(names)}: take the box file of the data set that was prepared"
        )
    if not done.findings:
        raise DataError(
            f"no label of the box file means a known finding: it has {_shown(done.unmapped)}"
        )


def _shown(names: Iterable[str]) -> str:
    some = [repr(name) for name, _ in zip(names, range(SHOWN), strict=False)]
    return ", ".join(some) or "none with a name"


def _with_regions(
    study: Study, number: int, regions: list[Region], sizes: "_Sizes", done: Attached
) -> Study:
    findings = list(study.findings)
    spans: dict[tuple[int, int], list[int]] = {}
    room = MOST - sum(finding.image == number for finding in findings)
    for region in regions:
        name = FINDING_OF.get(region.label.replace("_", " ").lower())
        if name is None:
            done.unmapped[region.label] += 1
            continue
        done.regions += 1
        side, zone = _place(region.phrase, name)
        places = _places(region, study.images[number], sizes)
        done.crowded += max(0, len(places) - room)
        own = []
        for box in places[:room]:
            own.append(len(findings))
            findings.append(Finding(name, None, side, zone, box, number))
        room -= len(own)
        done.findings += len(own)
        said = _spans(study.report, region.phrase) if own else []
        if own and not said and study.labels is not None:
            # Sentences made of labels have words of their own for what the box file names.
            said = [(e.start, e.end) for e in read_findings(study.report) if e.name == name]
        for span in said:
            spans.setdefault(span, []).extend(own)
    done.phrases += len(spans)
    # What stands on two images is said once.
    known = {(phrase.start, phrase.end): phrase for phrase in study.phrases}
    for span, own in spans.items():
        before = known[span].findings if span in known else ()
        known[span] = Phrase(*span, (*before, *own))
    phrases = list(known.values())
    phrases.sort(key=lambda phrase: (phrase.start, phrase.end))
    return replace(study, findings=tuple(findings), phrases=tuple(phrases))


def _place(phrase: str, name: str) -> tuple[str | None, str | None]:
    """Side and zone where the phrase says one and the same for the finding; else None."""
    assertions = [each for each in read_findings(phrase) if each.name == name]
    sides = {side for each in assertions for side in each.sides}
    zones = {each.zone for each in assertions}
    return (
        next(iter(sides)) if len(sides) == 1 else None,
        next(iter(zones)) if len(zones) == 1 else None,
    )


def _spans(report: str, phrase: str) -> list[tuple[int, int]]:
    """Where the report says the phrase, but does not deny it: "effusion" in "no effusion"."""
    words = phrase.strip(" \t\n.,;:").split()
    if not words:
        return []
    joined = r"\s+".join(map(re.escape, words))
    pattern = rf"(?<!\w){joined}(?!\w)"
    denials = read_denials(report)
    return [
        match.span()
        for match in re.finditer(pattern, report, re.IGNORECASE)
        if not any(denial.start < match.end() and match.start() < denial.end for denial in denials)
    ]


def _places(region: Region, image: Image, sizes: "_Sizes") -> list[tuple[int, int, int, int]]:
    """The region's places in pixels of the prepared image; x1 and y1 exclusive."""
    width, height = region.size or sizes.of(region.image)
    if region.size != (1, 1):
        # The prepared image is the whole original, made smaller and rounded to pixels.
        ratio = max(image.width, image.height) / max(width, height)
        if math.dist((width * ratio, height * ratio), (image.width, image.height)) > SLACK:
            raise DataError(
                f"the boxes of {region.image!r} were drawn on {width} x {height} pixels, the "
                f"prepared image has {image.width} x {image.height}: another image has "
                "this name"
            )
    across, down = image.width / width, image.height / height
    return [
        _within(region, image, (x0 * across, y0 * down, x1 * across, y1 * down))
        for x0, y0, x1, y1 in _merged(region.boxes)
    ]


def _within(region: Region, image: Image, box: Box) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = box
    if min(x0, y0) < -SLACK or x1 > image.width + SLACK or y1 > image.height + SLACK:
        raise DataError(
            f"a box of {region.label!r} on {region.image!r} lies beyond the image: at "
            f"{[round(edge) for edge in box]} of {image.width} x {image.height} as prepared"
        )
    left = min(max(math.floor(x0), 0), image.width - 1)
    top = min(max(math.floor(y0), 0), image.height - 1)
    right = max(min(math.ceil(x1), image.width), left + 1)
    bottom = max(min(math.ceil(y1), image.height), top + 1)
    return left, top, right, bottom


def _merged(boxes: Iterable[Box]) -> list[Box]:
    """Boxes that overlap the first of their group by SAME become the group's mean."""
    groups: list[list[Box]] = []
    for box in boxes:
        group = next((group for group in groups if _overlap(group[0], box) >= SAME), None)
        if group is None:
            groups.append([box])
        else:
            group.append(box)
    return [
        (
            mean(box[0] for box in group),
            mean(box[1] for box in group),
            mean(box[2] for box in group),
            mean(box[3] for box in group),
        )
        for group in groups
    ]


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    common = max(across, 0) * max(down, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return common / (sum(areas) - common)


class _Sizes:
    """(width, height) of original images that their box file does not tell."""

    def __init__(self, originals: Path | None, images: set[str]) -> None:
        self._paths: dict[str, Path] | None = None
        if originals is not None:
            self._paths = {
                path.stem: originals / path
                for path in (files_below(originals) if images else ())
                if path.suffix.lower() in IMAGE_ENDINGS and path.stem in images
            }

    def of(self, image: str) -> tuple[int, int]:
        if self._paths is None:
            raise DataError(
                "the box file does not say how large the images are that it was drawn on: name "
                "their folder with --originals"
            )
        if image not in self._paths:
            raise DataError(
                f"the image {image!r} is not in the folder of originals, whose size the boxes "
                "need: name the folder that holds it"
            )
        height, width = read_image_isolated(self._paths[image]).pixels.shape
        return width, height
