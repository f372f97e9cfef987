"""What jobs consist of, as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.sent import Sent

__all__ = ["ENDED", "OPEN", "Claim", "Job", "JobStudy", "NewJob", "Outcome", "State", "StudyCounts"]

State = Literal["queued", "running", "done", "failed", "canceled"]
"""Of a study, and of a job: queued until its first study is begun, running until its last has
ended, then done if any study is done."""
OPEN: tuple[State, ...] = ("queued", "running")
ENDED: tuple[State, ...] = ("done", "failed", "canceled")


@dataclass(frozen=True)
class NewJob:
    owner: str
    """The account that posts it."""
    studies: Sequence[Sent]
    options: Mapping[str, object]
    """How its studies are to be read and answered."""
    key: str | None = None
    """Idempotency key: the owner's word for this request."""


@dataclass(frozen=True)
class JobStudy:
    number: int
    """In its job, from 1."""
    name: str
    state: State
    sequence: int
    """Of the change that brought it into this state, counted through the job."""
    outcome: bytes | None
    """JSON of the report or of the problem; None before the end, or where it was not asked for."""


@dataclass(frozen=True)
class StudyCounts:
    """Studies of jobs that have not ended."""

    queued: int
    running: int


@dataclass(frozen=True)
class Job:
    id: str
    owner: str
    state: State
    created: int
    """Milliseconds since 1970, UTC, as are all times here."""
    updated: int
    ended: int | None
    expires: int | None
    """When it will be gone; None before the end."""
    sequence: int
    """Of its last change."""
    total: int
    done: int
    failed: int
    studies: tuple[JobStudy, ...]


@dataclass(frozen=True)
class Claim:
    """A study that a worker has taken on."""

    job: str
    number: int
    worker: str
    owner: str
    posted: int
    """When the job was, in milliseconds since 1970."""
    attempts: int
    """How often it has been begun, this time included."""
    given: Mapping[str, Any]
    """Hashes of its files, and what was said of them."""
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What came of a study."""

    state: Literal["done", "failed"]
    content: bytes
    """JSON of the report or of the problem."""
