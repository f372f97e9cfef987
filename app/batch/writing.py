"""Studies through the stages of a batch."""

from collections.abc import Iterable, Iterator

from app.batch.grouping import Study
from app.batch.keeping import Keep
from app.batch.output import BatchResults
from app.batch.prefetching import prefetched
from app.batch.records import Record
from app.batch.stages import Checks, Reported, decoded, finished, reported
from model.exam import enough_pixels
from model.generator import ReportGenerator

__all__ = ["write_reports"]


def write_reports(
    generator: ReportGenerator,
    results: BatchResults,
    studies: Iterable[Study],
    batch_size: int,
    checks: Checks,
    keep: Keep | None = None,
) -> Iterator[Record]:
    """Each study read, reported on and written, `batch_size` of them by the model at once.

    Args:
        keep: is given each study when its files are there; its images are then read whole.
    """
    enough = enough_pixels(generator.model) if keep is None else None
    read = decoded(generator, studies, batch_size, enough)

    def written(study: Reported) -> Record:
        record, files = finished(generator, study)
        # Before the record: a study that a crash keeps out of the store is done again.
        if keep is not None:
            keep(study, generator.notice, checks)
        return results.write(record, files)

    # In one thread, while the model has its turn: maps take as long to draw as a text to write.
    return prefetched(written, reported(generator, read, batch_size, checks), 1, batch_size)
