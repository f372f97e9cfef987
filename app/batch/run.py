"""`crossray batch`: every study below a folder gets a report, and no bad file stops the others."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from app.batch.grouping import Study, Unread, find_files, grouped, in_shard, relative_name
from app.batch.indications import Row, match_indications, read_indications
from app.batch.keeping import keeper
from app.batch.merging import sorted_rows
from app.batch.page import IDENTIFIERS
from app.batch.results import Record, Results
from app.batch.sharding import Shard
from app.batch.stages import ALL_CHECKS, Checks, decoded, finished, reported
from app.store_options import StoreOptions
from app.views import image_name
from model.errors import ConfigError, DataError
from model.generator import ReportGenerator
from model.imaging.header import HEAD_BYTES, header_values

__all__ = ["BatchOptions", "Outcome", "run_batch"]


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
    generator: ReportGenerator, source: Path, out: Path, options: BatchOptions = BatchOptions()
) -> Outcome:
    """Write a report for every study below a folder that has none yet.

    Returns:
        What was done; OUT/summary.csv says the same, study by study and file by file. Of a part,
        OUT/shards/ does, until `merge_shards` makes one summary of all.

    Raises:
        DataError: the input folder is not there or holds no file; the indications are wrong.
        ConfigError: the output folder cannot be used; the model reads no indications; a part of
            a batch is to be redone.
        CrossRayError: the output could not be written; everything finished before is kept.
    """
    if out.resolve() == source.resolve():
        raise ConfigError("the output folder is the input folder: name another with -o")
    if options.shard is not None and options.redo:
        raise ConfigError("--redo would undo what other parts have done: name a new output folder")
    rows = _indications(generator, options.indications)
    paths, unlisted = find_files(source, without=out)
    if not paths and not unlisted:
        raise DataError(f"no file is below the input folder {str(source)!r}")
    results = Results(out, options.shard)
    with results.opened(generator.identity, options.redo):
        found, unread = grouped(paths, source, options.shard)
        indications, unmatched = match_indications(rows, ((s.key, s.names) for s in found))
        studies = [replace(s, indication=indications.get(s.key, "")) for s in found]
        earlier = _finished_before(results, studies, options.checks)
        missing = [study for study in studies if study.key not in earlier]
        new = list(_new_records(generator, results, missing, options))
        records = [*earlier.values(), *new]
        names = {s.sha256: s.name for study in studies for s in study.sources}
        unlisted_files = (_unlisted(error, source) for error in unlisted)
        unread += [file for file in unlisted_files if in_shard(file.name, options.shard)]
        unread += [Unread(names[u.sha256], u.status, u.reason) for r in records for u in r.unused]
        outcome = Outcome(
            done=sum(record.reported for record in new),
            kept=sum(record.reported for record in earlier.values()),
            refused=sum(bool(record.refusal) for record in records),
            warned=sum(bool(record.warnings) for record in records),
            flagged=sum(bool(record.review) for record in records),
            unread=tuple(sorted(unread, key=lambda file: file.name)),
            # A part cannot tell: the studies of other parts may have them.
            unmatched=() if options.shard else tuple(unmatched),
        )
        keys = {s.name: study.key for study in studies for s in study.sources}
        model = generator.identity.sha256
        study_rows = _study_rows(records, names, model)
        if options.identifiers:
            study_rows = _identified(study_rows, source)
        summary = sorted_rows([*study_rows, *_file_rows(outcome, keys)])
        results.write_summary(summary, unmatched)
    return outcome


def _indications(generator: ReportGenerator, path: Path | None) -> list[Row]:
    if path is None:
        return []
    if not generator.model.config.prompt_tokens:
        raise ConfigError("this model was trained without indications: leave --indications out")
    return read_indications(path)


def _unlisted(error: OSError, folder: Path) -> Unread:
    name = relative_name(Path(error.filename), folder)
    return Unread(name, "failed", f"the folder cannot be listed: {error.strerror}")


def _finished_before(
    results: Results, studies: Sequence[Study], checks: Checks
) -> dict[str, Record]:
    """Records of earlier runs that hold still, by study.

    What a check refused is tried again only where one is switched off.
    """
    records = {}
    for study in studies:
        record = results.finished(study.key, study.sha256, study.indication_sha256)
        if record is not None and not (record.refusal and checks != ALL_CHECKS):
            records[study.key] = record
    return records


def _new_records(
    generator: ReportGenerator, results: Results, studies: Sequence[Study], options: BatchOptions
) -> Iterator[Record]:
    """Each study read, reported on and written."""
    read = decoded(generator, studies, ahead=options.batch_size)
    made = reported(generator, read, options.batch_size, options.checks)
    with keeper(options.store, len(studies)) as keep:
        for study in tqdm(made, desc="Reporting", unit="study", total=len(studies)):
            record, files = finished(generator, study)
            # Before the record: a study that a crash keeps out of the store is done again.
            keep(study, generator.notice, options.checks)
            yield results.write(record, files)


def _study_rows(
    records: Sequence[Record], names: Mapping[str, str], model: str
) -> Iterator[dict[str, object]]:
    """summary.csv: the studies whose images were read."""
    for record in records:
        if not record.images:
            continue
        yield {
            "study": record.study,
            "status": "refused" if record.refusal else "done",
            "sources": "\n".join(names[image.sha256] for image in record.images),
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


def _identified(rows: Iterable[Mapping[str, object]], folder: Path) -> Iterator[dict[str, object]]:
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
