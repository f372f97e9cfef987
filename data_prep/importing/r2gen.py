"""A prepared folder -> annotation.json in the form of R2Gen (Chen et al. 2020, EMNLP).

R2Gen and its successors read one file for all splits, and images below a folder named apart
(`--image_dir`). Here that folder is images/ of the prepared one.
"""

import json
from pathlib import Path, PurePosixPath
from typing import TextIO

from data_prep.manifest import Study, read_studies
from model.errors import DataError

__all__ = ["export"]

SPLITS = {"train": "train", "validate": "val", "test": "test"}


def export(prepared: Path, path: Path) -> dict[str, int]:
    """Write annotation.json; returns the number of studies in each of R2Gen's splits.

        {"train": [{"id", "study_id", "subject_id", "report", "image_path", "split"}, ...],
         "val": [...], "test": [...]}

    `report` is the target without its headings: R2Gen's own file has the findings alone, so prepare
    with findings alone for numbers to compare with its. `image_path` lists the study's images
    relative to images/ of the prepared folder, as prepared, those of earlier studies left out.
    `subject_id` is absent where no patient is stated. Ids that are numbers are written as numbers.
    Studies are streamed, and the file is written whole or not at all.

    Raises:
        DataError: no manifest there, an image outside of images/, the file cannot be written.
    """
    temporary = path.with_name(f"{path.name}.part")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as out:
            counts = _write(prepared, out)
        temporary.replace(path)
    except OSError as error:
        raise DataError(f"{str(path)!r} cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return counts


def _write(prepared: Path, out: TextIO) -> dict[str, int]:
    counts = {}
    for number, (split, name) in enumerate(SPLITS.items()):
        out.write(f"{',' if number else '{'}\n{json.dumps(name)}: [")
        counts[name] = 0
        for study in read_studies(prepared, split):
            out.write(",\n" if counts[name] else "\n")
            json.dump(_entry(study, name), out, ensure_ascii=False)
            counts[name] += 1
        out.write("\n]")
    out.write("\n}\n")
    return counts


def _entry(study: Study, split: str) -> dict[str, object]:
    report = study.report.removeprefix("Findings: ").removeprefix("Impression: ")
    subject = {} if study.patient is None else {"subject_id": _number(study.patient)}
    return {
        "id": study.id,
        "study_id": _number(study.id),
        **subject,
        "report": report.replace(" Impression: ", " ", 1),
        "image_path": [_below_images(p.path) for p in study.images if not p.prior],
        "split": split,
    }


def _below_images(path: str) -> str:
    try:
        return PurePosixPath(path).relative_to("images").as_posix()
    except ValueError as error:
        raise DataError(
            f"the image {path!r} is not in images/ of the prepared folder, where R2Gen looks for "
            "it: prepare the folder again"
        ) from error


def _number(identity: str) -> int | str:
    """MIMIC-CXR's ids are numbers in R2Gen's file. "007" is none: it would not read back."""
    number = identity.isascii() and identity.isdigit() and identity[:1] != "0"
    return int(identity) if number else identity
