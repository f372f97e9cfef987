"""The store as a whole: its options, its database and its files."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select

from app.store.database import Database, open_database
from app.store.files import Files, disk_errors
from app.store.records import Finding
from app.store.tables import FindingRow, SettingRow, StudyRow
from app.store.urgency import urgency, weights_hash
from app.store_options import StoreOptions
from model.errors import ConfigError

__all__ = ["Store", "database_url", "milliseconds", "open_store"]

DATABASE = "crossray.db"


@dataclass(frozen=True)
class Store:
    options: StoreOptions
    database: Database
    files: Files
    now: Callable[[], int]
    """Milliseconds since 1970, UTC."""

    def close(self) -> None:
        self.database.close()


def milliseconds() -> int:
    """Since 1970, UTC."""
    return time.time_ns() // 1_000_000


def database_url(options: StoreOptions) -> str:
    """Where the database is: the given URL, or a file in the store's folder."""
    return options.url or f"sqlite:///{options.folder.resolve() / DATABASE}"


def open_store(options: StoreOptions, now: Callable[[], int] = milliseconds) -> Store:
    """The store in a folder, created where there is none.

    Raises:
        ConfigError: the folder is a file, or the database's URL is wrong.
        StoreVersion: the database is of another version.
        StoreError: it cannot be opened.
    """
    if options.folder.exists() and not options.folder.is_dir():
        raise ConfigError(f"the store {str(options.folder)!r} is a file: name a folder")
    with disk_errors("the store's folder"):
        options.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (options.folder / "files").mkdir(exist_ok=True, mode=0o700)
    database = open_database(database_url(options))
    store = Store(options, database, Files(options.folder / "files"), now)
    _order_anew(store)
    return store


def _order_anew(store: Store) -> None:
    """Bring the urgencies up to date where the weights are others than the last time."""
    current = weights_hash(store.options.weights)
    with store.database.reading() as session:
        known = session.get(SettingRow, "weights")
        if known is not None and known.value == current:
            return
    with store.database.writing() as session:
        session.merge(SettingRow(name="weights", value=current))
        named: dict[str, list[Finding]] = {}
        for row in session.execute(select(FindingRow)).scalars():
            sides = tuple(filter(None, row.sides.split(",")))
            finding = Finding(row.name, sides, row.zone, row.certainty, row.probability)
            named.setdefault(row.study, []).append(finding)
        for study in session.execute(select(StudyRow)).scalars():
            study.urgency = urgency(study.text, named.get(study.id, []), store.options.weights)
