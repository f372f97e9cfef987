"""How many jobs one service keeps, where, and for how long."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["JobOptions"]


@dataclass(frozen=True)
class JobOptions:
    folder: Path
    """Of the files of studies that wait; without a store also of the database."""
    kept: int = 24 * 3_600_000
    """Milliseconds for which a job that has ended is kept."""
    waiting: int = 1000
    """Studies that may wait or be at work at a time."""
    waiting_per_account: int | None = None
    """Of those, of one account; None: no limit of its own."""
    quota_bytes: int = 0
    """Of the files of jobs that have not ended; 0: no limit."""
