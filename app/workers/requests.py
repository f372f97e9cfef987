"""What a model can be asked, as values that go to another process and back."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.workers.errors import Unwanted
from app.workers.queue import Kind
from model.exam import Exam
from model.generator import ReportGenerator
from model.report import Answer, Check, Report

__all__ = [
    "CheckRequest",
    "QuestionRequest",
    "ReportRequest",
    "Request",
    "Result",
    "WatchAll",
    "answered",
]

log = logging.getLogger("crossray.service")


@dataclass(frozen=True, eq=False)
class ReportRequest:
    """A report on one study."""

    exam: Exam
    input_check: bool = True
    identity_check: bool = True
    kind: Kind = "report"

    @property
    def batch(self) -> object:
        """Requests with the same are answered together; None where each is answered alone."""
        return self.kind, self.input_check, self.identity_check


@dataclass(frozen=True, eq=False)
class QuestionRequest:
    """How probable a phrase is on one study."""

    exam: Exam
    phrase: str
    input_check: bool = True
    identity_check: bool = True
    kind: Kind = "question"
    batch: object = None


@dataclass(frozen=True, eq=False)
class CheckRequest:
    """Somebody's report checked against one study."""

    exam: Exam
    text: str
    input_check: bool = True
    identity_check: bool = True
    kind: Kind = "question"
    batch: object = None


Request = ReportRequest | QuestionRequest | CheckRequest
WatchAll = Callable[[int, str], bool]
Result = Report | Answer | Check | Exception


def answered(
    generator: ReportGenerator, requests: Sequence[Request], watch: WatchAll | None = None
) -> list[Result]:
    """The result of each request, or the error that it has.

    Args:
        watch: receives a report's place among the requests and its text so far, and says whether it
            is still wanted. Once none is, all are let be: Unwanted.
        requests: several only where their `batch` is the same. Where they fail together, each is
            answered by itself: an image that the input check rejects costs no other study.
    """
    try:
        return list(_together(generator, requests, watch))
    except Unwanted as error:
        return [error] * len(requests)
    except Exception as error:
        if len(requests) == 1:
            return [error]
        return [
            result
            for place, one in enumerate(requests)
            for result in answered(generator, [one], watch and _at(place, watch))
        ]


def _at(place: int, watch: WatchAll) -> WatchAll:
    return lambda _, text: watch(place, text)


def _together(
    generator: ReportGenerator, requests: Sequence[Request], watch: WatchAll | None
) -> Sequence[Result]:
    first = requests[0]
    checks = first.input_check, first.identity_check
    if isinstance(first, QuestionRequest):
        return [generator.ask(first.exam, first.phrase, *checks)]
    if isinstance(first, CheckRequest):
        return [generator.check(first.exam, first.text, *checks)]

    def pass_on(texts: list[str]) -> None:
        assert watch is not None
        wanted = [watch(place, text) for place, text in enumerate(texts)]
        if not any(wanted):
            raise Unwanted("nobody waits for these reports any more")

    return generator.reports(
        [request.exam for request in requests],
        input_check=first.input_check,
        identity_check=first.identity_check,
        watch=None if watch is None else pass_on,
    )
