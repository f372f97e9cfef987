"""The server around the API: deadlines, bodies on their way, and the container it runs in."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from email import message_from_bytes
from pathlib import Path

import pytest
import uvicorn
from fastapi.testclient import TestClient
from paths import ROOT
from problem import assert_problem

from app.api.middleware import SECURITY_HEADERS
from app.main import create_app
from app.server import ConnectionLimits, Server, open_socket, protocol
from app.settings import Settings, load_settings
from model.errors import CheckpointError, ConfigError
from model.generator import ReportGenerator
from model.input_check import WEIGHTS, load_input_check
from model.report import Report

DOCS = ROOT / "docs" / "reference" / "rest-api.md"


def test_a_taken_address_is_told(tiny_generator: ReportGenerator) -> None:
    with open_socket("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port}"):
            open_socket("127.0.0.1", port)


@contextmanager
def serving(
    generator: ReportGenerator,
    seconds: float,
    rate_seconds: float = 60.0,
    connections: int = 256,
    **settings: int,
) -> Iterator[tuple[str, int]]:
    """The address of a real server whose requests must arrive within so many seconds."""
    listening = open_socket("127.0.0.1", 0)
    app = create_app(Settings(**settings), generator)
    limits = ConnectionLimits(seconds, rate_seconds=rate_seconds, connections=connections)
    config = uvicorn.Config(
        app, http=protocol(limits), ws="none", log_config=None, timeout_graceful_shutdown=2
    )
    server = Server(config, app, lambda: None)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listening.getsockname()
    server.should_exit = True
    thread.join()


def received(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    return b"".join(iter(lambda: connection.recv(4096), b""))


@pytest.fixture
def served(tiny_generator: ReportGenerator) -> Iterator[tuple[str, int]]:
    with serving(tiny_generator, seconds=0.3) as address:
        yield address


MULTIPART = b"Content-Type: multipart/form-data; boundary=b\r\n"
UPLOAD = b"POST /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n"


@pytest.mark.parametrize("start", [b"", b"GET /livez HT", UPLOAD])
def test_a_trickling_request_is_cut_off(served: tuple[str, int], start: bytes) -> None:
    """Were the deadline moved by each byte, the connection would outlive all of these."""
    with socket.create_connection(served, timeout=30) as connection:
        connection.sendall(start)
        with pytest.raises(ConnectionError):
            for _ in range(2000):
                connection.sendall(b"x")
                time.sleep(0.01)


def test_a_whole_request_is_answered_and_the_next_too(served: tuple[str, int]) -> None:
    with socket.create_connection(served, timeout=30) as connection:
        for _ in range(3):
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while not answer.endswith(b'{"status":"alive"}'):
                answer += connection.recv(4096)
            time.sleep(0.2)  # longer in all than the deadline of one


def test_what_is_not_http_gets_a_problem(served: tuple[str, int]) -> None:
    with socket.create_connection(served, timeout=30) as connection:
        connection.sendall(b"\x16\x03\x01 not HTTP\r\n\r\n")
        answer = received(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request")
    headers = message_from_bytes(head.split(b"\r\n", 1)[1])
    problem = json.loads(body)
    assert problem["type"] == "/problems/bad-request"
    assert problem["instance"] == f"/requests/{headers['X-Request-ID']}"
    assert headers["Content-Type"] == "application/problem+json"
    for name, value in SECURITY_HEADERS.items():
        assert headers[name] == value


def test_the_container_asks_at_the_port_it_was_told(served: tuple[str, int]) -> None:
    [line] = re.findall(r"^ +CMD (\[.+\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    command = [sys.executable, *json.loads(line)[1:]]
    for port, status in ((served[1], 0), (1, 1)):
        environment = os.environ | {"CROSSRAY_PORT": str(port)}
        assert subprocess.run(command, env=environment, capture_output=True).returncode == status


def test_the_containers_uploads_fit_into_its_temporary_folder() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    uploads, size = (
        int(re.search(rf'CROSSRAY_{name}: "(\d+)"', text)[1])
        for name in ("MAX_UPLOADS", "MAX_REQUEST_BYTES")
    )
    [room] = re.findall(r"/tmp:size=(\d+)m", text)
    Settings(max_uploads=uploads, max_request_bytes=size)
    assert uploads * size < int(room) * 2**20


def test_a_body_too_large_is_refused_before_it_is_sent(tiny_generator: ReportGenerator) -> None:
    with (
        serving(tiny_generator, seconds=60) as address,
        socket.create_connection(address, timeout=30) as connection,
    ):
        connection.sendall(UPLOAD.replace(b"99999", b"999999999999"))
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_uploads_on_their_way_are_bounded(
    tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    with serving(tiny_generator, seconds=60, max_uploads=1) as address:
        with (
            socket.create_connection(address, timeout=30) as slow,
            socket.create_connection(address, timeout=30) as other,
        ):
            # The server asks for the body once it has begun to wait for it.
            slow.sendall(UPLOAD[:-2] + MULTIPART + b"Expect: 100-continue\r\n\r\n")
            assert slow.recv(4096).startswith(b"HTTP/1.1 100 ")
            other.sendall(UPLOAD)
            answer = other.recv(4096)
        assert answer.startswith(b"HTTP/1.1 503 ") and b"retry-after" in answer.lower()


def test_a_stalled_upload_is_dropped_long_before_its_deadline(
    tiny_generator: ReportGenerator,
) -> None:
    with (
        serving(tiny_generator, seconds=600, rate_seconds=0.2) as address,
        socket.create_connection(address, timeout=30) as connection,
    ):
        connection.sendall(UPLOAD[:-2] + MULTIPART + b"\r\n--b")
        with suppress(ConnectionError):
            assert received(connection) == b""


def test_one_client_has_its_share_of_the_uploads(tiny_generator: ReportGenerator) -> None:
    with (
        serving(tiny_generator, seconds=60, max_uploads_per_client=1) as address,
        socket.create_connection(address, timeout=30) as slow,
        socket.create_connection(address, timeout=30) as other,
    ):
        slow.sendall(UPLOAD[:-2] + MULTIPART + b"Expect: 100-continue\r\n\r\n")
        assert slow.recv(4096).startswith(b"HTTP/1.1 100 ")
        other.sendall(UPLOAD)
        assert b"uploads of this client" in received(other)


def test_a_connection_too_many_is_answered(tiny_generator: ReportGenerator) -> None:
    with serving(tiny_generator, seconds=60, connections=2) as address, ExitStack() as stack:
        for _ in range(2):
            idle = stack.enter_context(socket.create_connection(address, timeout=30))
            idle.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert idle.recv(4096).startswith(b"HTTP/1.1 200 ")
        third = stack.enter_context(socket.create_connection(address, timeout=30))
        answer = received(third)
    assert answer.startswith(b"HTTP/1.1 503 ") and b"/problems/busy" in answer
    assert b"retry-after" in answer.lower()


def test_what_waits_when_the_service_stops_is_answered_with_a_problem(
    tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    """One study is being read for longer than the grace, others wait for their turn."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="files"\r\n\r\n' + make_png() + b"\r\n--b--"
    )
    head = b"POST /v1/reports HTTP/1.1\r\nHost: x\r\n" + MULTIPART
    request = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    release = threading.Event()

    class Slow(ReportGenerator):
        def reports(self, *arguments: object, **options: object) -> list[Report]:
            release.wait(60)
            return super().reports(*arguments, **options)

    slow = Slow(tiny_generator.model, tiny_generator.tokenizer, tiny_generator.identity)
    with ExitStack() as stack:
        with serving(slow, seconds=60) as address:
            clients = [
                stack.enter_context(socket.create_connection(address, timeout=60)) for _ in range(4)
            ]
            for client in clients:
                client.sendall(request)
            time.sleep(1)
        answers = [received(client) for client in clients]
        release.set()
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 503 ") and b"/problems/not-ready" in answer


ENDLESS = """
import time
from model.generator import ReportGenerator
from app.cli.main import main


def endless(*arguments, **options):
    print("reading", flush=True)
    time.sleep(3600)


ReportGenerator.reports = endless
main()
"""


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_study_that_outlasts_the_grace_does_not_keep_the_process_alive(
    tiny_checkpoint: Path, make_png: Callable, ending: signal.Signals
) -> None:
    """SIGINT stands for the first process of a container too, which no signal of its own ends."""
    command = [sys.executable, "-c", ENDLESS, "serve", "--port", "0", "--model", tiny_checkpoint]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CROSSRAY_STOP_SECONDS": "1"}
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = iter(process.stdout.readline, "")
        port = next(int(found[1]) for line in said if (found := re.search(r":(\d+)/", line)))
        body = (
            b'--b\r\nContent-Disposition: form-data; name="files"\r\n\r\n'
            + make_png()
            + b"\r\n--b--"
        )
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            head = b"POST /v1/reports?input_check=false HTTP/1.1\r\nHost: localhost\r\n" + MULTIPART
            client.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert any(line == "reading\n" for line in said)
            process.send_signal(ending)
            answer = received(client)
        try:
            status = process.wait(timeout=60)
        finally:
            process.kill()
    assert answer.startswith(b"HTTP/1.1 503 ") and b"/problems/not-ready" in answer
    assert status in (-signal.SIGTERM, 128 + signal.SIGTERM)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:8000"}, 200),
        ({"Host": "LOCALHOST"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "attacker.example"}, 403),
        ({"Host": "127.0.0.1.attacker.example"}, 403),
    ],
)
def test_only_own_hosts_are_answered(
    tiny_generator: ReportGenerator, headers: dict[str, str], status: int
) -> None:
    app = create_app(load_settings(host="127.0.0.1"), tiny_generator)
    response = TestClient(app).get("/livez", headers=headers)
    assert response.status_code == status
    if status == 403:
        assert_problem(response, 403, "forbidden")


def test_hosts_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSRAY_HOSTS", "Xray.example, localhost")
    assert load_settings().hosts == ("xray.example", "localhost")
    monkeypatch.delenv("CROSSRAY_HOSTS")
    assert load_settings(host="0.0.0.0").hosts is None


def test_another_sites_page_cannot_post(
    tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    client = TestClient(create_app(Settings(), tiny_generator))
    for site, status in (("cross-site", 403), ("same-origin", 201), ("none", 201)):
        headers = {"Sec-Fetch-Site": site}
        response = client.post("/v1/reports", files={"files": make_png()}, headers=headers)
        assert response.status_code == status
        assert client.get("/livez", headers=headers).status_code == 200


@pytest.mark.parametrize("given", ["f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "0" * 32])
def test_the_clients_id_of_a_request_is_kept(tiny_generator: ReportGenerator, given: str) -> None:
    client = TestClient(create_app(Settings(), tiny_generator))
    response = client.get("/nowhere", headers={"X-Request-ID": given})
    assert response.headers["x-request-id"] == given
    assert assert_problem(response, 404, "not-found")["instance"] == f"/requests/{given}"


@pytest.mark.parametrize(
    "given", ["", "MRN-77310429", "x" * 65, "1.2.826.0.1.3680043.8.498.1", "ä" * 30]
)
def test_what_is_no_id_of_a_request_is_not_kept(
    tiny_generator: ReportGenerator, given: str
) -> None:
    client = TestClient(create_app(Settings(), tiny_generator))
    response = client.get("/livez", headers={"X-Request-ID": given.encode()})
    assert given not in [response.headers["x-request-id"], None]


def test_damaged_weights_of_the_input_check_are_found_before_ready(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content = bytearray(WEIGHTS.read_bytes())
    content[-1] ^= 1
    damaged = tmp_path / WEIGHTS.name
    damaged.write_bytes(content)
    shutil.copy(WEIGHTS.with_name("input_check.sha256"), tmp_path)
    monkeypatch.setattr("model.generator.load_input_check", lambda: load_input_check(damaged))
    app = create_app(Settings(model=tiny_checkpoint))
    app.state.service.load()
    assert isinstance(app.state.service.failure, CheckpointError)
    assert_problem(TestClient(app).get("/readyz"), 503, "not-ready")
