"""Whose turn it is: one study with the model, a few in memory, reports first, nobody for ever."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from app.api.problems import NotReady
from app.api.turns import REPORTS_IN_A_ROW, STUDIES_IN_MEMORY, Kind, Turns


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

    def read(kind: Kind) -> None:
        with turns.with_model(kind):
            order.append(kind)

    kinds: list[Kind] = ["question", "question", *["report"] * (REPORTS_IN_A_ROW + 2)]
    with ExitStack() as held:
        held.enter_context(turns.with_model("report"))
        with started(*(lambda kind=kind: read(kind) for kind in kinds)):  # type: ignore[misc]
            held.close()
    first = ["report"] * REPORTS_IN_A_ROW
    assert order == [*first, "question", "report", "report", "question"]


def test_one_study_is_with_the_model_while_others_are_decoded() -> None:
    turns = Turns()
    together = threading.Barrier(STUDIES_IN_MEMORY)
    with_model = []

    def read() -> None:
        with turns.in_memory("report"):
            together.wait(30)  # all of them are in memory at once
            with turns.with_model("report"):
                with_model.append(1)
                assert sum(with_model) == 1
                with_model.remove(1)

    with started(*[read] * STUDIES_IN_MEMORY):
        pass
    assert not turns.busy


def test_no_more_are_in_memory_than_may_be() -> None:
    turns = Turns()
    ended = []

    def read() -> None:
        with turns.in_memory("report"):
            ended.append(True)

    with ExitStack() as held:
        for _ in range(STUDIES_IN_MEMORY):
            held.enter_context(turns.in_memory("report"))
        with started(read):
            assert not ended and turns.busy
            held.close()
    assert ended


def test_questions_leave_room_for_a_report() -> None:
    turns = Turns()
    asked = []

    def ask() -> None:
        with turns.in_memory("question"):
            asked.append(True)

    with ExitStack() as held:
        for _ in range(STUDIES_IN_MEMORY - 1):
            held.enter_context(turns.in_memory("question"))
        with started(ask):
            with turns.in_memory("report"):
                assert not asked
            held.close()
    assert asked


@pytest.mark.parametrize("wait", ["in_memory", "with_model"])
def test_who_waits_at_the_end_gets_an_answer(wait: str) -> None:
    turns = Turns()
    ended = []

    def read() -> None:
        with pytest.raises(NotReady, match="stopping"), getattr(turns, wait)("question"):
            pass
        ended.append(True)

    with ExitStack() as held:
        for _ in range(1 if wait == "with_model" else STUDIES_IN_MEMORY):
            held.enter_context(getattr(turns, wait)("report"))
        with started(*[read] * 3):
            turns.stop()
    assert ended == [True] * 3
    with pytest.raises(NotReady), turns.with_model("report"):
        pass


def test_an_error_in_a_turn_gives_it_back() -> None:
    turns = Turns()
    for wait in (turns.in_memory, turns.with_model):
        for _ in range(STUDIES_IN_MEMORY + 1):
            with pytest.raises(ZeroDivisionError), wait("report"):
                1 / 0  # noqa: B018
    assert not turns.busy
