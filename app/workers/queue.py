"""A queue that is fair to reports and questions.

Reports go first, but a question that waits has its turn after a few of them. Studies of jobs, for
which nobody waits, go when nothing else is queued.
"""

from collections import deque
from typing import Generic, Literal, TypeVar

__all__ = ["REPORTS_IN_A_ROW", "FairQueue", "Kind"]

Kind = Literal["report", "question", "job"]
T = TypeVar("T")
REPORTS_IN_A_ROW = 4
"""So many turns of reports go before a question that waits."""


class FairQueue(Generic[T]):
    """A first-in, first-out queue for each kind. Not safe for threads: its owner holds a lock."""

    def __init__(self) -> None:
        self._waiting: dict[Kind, deque[T]] = {
            "report": deque(),
            "question": deque(),
            "job": deque(),
        }
        self._in_a_row = 0

    def of(self, kind: Kind) -> deque[T]:
        """The queued entries of one kind, the next first."""
        return self._waiting[kind]

    def is_next(self, entry: T, questions_may: bool = True, jobs_may: bool = True) -> bool:
        """Whether this entry goes next.

        Args:
            questions_may: whether there is room for a question too.
            jobs_may: whether a study of a job may go, where nothing else is queued.
        """
        reports, questions = self._waiting["report"], self._waiting["question"]
        if not reports and not questions:
            jobs = self._waiting["job"]
            return jobs_may and bool(jobs) and jobs[0] is entry
        question_first = self._in_a_row >= REPORTS_IN_A_ROW or not reports
        if questions and questions_may and question_first:
            return questions[0] is entry
        return bool(reports) and reports[0] is entry

    def count_turn(self, kind: Kind) -> None:
        """Count the turn of an entry that is still queued."""
        questions = self._waiting["question"]
        self._in_a_row = self._in_a_row + 1 if kind == "report" and questions else 0
