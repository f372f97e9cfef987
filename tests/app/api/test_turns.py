"""Whose turn it is to be decoded: a few studies are in memory, reports first, nobody for ever."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest

from app.api.turns import LARGEST, STUDIES_DECODED, Turns
from app.workers.errors import NotReady
from app.workers.queue import REPORTS_IN_A_ROW, Kind
from model.exam import Exam
from model.imaging.radiograph import Radiograph

SMALL = Exam([Radiograph(np.zeros((8, 8), np.float32), "PA")])


@contextmanager
def started(*works: Callable[[], None]) -> Iterator[None]:
    """Threads that do these, each waiting for its turn before the next is started."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
        time.sleep(0.02)  # only the order in which they wait depends on it
    yield
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_reports_go_first_and_a_question_is_not_forgotten() -> None:
    turns = Turns()
    order: list[Kind] = []

    def one(kind: Kind) -> None:
        with turns.in_memory(kind):
            order.append(kind)

    kinds: list[Kind] = ["question", "question", *["report"] * (REPORTS_IN_A_ROW + 2)]
    with ExitStack() as held:
        for _ in range(STUDIES_DECODED - 1):
            held.enter_context(turns.in_memory("report"))
        last = ExitStack()
        last.enter_context(turns.in_memory("report"))
        with started(*(lambda kind=kind: one(kind) for kind in kinds)):  # type: ignore[misc]
            last.close()
    first = ["report"] * REPORTS_IN_A_ROW
    assert order == [*first, "question", "report", "report", "question"]


def test_no_more_are_in_memory_than_may_be() -> None:
    turns = Turns()
    ended = []

    def read() -> None:
        with turns.in_memory("report"):
            ended.append(True)

    with ExitStack() as held:
        for _ in range(STUDIES_DECODED):
            held.enter_context(turns.in_memory("report"))
        with started(read):
            assert not ended and turns.busy
            held.close()
    assert ended and not turns.busy


def test_a_decoded_study_counts_as_what_it_is() -> None:
    """Small ones wait for the model in any number; one of the largest keeps its room."""
    turns = Turns()
    with ExitStack() as held:
        for _ in range(4 * STUDIES_DECODED):
            held.enter_context(turns.in_memory("report"))(SMALL)
        assert turns.reports == 4 * STUDIES_DECODED
    assert turns.reports == 0 and SMALL.images[0].pixels.nbytes < LARGEST


def test_questions_leave_room_for_a_report() -> None:
    turns = Turns()
    asked = []

    def ask() -> None:
        with turns.in_memory("question"):
            asked.append(True)

    with ExitStack() as held:
        for _ in range(STUDIES_DECODED - 1):
            held.enter_context(turns.in_memory("question"))
        with started(ask):
            with turns.in_memory("report"):
                assert not asked
            held.close()
    assert asked


def test_who_waits_at_the_end_gets_an_answer() -> None:
    turns = Turns()
    ended = []

    def read() -> None:
        with pytest.raises(NotReady, match="stopping"), turns.in_memory("question"):
            pass
        ended.append(True)

    with ExitStack() as held:
        for _ in range(STUDIES_DECODED):
            held.enter_context(turns.in_memory("report"))
        with started(*[read] * 3):
            turns.stop()
    assert ended == [True] * 3
    with pytest.raises(NotReady), turns.in_memory("report"):
        pass


def test_an_error_in_a_turn_gives_it_back() -> None:
    turns = Turns()
    for _ in range(STUDIES_DECODED + 1):
        with pytest.raises(ZeroDivisionError), turns.in_memory("report"):
            1 / 0  # noqa: B018
    assert not turns.busy


def test_questions_and_jobs_leave_room_for_a_report() -> None:
    turns = Turns()
    others = []

    def read() -> None:
        with turns.in_memory("job"):
            others.append(True)

    with ExitStack() as held:
        held.enter_context(turns.in_memory("job"))
        held.enter_context(turns.in_memory("question"))
        with started(read):
            with turns.in_memory("report"):
                assert not others
            held.close()
    assert others and turns.reports == 0
