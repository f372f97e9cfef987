"""The service on Ray Serve answers as the plain one: on demand, for Serve takes long to start."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.ray_serve import application
from app.settings import Settings
from model.errors import ConfigError
from model.generator import ReportGenerator

pytest.importorskip("ray.serve", reason="Ray Serve is not installed")
pytestmark = pytest.mark.filterwarnings("default")  # Ray's own: sockets and processes at its end


@pytest.fixture(scope="module")
def address(tiny_checkpoint: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    if not request.config.getoption("--soak"):
        pytest.skip("Ray Serve takes a minute to start on two cores: run it with --soak")
    import ray
    from ray import serve

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CROSSRAY_MODEL", str(tiny_checkpoint))
        patched.setenv("CROSSRAY_ENGINE", "torch")
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patched.setenv("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "120")  # on a busy machine
        ray.init(address="local", include_dashboard=False, num_cpus=2, _node_ip_address="127.0.0.1")
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(application({"max": "1"}))
        yield f"http://127.0.0.1:{port}"
        serve.shutdown()
        ray.shutdown()


def test_it_answers_as_the_plain_service(
    address: str, tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    plain = TestClient(create_app(Settings(), tiny_generator))
    files = {"files": ("a", make_png())}
    with httpx.Client(base_url=address, timeout=60) as client:
        for path in ("/readyz", "/v1/model", "/"):
            assert client.get(path).content == plain.get(path).content
        answers = [one.post("/v1/reports", files=files) for one in (client, plain)]
        assert answers[0].status_code == 201
        assert answers[0].json() == answers[1].json()
        asked = {"phrase": "effusion"}
        answers = [one.post("/v1/questions", files=files, data=asked) for one in (client, plain)]
        assert answers[0].json() == answers[1].json()
        wrong = {"files": ("a", b"no image")}
        problems = [one.post("/v1/reports", files=wrong) for one in (client, plain)]
    assert [problem.status_code for problem in problems] == [415, 415]
    assert problems[0].json()["detail"] == problems[1].json()["detail"]
    assert problems[0].headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("given", [{"min": "x"}, {"min": "3", "max": "2"}, {"min": "0"}])
def test_wrong_numbers_are_told(given: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"min="):
        application(given)
