"""What the service does between a request and its answer: a bounded queue, then the model.

A study's pixels are 144 MB an image, so it is decoded when its turn has come and not while it
waits: only a few studies' are ever in memory (turns.py).
"""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from app.api.answers import Maps, answer, ask_answer, check_answer
from app.api.keeping import new_study
from app.api.metrics import Metrics
from app.api.problems import Busy, NotReady, kind_of
from app.api.schemas import AskAnswer, CheckAnswer, ModelDescription, ReportAnswer
from app.api.turns import Turns
from app.settings import Settings
from app.store.errors import NoStore
from app.store.records import Actor, NewStudy
from app.store.store import Store, open_store
from app.store.studies import add_study
from app.threads import use_threads
from app.views import with_view
from crossray import __version__
from model.errors import CrossRayError, DataError, ImageError, NotARadiograph
from model.exam import Exam
from model.generator import ReportGenerator
from model.imaging.radiograph import Radiograph
from model.imaging.sandbox import read_image_isolated, read_stored_isolated
from model.imaging.stored import StoredImage

__all__ = ["Options", "Sent", "Service"]

log = logging.getLogger("crossray.service")
PIXEL_PLACES = 4
"""Images whose stored values are decoded or on their way out at the same time."""


@dataclass(frozen=True)
class Options:
    """How one study is to be read and answered."""

    pixels: bool = False
    """Fill `images[].png`."""
    input_check: bool = True
    """Refuse images that the input check rejects."""
    identity_check: bool = True
    """Refuse images of different patients or studies."""
    maps: Maps = "grounded"
    """Of which words, spans and answers the heatmap is given."""

    def shown(self, exam: Exam) -> list[Radiograph] | None:
        """The images an answer holds."""
        return exam.shown if self.pixels else None


@dataclass(frozen=True)
class Sent:
    """One study as it came in."""

    files: Sequence[BinaryIO]
    """The study's own images."""
    views: Sequence[str] = ()
    """Per file what its sender says: "PA", "AP", "LATERAL", or empty; or nothing of any."""
    priors: Sequence[BinaryIO] = ()
    """Frontal images of an earlier study."""
    indication: str = ""
    name: str = ""
    """What the worklist is to call it, where studies are kept."""


class Service:
    """The loaded model and the queue before it."""

    def __init__(self, settings: Settings, generator: ReportGenerator | None = None) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.failure: Exception | None = None
        """Why the model could not be loaded."""
        self._generator = generator
        self._store: Store | None = None
        self._places = threading.BoundedSemaphore(settings.queue + 1)
        self._pixel_places = threading.BoundedSemaphore(PIXEL_PLACES)
        self.turns = Turns()
        self._counting = threading.Lock()
        self._in_hand = 0

    def load(self) -> None:
        """Open the store and load the model, unless there is one; a failure is kept, for the server
        to stop at."""
        start = time.perf_counter()
        try:
            settings = self.settings
            if settings.store_options is not None and self._store is None:
                self._store = open_store(settings.store_options)
            if self._generator is not None:
                return
            threads = use_threads(settings.threads)
            self._generator = ReportGenerator.load(
                settings.model, settings.device, settings.engine, threads
            )
        except Exception as error:
            self.failure = error
            log.error("the service could not begin", exc_info=error)
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

    @property
    def store(self) -> Store:
        """What is kept.

        Raises:
            NoStore: this service keeps nothing.
            StoreError: it could not be opened.
            NotReady: it is not open yet.
        """
        if self._store is not None:
            return self._store
        if self.settings.store is None:
            raise NoStore("this service keeps no studies: start it with --store DIR")
        if isinstance(self.failure, CrossRayError):
            raise self.failure
        raise NotReady("the store is being opened: try again in a few seconds")

    @property
    def is_ready(self) -> bool:
        return self._generator is not None and self.keeps == (self._store is not None)

    @property
    def keeps(self) -> bool:
        """Whether studies are kept."""
        return self.settings.store is not None

    @property
    def in_hand(self) -> int:
        """Studies that are read or wait for it."""
        return self._in_hand

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()

    @property
    def is_reading(self) -> bool:
        """Whether a study is being decoded or is with the model."""
        return self.turns.busy

    def stop(self) -> None:
        """Take no more studies, and answer those that wait: one that is being read goes on."""
        self.turns.stop()

    def describe(self) -> ModelDescription:
        generator = self.generator
        rows, columns = generator.model.grid
        return ModelDescription(
            version=__version__,
            name=generator.identity.name,
            sha256=generator.identity.sha256,
            rows=rows,
            columns=columns,
            image_size=generator.model.config.image_size,
            views=generator.model.config.views,
            prompt_tokens=generator.model.config.prompt_tokens,
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
            self._count(1)
            with self.metrics.studies.track_inprogress():
                yield
        finally:
            self._count(-1)
            self._places.release()

    def _count(self, studies: int) -> None:
        with self._counting:
            self._in_hand += studies

    def report(self, sent: Sent, options: Options, actor: Actor) -> ReportAnswer:
        """One study read and reported on, when its turn comes, and kept where studies are.

        Args:
            actor: who sent it.

        Raises:
            NotReady: the model is not loaded yet, or the service is stopping.
            ImageError: of the first file that is no radiograph of a view the model reads, saying
                which it is.
            RefusedError: the input check rejects an image.
            IdentityMismatch: the images are not of one study of one patient.
            DataError: a file says another view than its sender; an indication that is too long or
                that the model does not read.
            StoreError: it cannot be kept.
        """
        generator = self.generator
        store = self.store if self.keeps else None
        with self.turns.in_memory("report"):
            exam = self._read(sent)
            with self.turns.with_model("report"), self.metrics.generate_seconds.time():
                report = generator(
                    exam, input_check=options.input_check, identity_check=options.identity_check
                )
            written = answer(report, generator.notice, maps=options.maps)
            study = None
            if store is not None:
                whole = answer(report, generator.notice, maps="all")  # as the page asks for it
                study = add_study(store, self._kept(sent, exam, whole, options), actor)
            if options.pixels:
                shown = answer(report, generator.notice, exam.shown, options.maps)
            else:
                shown = written
            return shown.model_copy(update={"study": study})

    def ask(self, sent: Sent, phrase: str, options: Options) -> AskAnswer:
        """How probable a finding is on one study; Raises as for `report`, and:

        Raises:
            DataError: the phrase cannot be asked.
        """
        generator = self.generator
        with self.turns.in_memory("question"):
            exam = self._read(sent)
            with self.turns.with_model("question"), self.metrics.ask_seconds.time():
                found = generator.ask(exam, phrase, options.input_check, options.identity_check)
            return ask_answer(found, generator.notice, options.shown(exam), options.maps)

    @contextmanager
    def pixels(self, file: BinaryIO) -> Iterator[StoredImage]:
        """The stored values of one image, which count as in memory until this is left.

        They do not wait for a study's turn: a reader looks at the image while its report is
        written.

        Raises:
            Busy: as many are in memory as may be.
            ImageError: as `read_image`.
        """
        if not self._pixel_places.acquire(blocking=False):
            raise Busy(f"{PIXEL_PLACES} images are on their way out: try again in a few seconds")
        try:
            with self.metrics.decode_seconds.time():
                image = read_stored_isolated(file.read(), self.settings.isolation)
            yield image
        except ImageError as error:
            self.metrics.decode_failures.labels(kind_of(error).name).inc()
            raise
        finally:
            self._pixel_places.release()

    def _kept(self, sent: Sent, exam: Exam, written: ReportAnswer, options: Options) -> NewStudy:
        contents = []
        for file in (*sent.files, *sent.priors):
            file.seek(0)
            contents.append(file.read())
        checks = {"input_check": options.input_check, "identity_check": options.identity_check}
        return new_study(contents, exam, written, sent.name, "upload", checks)

    def check(self, sent: Sent, text: str, options: Options) -> CheckAnswer:
        """Somebody's report checked against one study; Raises as for `report`, and:

        Raises:
            DataError: a text without words, or longer than the model reads.
        """
        generator = self.generator
        with self.turns.in_memory("question"):
            exam = self._read(sent)
            with self.turns.with_model("question"), self.metrics.check_seconds.time():
                found = generator.check(exam, text, options.input_check, options.identity_check)
            return check_answer(found, generator.notice, exam.shown if options.pixels else None)

    def _read(self, sent: Sent) -> Exam:
        views = sent.views or [""] * len(sent.files)
        both = enumerate(zip(sent.files, views, strict=True), 1)
        own = [self._read_one(file, f"file {place}", view) for place, (file, view) in both]
        priors = [
            self._read_one(file, f"prior {place}", prior=True)
            for place, file in enumerate(sent.priors, 1)
        ]
        return Exam(own, sent.indication, priors)

    def _read_one(
        self, file: BinaryIO, name: str, stated: str = "", prior: bool = False
    ) -> Radiograph:
        try:
            with self.metrics.decode_seconds.time():
                read = read_image_isolated(file.read(), self.settings.isolation)
            radiograph = with_view(read, stated)
            if reason := self.generator.why_unread(radiograph.view, prior):
                raise NotARadiograph(reason)
        except (ImageError, DataError) as error:
            if isinstance(error, ImageError):
                self.metrics.decode_failures.labels(kind_of(error).name).inc()
            raise type(error)(f"{name}: {error}") from error
        return radiograph
