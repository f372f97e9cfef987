"""Uvicorn, with what it lacks: limits on connections, and an end when the model is missing.

A plain uvicorn keeps a connection open for as long as one byte trickles in now and then.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

import h11
import uvicorn
from fastapi import FastAPI
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.api.middleware import add_headers
from app.api.problems import STATUSES, Busy, Kind, kind_of, problem_response
from app.api.service import Service
from app.main import create_app
from app.settings import PREFIX, Settings
from model.errors import ConfigError, CrossRayError

__all__ = ["ConnectionLimits", "Server", "open_socket", "protocol", "serve"]

log = logging.getLogger("crossray.server")

ANSWER_SECONDS = 1.0
"""In which a request that is canceled at the end must have sent its answer."""


@dataclass(frozen=True)
class ConnectionLimits:
    receive_seconds: float = 60.0
    """In which a request must have arrived whole."""
    rate: int = 16_384
    """Bytes a second of a body that must arrive, on average over each `rate_seconds`."""
    rate_seconds: float = 5.0
    connections: int = 256
    """Open at once; the next is answered 503."""


class LimitedProtocol(H11Protocol):
    """An HTTP/1.1 protocol that closes connections which are late, slow or too many.

    The clock of a request starts with the connection, and with the first byte of every later
    request on it. It is not restarted by bytes that arrive, so trickling does not help.
    """

    limits = ConnectionLimits()
    _deadline: asyncio.TimerHandle | None = None
    _next_check: asyncio.TimerHandle | None = None
    _received = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._answer(
                kind_of(Busy()), f"{self.limits.connections} connections are open: try again"
            )
            return
        self._start_clock()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._deadline is None:
            self._start_clock()
        self._received += len(data)
        super().data_received(data)
        if self.conn.their_state not in {h11.IDLE, h11.SEND_BODY}:
            self._stop_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        super().shutdown()
        if self.conn.their_state is h11.SEND_BODY:
            self._stop_clock()
            self._deadline = self.loop.call_later(self.limits.rate_seconds, self._too_late)

    def send_400_response(self, msg: str) -> None:
        self._answer(STATUSES[400], msg)

    def _answer(self, kind: Kind, detail: str) -> None:
        """Answer what reaches no application, so that app.api.middleware cannot, and close."""
        self._stop_clock()
        scope: Scope = {
            "type": "http",
            "headers": [],
            "crossray.request": str(uuid.uuid4()),
        }
        answer = problem_response(scope, kind, detail)
        add_headers(scope, answer.headers)
        fields = {"request": scope["crossray.request"], "problem": scope["crossray.problem"]}
        log.info("request", extra={**fields, "status": kind.status})
        headers = [*answer.raw_headers, (b"connection", b"close")]
        phrase = HTTPStatus(kind.status).phrase.encode()
        events: list[h11.Event] = [
            h11.Response(status_code=kind.status, headers=headers, reason=phrase),
            h11.Data(data=bytes(answer.body)),
            h11.EndOfMessage(),
        ]
        for event in events:
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _start_clock(self) -> None:
        self._deadline = self.loop.call_later(self.limits.receive_seconds, self._too_late)
        self._received = 0
        self._next_check = self.loop.call_later(self.limits.rate_seconds, self._check_rate)

    def _stop_clock(self) -> None:
        for timer in (self._deadline, self._next_check):
            if timer is not None:
                timer.cancel()
        self._deadline = self._next_check = None

    def _check_rate(self) -> None:
        # A body that the application is slow to take is not late.
        arriving = self.conn.their_state is h11.SEND_BODY and not self.flow.read_paused
        if arriving and self._received < self.limits.rate * self.limits.rate_seconds:
            self._too_late()
            return
        self._received = 0
        self._next_check = self.loop.call_later(self.limits.rate_seconds, self._check_rate)

    def _too_late(self) -> None:
        log.warning("a request did not arrive in time")
        self.transport.abort()


def protocol(limits: ConnectionLimits) -> type[H11Protocol]:
    """`LimitedProtocol` with other limits: uvicorn asks for a class."""
    return type("LimitedProtocol", (LimitedProtocol,), {"limits": limits})


class Server(uvicorn.Server):
    """Says where it listens once the model is loaded, and stops when it cannot be."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._service: Service = app.state.service
        self._announce: Callable[[], None] | None = announce

    async def on_tick(self, counter: int) -> bool:
        if self._announce is not None and self._service.is_ready:
            self._announce()
            self._announce = None
        return await super().on_tick(counter) or self._service.failure is not None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._service.stop()
        await super().shutdown(sockets)
        # Requests that were canceled still have to send their answer.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                while self.server_state.tasks:
                    await asyncio.sleep(0.01)


def open_socket(host: str, port: int) -> socket.socket:
    """A listening address.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    opened: socket.socket | None = None
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        opened = socket.socket(family, kind, number)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
    except OSError as error:
        if opened is not None:
            opened.close()
        raise ConfigError(
            f"cannot listen on {host} port {port} ({error.strerror}): choose another with --port "
            f"and --host, or {PREFIX}PORT and {PREFIX}HOST"
        ) from error
    return opened


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run the service until a signal stops it.

    Args:
        announce: given the page's address once the model is loaded.

    Raises:
        ConfigError: the address cannot be listened on.
        CrossRayError: the model cannot be loaded.
    """
    app = create_app(settings)
    listening = open_socket(settings.host, settings.port)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{listening.getsockname()[1]}/"
    config = uvicorn.Config(
        app,
        http=protocol(
            ConnectionLimits(
                settings.receive_seconds,
                settings.receive_rate,
                connections=settings.max_connections,
            )
        ),
        ws="none",
        access_log=False,  # it would name paths and addresses; app.middleware logs instead
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=settings.stop_seconds,
    )
    with contextlib.suppress(KeyboardInterrupt):  # the usual way to end it, after it has ended well
        Server(config, app, lambda: announce(address)).run(sockets=[listening])
    service: Service = app.state.service
    if service.is_reading:
        # Python would wait for its thread. Nothing of a study is kept, so nothing is lost.
        log.warning("a study was still being read when the service stopped: it was given up")
        logging.shutdown()
        os._exit(128 + signal.SIGTERM)
    failure = service.failure
    if failure is not None:
        if isinstance(failure, CrossRayError):
            raise failure
        raise CrossRayError("the model could not be loaded: the log says where") from failure
