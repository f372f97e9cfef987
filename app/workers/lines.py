"""Who waits for one thing, and who is next: reports before questions, but no question for ever.

Studies of jobs, for which nobody waits, go when nobody else is there.
"""

from collections import deque
from typing import Generic, Literal, TypeVar

__all__ = ["REPORTS_IN_A_ROW", "Kind", "Line"]

Kind = Literal["report", "question", "job"]
T = TypeVar("T")
REPORTS_IN_A_ROW = 4
"""So many turns of reports go before a question that waits."""


class Line(Generic[T]):
    """Those who wait. Not safe for threads: its owner holds a lock."""

    def __init__(self) -> None:
        self._waiting: dict[Kind, deque[T]] = {
            "report": deque(),
            "question": deque(),
            "job": deque(),
        }
        self._in_a_row = 0

    def of(self, kind: Kind) -> deque[T]:
        """Those of one kind, the next first."""
        return self._waiting[kind]

    def is_next(self, ticket: T, questions_may: bool = True, jobs_may: bool = True) -> bool:
        """Whether this one goes next.

        Args:
            questions_may: whether there is room for a question too.
            jobs_may: whether a study of a job may go, where nobody else waits.
        """
        reports, questions = self._waiting["report"], self._waiting["question"]
        if not reports and not questions:
            jobs = self._waiting["job"]
            return jobs_may and bool(jobs) and jobs[0] is ticket
        question_first = self._in_a_row >= REPORTS_IN_A_ROW or not reports
        if questions and questions_may and question_first:
            return questions[0] is ticket
        return bool(reports) and reports[0] is ticket

    def went(self, kind: Kind) -> None:
        """Count a turn of one that still stands in the line."""
        questions = self._waiting["question"]
        self._in_a_row = self._in_a_row + 1 if kind == "report" and questions else 0
