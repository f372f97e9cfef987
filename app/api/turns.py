"""Whose turn it is: a few studies are in memory, decoded or being so, and one is with the model.

While the model reads one study, the next are decoded beside it. Reports go before questions, in the
order in which they came; but a question that waits has its turn after a few reports.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from app.api.problems import NotReady

__all__ = ["STUDIES_IN_MEMORY", "Kind", "Turns"]

Kind = Literal["report", "question"]
STUDIES_IN_MEMORY = 3
"""A study's pixels are 144 MB an image."""
REPORTS_IN_A_ROW = 4
"""So many go before a question that waits."""


class _Line:
    """Those who wait for one thing, and who is next."""

    def __init__(self) -> None:
        self.reports: deque[object] = deque()
        self.questions: deque[object] = deque()
        self._in_a_row = 0

    def of(self, kind: Kind) -> deque[object]:
        return self.reports if kind == "report" else self.questions

    def is_next(self, ticket: object, questions_may: bool = True) -> bool:
        """Whether this one goes next.

        Args:
            questions_may: whether there is room for a question too.
        """
        question_first = self._in_a_row >= REPORTS_IN_A_ROW or not self.reports
        if self.questions and questions_may and question_first:
            return self.questions[0] is ticket
        return bool(self.reports) and self.reports[0] is ticket

    def went(self, kind: Kind) -> None:
        self._in_a_row = self._in_a_row + 1 if kind == "report" and self.questions else 0


class Turns:
    """The order of the studies of one service. Its methods wait; many threads call them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._memory = _Line()
        self._model = _Line()
        self._held: dict[Kind, int] = {"report": 0, "question": 0}
        self._with_model = False
        self._stopping = False

    @property
    def busy(self) -> bool:
        """Whether a study is in memory."""
        return any(self._held.values())

    def stop(self) -> None:
        """Let nobody in any more, and let those who wait know."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    @contextmanager
    def in_memory(self, kind: Kind) -> Iterator[None]:
        """Room for one study's pixels; a report always finds some that no question holds.

        Raises:
            NotReady: the service stopped before there was room.
        """

        def may(ticket: object) -> bool:
            free = sum(self._held.values()) < STUDIES_IN_MEMORY
            questions_may = self._held["question"] < STUDIES_IN_MEMORY - 1
            return free and self._memory.is_next(ticket, questions_may)

        with self._changed:
            self._wait(self._memory, kind, may)
            self._held[kind] += 1
        try:
            yield
        finally:
            with self._changed:
                self._held[kind] -= 1
                self._changed.notify_all()

    @contextmanager
    def with_model(self, kind: Kind) -> Iterator[None]:
        """The model, for a study that is in memory.

        Raises:
            NotReady: the service stopped before the study's turn came.
        """
        with self._changed:
            self._wait(
                self._model, kind, lambda one: not self._with_model and self._model.is_next(one)
            )
            self._with_model = True
        try:
            yield
        finally:
            with self._changed:
                self._with_model = False
                self._changed.notify_all()

    def _wait(self, line: _Line, kind: Kind, may: Callable[[object], bool]) -> None:
        """Until it is this one's turn; the lock is held before and after."""
        ticket = object()
        line.of(kind).append(ticket)
        try:
            self._changed.wait_for(lambda: self._stopping or may(ticket))
            if self._stopping:
                raise NotReady("the service is stopping: send the request again")
            line.went(kind)
        finally:
            line.of(kind).remove(ticket)
            # Whoever is next now may have looked before this one had gone.
            self._changed.notify_all()
