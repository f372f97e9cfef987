"""The small process that files are read in: started early, and again when it has died.

Imports nothing that takes time, so that a command can start it before it loads anything else: see
model/imaging/sandbox.py for what it is asked, model/imaging/sandbox_worker.py for what it does.
"""

import atexit
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

from model.errors import ConfigError

__all__ = ["ReadingProcess", "helper", "prepare_isolation"]

_START_SECONDS = 60
_PLAIN = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
"""How files begin that need none of DICOM's decoders, whose import takes most of the start."""


class ReadingProcess:
    """The helper process, started when it is first needed and again when it has died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._greeted = False
        self.loads_dicom = True
        """DICOM's decoders, when it starts; else each child that meets such a file loads them."""

    def send(self, message: bytes, descriptors: list[int]) -> subprocess.Popen[bytes]:
        """Hand a request to the helper; returns the process that has it."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._restart()
            self._await_greeting()
            try:
                return self._hand_over(message, descriptors)
            except (BrokenPipeError, ConnectionResetError):
                self._restart()
                self._await_greeting()
                return self._hand_over(message, descriptors)

    def start(self, dicom: bool) -> None:
        """Start it unless it runs, without waiting.

        Args:
            dicom: see `loads_dicom`.
        """
        with self._lock:
            if self._process is None:
                self.loads_dicom = dicom
                self._restart()

    def stop(self) -> None:
        """End the helper; children that still read end by their own limits."""
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._control = self._process = None

    def forget(self) -> None:
        """In a forked copy of this process: leave the helper to the original."""
        if self._control is not None:
            self._control.close()
        self.__init__()  # type: ignore[misc]

    def _hand_over(self, message: bytes, descriptors: list[int]) -> subprocess.Popen[bytes]:
        assert self._control is not None
        assert self._process is not None
        socket.send_fds(self._control, [message], descriptors)
        return self._process

    def _restart(self) -> None:
        self.stop()
        root = str(Path(__file__).parents[2])
        paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        # Numeric libraries must start no threads: the helper forks.
        alone = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": paths}
        self._control, theirs = socket.socketpair()
        with theirs:
            arguments = f"{theirs.fileno()}, {self.loads_dicom}"
            code = f"from model.imaging.sandbox_worker import serve; serve({arguments})"
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", code],
                pass_fds=[theirs.fileno()],
                env=os.environ | alone,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # Decoders complain here, and may quote what they read.
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._greeted = False

    def _await_greeting(self) -> None:
        if self._greeted:
            return
        assert self._control is not None
        self._control.settimeout(_START_SECONDS)
        try:
            greeting = self._control.recv(1)
        except TimeoutError:
            greeting = b""
        if not greeting:
            self.stop()
            raise ConfigError(
                "the reading process does not start: "
                "`python -c 'import model.imaging.sandbox_worker'` may show why"
            )
        self._greeted = True


def prepare_isolation(files: Iterable[Path]) -> None:
    """Start the helper process while there is something else to do; the first file then need not
    wait for it.

    Args:
        files: what it will be asked for; it can read any other.
    """
    helper.start(dicom=not all(map(_is_plain, files)))


def _is_plain(path: Path) -> bool:
    """Whether it begins as a PNG or a JPEG does; what it is, the helper finds out."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            return file.read(8).startswith(_PLAIN)
    except OSError:
        return False  # reading it says what is wrong


def _without_waiting(path: str, flags: int) -> int:
    # Opening a pipe that nobody writes to would wait for a writer.
    return os.open(path, flags | os.O_NONBLOCK)


helper = ReadingProcess()
atexit.register(helper.stop)
os.register_at_fork(after_in_child=helper.forget)
