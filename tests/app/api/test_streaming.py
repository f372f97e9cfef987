"""A report told as it is written is the report that is told at once."""

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import httpx
import page_server
import pytest
from events import STREAM, texts, told
from fastapi.testclient import TestClient
from problem import assert_problem

from app.main import create_app
from app.settings import Settings
from model.generator import ReportGenerator
from model.report import Report


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_the_words_come_first_and_the_answer_is_the_same(
    tiny_checkpoint: Path, engine: str, make_dicom: Callable
) -> None:
    generator = ReportGenerator.load(tiny_checkpoint, engine=engine)
    with TestClient(create_app(Settings(), generator)) as client:
        post = {"url": "/v1/reports?maps=all", "files": {"files": make_dicom()}}
        whole = client.post(**post).json()
        response = client.post(**post, headers=STREAM)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    events = told(response.text)
    assert [name for name, _ in events].count("text") == len(events) - 1 > 5
    assert events[-1] == ("report", whole)
    written = texts(events)
    assert written[-1] == whole["text"]
    assert all(later.startswith(text) for text, later in pairwise(written))


def test_what_is_wrong_is_the_last_event(
    tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    with TestClient(create_app(Settings(max_files=1, queue=0), tiny_generator)) as client:
        post = {"url": "/v1/reports", "files": {"files": b"no image"}}
        problem = assert_problem(client.post(**post), 415, "not-an-image")
        response = client.post(**post, headers=STREAM)
        instance = f"/requests/{response.headers['x-request-id']}"
        assert told(response.text) == [("problem", {**problem, "instance": instance})]
        two = [("files", make_png()), ("files", make_png())]
        many = client.post("/v1/reports", files=two, headers=STREAM)
        assert_problem(many, 413, "too-many-files")  # known before anything is sent
        for _ in range(2):  # no place is lost by a stream
            assert client.post("/v1/reports", files={"files": make_png()}).status_code == 201
        with client.app.state.service.admit("report"):
            busy = client.post("/v1/reports", files={"files": make_png()}, headers=STREAM)
            assert_problem(busy, 503, "busy")


class Slow(ReportGenerator):
    """Waits after every token, so that a test can come between."""

    steps = 0
    seconds = 0.1

    def reports(self, *arguments: object, **options: object) -> list[Report]:
        watch = options.pop("watch")

        def waiting(so_far: list[str]) -> None:
            self.steps += 1
            time.sleep(self.seconds)
            if watch is not None:
                watch(so_far)

        return super().reports(*arguments, **options, watch=waiting)


@pytest.fixture
def slow(tiny_generator: ReportGenerator) -> Slow:
    return Slow(tiny_generator.model, tiny_generator.tokenizer, tiny_generator.identity)


def test_a_client_that_goes_away_ends_the_writing(slow: Slow, make_png: Callable) -> None:
    with page_server.serving(slow, queue=0) as address, httpx.Client(base_url=address) as client:
        files = {"files": make_png()}
        with client.stream("POST", "v1/reports", files=files, headers=STREAM) as response:
            assert next(line for line in response.iter_lines() if line).startswith("event: text")
        while (again := client.post("v1/reports", files={"files": b"x"})).status_code == 503:
            time.sleep(0.02)
        assert again.status_code == 415
        begun, slow.steps, slow.seconds = slow.steps, 0, 0.0
        assert client.post("v1/reports", files=files).status_code == 201
    assert 0 < begun < slow.steps


def test_a_job_that_is_canceled_is_written_no_further(
    slow: Slow, tmp_path: Path, make_png: Callable
) -> None:
    with TestClient(create_app(Settings(jobs=tmp_path), slow)) as client:
        while client.app.state.service.runner is None:
            time.sleep(0.01)
        location = client.post("/v1/jobs", files={"files": make_png()}).headers["location"]
        while not slow.steps:
            time.sleep(0.01)
        assert client.delete(location).json()["state"] == "canceled"
        while client.app.state.service.is_reading:
            time.sleep(0.01)
        begun, slow.steps, slow.seconds = slow.steps, 0, 0.0
        assert client.post("/v1/reports", files={"files": make_png()}).status_code == 201
    assert 0 < begun < slow.steps
