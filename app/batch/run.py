"""`crossray batch`: every study below a folder gets a report, and no bad file stops the others."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from app.batch.finding_table import parquet
from app.batch.grouping import Study, Unread, find_files, in_shard, relative_name
from app.batch.indications import Row as IndicationRow
from app.batch.indications import match_indications, read_indications
from app.batch.keeping import keeper
from app.batch.locations import Location
from app.batch.output import BatchResults, results_at
from app.batch.plan import Plan, plan_studies
from app.batch.ray_workers import Cluster, RayJob, connected, ray_records
from app.batch.records import Record
from app.batch.rows import IDENTIFIERS, Row, SummaryRows
from app.batch.sharding import Shard
from app.batch.stages import ALL_CHECKS, Checks
from app.batch.summary import put_part, put_summary
from app.batch.writing import write_reports
from app.store_options import StoreOptions
from app.views import image_name
from model.errors import ConfigError, DataError
from model.generator import ReportGenerator
from model.imaging.header import HEAD_BYTES, header_values

__all__ = ["BatchOptions", "Cluster", "Outcome", "run_batch"]

SKIPPED_NAMED = 20
"""Of the skipped files, which may be many; summary.csv has them all."""


@dataclass(frozen=True)
class BatchOptions:
    batch_size: int = 4
    """Studies the model reads at once."""
    redo: bool = False
    """Do again what is already there, and what another model wrote."""
    checks: Checks = ALL_CHECKS
    indications: Path | None = None
    """A CSV file, see app/batch/indications.py."""
    shard: Shard | None = None
    """The part of the studies that is done; None for all."""
    store: StoreOptions | None = None
    """Where the drafts are also kept for the worklist."""
    identifiers: bool = False
    """Write StudyInstanceUID and accession number into the summary."""
    cluster: Cluster | None = None
    """None: this process does it."""
    findings: bool = False
    """Write findings.parquet too; not of a part, their merge does."""


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    done: int = 0
    """Studies reported in this run."""
    kept: int = 0
    """Studies an earlier run had reported."""
    refused: int = 0
    """Studies that a check refuses, in this run or before."""
    warned: int = 0
    """Of those with a report, studies with a warning."""
    flagged: int = 0
    """Of those with a report, studies with something to check first."""
    skipped: int = 0
    """Files that are no radiograph of a view that the model reads."""
    unread: tuple[Unread, ...] = ()
    """Files that no report was made from: the first SKIPPED_NAMED of the skipped ones, then all
    that failed."""
    unmatched: tuple[int, ...] = ()
    """Rows of the indications that belong to no study, as a spreadsheet counts them."""

    @property
    def failed(self) -> bool:
        return any(file.status == "failed" for file in self.unread)


def run_batch(
    generator: ReportGenerator,
    source: Location,
    out: Location,
    options: BatchOptions = BatchOptions(),
) -> Outcome:
    """Write a report for every study below a folder that has none yet.

    Returns:
        What was done; OUT/summary.csv says the same, study by study and file by file. Of a part,
        OUT/shards/ does, until `merge_shards` makes one summary of all.

    Raises:
        DataError: the input folder is not there or holds no file; the indications are wrong.
        ConfigError: the output folder cannot be used; the model reads no indications; a part of
            a batch is to be redone or to write a table; a package is missing.
        CrossRayError: the output could not be written; everything finished before is kept.
    """
    if _address(out) == _address(source):
        raise ConfigError("the output folder is the input folder: name another with -o")
    if options.shard is not None and options.redo:
        raise ConfigError("--redo would undo what other parts have done: name a new output folder")
    if options.shard is not None and options.findings:
        raise ConfigError("a part has no table of its own: use `crossray batch-merge --parquet`")
    if options.cluster is not None and options.store is not None:
        raise ConfigError("the workers of a cluster keep no drafts: leave out --store or --ray")
    arrow = parquet() if options.findings else None
    rows = _indications(generator, options.indications)
    unlisted: list[OSError] = []
    paths = find_files(source, unlisted, without=out)
    first = next(paths, None)
    if first is None and not unlisted:
        raise DataError(f"no file is below the input folder {str(source)!r}")
    results = results_at(out, options.shard)
    with results.opened(generator.identity, options.redo):
        plan = plan_studies(chain(filter(None, [first]), paths), source, options.shard)
        called = ((study.key, study.names) for study in plan.studies()) if rows else ()
        indications, unmatched = match_indications(rows, called)
        asked = options.identifiers
        summary = _Summary(plan, generator.identity.sha256, source if asked else None)
        finished = _finished_before(results, _with_indications(plan, indications), options.checks)
        plan.finish(summary.taken(finished))
        kept = summary.reported
        missing = _with_indications(plan, indications)
        for _ in summary.taken(_new_records(generator, results, missing, len(plan), out, options)):
            pass
        unlisted_files = (_unlisted(error, source) for error in unlisted)
        summary.add_files(plan.unread)
        summary.add_files(f for f in unlisted_files if in_shard(f.name, options.shard))
        if options.shard is None:
            put_summary(results, summary.rows, out, arrow)
        else:
            put_part(results, summary.rows, unmatched, options.shard)
        outcome = summary.outcome(kept)
    # A part cannot tell: the studies of other parts may have them.
    return outcome if options.shard else replace(outcome, unmatched=tuple(unmatched))


class _Summary:
    """The rows of the summary, made from the records as they come."""

    def __init__(self, plan: Plan, model: str, identified: Location | None) -> None:
        """
        Args:
            model: SHA-256 of its weights.
            identified: the input folder, where rows are to name their study; else None.
        """
        self.rows = SummaryRows()
        self.reported = 0
        """Studies with a report so far."""
        self._plan = plan
        self._model = model
        self._identified = identified

    def taken(self, records: Iterable[Record]) -> Iterator[str]:
        """Take in records one by one; gives their studies."""
        for record in records:
            self.reported += record.reported
            if record.images:
                row = self._study_row(record)
                folder = self._identified
                self.rows.add(row if folder is None else {**row, **_identifiers(row, folder)})
            for file in record.unused:
                name = self._plan.name_of(file.stamp)
                self.rows.add(_file_row(Unread(name, file.status, file.reason), record.study))
            yield record.study

    def add_files(self, files: Iterable[Unread]) -> None:
        """Take in files that no study is known of."""
        for file in files:
            self.rows.add(_file_row(file))

    def outcome(self, kept: int) -> Outcome:
        """
        Args:
            kept: studies that an earlier run had reported.
        """
        rows = self.rows
        named = chain(rows.of("skipped", SKIPPED_NAMED), rows.of("failed"))
        return Outcome(
            done=self.reported - kept,
            kept=kept,
            refused=rows.statuses["refused"],
            warned=rows.warned,
            flagged=rows.flagged,
            skipped=rows.statuses["skipped"],
            unread=tuple(
                Unread(*(str(row[name]) for name in ("sources", "status", "reason")))
                for row in named
            ),
        )

    def _study_row(self, record: Record) -> Row:
        """summary.csv: a study whose images were read."""
        return {
            "study": record.study,
            "status": "refused" if record.refusal else "done",
            "sources": "\n".join(self._plan.name_of(image.stamp) for image in record.images),
            "reason": record.refusal,
            "images": len(record.images),
            "views": "\n".join(image_name(image.view, False) for image in record.images),
            "findings": record.findings,
            "impression": record.impression,
            "probabilities": "\n".join(record.probabilities),
            "warnings": "\n".join(record.warnings),
            "review": "\n".join(record.review),
            "model": self._model,
        }


def _with_indications(plan: Plan, indications: Mapping[str, str]) -> Iterator[Study]:
    """The planned studies with their indications, by the study's key."""
    for study in plan.studies():
        yield replace(study, indication=indications.get(study.key, ""))


def _address(location: Location) -> str:
    return str(location.resolve()) if isinstance(location, Path) else str(location).rstrip("/")


def _indications(generator: ReportGenerator, path: Path | None) -> list[IndicationRow]:
    if path is None:
        return []
    if not generator.model.config.prompt_tokens:
        raise ConfigError("this model was trained without indications: leave --indications out")
    return read_indications(path)


def _unlisted(error: OSError, folder: Location) -> Unread:
    name = relative_name(Path(error.filename), folder)
    return Unread(name, "failed", f"the folder cannot be listed: {error.strerror}")


def _finished_before(
    results: BatchResults, studies: Iterable[Study], checks: Checks
) -> Iterator[Record]:
    """Records of earlier runs that hold still.

    What a check refused is tried again only where one is switched off.
    """
    for study in studies:
        record = results.finished(study.key, study.stamps, study.indication_sha256)
        if record is not None and not (record.refusal and checks != ALL_CHECKS):
            yield record


def _new_records(
    generator: ReportGenerator,
    results: BatchResults,
    studies: Iterable[Study],
    total: int,
    out: Location,
    options: BatchOptions,
) -> Iterator[Record]:
    """Each study read, reported on and written, here or on a cluster."""
    size, checks = options.batch_size, options.checks
    with keeper(options.store, total) if options.store else nullcontext() as keep:
        if options.cluster is None:
            made = write_reports(generator, results, studies, size, checks, keep)
        else:
            sha256 = generator.identity.sha256
            job = RayJob(options.cluster, sha256, out, options.shard, size, checks)
            made = ray_records(connected(options.cluster.address), studies, job)
        for record in tqdm(made, desc="Reporting", unit="study", total=total):
            results.remember(record)
            yield record


def _identifiers(row: Row, folder: Location) -> Row:
    """What a row's first file says of its study."""
    with (folder / str(row["sources"]).partition("\n")[0]).open("rb") as file:
        values = header_values(file.read(HEAD_BYTES), tuple(IDENTIFIERS.values()))
    named = {column: values.get(element, "") for column, element in IDENTIFIERS.items()}
    # A spreadsheet would run what begins so.
    return {c: f"'{v}" if v.startswith(("=", "+", "-", "@")) else v for c, v in named.items()}


def _file_row(file: Unread, study: str = "") -> Row:
    """summary.csv: a file without a report."""
    return {"study": study, "status": file.status, "sources": file.name, "reason": file.reason}
