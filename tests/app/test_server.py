"""The server around the API: deadlines, bodies on their way, and the container it runs in."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes

import pytest
import uvicorn
from paths import ROOT

from app.api.middleware import SECURITY_HEADERS
from app.main import create_app
from app.server import open_socket, protocol
from app.settings import Settings
from model.errors import ConfigError
from model.generator import ReportGenerator

DOCS = ROOT / "docs" / "reference" / "rest-api.md"


def test_a_taken_address_is_told(tiny_generator: ReportGenerator) -> None:
    with open_socket("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port}"):
            open_socket("127.0.0.1", port)


@contextmanager
def serving(generator: ReportGenerator, seconds: float, **settings: int) -> Iterator[tuple]:
    """The address of a real server whose requests must arrive within so many seconds."""
    listening = open_socket("127.0.0.1", 0)
    app = create_app(Settings(**settings), generator)
    server = uvicorn.Server(uvicorn.Config(app, http=protocol(seconds), ws="none", log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listening.getsockname()
    server.should_exit = True
    thread.join()


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
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request")
    headers = message_from_bytes(head.split(b"\r\n", 1)[1])
    problem = json.loads(body)
    assert problem["type"] == "/problems/bad-request"
    assert problem["instance"] == f"urn:uuid:{headers['X-Request-ID']}"
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
