"""What the service does between a request and its answer: a bounded queue, one study at a time."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import torch

from app.middleware import Metrics
from app.problems import Busy, NotReady, kind_of
from app.schemas import ModelDescription
from app.settings import Settings
from model.errors import ImageError
from model.image import Radiograph
from model.isolation import read_image_isolated
from model.report import Report, ReportGenerator

__all__ = ["Service"]

log = logging.getLogger("crossray.service")

DECODERS = 2
"""Pictures decoded at once: each may take `decode_bytes` of memory, so their number is small."""


class Service:
    """The loaded model and the queue before it."""

    def __init__(self, settings: Settings, generator: ReportGenerator | None = None) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.failure: Exception | None = None
        """Why the model could not be loaded."""
        self._generator = generator
        self._places = threading.BoundedSemaphore(settings.queue + 1)
        self._decoders = threading.BoundedSemaphore(DECODERS)
        self._turn = threading.Lock()

    def load(self) -> None:
        """Load the model unless there is one; a failure is kept, for the server to stop at."""
        if self._generator is not None:
            return
        start = time.perf_counter()
        try:
            if self.settings.threads is not None:
                torch.set_num_threads(self.settings.threads)
            self._generator = ReportGenerator.load(self.settings.model, self.settings.device)
        except Exception as error:
            self.failure = error
            log.error("the model could not be loaded", exc_info=error)
            return
        seconds = time.perf_counter() - start
        log.info("model loaded", extra={"milliseconds": round(seconds * 1000, 1)})

    @property
    def generator(self) -> ReportGenerator:
        """The loaded model.

        Raises:
            NotReady: it is not loaded yet.
        """
        if self._generator is None:
            raise NotReady("the model is being loaded: try again in a few seconds")
        return self._generator

    def describe(self) -> ModelDescription:
        generator = self.generator
        rows, columns = generator.model.grid
        return ModelDescription(
            name=generator.identity.name,
            sha256=generator.identity.sha256,
            rows=rows,
            columns=columns,
            image_size=generator.model.config.image_size,
            notice=generator.notice,
        )

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for one study, in work or in the queue.

        Raises:
            Busy: every place is taken.
        """
        if not self._places.acquire(blocking=False):
            waiting = self.settings.queue
            raise Busy(f"{waiting} studies are waiting and no more may: try again in a few seconds")
        try:
            with self.metrics.studies.track_inprogress():
                yield
        finally:
            self._places.release()

    def read(self, files: Sequence[BinaryIO]) -> list[Radiograph]:
        """Each file's pixels, decoded in a child process with limits.

        Raises:
            ImageError: of the first file that is no radiograph, saying which it is.
        """
        return [self._read_one(file, place) for place, file in enumerate(files, 1)]

    def _read_one(self, file: BinaryIO, place: int) -> Radiograph:
        try:
            with self._decoders, self.metrics.decode_seconds.time():
                return read_image_isolated(file.read(), self.settings.isolation)
        except ImageError as error:
            self.metrics.decode_failures.labels(kind_of(error).name).inc()
            raise type(error)(f"file {place}: {error}") from error

    def write(self, radiographs: Sequence[Radiograph]) -> Report:
        """The report of one study; the model writes one at a time."""
        with self._turn, self.metrics.generate_seconds.time():
            return self.generator(radiographs)
