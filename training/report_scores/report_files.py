"""Files of reports by study, as people have them: CSV, JSON, JSON lines, R2Gen's, ReXrank's.

What a file is follows from its ending and its first entry, never from its name.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.manifest import read_studies
from data_prep.tables import is_blank, parse_json, read_json, read_rows
from model.errors import DataError

__all__ = ["IDS", "References", "match", "read_predictions", "read_references", "read_reports"]

IDS = ("study_id", "study", "id", "uid", "dicom_id", "case_id", "image_id")
"""What the column of studies is called, the likeliest first."""
GENERATED = ("model_prediction", "prediction", "generated", "hypothesis", "report", "text")
WRITTEN = ("report", "reference", "text")
EITHER = (*GENERATED, "reference")
SECTIONS = (("section_findings", "section_impression"), ("findings", "impression"))
"""ReXrank's names, and those of its examples."""
COLUMNS = (*IDS, *EITHER, *(name for pair in SECTIONS for name in pair))
SPLITS = {"validate": "val"}
"""R2Gen's names of ours."""


@dataclass(frozen=True)
class References:
    """What the studies' reports really say."""

    reports: dict[str, str]
    """By study."""
    train: tuple[str, ...] = ()
    """Reports of the train split that are not scored themselves: rare words and baselines come from
    them."""
    validate: tuple[str, ...] = ()
    """Reports of the validate split, which the constant baseline is chosen on."""


def read_predictions(path: Path) -> dict[str, str]:
    """Generated reports by study.

    A CSV file or JSON lines need a column of IDS and one of GENERATED; a JSON file is {study:
    report}, ReXrank's {study: {"model_prediction": ...}}, or a list of objects as JSON lines have.

    Raises:
        DataError: not readable, no such column, a study twice, no study.
    """
    return _collected(_entries(path, GENERATED), path)


def read_references(path: Path, split: str = "test") -> References:
    """Reference reports by study.

    A prepared folder, R2Gen's annotation.json, ReXrank's file with both sections, or what
    `read_predictions` reads, with one of WRITTEN or both sections as the report.

    Args:
        split: of a prepared folder or annotation.json, which to score against.

    Raises:
        DataError: as `read_predictions`; a split with no study.
    """
    if path.is_dir():
        return _prepared(path, split)
    if path.suffix == ".json":
        content = read_json(path)
        if isinstance(content, dict) and isinstance(content.get("train"), list):
            return _annotation(content, path, split)
    return References(_collected(_entries(path, WRITTEN), path))


def read_reports(path: Path) -> dict[str, str]:
    """All reports of a file or prepared folder by study: generated ones where it has both.

    Raises:
        DataError: as `read_references`.
    """
    content = read_json(path) if path.suffix == ".json" else None
    if path.is_dir() or (isinstance(content, dict) and isinstance(content.get("train"), list)):
        return read_references(path, "all").reports
    return _collected(_entries(path, EITHER), path)


def match(
    predictions: Mapping[str, str], references: References
) -> tuple[list[str], list[str], list[str]]:
    """(studies, generated, written), in the order of the references.

    Raises:
        DataError: an empty report, or a study that only one of both has. Scores of some studies
            are not comparable with those of others, so none is left out silently.
    """
    for there, other, lacking in (
        (predictions, references.reports, "the references lack"),
        (references.reports, predictions, "have no generated report"),
    ):
        missing = [study for study in there if study not in other]
        if missing:
            some = ", ".join(repr(study) for study in missing[:3])
            raise DataError(
                f"{len(missing)} of {len(there)} studies {lacking}, such as {some}: "
                "both files must be of the same studies, called alike (of a prepared folder or "
                "annotation.json --split chooses which)"
            )
    for reports, called in ((predictions, "generated"), (references.reports, "reference")):
        empty = [study for study, text in reports.items() if is_blank(text)]
        if empty:
            raise DataError(
                f"{len(empty)} {called} reports are empty, such as that of {empty[0]!r} "
                f"({reports[empty[0]]!r}): every "
                "score of it would be 0; write what there is, or leave the study out of both files"
            )
    studies = list(references.reports)
    written = list(references.reports.values())
    return studies, [predictions[study] for study in studies], written


def _collected(entries: Iterable[tuple[str, str]], path: Path) -> dict[str, str]:
    reports: dict[str, str] = {}
    for study, report in entries:
        if study in reports:
            raise DataError(f"study {study!r} is twice in {path.name!r}: give it one report")
        if not isinstance(report, str):
            raise DataError(
                f"study {study!r} of {path.name!r} has {str(report)[:60]!r} for a report"
            )
        reports[study] = report
    if not reports:
        raise DataError(f"no reports in {path.name!r}")
    return reports


def _entries(path: Path, names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if path.suffix == ".csv":
        yield from _rows(read_rows(path, known=COLUMNS), path, names)
    elif path.suffix == ".jsonl":
        yield from _rows(_json_lines(path), path, names)
    elif path.suffix == ".json":
        content = read_json(path)
        if isinstance(content, list):
            entries = ((f"{path.name} entry {n}", entry) for n, entry in enumerate(content, 1))
            yield from _rows(entries, path, names)
        elif isinstance(content, dict):
            for study, entry in content.items():
                origin = f"{path.name} study {study!r}"
                yield study, _report(entry, origin, names) if isinstance(entry, dict) else entry
        else:
            raise DataError(f"{path.name!r} is neither a list nor an object")
    else:
        raise DataError(f"{path.name!r}: reports are read from .csv, .json and .jsonl")


def _json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise DataError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name!r} is not UTF-8 text: {error}") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            origin = f"{path.name} line {number}"
            yield origin, parse_json(line, origin)


def _rows(
    rows: Iterable[tuple[str, Any]], path: Path, names: tuple[str, ...]
) -> Iterator[tuple[str, Any]]:
    for origin, row in rows:
        if not isinstance(row, dict):
            raise DataError(f"{origin} is an entry that is no object: {str(row)[:60]!r}")
        key = next((name for name in IDS if name in row), None)
        if key is None:
            raise DataError(
                f"{path.name!r} has no column of studies: {', '.join(map(str, row))} are there, "
                f"one of {', '.join(IDS)} is needed"
            )
        study = str(row[key]).strip()
        if is_blank(study) and not study.isdigit():
            raise DataError(f"{origin} has {row[key]!r} for its study in the column {key!r}")
        yield study, _report(row, origin, names)


def _report(entry: Mapping[str, Any], origin: str, names: tuple[str, ...]) -> Any:
    for name in names:
        if name in entry:
            return entry[name]
    for pair in SECTIONS:
        if names is not GENERATED and pair[0] in entry:
            return " ".join(
                f"{heading}: {text}"
                for heading, text in zip(
                    ("Findings", "Impression"), (entry.get(name) for name in pair), strict=True
                )
                if isinstance(text, str) and text.strip()
            )
    raise DataError(
        f"{origin} has no column of reports: {', '.join(map(str, entry))} are there, one of "
        f"{', '.join(names)} is needed"
    )


def _prepared(folder: Path, split: str) -> References:
    studies = list(read_studies(folder))
    reports = {study.id: study.report for study in studies if split in ("all", study.split)}
    if not reports:
        raise DataError(f"no studies of split {split!r} in {str(folder)!r}")
    train, validate = (
        tuple(s.report for s in studies if s.split == name and s.id not in reports)
        for name in ("train", "validate")
    )
    return References(reports, train, validate)


def _annotation(content: Mapping[str, Any], path: Path, split: str) -> References:
    def of(name: str) -> dict[str, str]:
        entries = content.get(name)
        if not isinstance(entries, list) or not entries:
            raise DataError(
                f"no studies of split {name!r} in {path.name!r}: it has "
                f"{', '.join(map(repr, content))}"
            )
        # MIMIC's has an entry for each image, with an "id" of its own.
        rows = (
            (f"{path.name} {name} entry {n}", {"id": e.get("id"), "report": e.get("report")})
            for n, e in enumerate(map(dict, entries), 1)
        )
        return _collected(_rows(rows, path, ("report",)), path)

    parts = {name: of(name) for name in content if split == "all" or name in ("train", "val")}
    if split == "all":
        return References({study: r for part in parts.values() for study, r in part.items()})
    wanted = SPLITS.get(split, split)
    reports = of(wanted)
    train, validate = (
        tuple(parts.get(name, {}).values()) if name != wanted else () for name in ("train", "val")
    )
    return References(reports, train, validate)
