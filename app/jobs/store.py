"""Where jobs are kept: the database of the reading room's store or one of their own, and files."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.job_options import JobOptions
from app.store.database import Database, open_database
from app.store.files import Files, disk_errors
from app.store.store import Store, milliseconds
from model.errors import ConfigError

__all__ = ["JobStore", "open_jobs"]

DATABASE = "jobs.db"


@dataclass(frozen=True)
class JobStore:
    options: JobOptions
    database: Database
    now: Callable[[], int]
    """Milliseconds since 1970, UTC."""

    def files(self, job: str) -> Files:
        """The files of one job, by their hash."""
        return Files(self.options.folder / job)

    def remove_files(self, job: str) -> None:
        """Remove the files of a job; what cannot be removed now is when jobs are tidied."""
        shutil.rmtree(self.options.folder / job, ignore_errors=True)

    def folders(self) -> list[Path]:
        """Of jobs that have files."""
        return [path for path in self.options.folder.iterdir() if path.is_dir()]


def open_jobs(
    options: JobOptions, store: Store | None, now: Callable[[], int] = milliseconds
) -> JobStore:
    """The jobs in a folder, created where there is none.

    Args:
        store: whose database holds them; a SQLite file in the folder where None.

    Raises:
        ConfigError: the folder is a file.
        StoreVersion: the database is of another version.
        StoreError: it cannot be opened.
    """
    folder = options.folder
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"the folder of jobs {str(folder)!r} is a file: name a folder")
    with disk_errors("the folder of jobs"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if store is not None:
        return JobStore(options, store.database, now)
    return JobStore(options, open_database(f"sqlite:///{folder.resolve() / DATABASE}"), now)
