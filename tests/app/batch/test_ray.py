"""A batch on a Ray cluster: byte for byte the plain batch, whoever is killed."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from batch_output import contents, rows
from material import chest, put

from app.batch.ray_workers import Cluster
from app.batch.run import BatchOptions, run_batch
from model.errors import ConfigError
from model.generator import ReportGenerator

pytest.importorskip("ray", reason="Ray is not installed")
pytestmark = [
    pytest.mark.filterwarnings("default"),  # Ray's own: sockets and processes at its end
    pytest.mark.filterwarnings("error:.*is deprecated and will be removed in Ray"),
]


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    from app.batch.ray_workers import connected

    started = connected("local")
    yield started
    started.shutdown()


@pytest.fixture
def folder(tmp_path: Path, make_dicom: Callable, make_png: Callable) -> Path:
    return put(
        tmp_path / "in",
        {
            **{f"ward/{i}.png": make_png(chest(i, 50, 60)) for i in range(12)},
            "one/frontal": make_dicom(),
            "two/other": make_dicom(chest(1, 50, 70), ViewPosition="AP"),
            "broken.dcm": make_dicom(StudyInstanceUID="1.2.3")[:-99],
            "notes.txt": b"read me",
        },
    )


def test_it_is_the_plain_batch(
    ray: Any, folder: Path, tmp_path: Path, tiny_checkpoint: Path, tiny_generator: ReportGenerator
) -> None:
    options = BatchOptions(cluster=Cluster("local", tiny_checkpoint))
    outcome = run_batch(tiny_generator, folder, tmp_path / "ray", options)
    assert outcome == run_batch(tiny_generator, folder, tmp_path / "plain")
    assert contents(tmp_path / "ray") == contents(tmp_path / "plain")
    again = run_batch(tiny_generator, folder, tmp_path / "ray", options)
    assert (again.done, again.kept) == (0, outcome.done)


def workers() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # ended in between
            if "MapWorker" in " ".join(child.cmdline()[:1]):
                found.append(child)
    return found


def test_killed_workers_lose_and_double_nothing(
    ray: Any, folder: Path, tmp_path: Path, tiny_checkpoint: Path, tiny_generator: ReportGenerator
) -> None:
    killed = []
    ended = threading.Event()

    def kill() -> None:
        """Each worker that is seen, up to two: at a moment of the machine's choice."""
        while not ended.wait(0.05) and len(killed) < 2:
            for process in workers():
                if process.pid not in killed:
                    os.kill(process.pid, signal.SIGKILL)
                    killed.append(process.pid)

    killer = threading.Thread(target=kill)
    killer.start()
    options = BatchOptions(batch_size=1, cluster=Cluster("local", tiny_checkpoint))
    run_batch(tiny_generator, folder, tmp_path / "ray", options)
    ended.set()
    killer.join()
    assert killed
    # What was set aside, if the same study met both kills, the next run does.
    run_batch(tiny_generator, folder, tmp_path / "ray", options)
    run_batch(tiny_generator, folder, tmp_path / "plain")
    assert contents(tmp_path / "ray") == contents(tmp_path / "plain")


def test_a_study_that_kills_its_worker_is_named(
    ray: Any,
    folder: Path,
    tmp_path: Path,
    tiny_checkpoint: Path,
    tiny_generator: ReportGenerator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sys

    from app.batch import ray_workers

    class Fragile(ray_workers.Worker):
        """Ended by one of the images, as by a fault of the machine."""

        def __call__(self, block: dict[str, Any]) -> dict[str, list[bytes]]:
            if any(b"ward/7.png" in content for content in block["study"]):
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(block)

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(ray_workers, "Worker", Fragile)
    options = BatchOptions(cluster=Cluster("local", tiny_checkpoint))
    outcome = run_batch(tiny_generator, folder, tmp_path / "out", options)
    failed = {file.name: file.reason for file in outcome.unread if file.status == "failed"}
    assert failed.keys() == {"./broken.dcm", "./ward/7.png"}
    assert "ended twice" in failed["./ward/7.png"]
    assert outcome.done == 12 and len(rows(tmp_path / "out")) == 15


def test_no_such_cluster(
    folder: Path, tmp_path: Path, tiny_generator: ReportGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(ConfigError, match=r"no Ray cluster at '127\.0\.0\.1:1'"):
        options = BatchOptions(cluster=Cluster("127.0.0.1:1"))
        run_batch(tiny_generator, folder, tmp_path / "out", options)
