"""How many threads are chosen: never more than the cores that are free, and at least one."""

from pathlib import Path

import pytest

from app import threads


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A machine of eight cores with a load of the last minute and threads that run now."""

    def make(minute: float, running: int) -> None:
        load = tmp_path / "loadavg"
        load.write_text(f"{minute} 0.1 0.2 {running}/300 4711\n")
        monkeypatch.setattr(threads, "_LOAD", load)
        monkeypatch.setattr(threads, "available_cores", lambda: 8)
        monkeypatch.setattr(threads.os, "getloadavg", lambda: (minute, 0.1, 0.2))

    return make


@pytest.mark.parametrize(
    ("minute", "running", "free"),
    [(0.0, 1, 8), (0.4, 1, 8), (3.2, 1, 5), (0.0, 4, 5), (7.9, 1, 1), (40.0, 60, 1), (2.0, 5, 4)],
)
def test_what_others_keep_busy_is_left_to_them(machine, minute, running, free) -> None:
    machine(minute, running)
    assert threads.free_cores() == free


def test_where_nothing_says_what_runs_the_last_minute_counts(machine, monkeypatch) -> None:
    machine(3.0, 8)
    monkeypatch.setattr(threads, "_LOAD", Path("/nowhere/loadavg"))
    assert threads.free_cores() == 5
