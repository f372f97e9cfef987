"""How many threads are chosen: never more than the cores that are free, and at least one."""

import json
import os
import subprocess
import sys
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


def test_numpy_has_one_thread_in_the_command() -> None:
    """Set before numpy is loaded, which nothing can do later."""
    code = (
        "import app.cli.main, numpy, threadpoolctl\n"
        "print([p['num_threads'] for p in threadpoolctl.threadpool_info()"
        " if p['internal_api'] == 'openblas'])"
    )
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    told = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert set(json.loads(told)) <= {1}
