"""Admission of studies in work or waiting, and the truth of Retry-After."""

from contextlib import ExitStack

import pytest
from fastapi.testclient import TestClient
from starlette.types import Receive, Scope, Send

from app.api.admission import Admission
from app.api.metrics import Metrics
from app.api.middleware import BodyLimit, Border, UploadLimits
from app.api.problems import Busy


class Clock:
    """Time that passes when it is told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_retry_after_is_when_what_is_here_will_be_done() -> None:
    clock = Clock()
    admission = Admission(6, clock)
    assert admission.retry_after is None
    for pause in (500.0, 0.0, 60.0):  # nobody came: no time of work
        clock.now += pause
        with ExitStack() as studies:
            for _ in range(2):
                study = ExitStack()
                study.enter_context(admission.admit("report"))
                studies.callback(
                    lambda study=study: (setattr(clock, "now", clock.now + 3), study.close())
                )
    with ExitStack() as studies:
        for _ in range(6):
            studies.enter_context(admission.admit("report"))
        with pytest.raises(Busy) as refused, admission.admit("report"):
            pass
    assert refused.value.retry_after == 6 * 3


def test_questions_take_no_place_of_the_last_reports() -> None:
    admission = Admission(4)
    with ExitStack() as studies:
        for _ in range(2):
            studies.enter_context(admission.admit("question"))
        with pytest.raises(Busy, match="2 questions"), admission.admit("question"):
            pass
        for _ in range(2):
            studies.enter_context(admission.admit("report"))
        with pytest.raises(Busy, match="4 studies"), admission.admit("report"):
            pass
    assert admission.admitted == 0


def test_a_single_place_is_anybodys() -> None:
    admission = Admission(1)
    for kind in ("question", "report"):
        with admission.admit(kind), pytest.raises(Busy), admission.admit("report"):  # type: ignore[arg-type]
            pass


def test_an_upload_too_many_comes_again_when_the_studies_are_done() -> None:
    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("it was let in")

    limit = BodyLimit(never, UploadLimits(100, 0, 0), retry_after=lambda: 42)
    client = TestClient(Border(limit, metrics=Metrics()))
    response = client.post("/v1/reports", content=b"a file")
    assert response.status_code == 503 and response.headers["retry-after"] == "42"
