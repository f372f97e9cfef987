"""Studies as a data set's reader tells them -> a prepared folder, in several processes.

    OUT/ledger.sqlite     what is planned and done: an interrupted run, started again, does the rest
    OUT/left_out.csv      studies that are not in the manifest, and why
    OUT/bad_pictures.csv  files that could not be read, and why
    OUT/duplicates.csv    pictures with equal pixels in different studies

First the plan is made of the whole data set: what is wrong with its tables, its splits or the
download is told before a picture is opened. Then pictures are made, and at last the manifest is
written from the ledger. It is the same on every machine and with every number of processes.
"""

import hashlib
import os
import signal
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path

import cv2
from tqdm import tqdm

from data_prep.ledger import Ledger, LeftOut, Planned
from data_prep.output import claim, write_csv, write_json
from data_prep.pictures import NOT_THERE, Job, Outcome, write_pictures
from data_prep.source import SourcePicture, SourceStudy
from data_prep.split import split_by_hash
from data_prep.study import SPLITS, Study, read_studies, write_studies
from data_prep.text import TARGETS, target, without_marks
from data_prep.tokenizer import train_tokenizer
from model.errors import ConfigError, DataError

__all__ = ["SPLIT_RULES", "ImportOptions", "ImportSummary", "import_studies"]

SMALLEST, LARGEST = 64, 2048
SPLIT_RULES = ("given", "standard", "patient")
CHUNK = 16
"""Studies a process is given at once, and that are written to the ledger together."""
AHEAD = 3
"""Chunks a process that are handed out but not yet written."""
OUTSIDE = "leads out of the data set's folder"
NOT_TEXT = "the name is not UTF-8: rename the file"
NO_REPORT = "no report in the wanted sections"
NOT_NAMED = "no picture is named"
NOT_IN_SPLIT = "not in the standard split"


@dataclass(frozen=True)
class ImportOptions:
    """What a prepared folder follows from, beside the data set."""

    size: int = 512
    """Longest side of a prepared picture in pixels; smaller ones stay as they are."""
    pictures: int = 2
    """At most so many of a study: the best frontal, the best lateral, then others. 1: a frontal."""
    target: str = "both"
    """Which sections a model is to write: "both", "findings" or "impression"."""
    prior: bool = False
    """Add the best frontal picture of the patient's latest earlier study."""
    split: str = "given"
    """"given": as the data set says, by hash where it says nothing. "standard": as it says, other
    studies are left out. "patient": all by hash."""
    seed: int = 0
    """Of the split by hash."""

    def __post_init__(self) -> None:
        if not SMALLEST <= self.size <= LARGEST:
            raise ConfigError(f"size must be {SMALLEST} to {LARGEST} pixels, got {self.size}")
        if self.pictures < 1:
            raise ConfigError(f"pictures must be at least 1, got {self.pictures}")
        if self.target not in TARGETS:
            raise ConfigError(f"target is one of {', '.join(TARGETS)}, got {self.target!r}")
        if self.split not in SPLIT_RULES:
            raise ConfigError(f"split is one of {', '.join(SPLIT_RULES)}, got {self.split!r}")


@dataclass
class ImportSummary:
    """What a run came to."""

    studies: dict[str, int] = field(default_factory=dict)
    """In the manifest, by split."""
    earlier: int = 0
    """Of all planned studies, those that an earlier run had done."""
    pictures: int = 0
    """In the manifest, without those of prior studies."""
    views: dict[str, int] = field(default_factory=dict)
    """Of these, by view; "unknown" where neither data set nor file says."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Studies by reason."""
    bad_pictures: int = 0
    duplicates: int = 0
    """Groups of pictures with equal pixels in different studies."""
    across_splits: int = 0
    """Of these, groups of which two pictures are in different splits."""
    manifest_sha256: str = ""


def import_studies(
    out: Path,
    asked: dict,
    source: Path,
    studies: Iterable[SourceStudy],
    options: ImportOptions = ImportOptions(),
    workers: int | None = None,
    progress: bool = True,
) -> ImportSummary:
    """Prepare a data set's studies in `out`. Run again, it does what is missing, new or failed.

    Args:
        out: the folder to write, outside of the data set's.
        asked: which data set, and its own settings; goes into prepared.json beside the options.
        source: the data set's folder.
        studies: what its reader tells; read once, never held in memory.
        workers: processes; one a processor if not given.

    Raises:
        ConfigError: `out` lies in `source`.
        DataError: `out` holds something else; a reader's error; two studies with one id; a patient
            in two splits; most pictures are not there; nothing, or nothing to train on, is left.
            What was prepared before is kept.
    """
    if out.resolve().is_relative_to(source.resolve()):
        raise ConfigError(f"{str(out)!r} lies in the data set's folder: name one outside of it")
    asked = {**asked, **asdict(options)}
    claim(out, asked, ("images",))
    with Ledger.opened(out / "ledger.sqlite") as ledger:
        ledger.plan(_planned(_watched(studies, progress), source, options))
        write_json(out / "prepared.json", asked)
        ledger.forget_lost(out)
        earlier = _make_pictures(
            ledger, Job(out, source, options.size, options.pictures), workers, progress
        )
        digest = write_studies(out, ledger.studies(options.prior))
        summary = _summarize(out, ledger)
    summary.earlier, summary.manifest_sha256 = earlier, digest
    reports = (study.report for study in read_studies(out, "train"))
    if not summary.studies["train"]:
        raise _no_train(summary.left_out)
    train_tokenizer(reports).save(str(out / "tokenizer.json"))
    write_json(out / "prepared.json", {**asked, "manifest_sha256": digest})
    return summary


def _watched(studies: Iterable[SourceStudy], progress: bool) -> Iterator[SourceStudy]:
    return tqdm(studies, desc="Planning", unit="study", disable=not progress)


def _planned(
    studies: Iterable[SourceStudy], source: Path, options: ImportOptions
) -> Iterator[Planned | LeftOut]:
    """The plan's entries; when the last is given, what is wrong with all of them is raised."""
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
        named += len(entry.pictures) + len(entry.absent)
        lost += len(entry.absent)
        absent += [name for name, _ in entry.absent[: 1 - len(absent)]]
    if 2 * lost > named:
        raise DataError(
            f"{lost} of {named} pictures are not there, first {absent[0]!r}, looked for in "
            f"{str(source)!r}: finish the download, or name the folder that holds it"
        )
    if not splits["train"]:
        raise _no_train(reasons)


def _no_train(left_out: dict[str, int]) -> DataError:
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
    elif not report:
        reason = NO_REPORT
    elif not study.pictures:
        reason = NOT_NAMED
    if reason:
        return LeftOut(study.id, study.origin, reason)
    if split not in (None, *SPLITS):
        raise DataError(f"{study.origin}: the split {split!r} is none of {', '.join(SPLITS)}")
    there, absent, state = _look(study.pictures, source)
    described = Study(
        id=study.id,
        split=split or split_by_hash(study, options.seed),
        pictures=(),
        report=report,
        indication=without_marks(_plain(study.indication)),
        comparison=without_marks(_plain(study.comparison)),
        patient=study.patient,
        labels=None if study.labels is None else dict(study.labels),
    )
    return Planned(described, study.origin, study.time, there, absent, state)


def _look(
    pictures: Iterable[SourcePicture], source: Path
) -> tuple[tuple[SourcePicture, ...], tuple[tuple[str, str], ...], str]:
    """Which files are there, which are not and why, and what tells whether one of them changes."""
    there = []
    absent = []
    state = []
    for picture in pictures:
        name = picture.path.as_posix()
        if not _is_text(name):
            absent.append((ascii(name), NOT_TEXT))
        elif picture.path.is_absolute() or ".." in picture.path.parts:
            absent.append((name, OUTSIDE))
        else:
            try:
                status = (source / picture.path).stat()
            except (OSError, ValueError):
                absent.append((name, NOT_THERE))
                continue
            there.append(picture)
            state.append(f"{name}\n{picture.view}\n{status.st_size}\n{status.st_mtime_ns}\n")
    return tuple(there), tuple(absent), hashlib.sha256("".join(state).encode()).hexdigest()


def _plain(text: str) -> str:
    """Without halves of surrogate pairs, which JSON may hold and a file of UTF-8 may not."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _is_text(name: str) -> bool:
    return _plain(name) == name


def _make_pictures(ledger: Ledger, job: Job, workers: int | None, progress: bool) -> int:
    """Make what is pending; returns how many studies an earlier run had done."""
    planned, pending = ledger.counts()
    workers = min(workers or os.cpu_count() or 1, max(-(-pending // CHUNK), 1))
    if not pending:
        return planned
    # spawn, not fork: a fork of a process in which OpenCV or torch has started threads can hang
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start_worker)
    bar = tqdm(
        total=planned,
        initial=planned - pending,
        desc="Pictures",
        unit="study",
        disable=not progress,
    )
    waiting: deque[Future[list[Outcome]]] = deque()
    try:
        with bar:
            for tasks in ledger.pending(CHUNK):
                waiting.append(pool.submit(write_pictures, job, tasks))
                if len(waiting) >= AHEAD * workers:
                    _write_down(ledger, waiting.popleft(), bar)
            while waiting:
                _write_down(ledger, waiting.popleft(), bar)
    except BrokenProcessPool as error:
        raise DataError(
            "a process that reads pictures was killed, perhaps for want of memory. What was done "
            "is kept: run the same command again, with fewer --workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
    return planned - pending


def _write_down(ledger: Ledger, future: Future[list[Outcome]], bar: tqdm) -> None:
    outcomes = future.result()
    ledger.record(outcomes)
    bar.update(len(outcomes))


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first process's to answer
    cv2.setNumThreads(1)


def _summarize(out: Path, ledger: Ledger) -> ImportSummary:
    """Count the manifest, and write the lists beside it."""
    summary = ImportSummary(studies=dict.fromkeys(SPLITS, 0))
    views: Counter[str] = Counter()
    for study in read_studies(out):
        summary.studies[study.split] += 1
        views.update(p.view or "unknown" for p in study.pictures if not p.prior)
    summary.views = dict(sorted(views.items()))
    summary.pictures = views.total()
    reasons: Counter[str] = Counter()
    left_out = _counted(ledger.left_out(), reasons)
    write_csv(out / "left_out.csv", ("study", "origin", "reason"), left_out)
    summary.left_out = dict(sorted(reasons.items()))
    bad = ((study, f"./{name}", reason) for study, name, reason in ledger.bad_pictures())
    summary.bad_pictures = write_csv(out / "bad_pictures.csv", ("study", "file", "reason"), bad)
    header = ("group", "study", "split", "picture")
    write_csv(out / "duplicates.csv", header, _duplicates(ledger, summary))
    return summary


def _counted(
    rows: Iterable[tuple[str, str, str]], reasons: Counter[str]
) -> Iterator[tuple[str, str, str]]:
    for row in rows:
        reasons[row[2]] += 1
        yield row


def _duplicates(ledger: Ledger, summary: ImportSummary) -> Iterator[tuple[object, ...]]:
    """Rows of duplicates.csv, groups numbered from 1."""
    for number, (_, group) in enumerate(groupby(ledger.duplicates(), key=lambda row: row[0]), 1):
        splits = set()
        for _, study, split, path in group:
            splits.add(split)
            yield number, study, split, path
        summary.duplicates = number
        summary.across_splits += len(splits) > 1
