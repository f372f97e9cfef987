"""A model that answers requests: in this process, or in one beside it that may be killed."""

import atexit
import logging
import multiprocessing
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

from app.logs import configure_logging
from app.threads import use_threads
from app.workers.errors import NotReady, WorkerDied
from app.workers.requests import Request, Result, WatchAll, answered
from model.checkpoint_folder import ModelIdentity
from model.engine.config import Precision
from model.engine.load import EngineName
from model.errors import CrossRayError
from model.exam import enough_pixels, why_unread
from model.generator import ReportGenerator

__all__ = ["LocalModel", "Model", "ModelCard", "ProcessModel", "WorkerOptions"]

log = logging.getLogger("crossray.service")
END_SECONDS = 5.0
"""In which a process that has nothing more to do must have ended."""


@dataclass(frozen=True)
class ModelCard:
    """What is known of a loaded model without having it."""

    identity: ModelIdentity
    notice: str
    grid: tuple[int, int]
    """Patches: rows, columns."""
    image_size: int
    views: tuple[str, ...]
    prompt_tokens: int
    enough: int | None
    """See `enough_pixels` of model/exam.py."""

    @classmethod
    def of(cls, generator: ReportGenerator) -> "ModelCard":
        config = generator.model.config
        return cls(
            generator.identity,
            generator.notice,
            generator.model.grid,
            config.image_size,
            tuple(config.views),
            config.prompt_tokens,
            enough_pixels(generator.model),
        )

    def why_unread(self, view: str | None, prior: bool = False) -> str | None:
        """See ReportGenerator.why_unread."""
        return why_unread(self.views, view, prior)


class Model(Protocol):
    """One model; a single thread uses it at a time."""

    def start(self) -> ModelCard: ...

    def answered(
        self, requests: Sequence[Request], watch: WatchAll | None = None
    ) -> list[Result]: ...

    def close(self) -> None: ...


class LocalModel:
    """A model in this process; several may share a generator."""

    def __init__(self, generator: ReportGenerator) -> None:
        self.generator = generator

    def start(self) -> ModelCard:
        return ModelCard.of(self.generator)

    def answered(self, requests: Sequence[Request], watch: WatchAll | None = None) -> list[Result]:
        """See requests.answered."""
        return answered(self.generator, requests, watch)

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True)
class WorkerOptions:
    """What a model's process loads."""

    model: Path | None = None
    device: str = "cpu"
    engine: EngineName = "auto"
    threads: int | None = None
    precision: Precision = "f32"


class ProcessModel:
    """A model in a process of its own, which ends when this one does."""

    def __init__(self, options: WorkerOptions) -> None:
        self.options = options
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection | None = None

    @property
    def pid(self) -> int | None:
        """Of the process; None before it is started."""
        return None if self._process is None else self._process.pid

    def start(self) -> ModelCard:
        """Start the process, or start it again.

        Raises:
            CrossRayError: the model cannot be loaded, or the process ended.
        """
        self._end()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._connection = ours
        self._process = context.Process(
            target=_serve, args=(theirs, self.options), name="crossray-model", daemon=True
        )
        self._process.start()
        theirs.close()
        # Before multiprocessing's own, which would wait for it for ever: it ignores SIGTERM.
        atexit.register(self.close)
        try:
            loaded = ours.recv()
        except (EOFError, OSError) as error:
            raise NotReady("the model's process ended while it loaded the model") from error
        if isinstance(loaded, ModelCard):
            return loaded
        raise loaded

    def answered(self, requests: Sequence[Request], watch: WatchAll | None = None) -> list[Result]:
        """See requests.answered.

        Raises:
            WorkerDied: the process ended.
        """
        assert self._connection is not None
        unwanted: set[int] = set()
        try:
            self._connection.send((list(requests), watch is not None))
            while isinstance(said := self._connection.recv(), tuple):
                place, text = said
                if watch is not None and not watch(place, text) and place not in unwanted:
                    unwanted.add(place)
                    self._connection.send(place)
        except (EOFError, OSError) as error:
            raise WorkerDied("a model's process ended during its work") from error
        results: list[Result] = said
        return results

    def close(self) -> None:
        """End the process, once it has done what it does."""
        self._end(END_SECONDS)

    def _end(self, seconds: float = 0.0) -> None:
        atexit.unregister(self.close)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.join(seconds)
            self._process.kill()
            self._process.join()
            self._process.close()
            self._process = None


def _serve(connection: Connection, options: WorkerOptions) -> None:
    """Load the model, say what it is, and answer requests until the other end closes."""
    # A terminal or systemd signals the whole group; the service ends this, after the last answer.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    configure_logging()
    try:
        threads = use_threads(options.threads)
        generator = ReportGenerator.load(
            options.model, options.device, options.engine, threads, options.precision
        )
    except Exception as error:
        connection.send(_portable(error))
        return
    try:
        connection.send(ModelCard.of(generator))
        while True:
            asked = connection.recv()
            if isinstance(asked, int):
                continue  # it came when all was done already
            requests, watched = asked
            results = answered(generator, requests, _telling(connection) if watched else None)
            connection.send([_portable(result) for result in results])
    except (EOFError, OSError):
        return


def _telling(connection: Connection) -> WatchAll:
    """Tells texts to the other end, which says the places of those that nobody wants."""
    unwanted: set[int] = set()

    def watch(place: int, text: str) -> bool:
        connection.send((place, text))
        while connection.poll():
            unwanted.add(connection.recv())
        return place not in unwanted

    return watch


def _portable(result: Result) -> Result:
    """What can cross to the other process: errors of ours as they are, of any other no word."""
    if not isinstance(result, Exception) or isinstance(result, CrossRayError):
        return result
    log.error("a model's process met an error", exc_info=result)
    return CrossRayError("an internal error of CrossRay; the log says where")
