"""The worker of one service: takes on one study of jobs after another, and keeps jobs tidy."""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from app.jobs.records import Claim, Outcome
from app.jobs.store import JobStore
from app.jobs.work import LEASE, claim_study, end_study, give_back, held, renew, tidy
from app.store.errors import StoreError

__all__ = ["Runner", "Work"]

log = logging.getLogger("crossray.jobs")
LOOK_SECONDS = 1.0
"""Between looks at the queue: another service of the same store may have put a job there."""
TIDY_SECONDS = 60.0

Work = Callable[[Claim, Callable[[], bool]], Outcome | None]
"""Reads a study. The second argument says whether nobody wants it any more; None: give it back."""


@dataclass(frozen=True, eq=False)
class _Reading:
    claim: Claim
    lost: threading.Event = field(default_factory=threading.Event)
    """It was canceled or taken over."""


class Runner:
    """Threads that read studies, and one that says that they are still being read."""

    def __init__(self, jobs: JobStore, work: Work, readers: int) -> None:
        """
        Args:
            readers: studies that are read at a time.
        """
        self._jobs = jobs
        self._work = work
        self._worker = secrets.token_hex(16)
        self._reading: set[_Reading] = set()
        self._stopping = threading.Event()
        self._posted = threading.Event()
        self._look = threading.Event()
        self._threads = [
            threading.Thread(target=run, daemon=True)
            for run in (*[self._read_studies] * readers, self._keep)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin no more studies, and give back those that are being read."""
        self._stopping.set()
        self._posted.set()
        self._look.set()

    def close(self, seconds: float) -> None:
        """Stop, and wait at most so long for the studies that are being read.

        Who does not end in time has lost it: whatever comes of it is not kept.
        """
        self.stop()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        for reading in tuple(self._reading):
            give_back(self._jobs, reading.claim)

    def posted(self) -> None:
        """A job has been posted: look at the queue now."""
        self._posted.set()

    def canceled(self) -> None:
        """A job has been canceled: see now whether it is the one being read."""
        self._look.set()

    def _read_studies(self) -> None:
        while not self._stopping.is_set():
            self._posted.clear()
            try:
                read = self._read_next()
            except StoreError as error:
                log.warning("the queue of jobs does not answer", exc_info=error)
                read = False
            if not read and not self._stopping.is_set():
                self._posted.wait(LOOK_SECONDS)

    def _read_next(self) -> bool:
        """Read one study; False where none waits, or none can be read now."""
        claim = claim_study(self._jobs, self._worker)
        if claim is None:
            return False
        reading = _Reading(claim)
        self._reading.add(reading)
        try:
            unwanted = lambda: reading.lost.is_set() or self._stopping.is_set()  # noqa: E731
            outcome = self._work(claim, unwanted)
            if outcome is None:
                give_back(self._jobs, claim)
            else:
                end_study(self._jobs, claim, outcome)
        finally:
            self._reading.remove(reading)
        return outcome is not None

    def _keep(self) -> None:
        tidied = renewed = 0.0
        while not self._stopping.is_set():
            self._look.clear()
            now = time.monotonic()
            try:
                due = now - renewed > LEASE / 4000
                renewed = now if due else renewed
                for reading in tuple(self._reading):
                    if not (renew if due else held)(self._jobs, reading.claim):
                        reading.lost.set()
                if now - tidied > TIDY_SECONDS:
                    tidied = now
                    tidy(self._jobs)
            except StoreError as error:
                log.warning("jobs could not be looked after", exc_info=error)
            self._look.wait(LOOK_SECONDS)
