"""Studies through the stages of a batch, one process at a time."""

from collections.abc import Iterable, Iterator

from app.batch.grouping import Study
from app.batch.keeping import Keep
from app.batch.output import BatchResults
from app.batch.records import Record
from app.batch.stages import Checks, decoded, finished, reported
from model.generator import ReportGenerator

__all__ = ["write_reports"]


def write_reports(
    generator: ReportGenerator,
    results: BatchResults,
    studies: Iterable[Study],
    batch_size: int,
    checks: Checks,
    keep: Keep,
) -> Iterator[Record]:
    """Each study read, reported on and written, `batch_size` of them by the model at once."""
    read = decoded(generator, studies, ahead=batch_size)
    for study in reported(generator, read, batch_size, checks):
        record, files = finished(generator, study)
        # Before the record: a study that a crash keeps out of the store is done again.
        keep(study, generator.notice, checks)
        yield results.write(record, files)
