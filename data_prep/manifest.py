"""The manifest: what a prepared folder holds, one JSON line a study.

    prepared/
      studies.jsonl     one Study a line, in order of id
      images/           one grayscale PNG an image, longest side as prepared
      masks/            one 16-bit PNG an image with findings: bit k is FINDINGS[k] (phantom only)
      tokenizer.json    trained on the train split only
      prepared.json     how it was made, and the SHA-256 of studies.jsonl

Paths are relative to the folder, with forward slashes. Boxes are (x0, y0, x1, y1) in pixels of the
prepared image, x1 and y1 exclusive. Sides are the patient's: right lies on an image's left.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.errors import DataError

__all__ = [
    "FINDINGS",
    "IN_LUNGS",
    "SPLITS",
    "Finding",
    "Image",
    "Phrase",
    "Study",
    "manifest_hash",
    "parse_study",
    "read_studies",
    "study_line",
    "write_studies",
]

FINDINGS = (
    "opacity",
    "pleural_effusion",
    "pneumothorax",
    "cardiomegaly",
    "edema",
    "atelectasis",
    "nodule",
    "rib_fracture",
    "hyperinflation",
    "hiatal_hernia",
    "endotracheal_tube",
    "central_line",
    "pacemaker",
)
IN_LUNGS = frozenset({"opacity", "pleural_effusion", "pneumothorax", "edema", "atelectasis",
                      "nodule", "hyperinflation"})  # fmt: skip
"""Of FINDINGS, those that show on lungs and pleura."""
SPLITS = ("train", "validate", "test")
LATER = ("prior", "source", "pixels", "indication", "comparison", "patient", "labels", "places",
         "absent", "weak")  # fmt: skip
"""Fields that are not written where they say nothing: the hashes of folders without them stay."""


@dataclass(frozen=True)
class Finding:
    """One finding at one place. A bilateral effusion is two findings."""

    name: str
    """One of FINDINGS."""
    severity: str | None
    """"mild", "moderate" or "severe"; None for devices, fractures and hernias."""
    side: str | None
    """The patient's "right" or "left"; None for what lies in the middle or has no side."""
    zone: str | None
    """"upper", "mid" or "lower" third of the lung; None where it does not apply."""
    box: tuple[int, int, int, int]
    image: int = 0
    """Which of the study's images the box lies on."""
    absent: bool = False
    """True: it is not there, and the box is where it would show."""
    weak: bool = False
    """True: weakly localized, it lies somewhere in the box (of that, where the mask shows it)."""


@dataclass(frozen=True)
class Phrase:
    """A span of the report's text that speaks of findings which are there."""

    start: int
    end: int
    findings: tuple[int, ...]
    """Positions in Study.findings; several for "bilateral effusions"."""


@dataclass(frozen=True)
class Image:
    path: str
    width: int
    height: int
    view: str | None
    """"PA", "AP", "LATERAL" or None where unknown."""
    mask: str | None = None
    prior: bool = False
    """True: of an earlier study of the same patient, for comparison."""
    source: str | None = None
    """What the data set calls the image, without folders and ending: box files name it so."""
    pixels: str | None = None
    """SHA-256 of the prepared pixels: equal images have equal ones."""


@dataclass(frozen=True)
class Study:
    id: str
    split: str
    images: tuple[Image, ...]
    report: str
    """The target text: "Findings: ... Impression: ..."; empty where only labels are known."""
    findings: tuple[Finding, ...] = ()
    phrases: tuple[Phrase, ...] = ()
    indication: str = ""
    """Why the images were taken, as the request or the report says; empty where unknown."""
    comparison: str = ""
    """What the report says it compares with; empty where it says nothing."""
    patient: str | None = None
    """What the data set calls the patient; None where it does not say."""
    labels: dict[str, int] | None = None
    """Of labeled images: 1 present, 0 absent, -1 uncertain; a label not spoken of is missing."""
    places: tuple[Finding, ...] = ()
    """Where findings that are absent would show; a bilateral one has two places."""


def write_studies(folder: Path, studies: Iterable[Study]) -> str:
    """Write studies.jsonl whole or not at all; returns its SHA-256."""
    temporary = folder / "studies.jsonl.part"
    with temporary.open("w", encoding="utf-8", newline="\n") as out:
        for study in studies:
            out.write(study_line(study) + "\n")
    temporary.replace(folder / "studies.jsonl")
    return manifest_hash(folder)


def read_studies(folder: Path, split: str | None = None) -> Iterator[Study]:
    """Stream the studies of a prepared folder, of one split or of all.

    Raises:
        DataError: no manifest there, or a line that is not a study.
    """
    path = _manifest(folder)
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                study = parse_study(line)
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(f"{path.name} line {number} is not a study: {error!r}") from error
            if split is None or study.split == split:
                yield study


def study_line(study: Study) -> str:
    """One line of the manifest, the same on every machine."""
    fields = asdict(study)
    parts = [(Study, fields), *((Image, image) for image in fields["images"])]
    parts += [(Finding, finding) for finding in (*fields["findings"], *fields["places"])]
    for of_whom, optional in parts:
        for name in LATER:
            if name in optional and optional[name] == getattr(of_whom, name):
                del optional[name]
    return json.dumps(fields, ensure_ascii=False, sort_keys=True)


def parse_study(line: str) -> Study:
    """The study that `study_line` wrote.

    Raises:
        KeyError, TypeError, ValueError: not such a line.
    """
    fields = json.loads(line)
    findings = [_finding(each) for each in fields.pop("findings")]
    places = [_finding(each) for each in fields.pop("places", ())]
    phrases = [Phrase(**{**p, "findings": tuple(p["findings"])}) for p in fields.pop("phrases")]
    images = [Image(**p) for p in fields.pop("images")]
    return Study(
        **fields,
        images=tuple(images),
        findings=tuple(findings),
        phrases=tuple(phrases),
        places=tuple(places),
    )


def _finding(fields: dict[str, Any]) -> Finding:
    return Finding(**{**fields, "box": tuple(fields["box"])})


def manifest_hash(folder: Path) -> str:
    """SHA-256 of studies.jsonl, the identity of a prepared folder.

    Raises:
        DataError: no manifest there.
    """
    with _manifest(folder).open("rb") as manifest:
        return hashlib.file_digest(manifest, "sha256").hexdigest()


def _manifest(folder: Path) -> Path:
    path = folder / "studies.jsonl"
    if not path.is_file():
        raise DataError(f"no studies.jsonl in {str(folder)!r}: make it with `crossray prepare`")
    return path
