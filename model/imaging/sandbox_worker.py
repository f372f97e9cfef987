"""The helper process behind model/imaging/sandbox.py: forks one limited child a file.

Runs alone, without threads and without torch. Over the control socket come requests: {"limits",
"stored", "enough"} as JSON, with two descriptors, the socket to answer on and the file. An answer
is one line of JSON. From the child: {"shape", "view", "warnings", "identity", "grid", "whole"} with
the pixels' descriptor; or, of stored values, {"kind"} with descriptors of the samples and of their
description as JSON, which may be long; or {"error", "message"}. From this process, once the child
is gone: {"signal"} or {"exit"}. Only the first line of them counts.
"""

import contextlib
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import cv2

from model.errors import ImageError, ImageTooLarge
from model.imaging.radiograph import ReadLimits
from model.imaging.read import load_file, read_image, read_stored
from model.imaging.sandbox import anonymous_file

__all__ = ["serve"]


def serve(control_descriptor: int, dicom: bool) -> None:
    """Answer requests until the other end of the control socket closes.

    Args:
        dicom: import DICOM's reader and decoders now; else each child that meets such a file does.
    """
    # pydicom imports a network client, to fetch examples; nobody here has a network to use.
    sys.modules.update(dict.fromkeys(("requests", "tqdm")))  # type: ignore[arg-type]
    if dicom:
        import model.imaging.dicom  # noqa: F401
        from model.imaging.codecs import load_decoders

        load_decoders()
    cv2.setNumThreads(0)
    # Frozen objects are not touched by the collector, so a child shares their pages.
    gc.collect()
    gc.freeze()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[int, socket.socket] = {}
    with socket.socket(fileno=control_descriptor) as control:
        control.send(b"!")
        while True:
            ready, _, _ = select.select([control_descriptor, woken], [], [])
            if woken in ready:
                os.read(woken, 1 << 12)
                _reap(children)
            if control_descriptor in ready:
                message, descriptors, _, _ = socket.recv_fds(control, 1 << 12, 2)
                if not message:
                    return
                _start(message, descriptors, [control, *children.values()], children)


def _start(
    message: bytes,
    descriptors: list[int],
    others: list[socket.socket],
    children: dict[int, socket.socket],
) -> None:
    reply, file = socket.socket(fileno=descriptors[0]), descriptors[1]
    try:
        pid = os.fork()
    except OSError as error:
        refusal = ImageTooLarge(f"no process to read the file in: {error.strerror}; try again")
        _send(reply, _error(refusal))
        reply.close()
    else:
        if pid == 0:
            _child(json.loads(message), reply, file, others)
        children[pid] = reply
    os.close(file)


def _reap(children: dict[int, socket.socket]) -> None:
    """Report how each child that is gone has ended: it comes second where the child answered."""
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        code = os.waitstatus_to_exitcode(status)
        with children.pop(pid) as reply:
            _send(reply, {"signal": -code} if code < 0 else {"exit": code})


def _child(
    request: dict[str, Any], reply: socket.socket, file: int, others: list[socket.socket]
) -> NoReturn:
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for other in others:
            other.close()
        _limit(**request["limits"])
        answer, descriptors = _read(file, request["stored"], request["enough"])
        _send(reply, answer, descriptors)
        status = 0
    finally:
        # Never back into the helper's loop, nor through its clean-up.
        os._exit(status)


def _limit(memory_bytes: int, cpu_seconds: int, wall_seconds: float) -> None:
    # The default action of both alarms ends the process even inside a decoder's C code.
    signal.setitimer(signal.ITIMER_REAL, wall_seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    # A core file would hold the image.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    statm = Path("/proc/self/statm")
    if statm.exists():
        taken = int(statm.read_text().split()[0]) * resource.getpagesize()
        limit = taken + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _read(file: int, stored: bool, enough: int | None) -> tuple[dict[str, Any], list[int]]:
    try:
        limits = ReadLimits(enough=enough)
        data = load_file(file, limits)
        return _stored(data) if stored else _shown(data, limits)
    except ImageError as error:
        return _error(error), []
    except MemoryError:
        return _error(ImageTooLarge("decoding needs more memory than the limit allows")), []


def _shown(data: bytes, limits: ReadLimits) -> tuple[dict[str, Any], list[int]]:
    radiograph = read_image(data, limits)
    answer = {
        "shape": radiograph.pixels.shape,
        "view": radiograph.view,
        "warnings": [asdict(warning) for warning in radiograph.warnings],
        "identity": asdict(radiograph.identity),
        "grid": asdict(radiograph.grid),
        "whole": radiograph.whole,
    }
    return answer, [anonymous_file(radiograph.pixels.data)]


def _stored(data: bytes) -> tuple[dict[str, Any], list[int]]:
    image = read_stored(data)
    description = json.dumps(asdict(image.description)).encode()
    samples = anonymous_file(image.samples.data)
    return {"kind": image.samples.dtype.name}, [samples, anonymous_file(description)]


def _error(error: ImageError) -> dict[str, Any]:
    return {"error": type(error).__name__, "message": str(error)}


def _send(
    reply: socket.socket, answer: dict[str, Any], descriptors: list[int] | None = None
) -> None:
    # Who asked may have given up; that is no reason to stop serving the others.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        socket.send_fds(reply, [json.dumps(answer).encode() + b"\n"], descriptors or [])
