"""The output of a batch, wherever it is."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from app.batch.locations import Location
from app.batch.object_results import ObjectResults
from app.batch.records import Record
from app.batch.results import Results
from app.batch.sharding import Shard
from model.checkpoint_folder import ModelIdentity

__all__ = ["BatchResults", "results_at"]


class BatchResults(Protocol):
    """What a batch asks of its output; Results says more of each."""

    def opened(self, model: ModelIdentity, redo: bool) -> AbstractContextManager[None]: ...

    def reopened(self) -> AbstractContextManager[None]: ...

    def finished(self, study: str, stamps: tuple[str, ...], indication: str) -> Record | None: ...

    def write(self, record: Record, files: Mapping[str, bytes]) -> Record: ...

    def remember(self, record: Record) -> None: ...

    def put(self, name: str, pieces: Iterable[bytes]) -> None: ...


def results_at(out: Location, shard: Shard | None = None) -> BatchResults:
    """The output folder or prefix of one batch.

    Args:
        shard: the part of the batch that this process writes; None for all of it.
    """
    return Results(out, shard) if isinstance(out, Path) else ObjectResults(out, shard)
