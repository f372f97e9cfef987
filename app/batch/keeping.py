"""Studies of a batch put into a store as well, for the worklist."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.api.answers import answer
from app.api.keeping import new_study
from app.batch.stages import Checks, Reported
from app.store_options import StoreOptions

__all__ = ["Keep", "keeper"]

Keep = Callable[[Reported, str, Checks], None]
"""Takes a finished study, the model's notice, and the checks of the batch."""


@contextmanager
def keeper(options: StoreOptions, total: int) -> Iterator[Keep]:
    """What keeps each study of a batch, and reports the batch's progress to the worklist.

    Args:
        options: of the store.
        total: studies of the batch.

    Raises:
        StoreError: the store cannot be opened or written.
    """
    from app.store.records import ALL_ROLES, Actor
    from app.store.store import open_store
    from app.store.studies import add_study
    from app.store.upkeep import progress

    actor = Actor("crossray batch", ALL_ROLES)
    store = open_store(options)
    try:
        with progress(store, total) as running:

            def keep(study: Reported, notice: str, checks: Checks) -> None:
                if study.report is not None:
                    sources = [source for source, _ in study.decoded.images]
                    new = new_study(
                        [source.path.read_bytes() for source in sources],
                        study.decoded.exam,
                        answer(study.report, notice, maps="all"),
                        sources[0].path.name,
                        "batch",
                        vars(checks),
                    )
                    add_study(store, new, actor)
                running.step(study.report is not None)

            yield keep
    finally:
        store.close()
