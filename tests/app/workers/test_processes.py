"""Models in processes: the answers of the model here, and none lost when one is killed."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from events import STREAM, texts, told
from fastapi.testclient import TestClient
from material import chest
from problem import assert_problem

from app.main import create_app
from app.settings import Settings
from app.workers.errors import Unwanted
from app.workers.models import ProcessModel, WorkerOptions
from app.workers.requests import ReportRequest
from model.errors import CheckpointError
from model.exam import Exam
from model.generator import ReportGenerator
from model.imaging.radiograph import Radiograph
from model.report import Report

WORKERS = 2


@pytest.fixture(scope="module")
def here(tiny_checkpoint: Path) -> TestClient:
    """A service whose model is in this process, converted here for the other processes."""
    generator = ReportGenerator.load(tiny_checkpoint, engine="openvino")
    return TestClient(create_app(Settings(), generator))


@pytest.fixture(scope="module")
def client(tiny_checkpoint: Path, here: TestClient) -> Iterator[TestClient]:
    settings = Settings(model=tiny_checkpoint, engine="openvino", workers=WORKERS, queue=64)
    app = create_app(settings)
    with TestClient(app) as client:
        while not app.state.service.is_ready:
            assert app.state.service.failure is None
        yield client
    assert not psutil.wait_procs(children(), timeout=30)[1]


def children() -> list[psutil.Process]:
    """The processes with a model."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):  # it has ended meanwhile
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def test_a_report_is_told_as_it_is_written(
    client: TestClient, here: TestClient, make_png: Callable
) -> None:
    post = {"url": "/v1/reports", "files": {"files": make_png()}}
    whole = here.post(**post).json()
    for _ in range(2):
        events = told(client.post(**post, headers=STREAM).text)
        assert events[-1] == ("report", whole)
        assert texts(events)[-1] == whole["text"] and len(events) > 5


def test_a_process_that_writes_what_nobody_wants_is_free_again(
    tiny_checkpoint: Path, here: TestClient, make_png: Callable
) -> None:
    model = ProcessModel(WorkerOptions(tiny_checkpoint, engine="openvino"))
    model.start()
    pixels = chest(0, 80, 64).astype("float32") / 255
    request = ReportRequest(Exam([Radiograph(pixels, "PA")]))
    [unwanted] = model.answered([request], lambda place, text: False)
    [report] = model.answered([request])
    model.close()
    assert isinstance(unwanted, Unwanted) and isinstance(report, Report)


def test_the_answers_are_those_of_the_model_here(
    client: TestClient, here: TestClient, make_png: Callable
) -> None:
    posts = [
        ("/v1/reports", {}),
        ("/v1/questions", {"phrase": "effusion"}),
        ("/v1/checks", {"report": "The heart is large."}),
        ("/v1/questions", {"phrase": "?"}),
    ]
    for path, data in posts:
        request = {"files": {"files": make_png()}, "data": data}
        one, other = client.post(path, **request), here.post(path, **request)
        assert one.status_code == other.status_code
        if one.status_code == 201:
            assert one.json() == other.json()
        else:
            assert one.json()["detail"] == other.json()["detail"]
    assert client.get("/v1/model").json() == here.get("/v1/model").json()


def test_every_request_is_answered_though_workers_are_killed(
    client: TestClient, make_png: Callable
) -> None:
    answers = []
    ended = threading.Event()

    def ask() -> None:
        answers.extend(
            client.post("/v1/reports", files={"files": make_png()}, params={"pixels": "false"})
            for _ in range(4)
        )

    def kill() -> None:
        """Each process that is seen, up to three."""
        killed: set[int] = set()
        while len(killed) < 3 and not ended.wait(0.02):
            for process in children():
                if process.pid not in killed and len(killed) < 3:
                    os.kill(process.pid, signal.SIGKILL)
                    killed.add(process.pid)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    killer = threading.Thread(target=kill)
    for thread in [*threads, killer]:
        thread.start()
    for thread in threads:
        thread.join()
    ended.set()
    killer.join()
    assert len(answers) == 24
    for answer in answers:
        if answer.status_code != 201:
            assert_problem(answer, 503, "worker-lost")
    assert client.post("/v1/reports", files={"files": make_png()}).status_code == 201


def test_a_model_that_cannot_be_loaded_is_an_error_here(tmp_path: Path) -> None:
    model = ProcessModel(WorkerOptions(tmp_path, engine="openvino"))
    with pytest.raises(CheckpointError):
        model.start()
    model.close()
