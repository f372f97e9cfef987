"""The service on Ray Serve answers as the plain one: on demand, for Serve takes long to start.

python -m pytest tests/soak/test_ray_serve.py --soak=1
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from events import STREAM, told
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from app.main import create_app
from app.ray_serve import application
from app.settings import Settings
from model.errors import ConfigError
from model.generator import ReportGenerator

pytest.importorskip("ray.serve", reason="Ray Serve is not installed")
pytestmark = pytest.mark.filterwarnings("default")  # Ray's own: sockets and processes at its end

WAIT_SECONDS = 300
"""For an answer on a busy machine: a request also waits for a replica to start."""
REPLICAS = 2


@pytest.fixture(scope="module")
def address(
    tiny_checkpoint: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[str]:
    if not request.config.getoption("--soak"):
        pytest.skip("Ray Serve takes half a minute to start on two cores: run it with --soak")
    import ray
    from ray import serve

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CROSSRAY_MODEL", str(tiny_checkpoint))
        patched.setenv("CROSSRAY_ENGINE", "torch")
        patched.setenv("CROSSRAY_JOBS", str(tmp_path_factory.mktemp("jobs")))
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patched.setenv("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", str(WAIT_SECONDS))
        ray.init(
            address="local",
            include_dashboard=False,
            num_cpus=2 * REPLICAS,
            _node_ip_address="127.0.0.1",
        )
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(application({"max": str(REPLICAS)}))
        yield f"http://127.0.0.1:{port}"
        serve.shutdown()
        ray.shutdown()


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=WAIT_SECONDS) as client:
        yield client


def test_it_answers_as_the_plain_service(
    client: httpx.Client, tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    plain = TestClient(create_app(Settings(), tiny_generator))
    files = {"files": ("a", make_png())}
    for path in ("/readyz", "/v1/model", "/"):
        assert client.get(path).content == plain.get(path).content
    answers = [one.post("/v1/reports", files=files) for one in (client, plain)]
    assert answers[0].status_code == 201
    assert answers[0].json() == answers[1].json()
    streams = [one.post("/v1/reports", files=files, headers=STREAM) for one in (client, plain)]
    assert told(streams[0].text) == told(streams[1].text)
    asked = {"phrase": "effusion"}
    answers = [one.post("/v1/questions", files=files, data=asked) for one in (client, plain)]
    assert answers[0].json() == answers[1].json()
    wrong = {"files": ("a", b"no image")}
    problems = [one.post("/v1/reports", files=wrong) for one in (client, plain)]
    assert [problem.status_code for problem in problems] == [415, 415]
    assert problems[0].json()["detail"] == problems[1].json()["detail"]
    assert problems[0].headers["content-type"] == "application/problem+json"


def test_a_job_gives_the_report(client: httpx.Client, make_png: Callable) -> None:
    files = [("files", ("a", make_png())), ("files", ("b", b"no image"))]
    studies = json.dumps([{"files": 1}, {"files": 1}])
    posted = client.post("/v1/jobs", files=files, data={"studies": studies})
    assert posted.status_code == 202
    location = posted.headers["location"]
    with client.stream("GET", f"{location}/events") as stream:
        assert b"".join(stream.iter_bytes())  # ends when the job does
    job = client.get(location).json()
    assert job["progress"] == {"studies": 2, "done": 1, "failed": 1}
    report = client.post("/v1/reports", files=files[:1]).json()
    assert job["studies"][0]["report"] == report
    assert job["studies"][1]["problem"]["type"] == "/problems/not-an-image"


def test_load_starts_replicas(client: httpx.Client, make_png: Callable) -> None:
    files = {"files": ("a", make_png())}
    enough = threading.Event()

    def send() -> set[int]:
        statuses = set()
        while not enough.is_set():
            statuses.add(client.post("/v1/reports", files=files).status_code)
        return statuses

    with ThreadPoolExecutor(8) as clients:
        sent = [clients.submit(send) for _ in range(8)]
        try:
            wait_for(lambda: replicas() == REPLICAS)
        finally:
            enough.set()
        # 503: as many uploads of one client as there may be are on their way.
        assert {201} <= set.union(*(one.result() for one in sent)) <= {201, 503}


def test_a_replica_that_ends_answers_first(client: httpx.Client, make_png: Callable) -> None:
    """Last, for then there is no service."""
    from ray import serve

    large = make_png(height=4000, width=4000)
    with ThreadPoolExecutor(8) as clients:
        sent = [
            clients.submit(client.post, "/v1/reports", files={"files": ("a", large)})
            for _ in range(8)
        ]
        wait_for(lambda: in_hand(client) > 1)
        serve.delete("default")
        assert {one.result().status_code for one in sent} == {201}


def replicas() -> int:
    from ray import serve

    states = serve.status().applications["default"].deployments["crossray"].replica_states
    return states.get("RUNNING", 0)


def in_hand(client: httpx.Client) -> float:
    families = text_string_to_metric_families(client.get("/metrics").text)
    [studies] = [family for family in families if family.name == "crossray_studies_in_hand"]
    return studies.samples[0].value


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize("given", [{"min": "x"}, {"min": "3", "max": "2"}, {"min": "0"}])
def test_wrong_numbers_are_told(given: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"min="):
        application(given)
