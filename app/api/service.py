"""What the service does between a request and its answer: a bounded queue, then the model.

A study's pixels are up to 144 MB an image, so it is decoded when its turn has come and not while it
waits: only a few such studies are ever in memory (turns.py). The model is one of app/workers.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from app.api.admission import Admission
from app.api.answers import answer, ask_answer, check_answer
from app.api.keeping import new_study
from app.api.metrics import Metrics
from app.api.options import Options
from app.api.problems import Busy, kind_of
from app.api.schemas import AskAnswer, CheckAnswer, ModelDescription, ReportAnswer
from app.api.turns import Turns
from app.jobs.errors import NoJobs
from app.jobs.runner import Runner, Work
from app.jobs.store import JobStore, open_jobs
from app.sent import Sent
from app.settings import Settings
from app.store.errors import NoStore
from app.store.records import Actor, NewStudy
from app.store.store import Store, open_store
from app.store.studies import add_study
from app.telemetry import NO_TELEMETRY, Telemetry
from app.threads import free_cores, use_threads
from app.views import with_view
from app.workers.errors import NotReady, Unwanted
from app.workers.models import LocalModel, Model, ModelCard, ProcessModel, WorkerOptions
from app.workers.pool import BatchLimits, ModelPool, Watch
from app.workers.queue import Kind
from app.workers.requests import CheckRequest, QuestionRequest, ReportRequest, Request
from crossray import __version__
from model.errors import CrossRayError, DataError, ImageError, NotARadiograph
from model.exam import Exam
from model.generator import ReportGenerator
from model.imaging.radiograph import Radiograph
from model.imaging.sandbox import read_image_isolated, read_stored_isolated
from model.imaging.stored import StoredImage

__all__ = ["Service"]

log = logging.getLogger("crossray.service")
JOB_SECONDS = 2.0
"""That the studies of jobs being read may take to be given back at the end."""
PIXEL_PLACES = 4
"""Images whose stored values are decoded or on their way out at the same time."""


class Service:
    """What one process serves: the model, its queue, and the store."""

    def __init__(
        self,
        settings: Settings,
        generator: ReportGenerator | None = None,
        telemetry: Telemetry = NO_TELEMETRY,
    ) -> None:
        """
        Args:
            generator: what reads the studies; loaded by `load` where None.
        """
        self.settings = settings
        self.telemetry = telemetry
        self.metrics = Metrics()
        self.failure: Exception | None = None
        """Why the model could not be loaded."""
        self.turns = Turns()
        self._pool: ModelPool | None = None
        self._card: ModelCard | None = None
        self._store: Store | None = None
        self._jobs: JobStore | None = None
        self.runner: Runner | None = None
        """Reads the studies of jobs; None where none are taken."""
        self.stopping = threading.Event()
        self.admission = Admission(settings.queue + 1)
        self._pixel_places = threading.BoundedSemaphore(PIXEL_PLACES)
        if generator is not None:
            self._start([LocalModel(generator)])

    def load(self) -> None:
        """Open the store and load the model, unless there is one; a failure is kept, for the server
        to stop at."""
        start = time.perf_counter()
        try:
            settings = self.settings
            if settings.store_options is not None and self._store is None:
                self._store = open_store(settings.store_options)
            if settings.job_options is not None and self._jobs is None:
                self._jobs = open_jobs(settings.job_options, self._store)
            if self._pool is not None:
                return
            self._start(self._models())
        except Exception as error:
            self.failure = error
            log.error("the service could not begin", exc_info=error)
            return
        seconds = time.perf_counter() - start
        log.info("model loaded", extra={"milliseconds": round(seconds * 1000, 1)})

    def _models(self) -> list[Model]:
        settings = self.settings
        what = settings.model, settings.device, settings.engine
        if not settings.workers:
            threads = use_threads(settings.threads)
            generator = ReportGenerator.load(*what, threads, settings.precision)
            return [LocalModel(generator) for _ in range(generator.model.callers)]
        threads = settings.threads or max(1, free_cores() // settings.workers)
        options = WorkerOptions(*what, threads, settings.precision)
        return [ProcessModel(options) for _ in range(settings.workers)]

    def _start(self, models: Sequence[Model]) -> None:
        settings = self.settings
        limits = BatchLimits(settings.batch_studies, settings.batch_milliseconds / 1000)
        pool = ModelPool(models, limits, lambda: self.turns.reports)
        self._card = pool.start()
        self._pool = pool
        self.metrics.watch(pool)

    @property
    def card(self) -> ModelCard:
        """The loaded model.

        Raises:
            NotReady: it is not loaded yet, or no process with it can be started.
        """
        if self._card is None or self._pool is None:
            raise NotReady("the model is being loaded: try again in a few seconds")
        if not self._pool.alive:
            raise NotReady("no process with the model can be started: the log says why")
        return self._card

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
    def jobs(self) -> JobStore:
        """The jobs that wait and those that have ended.

        Raises:
            NoJobs: this service takes none.
            StoreError: they could not be opened.
            NotReady: they are not open yet.
        """
        if self._jobs is not None:
            return self._jobs
        if self.settings.job_options is None:
            raise NoJobs("this service takes no jobs: start it with --store DIR, or CROSSRAY_JOBS")
        if isinstance(self.failure, CrossRayError):
            raise self.failure
        raise NotReady("the queue of jobs is being opened: try again in a few seconds")

    def start_jobs(self, work: Work) -> None:
        """Begin to read the studies of jobs, where there are any and the model is loaded."""
        if self._jobs is not None and self._pool is not None:
            self.runner = Runner(self._jobs, work, 1 + max(1, self.settings.workers))
            self.runner.start()

    @property
    def is_ready(self) -> bool:
        asked = self.keeps, self.settings.job_options is not None
        opened = self._store is not None, self._jobs is not None
        return self._pool is not None and asked == opened

    @property
    def keeps(self) -> bool:
        """Whether studies are kept."""
        return self.settings.store is not None

    @property
    def in_hand(self) -> int:
        """Studies that are read or wait for it."""
        return self.admission.admitted

    def close(self) -> None:
        """Give back what jobs have not ended, end the model's processes and close the store."""
        if self.runner is not None:
            self.runner.close(JOB_SECONDS)
        if self._pool is not None:
            self._pool.close()
        self.telemetry.close()
        if self._jobs is not None and self._store is None:
            self._jobs.database.close()
        if self._store is not None:
            self._store.close()

    @property
    def is_reading(self) -> bool:
        """Whether a study is being decoded or is with the model."""
        return self.turns.busy

    def stop(self) -> None:
        """Take no more studies, and answer those that wait: one that is being read goes on."""
        self.stopping.set()
        if self.runner is not None:
            self.runner.stop()
        self.turns.stop()
        if self._pool is not None:
            self._pool.stop()

    def describe(self) -> ModelDescription:
        card = self.card
        rows, columns = card.grid
        return ModelDescription(
            version=__version__,
            name=card.identity.name,
            sha256=card.identity.sha256,
            rows=rows,
            columns=columns,
            image_size=card.image_size,
            views=list(card.views),
            prompt_tokens=card.prompt_tokens,
            notice=card.notice,
        )

    @contextmanager
    def admit(self, kind: Kind) -> Iterator[None]:
        """Admit one study, to be in work or in the queue.

        Raises:
            Busy: no capacity is left.
        """
        with self.admission.admit(kind), self.metrics.studies.track_inprogress():
            yield

    def _run(self, request: Request, watch: Watch | None = None) -> Any:
        """What the model makes of a request, in its turn.

        Raises:
            Unwanted: see `watch` of ModelPool.run.
            NotReady, WorkerLost: see ModelPool.run.
            Exception: that of the request.
        """
        assert self._pool is not None
        start = time.time_ns()
        done = self._pool.run(request, watch)
        self.metrics.observe(request, done)
        failed = isinstance(done.result, Exception)
        taken = start + int(done.waited * 1e9)
        self.telemetry.took("queue", start, taken)
        end = taken + int(done.seconds * 1e9)
        self.telemetry.took("generate", taken, end, done.studies, failed)
        if isinstance(done.result, Exception):
            raise done.result
        return done.result

    def report(
        self,
        sent: Sent,
        options: Options,
        actor: Actor,
        kind: Kind = "report",
        watch: Watch | None = None,
    ) -> ReportAnswer:
        """One study read and reported on, when its turn comes, and kept where studies are.

        Args:
            actor: who sent it.
            kind: "job" where nobody waits for it.
            watch: receives the text so far, empty when there is room for the study, and says
                whether the report is still wanted.

        Raises:
            Unwanted: `watch` said that it is not.
            NotReady: the model is not loaded yet, or the service is stopping.
            ImageError: of the first file that is no radiograph of a view the model reads, saying
                which it is.
            RefusedError: the input check rejects an image.
            IdentityMismatch: the images are not of one study of one patient.
            DataError: a file says another view than its sender; an indication that is too long or
                that the model does not read.
            StoreError: it cannot be kept.
        """
        card = self.card
        store = self.store if self.keeps else None
        with self.turns.in_memory(kind) as decoded:
            if watch is not None and not watch(""):
                raise Unwanted("nobody waits for this report any more")
            whole = options.pixels or store is not None
            exam = self._read(sent, decoded, None if whole else card.enough)
            checks = options.input_check, options.identity_check
            report = self._run(ReportRequest(exam, *checks, kind), watch)
            with self.telemetry.step("maps"):
                written = answer(report, card.notice, maps=options.maps)
            study = None
            if store is not None:
                every = answer(report, card.notice, maps="all")  # as the page asks for it
                study = add_study(store, self._kept(sent, exam, every, options), actor)
            if options.pixels:
                written = answer(report, card.notice, exam.shown, options.maps)
            return written.model_copy(update={"study": study})

    def ask(self, sent: Sent, phrase: str, options: Options) -> AskAnswer:
        """How probable a finding is on one study; Raises as for `report`, and:

        Raises:
            DataError: the phrase cannot be asked.
        """
        card = self.card
        with self.turns.in_memory("question") as decoded:
            exam = self._read(sent, decoded, None if options.pixels else card.enough)
            checks = options.input_check, options.identity_check
            found = self._run(QuestionRequest(exam, phrase, *checks))
            return ask_answer(found, card.notice, options.shown(exam), options.maps)

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
        card = self.card
        with self.turns.in_memory("question") as decoded:
            exam = self._read(sent, decoded, None if options.pixels else card.enough)
            checks = options.input_check, options.identity_check
            found = self._run(CheckRequest(exam, text, *checks))
            return check_answer(found, card.notice, exam.shown if options.pixels else None)

    def _read(self, sent: Sent, decoded: Callable[[Exam], None], enough: int | None) -> Exam:
        views = sent.views or [""] * len(sent.files)
        both = enumerate(zip(sent.files, views, strict=True), 1)
        own = [self._read_one(file, f"file {place}", enough, view) for place, (file, view) in both]
        priors = [
            self._read_one(file, f"prior {place}", enough, prior=True)
            for place, file in enumerate(sent.priors, 1)
        ]
        exam = Exam(own, sent.indication, priors)
        decoded(exam)
        return exam

    def _read_one(
        self, file: BinaryIO, name: str, enough: int | None, stated: str = "", prior: bool = False
    ) -> Radiograph:
        try:
            with self.metrics.decode_seconds.time(), self.telemetry.step("decode"):
                read = read_image_isolated(file.read(), self.settings.isolation, enough)
            radiograph = with_view(read, stated)
            if reason := self.card.why_unread(radiograph.view, prior):
                raise NotARadiograph(reason)
        except (ImageError, DataError) as error:
            if isinstance(error, ImageError):
                self.metrics.decode_failures.labels(kind_of(error).name).inc()
            raise type(error)(f"{name}: {error}") from error
        return radiograph
