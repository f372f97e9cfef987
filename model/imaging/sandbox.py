"""`read_image` in a child process with limits on memory, processor time and wall clock.

Native decoders crash and swell on hostile files, and a process that runs torch must not be
forked. So the first call starts one small helper process (model/imaging/reading_process.py) that
has the decoders loaded and no threads; it forks a child a file. The child gets two descriptors,
the file and a socket for its answer, and gives the pixels back in anonymous memory. Needs POSIX;
memory is limited on Linux only.
"""

import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from signal import Signals
from typing import Any

import numpy as np

from model import errors
from model.errors import ConfigError, ImageTooLarge, UndecodableImage
from model.imaging.geometry import StoredGrid, Turn
from model.imaging.radiograph import Identity, ImageWarning, Radiograph
from model.imaging.reading_process import helper
from model.imaging.stored import PixelDescription, StoredImage

__all__ = [
    "IsolationLimits",
    "anonymous_file",
    "read_image_isolated",
    "read_stored_isolated",
]

_GRACE_SECONDS = 5
"""How much longer than its wall clock a child may take to be gone before it is given up."""
_NOT_WHOLE = "the process that read the file gave no whole answer"
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


@dataclass(frozen=True)
class IsolationLimits:
    memory_bytes: int = 1 << 30
    """Address space on top of what the process takes before it opens the file."""
    cpu_seconds: int = 20
    wall_seconds: float = 30.0

    def __post_init__(self) -> None:
        if min(self.memory_bytes, self.cpu_seconds, self.wall_seconds) <= 0:
            raise ConfigError(f"{self}: every limit must be above 0")


def read_image_isolated(
    source: Path | bytes, limits: IsolationLimits = IsolationLimits(), enough: int | None = None
) -> Radiograph:
    """Read one radiograph in a child process. Safe to call from many threads at once.

    Args:
        source: a file's path, or its content.
        limits: what the child may take.
        enough: see ReadLimits.

    Raises:
        UnsupportedImage, NotARadiograph: as `read_image`.
        UndecodableImage: as `read_image`, and when the file crashes its decoder.
        ImageTooLarge: as `read_image`, and when a limit of the child is hit.
        ConfigError: the helper process does not start.
    """
    request = {"limits": asdict(limits), "stored": False, "enough": enough}
    with _answered(source, request, limits) as (answer, descriptors):
        match answer:
            case {
                "shape": [height, width],
                "view": view,
                "warnings": warnings,
                "identity": identity,
                "grid": {"rows": rows, "columns": columns, "turn": turn},
                "whole": whole,
            } if descriptors:
                pixels = np.empty((height, width), np.float32)
                if os.preadv(descriptors[0], [pixels.data], 0) == pixels.nbytes:
                    repairs = tuple(ImageWarning(**one) for one in warnings)
                    # JSON knows no tuples.
                    directions = tuple(turn["directions"])
                    stored = StoredGrid(rows, columns, Turn(**{**turn, "directions": directions}))
                    size = whole and tuple(whole)
                    return Radiograph(pixels, view, repairs, Identity(**identity), stored, size)
    raise UndecodableImage(_NOT_WHOLE)


def read_stored_isolated(
    source: Path | bytes, limits: IsolationLimits = IsolationLimits()
) -> StoredImage:
    """Read the stored values of one radiograph; as `read_image_isolated`."""
    from pydantic import TypeAdapter

    request = {"limits": asdict(limits), "stored": True, "enough": None}
    with _answered(source, request, limits) as (answer, descriptors):
        match answer:
            case {"kind": kind} if len(descriptors) == 2:
                with open(descriptors[1], "rb", closefd=False) as file:
                    file.seek(0)
                    described = TypeAdapter(PixelDescription).validate_json(file.read())
                samples = np.empty((described.rows, described.columns), np.dtype(kind))
                if os.preadv(descriptors[0], [samples.data], 0) == samples.nbytes:
                    return StoredImage(samples, described)
    raise UndecodableImage(_NOT_WHOLE)


@contextmanager
def _answered(
    source: Path | bytes, request: dict[str, Any], limits: IsolationLimits
) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """The child's answer about one file and the descriptors it sent, open as long as this is."""
    with _opened(source) as file:
        # No answer at all: the helper itself was killed, perhaps for another file's sake.
        answer = _exchange(file, request, limits) or _exchange(file, request, limits)
    if answer is None:
        raise UndecodableImage("the process that read the file died without an answer")
    message, descriptors = answer
    try:
        _raise_refusal(message, limits)
        yield message, descriptors
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _exchange(
    file: int, request: dict[str, Any], limits: IsolationLimits
) -> tuple[dict[str, Any], list[int]] | None:
    """The answer about one file, or None where nobody is left to give one."""
    with suppress(OSError):  # a pipe has no start; the child says what is wrong with it
        os.lseek(file, 0, os.SEEK_SET)
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = helper.send(json.dumps(request).encode(), [theirs.fileno(), file])
        ours.settimeout(limits.wall_seconds + _GRACE_SECONDS)
        try:
            message, descriptors, _, _ = socket.recv_fds(ours, 1 << 16, 2, _CLOSE_ON_EXEC)
        except TimeoutError as error:
            raise _limit_hit(f"{limits.wall_seconds:g} seconds") from error
    if not message:
        # Its sockets close a moment before it counts as gone.
        process.wait(_GRACE_SECONDS)
        return None
    return json.loads(message.splitlines()[0]), descriptors


def _raise_refusal(answer: dict[str, Any], limits: IsolationLimits) -> None:
    match answer:
        case {"error": name, "message": message}:
            raise getattr(errors, name)(message)
        case {"signal": Signals.SIGALRM}:
            raise _limit_hit(f"{limits.wall_seconds:g} seconds")
        case {"signal": Signals.SIGXCPU}:
            raise _limit_hit(f"{limits.cpu_seconds} seconds of processor time")
        case {"signal": number}:
            raise UndecodableImage(f"the file crashed its decoder ({Signals(number).name})")


def _limit_hit(limit: str) -> ImageTooLarge:
    return ImageTooLarge(f"decoding took more than {limit}: export the image smaller or plainer")


@contextmanager
def _opened(source: Path | bytes) -> Iterator[int]:
    """A descriptor positioned at the start of the file or of the given content."""
    if isinstance(source, bytes):
        descriptor = anonymous_file(source)
    else:
        try:
            # Opening a pipe without a writer would wait for one.
            descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise UndecodableImage(f"the file cannot be read: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def anonymous_file(content: bytes | memoryview) -> int:
    """A descriptor of a file without a name that holds `content`, in memory where possible."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("crossray")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
