"""How many studies a service takes in at a time, and when a refused one may come again."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.api.problems import Busy
from app.workers.queue import Kind

__all__ = ["Admission"]

MEASURED = 64
"""Studies that the rate is measured over."""
LONGEST_WAIT = 600
"""Seconds to wait that an answer names, at most."""


class Admission:
    """Admits studies up to a capacity. Questions may take half of it at most."""

    def __init__(self, capacity: int, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            capacity: studies in work or waiting at a time.
            clock: seconds from any origin.
        """
        self.capacity = capacity
        self._clock = clock
        self._lock = threading.Lock()
        self._admitted: dict[Kind, int] = {"report": 0, "question": 0}
        self._last = 0.0
        """When a study was last done, or the first one came after none."""
        self._intervals: deque[float] = deque(maxlen=MEASURED)
        """Seconds from one study done to the next, while there was always one in work."""

    @property
    def admitted(self) -> int:
        """Studies in work or waiting."""
        return sum(self._admitted.values())

    @property
    def retry_after(self) -> int | None:
        """Seconds in which what is here now will be done, as fast as the last ones were.

        None before any was.
        """
        if not self._intervals:
            return None
        mean = sum(self._intervals) / len(self._intervals)
        return min(LONGEST_WAIT, max(1, math.ceil(mean * self.admitted)))

    @contextmanager
    def admit(self, kind: Kind) -> Iterator[None]:
        """Admit one study until it is left.

        Raises:
            Busy: no capacity is left; it says when to come again.
        """
        with self._lock:
            most = self.capacity if kind == "report" else max(1, self.capacity // 2)
            if self.admitted >= self.capacity or self._admitted[kind] >= most:
                waiting = "questions" if self._admitted[kind] >= most < self.capacity else "studies"
                raise Busy(f"{most} {waiting} are being answered or wait", self.retry_after)
            if not self.admitted:
                self._last = self._clock()
            self._admitted[kind] += 1
        try:
            yield
        finally:
            with self._lock:
                self._admitted[kind] -= 1
                now = self._clock()
                self._intervals.append(now - self._last)
                self._last = now
