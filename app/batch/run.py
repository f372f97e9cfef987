"""`crossray batch`: every study below a folder gets a report, and no bad file stops the others."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from app.batch.finding_table import FINDINGS, finding_table, parquet
from app.batch.grouping import Study, Unread, find_files, in_shard, relative_name
from app.batch.indications import Row, match_indications, read_indications
from app.batch.keeping import keeper
from app.batch.locations import Location
from app.batch.output import BatchResults, results_at
from app.batch.page import IDENTIFIERS, PAGE, page_content
from app.batch.plan import Plan, plan_studies
from app.batch.ray_workers import Cluster, RayJob, connected, ray_records
from app.batch.records import Record
from app.batch.sharding import Shard
from app.batch.stages import ALL_CHECKS, Checks
from app.batch.summary import sorted_rows, summary_content, summary_name
from app.batch.writing import write_reports
from app.store_options import StoreOptions
from app.views import image_name
from model.errors import ConfigError, DataError
from model.generator import ReportGenerator
from model.imaging.header import HEAD_BYTES, header_values

__all__ = ["BatchOptions", "Cluster", "Outcome", "run_batch"]


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
    unread: tuple[Unread, ...] = ()
    """Files that no report was made from, by name."""
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
        earlier = _finished_before(results, _with_indications(plan, indications), options.checks)
        missing = (one for one in _with_indications(plan, indications) if one.key not in earlier)
        total = len(plan) - len(earlier)
        new = list(_new_records(generator, results, missing, total, out, options))
        records = [*earlier.values(), *new]
        unlisted_files = (_unlisted(error, source) for error in unlisted)
        unread = [file for file in unlisted_files if in_shard(file.name, options.shard)]
        unused = {plan.name_of(u.stamp): (r.study, u) for r in records for u in r.unused}
        keys = {name: study for name, (study, _) in unused.items()}
        unread += [*plan.unread, *(Unread(n, u.status, u.reason) for n, (_, u) in unused.items())]
        outcome = _outcome(new, list(earlier.values()), unread)
        model = generator.identity.sha256
        study_rows = _study_rows(records, plan, model)
        if options.identifiers:
            study_rows = _identified(study_rows, source)
        summary = sorted_rows([*study_rows, *_file_rows(outcome, keys)])
        content = summary_content(summary, unmatched, options.shard)
        results.put(summary_name(options.shard), content)
        if options.shard is None:
            results.put(PAGE, page_content(summary))
        if arrow is not None:
            results.put(FINDINGS, finding_table(arrow, out, summary))
    # A part cannot tell: the studies of other parts may have them.
    return outcome if options.shard else replace(outcome, unmatched=tuple(unmatched))


def _with_indications(plan: Plan, indications: Mapping[str, str]) -> Iterator[Study]:
    """The planned studies with their indications, by the study's key."""
    for study in plan.studies():
        yield replace(study, indication=indications.get(study.key, ""))


def _outcome(new: Sequence[Record], earlier: Sequence[Record], unread: list[Unread]) -> Outcome:
    records = [*earlier, *new]
    return Outcome(
        done=sum(record.reported for record in new),
        kept=sum(record.reported for record in earlier),
        refused=sum(bool(record.refusal) for record in records),
        warned=sum(bool(record.warnings) for record in records),
        flagged=sum(bool(record.review) for record in records),
        unread=tuple(sorted(unread, key=lambda file: file.name)),
    )


def _address(location: Location) -> str:
    return str(location.resolve()) if isinstance(location, Path) else str(location).rstrip("/")


def _indications(generator: ReportGenerator, path: Path | None) -> list[Row]:
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
) -> dict[str, Record]:
    """Records of earlier runs that hold still, by study.

    What a check refused is tried again only where one is switched off.
    """
    records = {}
    for study in studies:
        record = results.finished(study.key, study.stamps, study.indication_sha256)
        if record is not None and not (record.refusal and checks != ALL_CHECKS):
            records[study.key] = record
    return records


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


def _study_rows(records: Sequence[Record], plan: Plan, model: str) -> Iterator[dict[str, object]]:
    """summary.csv: the studies whose images were read."""
    for record in records:
        if not record.images:
            continue
        yield {
            "study": record.study,
            "status": "refused" if record.refusal else "done",
            "sources": "\n".join(plan.name_of(image.stamp) for image in record.images),
            "reason": record.refusal,
            "images": len(record.images),
            "views": "\n".join(image_name(image.view, False) for image in record.images),
            "findings": record.findings,
            "impression": record.impression,
            "probabilities": "\n".join(record.probabilities),
            "warnings": "\n".join(record.warnings),
            "review": "\n".join(record.review),
            "model": model,
        }


def _identified(
    rows: Iterable[Mapping[str, object]], folder: Location
) -> Iterator[dict[str, object]]:
    """The rows with what their first file says of its study."""
    for row in rows:
        with (folder / str(row["sources"]).partition("\n")[0]).open("rb") as file:
            values = header_values(file.read(HEAD_BYTES), tuple(IDENTIFIERS.values()))
        named = {column: values.get(element, "") for column, element in IDENTIFIERS.items()}
        # A spreadsheet would run what begins so.
        safe = {c: f"'{v}" if v.startswith(("=", "+", "-", "@")) else v for c, v in named.items()}
        yield {**row, **safe}


def _file_rows(outcome: Outcome, keys: Mapping[str, str]) -> Iterator[dict[str, object]]:
    """summary.csv: the files without a report."""
    for file in outcome.unread:
        yield {
            "study": keys.get(file.name, ""),
            "status": file.status,
            "sources": file.name,
            "reason": file.reason,
        }
