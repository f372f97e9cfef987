"""`crossray batch`: every study below a folder gets a report, and no bad file stops the others."""

import hashlib
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from app.api.answers import answer, section_text
from app.batch.grouping import Source, find_files, read_source, relative_name
from app.batch.indications import match_indications, read_indications
from app.batch.results import BatchImage, Record, Results, Unused
from app.overlays import sheet
from app.views import MAX_IMAGES, image_name
from model.errors import (
    ConfigError,
    DataError,
    ImageError,
    NotARadiograph,
    UnsupportedImage,
)
from model.exam import Exam
from model.generator import ReportGenerator
from model.imaging.radiograph import Radiograph
from model.imaging.sandbox import read_image_isolated
from model.report import Report

__all__ = ["Outcome", "Unread", "run_batch"]

log = logging.getLogger("crossray.batch")

IMAGE_ENDINGS = {".dcm", ".dicom", ".png", ".jpg", ".jpeg"}
TOO_MANY = "not read: a report is made from at most {} images of one study"
DECODERS = 2


@dataclass(frozen=True)
class Unread:
    """A file that no report was made from."""

    name: str
    """Relative to the input folder."""
    status: str
    """"skipped" or "failed"."""
    reason: str


@dataclass
class Outcome:
    """What a run came to."""

    done: int = 0
    """Studies reported in this run."""
    kept: int = 0
    """Studies an earlier run had finished."""
    concerned: int = 0
    """Of both, studies with a warning about an image."""
    flagged: int = 0
    """Of both, studies with something to check first."""
    unread: list[Unread] = field(default_factory=list)
    unmatched: list[int] = field(default_factory=list)
    """Rows of the indications that belong to no study, as a spreadsheet counts them."""

    @property
    def failed(self) -> bool:
        return any(file.status == "failed" for file in self.unread)


@dataclass
class _Study:
    key: str
    sources: list[Source] = field(default_factory=list)
    """Copies of one file count once."""
    names: list[str] = field(default_factory=list)
    """Of all files, the copies too."""
    indication: str = ""
    images: list[tuple[Source, Radiograph]] = field(default_factory=list)
    unused: list[Unused] = field(default_factory=list)

    @property
    def sha256(self) -> tuple[str, ...]:
        return tuple(sorted(source.sha256 for source in self.sources))

    @property
    def indication_sha256(self) -> str:
        return hashlib.sha256(self.indication.encode()).hexdigest() if self.indication else ""

    @property
    def exam(self) -> Exam:
        return Exam([radiograph for _, radiograph in self.images], self.indication)


def run_batch(
    generator: ReportGenerator,
    source: Path,
    out: Path,
    batch_size: int = 4,
    redo: bool = False,
    input_check: bool = True,
    indications: Path | None = None,
) -> Outcome:
    """Write a report for every study below a folder that has none yet.

    Args:
        batch_size: studies the model reads at once.
        redo: do again what is already there, and what another model wrote.
        input_check: refuse what the input check refuses; else its reasons are listed as warnings.
        indications: a CSV file, see app/batch/indications.py.

    Returns:
        What was done; OUT/summary.csv tells the same, file by file.

    Raises:
        DataError: the input folder is not there or holds no file; the indications are wrong.
        ConfigError: the output folder cannot be used; the model reads no indications.
        CrossRayError: the output could not be written; everything finished before is kept.
    """
    if out.resolve() == source.resolve():
        raise ConfigError("the output folder is the input folder: name another with -o")
    if indications is not None and not generator.model.config.prompt_tokens:
        raise ConfigError("this model was trained without indications: leave --indications out")
    rows = read_indications(indications) if indications is not None else []
    paths, unlisted = find_files(source, without=out)
    if not paths and not unlisted:
        raise DataError(f"no file is below the input folder {str(source)!r}")
    results = Results(out)
    with results.opened(generator.identity, redo):
        outcome = Outcome(unread=[_unlisted(error, source) for error in unlisted])
        studies = _grouped(paths, source, outcome)
        told, outcome.unmatched = match_indications(rows, ((s.key, s.names) for s in studies))
        for study in studies:
            study.indication = told.get(study.key, "")
        names = {s.sha256: s.name for study in studies for s in reversed(study.sources)}
        records = []
        for record, is_new in _records(generator, results, studies, batch_size, input_check):
            records.append(record)
            outcome.done += is_new and bool(record.images)
            outcome.kept += not is_new and bool(record.images)
            outcome.concerned += bool(record.warnings)
            outcome.flagged += bool(record.review)
            outcome.unread += [Unread(names[f.sha256], f.status, f.reason) for f in record.unused]
        outcome.unread.sort(key=lambda file: file.name)
        results.write_summary(_rows(records, studies, outcome, generator.identity.sha256))
    return outcome


def _unlisted(error: OSError, folder: Path) -> Unread:
    name = relative_name(Path(error.filename), folder)
    return Unread(name, "failed", f"the folder cannot be listed: {error.strerror}")


def _grouped(paths: Sequence[Path], folder: Path, outcome: Outcome) -> list[_Study]:
    """Studies in the order of their first file; copies of one file in a study count once."""
    studies: dict[str, _Study] = {}
    for path in tqdm(paths, desc="Looking", unit="file"):
        try:
            source = read_source(path, folder)
        except OSError as error:
            reason = f"cannot be opened: {error.strerror}"
            outcome.unread.append(Unread(relative_name(path, folder), "failed", reason))
            continue
        study = studies.setdefault(source.study, _Study(source.study))
        study.names.append(source.name)
        if source.sha256 not in study.sha256:
            study.sources.append(source)
    return list(studies.values())


def _records(
    generator: ReportGenerator,
    results: Results,
    studies: Sequence[_Study],
    batch_size: int,
    input_check: bool,
) -> Iterator[tuple[Record, bool]]:
    """Each study's record, and whether this run made it."""
    missing = []
    for study in studies:
        record = results.finished(study.key, study.sha256, study.indication_sha256)
        if record is None:
            missing.append(study)
        else:
            yield record, False
    with tqdm(total=len(missing), desc="Reporting", unit="study") as bar:
        decoded = _decoded(generator, missing, ahead=batch_size + DECODERS)
        for batch in _batches(decoded, batch_size):
            reports = _reports(generator, [study for study in batch if study.images], input_check)
            for study in batch:
                yield _finish(generator, results, study, reports.get(study.key)), True
                bar.update()


def _batches(studies: Iterable[_Study], size: int) -> Iterator[list[_Study]]:
    remaining = iter(studies)
    while batch := list(islice(remaining, size)):
        yield batch


def _decoded(generator: ReportGenerator, studies: Sequence[_Study], ahead: int) -> Iterator[_Study]:
    """The studies with their images read, some ahead of the model but never all in memory."""
    waiting: deque[Future[_Study]] = deque()
    with ThreadPoolExecutor(DECODERS) as pool:
        for study in studies:
            waiting.append(pool.submit(_decode, generator, study))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _decode(generator: ReportGenerator, study: _Study) -> _Study:
    limit = min(MAX_IMAGES, generator.model.config.images_per_study or MAX_IMAGES)
    for source in study.sources:
        if len(study.images) == limit:
            study.unused.append(Unused(source.sha256, "skipped", TOO_MANY.format(limit)))
            continue
        try:
            radiograph = read_image_isolated(source.path)
        except ImageError as error:
            study.unused.append(Unused(source.sha256, _status(source, error), str(error)))
        except Exception as error:
            # The batch's broad catch, here and twice below: a fault of ours must not cost the
            # other studies.
            study.unused.append(_fault(source, error))
        else:
            if reason := generator.why_unread(radiograph.view):
                study.unused.append(Unused(source.sha256, "skipped", reason))
            else:
                study.images.append((source, radiograph))
    study.images.sort(key=lambda image: image[1].view == "LATERAL")
    return study


def _status(source: Source, error: ImageError) -> str:
    """A text file is skipped; one that calls itself an image and is none is a bad file."""
    if isinstance(error, NotARadiograph):
        return "skipped"
    stray = isinstance(error, UnsupportedImage)
    return "skipped" if stray and source.path.suffix.lower() not in IMAGE_ENDINGS else "failed"


def _give_up(study: _Study, error: Exception) -> None:
    """List every file that the report would have been made from as failed."""
    listed = {file.sha256 for file in study.unused}
    left = [source for source in study.sources if source.sha256 not in listed]
    if isinstance(error, DataError):
        study.unused += [Unused(source.sha256, "failed", str(error)) for source in left]
    else:
        study.unused += [_fault(source, error) for source in left]


def _fault(source: Source, error: Exception) -> Unused:
    log.error("a study failed", exc_info=error)
    return Unused(source.sha256, "failed", f"CrossRay's own fault: {type(error).__name__}")


def _reports(
    generator: ReportGenerator, studies: Sequence[_Study], input_check: bool
) -> dict[str, Report]:
    """Reports by study key; where the batch fails as a whole, its studies are tried one by one."""
    if not studies:
        return {}
    try:
        reports = generator.reports([study.exam for study in studies], input_check=input_check)
        return {study.key: report for study, report in zip(studies, reports, strict=True)}
    except Exception as error:
        if len(studies) > 1:
            alone = (_reports(generator, [study], input_check) for study in studies)
            return {key: report for reports in alone for key, report in reports.items()}
        _give_up(studies[0], error)
        return {}


def _finish(
    generator: ReportGenerator, results: Results, study: _Study, report: Report | None
) -> Record:
    """Write one study's files and record, and let go of its pixels."""
    files: dict[str, bytes] = {}
    if report is not None:
        try:
            told = answer(report, generator.notice)
            drawn = sheet(report, study.exam.shown)
            files = {"report.json": told.model_dump_json(indent=1).encode(), "heatmaps.png": drawn}
        except Exception as error:
            _give_up(study, error)
            report = None
    record = Record(
        study=study.key,
        sha256=study.sha256,
        indication=study.indication_sha256,
        images=tuple(BatchImage(s.sha256, r.view) for s, r in study.images) if report else (),
        findings=section_text(report, "findings") if report else "",
        impression=section_text(report, "impression") if report else "",
        warnings=_warnings(report) if report else (),
        review=tuple(f"{flag.code}: {flag.message}" for flag in report.review) if report else (),
        unused=tuple(study.unused),
    )
    results.write(record, files)
    study.images = []
    return record


def _warnings(report: Report) -> tuple[str, ...]:
    """Each warning with its code, and of several images with the image's number."""
    several = len(report.warnings) > 1
    return tuple(
        f"image {number}, {warning.code}: {warning.message}"
        if several
        else f"{warning.code}: {warning.message}"
        for number, warnings in enumerate(report.warnings, 1)
        for warning in warnings
    )


def _rows(
    records: Sequence[Record], studies: Sequence[_Study], outcome: Outcome, model: str
) -> Iterator[dict[str, object]]:
    """summary.csv: the studies with a report, then the files without."""
    names = {study.key: {s.sha256: s.name for s in study.sources} for study in studies}
    keys = {s.name: study.key for study in studies for s in study.sources}
    for record in records:
        if not record.images:
            continue
        yield {
            "study": record.study,
            "status": "done",
            "sources": "\n".join(names[record.study][file.sha256] for file in record.images),
            "images": len(record.images),
            "views": "\n".join(image_name(file.view, False) for file in record.images),
            "findings": record.findings,
            "impression": record.impression,
            "warnings": "\n".join(record.warnings),
            "review": "\n".join(record.review),
            "model": model,
        }
    for file in outcome.unread:
        yield {
            "study": keys.get(file.name, ""),
            "status": file.status,
            "sources": file.name,
            "reason": file.reason,
        }
