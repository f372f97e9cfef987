"""What is not about one study: retention, and the progress of batches."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import select, update

from app.store.audit import record
from app.store.records import Actor
from app.store.store import Store
from app.store.tables import BatchRow, ImageRow, StudyRow

__all__ = ["Batch", "Progress", "Pruned", "batches", "progress", "prune"]

DAY = 86_400_000
HOUR = 3_600_000
SILENT = 15 * 60_000
"""Milliseconds after which a batch that says nothing has been killed."""


@dataclass(frozen=True)
class Pruned:
    """What retention removed."""

    studies: int
    """Signed or rejected studies whose image files went; report and previews stay."""
    files: int


@dataclass(frozen=True)
class Batch:
    """A batch that writes to the store."""

    id: str
    began: int
    total: int
    """Studies that it has to do."""
    done: int
    without_report: int
    """Of `done`, those that were refused or could not be read."""
    ended: bool


def prune(store: Store, actor: Actor) -> Pruned:
    """Remove image files that are older than the retention, and files that nobody refers to.

    Only those of signed and rejected studies; nothing where no retention is set.
    """
    now = store.now()
    gone: list[str] = []
    with store.database.writing() as session:
        if store.options.retention_days:
            limit = now - store.options.retention_days * DAY
            query = select(StudyRow.id).where(
                StudyRow.updated < limit,
                StudyRow.status.in_(("signed", "rejected")),
                select(ImageRow).where(ImageRow.study == StudyRow.id, ImageRow.kept).exists(),
            )
            gone = list(session.execute(query).scalars())
            for study in gone:
                session.execute(update(ImageRow).where(ImageRow.study == study).values(kept=False))
                record(session, actor, "pruned", now, study)
        names = set(session.execute(select(ImageRow.sha256).where(ImageRow.kept)).scalars())
        names |= set(session.execute(select(ImageRow.preview)).scalars())
    files = store.files.keep_only(names, (now - HOUR) / 1000)
    return Pruned(len(gone), files)


class Progress:
    """A batch reports how far it is."""

    def __init__(self, store: Store, batch: str) -> None:
        self._store = store
        self._batch = batch
        self._done = self._without_report = 0

    def step(self, reported: bool) -> None:
        """One more study is done."""
        self._done += 1
        self._without_report += not reported
        self._write()

    def end(self) -> None:
        self._write(ended=True)

    def _write(self, ended: bool = False) -> None:
        counts = {"done": self._done, "without_report": self._without_report}
        with self._store.database.writing() as session:
            session.execute(
                update(BatchRow)
                .where(BatchRow.id == self._batch)
                .values(**counts, ended=ended, seen=self._store.now())
            )


@contextmanager
def progress(store: Store, total: int) -> Iterator[Progress]:
    """Announce a batch of so many studies, until it ends, however it does."""
    batch, now = uuid4().hex, store.now()
    with store.database.writing() as session:
        counts = {"total": total, "done": 0, "without_report": 0}
        session.add(BatchRow(id=batch, began=now, seen=now, ended=False, **counts))
    running = Progress(store, batch)
    try:
        yield running
    finally:
        running.end()


def batches(store: Store) -> list[Batch]:
    """The batches that run, and those that ended in the last quarter of an hour; newest first."""
    query = select(BatchRow).where(BatchRow.seen > store.now() - SILENT)
    with store.database.reading() as session:
        return [
            Batch(row.id, row.began, row.total, row.done, row.without_report, row.ended)
            for row in session.execute(query.order_by(BatchRow.began.desc())).scalars()
        ]
