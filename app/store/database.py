"""The store's database: SQLite in the store's folder, or PostgreSQL by a URL.

Opening it checks that its tables are those of this version of CrossRay.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.orm import Session

from app.store.errors import StoreFull, StoreUnavailable, StoreVersion
from model.errors import ConfigError

__all__ = ["Database", "migrate", "open_database"]

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 20
MIGRATION_LOCK = 7_203_114
"""Any number that is ours: PostgreSQL's advisory locks have no names."""
PG_DISK_FULL = "53100"


class Database:
    """Sessions for reading and for writing."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writer = engine.execution_options(writes=True)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that changes nothing.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        with database_errors(), Session(self.engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that is committed where nothing is raised, and else leaves no trace.

        On SQLite it holds the write lock from its beginning, so what it reads stays true.

        Raises:
            StoreFull: the disk is full.
            StoreUnavailable: the database does not answer.
        """
        with database_errors(), Session(self._writer) as session, session.begin():
            yield session

    def close(self) -> None:
        self.engine.dispose()


def open_database(url: str) -> Database:
    """The database at a URL, created where it holds nothing yet.

    Raises:
        ConfigError: no such kind of database.
        StoreVersion: its tables are of another version of CrossRay.
        StoreUnavailable: it does not answer.
    """
    engine = _engine(url)
    try:
        with database_errors(), engine.execution_options(writes=True).begin() as connection:
            _check_revision(connection)
    except BaseException:
        engine.dispose()
        raise
    return Database(engine)


def migrate(url: str) -> tuple[str | None, str]:
    """Bring a database's tables to this version.

    Returns:
        The revision before and the one now.

    Raises:
        StoreVersion: it is of a newer CrossRay.
    """
    engine = _engine(url)
    try:
        with database_errors(), engine.execution_options(writes=True).begin() as connection:
            _lock(connection)
            before, head = _revision(connection), _head()
            if before is not None and before not in _known():
                raise StoreVersion(_newer(before))
            _upgrade(connection)
            return before, head
    finally:
        engine.dispose()


@contextmanager
def database_errors() -> Iterator[None]:
    """Turn the database's errors into the store's; what a statement held is not quoted."""
    try:
        yield
    except IntegrityError:
        raise  # says something of the data: whoever wrote them knows what
    except DBAPIError as error:
        if _is_full(error.orig):
            raise StoreFull(
                "the database cannot be written: the disk is full; make room and try again, what "
                "was stored before is unharmed"
            ) from error
        raise StoreUnavailable(
            f"the database does not answer as it should ({type(error.orig).__name__}): see whether "
            "it runs and may be written, then try again"
        ) from error


def _is_full(error: BaseException | None) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) in {
            sqlite3.SQLITE_FULL,
            sqlite3.SQLITE_IOERR_WRITE,
        }
    return getattr(error, "sqlstate", None) == PG_DISK_FULL


def _engine(url: str) -> Engine:
    if url.startswith("postgresql://"):
        url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    try:
        engine = create_engine(url, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigError(
            "the store's database URL is not understood: give sqlite:///FILE or "
            "postgresql://USER@HOST/NAME"
        ) from error
    except ModuleNotFoundError as error:
        raise ConfigError(
            "PostgreSQL needs its driver: pip install 'crossray[postgres]'"
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver's own BEGIN would come too late
    for pragma in (
        "foreign_keys = ON",
        f"busy_timeout = {BUSY_SECONDS * 1000}",
        "journal_mode = WAL",
        "synchronous = FULL",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _check_revision(connection: Connection) -> None:
    _lock(connection)
    revision = _revision(connection)
    if revision == _head():
        return
    if revision is None:
        if inspect(connection).get_table_names():
            raise StoreVersion(
                "the database holds tables that are not CrossRay's: name another database"
            )
        _upgrade(connection)
    elif revision in _known():
        raise StoreVersion(
            f"the store is of an older version of CrossRay (revision {revision}, this one needs "
            f"{_head()}): back it up, then run `crossray store migrate`"
        )
    else:
        raise StoreVersion(_newer(revision))


def _newer(revision: str) -> str:
    return (
        f"the store is of a newer version of CrossRay (revision {revision}, this one knows "
        f"{_head()}): install that version; nothing was changed"
    )


def _lock(connection: Connection) -> None:
    """One process at a time creates or migrates; on SQLite its write lock sees to that."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _head() -> str:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def _known() -> set[str]:
    return {s.revision for s in ScriptDirectory.from_config(_config()).walk_revisions()}


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
