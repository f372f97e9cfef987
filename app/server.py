"""Uvicorn, with what it lacks: a deadline for every request, and an end when the model is missing.

A plain uvicorn keeps a connection open for as long as one byte trickles in now and then.
"""

import asyncio
import contextlib
import logging
import socket
import uuid
from collections.abc import Callable

import h11
import uvicorn
from fastapi import FastAPI
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.api.middleware import add_headers
from app.api.problems import STATUSES, problem_response
from app.main import create_app
from app.settings import PREFIX, Settings
from model.errors import ConfigError, CrossRayError

__all__ = ["Server", "open_socket", "protocol", "serve"]

log = logging.getLogger("crossray.server")


def protocol(receive_seconds: float) -> type[H11Protocol]:
    """An HTTP/1.1 protocol whose requests must have arrived whole within so many seconds.

    The clock starts with the connection, and with the first byte of every later request on it. It
    is not restarted by bytes that arrive, so trickling does not help.
    """

    class DeadlineProtocol(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._start_clock()

        def data_received(self, data: bytes) -> None:
            if self._deadline is None:
                self._start_clock()
            super().data_received(data)
            if self.conn.their_state not in {h11.IDLE, h11.SEND_BODY}:
                self._stop_clock()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_clock()
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            self._stop_clock()
            # What is no HTTP reaches no application, so app.middleware cannot do this.
            scope: Scope = {"crossray.request": str(uuid.uuid4())}
            answer = problem_response(scope, STATUSES[400], msg)
            add_headers(scope, answer.headers)
            fields = {"request": scope["crossray.request"], "problem": scope["crossray.problem"]}
            log.info("request", extra={**fields, "status": 400})
            headers = [*answer.raw_headers, (b"connection", b"close")]
            events: list[h11.Event] = [
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=bytes(answer.body)),
                h11.EndOfMessage(),
            ]
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
            self.transport.close()

        def _start_clock(self) -> None:
            self._deadline = self.loop.call_later(receive_seconds, self._too_late)

        def _stop_clock(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _too_late(self) -> None:
            log.warning("a request did not arrive in time")
            self.transport.abort()

    return DeadlineProtocol


class Server(uvicorn.Server):
    """Says where it listens once it does, and stops when the model cannot be loaded."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._service = app.state.service
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._service.failure is not None


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
    """Run the service until it is told to stop.

    Args:
        announce: told the page's address as soon as it can be opened.

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
        http=protocol(settings.receive_seconds),
        ws="none",
        access_log=False,  # it would name paths and addresses; app.middleware logs instead
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=30,
    )
    with contextlib.suppress(KeyboardInterrupt):  # the usual way to end it, after it has ended well
        Server(config, app, lambda: announce(address)).run(sockets=[listening])
    failure = app.state.service.failure
    if failure is not None:
        if isinstance(failure, CrossRayError):
            raise failure
        raise CrossRayError(f"the model could not be loaded: {failure!r}") from failure
