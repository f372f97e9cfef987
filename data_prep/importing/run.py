"""Studies as a data set's reader gives them -> a prepared folder, in several processes.

    OUT/ledger.sqlite     what is planned and done: an interrupted run, started again, does the rest
    OUT/left_out.csv      studies that are not in the manifest, and why
    OUT/bad_images.csv  files that could not be read, and why
    OUT/duplicates.csv    images with equal pixels in different studies

First the plan is made of the whole data set: what is wrong with its tables, its splits or the
download is reported before an image is opened. Then images are made, and at last the manifest is
written from the ledger. It is the same on every machine and with every number of processes.
"""

import os
import signal
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path

import cv2
from tqdm import tqdm

from data_prep.importing.images import Job, Outcome, write_images
from data_prep.importing.ledger import Ledger
from data_prep.importing.planning import DEFAULTS, ImportOptions, no_train, planned
from data_prep.manifest import SPLITS, read_studies, write_studies
from data_prep.output import claim, write_csv, write_json
from data_prep.source import DataSet, SourceStudy
from data_prep.tokenizer import train_tokenizer
from model.errors import ConfigError, DataError

__all__ = ["ImportOptions", "ImportSummary", "import_studies", "named_counts", "summary_text"]

CHUNK = 16
"""Studies a process is given at once, and that are written to the ledger together."""
AHEAD = 3
"""Chunks a process that are handed out but not yet written."""


@dataclass
class ImportSummary:
    """What a run came to."""

    studies: dict[str, int] = field(default_factory=dict)
    """In the manifest, by split."""
    earlier: int = 0
    """Of all planned studies, those that an earlier run had done."""
    images: int = 0
    """In the manifest, without those of prior studies."""
    views: dict[str, int] = field(default_factory=dict)
    """Of these, by view; "unknown" where neither data set nor file says."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Studies by reason."""
    bad_images: int = 0
    duplicates: int = 0
    """Groups of images with equal pixels in different studies."""
    across_splits: int = 0
    """Of these, groups of which two images are in different splits."""
    boxes_again: list[str] = field(default_factory=list)
    """Box files that had been attached: the manifest was written anew, without their boxes."""
    manifest_sha256: str = ""


def import_studies(
    out: Path,
    data_set: DataSet,
    options: ImportOptions = DEFAULTS,
    workers: int | None = None,
    progress: bool = True,
) -> ImportSummary:
    """Prepare a data set's studies in `out`. Run again, it does what is missing, new or failed.

    Args:
        out: the folder to write, outside of the data set's.
        workers: processes; one a processor if not given.

    Raises:
        ConfigError: `out` lies in the data set's folder.
        DataError: `out` holds something else; a reader's error; two studies with one id; a patient
            in two splits; most images are not there; nothing, or nothing to train on, is left.
            What was prepared before is kept.
    """
    if out.resolve().is_relative_to(data_set.folder.resolve()):
        raise ConfigError(f"{str(out)!r} lies in the data set's folder: name one outside of it")
    settings = {**data_set.settings, **asdict(options)}
    known = claim(out, settings, ("images",))
    attached = [each["file"] for each in known.get("boxes", [])]
    again = sorted({*known.get("boxes_again", []), *attached})
    noted = {**settings, "boxes_again": again} if again else settings
    with Ledger.opened(out / "ledger.sqlite") as ledger:
        studies = _watched(data_set.studies, progress)
        ledger.plan(planned(studies, data_set.folder, options))
        write_json(out / "prepared.json", noted)
        ledger.forget_lost(out)
        job = Job(out, data_set.folder, options.size, options.images)
        earlier = _make_images(ledger, job, workers, progress)
        with _written(out):
            digest = write_studies(out, ledger.studies(options.prior))
            summary = _summarize(out, ledger)
            summary.earlier, summary.manifest_sha256 = earlier, digest
            summary.boxes_again = again
            if not summary.studies["train"]:
                raise no_train(summary.left_out)
            reports = (study.report for study in read_studies(out, "train"))
            train_tokenizer(reports).save(str(out / "tokenizer.json"))
            write_json(out / "prepared.json", {**noted, "manifest_sha256": digest})
    return summary


@contextmanager
def _written(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{out.name!r} cannot be written: {error.strerror}. The images that were prepared "
            "are kept: make room and run the same command again"
        ) from error


def _watched(studies: Iterable[SourceStudy], progress: bool) -> Iterator[SourceStudy]:
    result: Iterator[SourceStudy] = tqdm(
        studies, desc="Planning", unit="study", disable=not progress
    )
    return result


def _make_images(ledger: Ledger, job: Job, workers: int | None, progress: bool) -> int:
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
        desc="Images",
        unit="study",
        disable=not progress,
    )
    waiting: deque[Future[list[Outcome]]] = deque()
    try:
        with bar:
            for tasks in ledger.pending(CHUNK):
                waiting.append(pool.submit(write_images, job, tasks))
                if len(waiting) >= AHEAD * workers:
                    _write_down(ledger, waiting.popleft(), bar)
            while waiting:
                _write_down(ledger, waiting.popleft(), bar)
    except BrokenProcessPool as error:
        raise DataError(
            "a process that reads images was killed, perhaps for want of memory. What was done "
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
        views.update(p.view or "unknown" for p in study.images if not p.prior)
    summary.views = dict(sorted(views.items()))
    summary.images = views.total()
    reasons: Counter[str] = Counter()
    left_out = _counted(ledger.left_out(), reasons)
    write_csv(out / "left_out.csv", ("study", "origin", "reason"), left_out)
    summary.left_out = dict(sorted(reasons.items()))
    bad = ((study, f"./{name}", reason) for study, name, reason in ledger.bad_images())
    summary.bad_images = write_csv(out / "bad_images.csv", ("study", "file", "reason"), bad)
    header = ("group", "study", "split", "image")
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


def summary_text(summary: ImportSummary, out: Path) -> str:
    """What a run came to, for people."""
    total = sum(summary.left_out.values())
    lines = [
        f"studies       {named_counts(summary.studies)}; {summary.earlier} from an earlier run",
        f"images        {summary.images}: {named_counts(summary.views)}",
        f"left out      {total}" + (f": {named_counts(summary.left_out)}" if total else ""),
        f"bad images    {summary.bad_images}",
        f"duplicates    {summary.duplicates} groups of equal images in different studies, "
        f"{summary.across_splits} of them across splits",
    ]
    if summary.boxes_again:
        lines.append(
            f"boxes         none: attach {', '.join(summary.boxes_again)} again with "
            "`crossray prepare boxes`"
        )
    return "\n".join(
        [
            *lines,
            f"manifest      SHA-256 {summary.manifest_sha256}",
            f"{out} holds left_out.csv, bad_images.csv and duplicates.csv, which name each",
        ]
    )


def named_counts(numbers: Mapping[str, int]) -> str:
    """{"train": 3, "test": 1} -> "train 3, test 1"."""
    return ", ".join(f"{name} {number}" for name, number in numbers.items())
