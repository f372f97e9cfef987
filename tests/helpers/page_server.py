"""The real service on the loopback, for tests that drive a browser."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from app.main import create_app
from app.server import Server
from app.settings import Settings
from model.generator import ReportGenerator


@contextmanager
def serving(generator: ReportGenerator, **settings: Any) -> Iterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    app = create_app(Settings(**settings), generator)
    config = uvicorn.Config(app, log_level="warning", ws="none", lifespan="on")
    server = Server(config, app, lambda: None)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:  # a test that fails must not leave a thread that nobody ends
        server.should_exit = True
        thread.join()
        listening.close()
