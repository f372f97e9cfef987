"""A data set's studies -> the plan of an import: what is prepared, as what, and what is left out.

Opens no image: files are only looked for. What can be known wrong before the long work is reported
here.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from data_prep.importing.images import NOT_THERE
from data_prep.importing.ledger import LeftOut, Planned
from data_prep.importing.split import split_by_hash
from data_prep.manifest import SPLITS, Study
from data_prep.report_text import TARGETS, target, without_marks
from data_prep.source import SourceImage, SourceStudy
from model.errors import ConfigError, DataError

__all__ = ["DEFAULTS", "SPLIT_RULES", "ImportOptions", "no_train", "planned"]

SMALLEST, LARGEST = 64, 2048
SPLIT_RULES = ("given", "standard", "patient")
OUTSIDE = "leads out of the data set's folder"
NOT_TEXT = "the name is not UTF-8: rename the file"
NO_REPORT = "no report in the wanted sections"
NOT_NAMED = "no image is named"
NOT_IN_SPLIT = "not in the standard split"


@dataclass(frozen=True)
class ImportOptions:
    """What a prepared folder follows from, beside the data set."""

    size: int = 512
    """Longest side of a prepared image in pixels; smaller ones stay as they are."""
    images: int = 2
    """At most so many of a study: the best frontal, the best lateral, then others. 1: a frontal."""
    target: str = "both"
    """Which sections a model is to write: "both", "findings" or "impression"."""
    prior: bool = False
    """Add the best frontal image of the patient's latest earlier study."""
    split: str = "given"
    """"given": as the data set says, by hash where it says nothing. "standard": as it says, other
    studies are left out. "patient": all by hash."""
    seed: int = 0
    """Of the split by hash."""

    def __post_init__(self) -> None:
        if not SMALLEST <= self.size <= LARGEST:
            raise ConfigError(f"size must be {SMALLEST} to {LARGEST} pixels, got {self.size}")
        if self.images < 1:
            raise ConfigError(f"images must be at least 1, got {self.images}")
        if self.target not in TARGETS:
            raise ConfigError(f"target is one of {', '.join(TARGETS)}, got {self.target!r}")
        if self.split not in SPLIT_RULES:
            raise ConfigError(f"split is one of {', '.join(SPLIT_RULES)}, got {self.split!r}")


DEFAULTS = ImportOptions()


def planned(
    studies: Iterable[SourceStudy], source: Path, options: ImportOptions
) -> Iterator[Planned | LeftOut]:
    """The plan's entries, one by one: each study, and which of its files are there.

    Raises:
        DataError: when the last entry was given: more than half of the images are not there, or
            no study is left to train on. Before: a reader's error, a split that is none.
    """
    reasons: Counter[str] = Counter()
    splits: Counter[str] = Counter()
    named = 0
    absent: list[str] = []
    lost = 0
    for study in studies:
        entry = _plan_study(study, source, options)
        yield entry
        if isinstance(entry, LeftOut):
            reasons[entry.reason] += 1
            continue
        splits[entry.study.split] += 1
        named += len(entry.images) + len(entry.absent)
        lost += len(entry.absent)
        absent += [name for name, _ in entry.absent[: 1 - len(absent)]]
    if 2 * lost > named:
        raise DataError(
            f"{lost} of {named} images are not there, first {absent[0]!r}, looked for in "
            f"{str(source)!r}: finish the download, or name the folder that holds it"
        )
    if not splits["train"]:
        raise no_train(reasons)


def no_train(left_out: Mapping[str, int]) -> DataError:
    """The error of a folder without a study to train on, by what was left out."""
    reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(left_out.items()))
    return DataError(
        f"no study is left to train on, and a tokenizer needs one (left out: {reasons or 'none'}): "
        "choose another split or other sections"
    )


def _plan_study(study: SourceStudy, source: Path, options: ImportOptions) -> Planned | LeftOut:
    split = study.split if options.split != "patient" else None
    report = target(_plain(study.findings), _plain(study.impression), options.target)
    reason = ""
    if split is None and options.split == "standard":
        reason = NOT_IN_SPLIT
    elif study.reported and not report:
        reason = NO_REPORT
    elif not study.images:
        reason = NOT_NAMED
    if reason:
        return LeftOut(study.id, study.origin, reason)
    if split not in (None, *SPLITS):
        raise DataError(f"{study.origin}: the split {split!r} is none of {', '.join(SPLITS)}")
    there, absent, state = _look(study.images, source)
    described = Study(
        id=study.id,
        split=split or split_by_hash(study, options.seed),
        images=(),
        report=report,
        indication=without_marks(_plain(study.indication), drop=False),
        comparison=without_marks(_plain(study.comparison), drop=False),
        patient=study.patient,
        labels=None if study.labels is None else dict(study.labels),
    )
    return Planned(described, study.origin, study.time, there, absent, state)


def _look(
    images: Iterable[SourceImage], source: Path
) -> tuple[tuple[SourceImage, ...], tuple[tuple[str, str], ...], str]:
    """Which files are there, which are not and why, and what shows whether one of them changes."""
    there = []
    absent = []
    state = []
    for image in images:
        name = image.path.as_posix()
        if not _is_text(name):
            absent.append((ascii(name), NOT_TEXT))
        elif image.path.is_absolute() or ".." in image.path.parts:
            absent.append((name, OUTSIDE))
        else:
            try:
                status = (source / image.path).stat()
            except (OSError, ValueError):
                absent.append((name, NOT_THERE))
                continue
            there.append(image)
            state.append(f"{name}\n{image.view}\n{status.st_size}\n{status.st_mtime_ns}\n")
    return tuple(there), tuple(absent), hashlib.sha256("".join(state).encode()).hexdigest()


def _plain(text: str) -> str:
    """Without halves of surrogate pairs, which JSON may hold and a file of UTF-8 may not."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _is_text(name: str) -> bool:
    return _plain(name) == name
