"""One queue before one or several models: whoever is next and finds one free leads a batch to it.

No thread of its own: each request waits on its own thread, and of those that are answered together
the first takes the others' work along.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from app.workers.errors import NotReady, Unwanted, WorkerDied, WorkerLost
from app.workers.models import Model, ModelCard
from app.workers.queue import FairQueue
from app.workers.requests import Request, Result

__all__ = ["BatchLimits", "Done", "ModelPool", "Watch"]

log = logging.getLogger("crossray.service")
Watch = Callable[[str], bool]
"""Receives a report's text so far, and says whether it is still wanted."""
LOOK_SECONDS = 0.1
"""Between looks of a job's study at whether somebody's report is on its way."""
LONGEST_PAUSE = 30.0
"""Seconds between two attempts to start a process that does not start."""


@dataclass(frozen=True)
class BatchLimits:
    studies: int = 8
    """Reports that are written together."""
    seconds: float = 0.01
    """That the first of them waits for others, where others are on their way."""


@dataclass(frozen=True)
class Done:
    """A request's result, and what it took."""

    result: Result
    waited: float
    """Seconds until a model took it, the last time."""
    seconds: float
    """Of the model, for all that were answered together."""
    studies: int
    """So many were."""


@dataclass(eq=False)
class _Job:
    request: Request
    watch: Watch | None = None
    came: float = field(default_factory=time.perf_counter)
    waits: bool = True
    """It is in the queue."""
    attempts: int = 0
    done: Done | None = None
    wanted: bool = True

    def receive(self, text: str) -> bool:
        """See Watch; what is unwanted stays so."""
        self.wanted = self.wanted and (self.watch is None or self.watch(text))
        return self.wanted


class ModelPool:
    """The models of one service. Many threads call `run`."""

    def __init__(
        self,
        models: Sequence[Model],
        limits: BatchLimits,
        coming: Callable[[], int] = lambda: 0,
    ) -> None:
        """
        Args:
            coming: studies to be reported on that are in memory, in any state.
        """
        self.models = models
        self.restarts = 0
        """Times that a model's process was started again."""
        self._limits = limits
        self._coming = coming
        self._changed = threading.Condition()
        self._queue: FairQueue[_Job] = FairQueue()
        self._free: list[Model] = []
        self._failed: set[Model] = set()
        """Those that could not be started when it was last tried."""
        self._reports = 0
        """In the queue or with a model."""
        self._stopping = False

    def start(self) -> ModelCard:
        """Start the first model here, and the others beside it.

        Raises:
            CrossRayError: the first cannot be loaded.
        """
        first, *others = self.models
        card = first.start()
        with self._changed:
            self._free.append(first)
            self._changed.notify_all()
        for model in others:
            self._start_beside(model)
        return card

    @property
    def alive(self) -> int:
        """Models that work or wait for work: those that are being started count too."""
        return len(self.models) - len(self._failed)

    def stop(self) -> None:
        """Let nobody in any more, and let those who wait know; what a model has goes on."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def close(self) -> None:
        """End the models that have nothing to do."""
        self.stop()
        with self._changed:
            free, self._free = self._free, []
        for model in free:
            model.close()

    def run(self, request: Request, watch: Watch | None = None) -> Done:
        """Wait for a model, and for its result.

        Args:
            watch: of a report; where it is not wanted any more the result is Unwanted.

        Raises:
            NotReady: the pool stopped before the request's turn came.
            WorkerLost: two models ended over it, or none can be started.
        """
        job = _Job(request, watch)
        with self._changed:
            self._queue.of(request.kind).append(job)
            self._reports += request.kind == "report"
            # Whoever waits for a batch to fill may have been waiting for this one.
            self._changed.notify_all()
        try:
            while job.done is None:
                model, batch = self._next_turn(job)
                if model is not None:
                    self._work(model, batch)
        finally:
            with self._changed:
                if job.waits:
                    self._queue.of(request.kind).remove(job)
                self._reports -= request.kind == "report"
                self._changed.notify_all()
        return job.done

    def _next_turn(self, job: _Job) -> tuple[Model | None, list[_Job]]:
        """A model and what it is to do, once it is this job's turn; none once it is done."""
        kind = job.request.kind

        def may() -> bool:
            ended = self._stopping or not self.alive
            # A report that is being decoded is with a model as soon as it is.
            turn = bool(self._free) and self._queue.is_next(
                job, jobs_may=self._coming() <= self._reports
            )
            return job.done is not None or (job.waits and (ended or turn))

        with self._changed:
            while not self._changed.wait_for(may, LOOK_SECONDS if kind == "job" else None):
                pass
            if job.done is not None:
                return None, []
            if self._stopping:
                raise NotReady("the service is stopping: send the request again")
            if not self.alive:
                raise WorkerLost("no process with the model can be started: the log says why")
            model = self._free.pop()
            self._queue.count_turn(job.request.kind)
            self._take(job)
            return model, self._batch(job)

    def _take(self, job: _Job) -> None:
        self._queue.of(job.request.kind).remove(job)
        job.waits = False

    def _batch(self, first: _Job) -> list[_Job]:
        """This one and those that are answered with it, waiting a little for some on their way."""
        batch = [first]
        if first.request.batch is None or first.attempts:
            return batch

        def full() -> bool:
            waiting = self._queue.of(first.request.kind)
            fit = [
                job
                for job in waiting
                if job.request.batch == first.request.batch and not job.attempts
            ]
            for job in fit[: self._limits.studies - len(batch)]:
                self._take(job)
                batch.append(job)
            return len(batch) == self._limits.studies or self._coming() <= self._reports

        self._changed.wait_for(full, self._limits.seconds)
        return batch

    def _work(self, model: Model, batch: list[_Job]) -> None:
        start = time.perf_counter()
        try:
            watched = any(job.watch is not None for job in batch)
            watch = (lambda place, text: batch[place].receive(text)) if watched else None
            results = model.answered([job.request for job in batch], watch)
        except WorkerDied:
            log.error("a model's process ended during its work: it is started again")
            self._again(batch)
            self.restarts += 1
            self._start_beside(model)
            return
        seconds = time.perf_counter() - start
        with self._changed:
            for job, result in zip(batch, results, strict=True):
                if not job.wanted:
                    result = Unwanted("nobody waits for this report any more")
                job.done = Done(result, start - job.came, seconds, len(batch))
            self._free.append(model)
            self._changed.notify_all()

    def _again(self, batch: list[_Job]) -> None:
        """Each once more and alone: one that ends the process must cost no other its answer."""
        with self._changed:
            for job in reversed(batch):
                job.attempts += 1
                if job.attempts > 1:
                    lost = WorkerLost("the process with the model ended twice over this study")
                    job.done = Done(lost, 0.0, 0.0, 1)
                else:
                    job.waits = True
                    self._queue.of(job.request.kind).appendleft(job)
            self._changed.notify_all()

    def _start_beside(self, model: Model) -> None:
        threading.Thread(target=self._keep_starting, args=[model], daemon=True).start()

    def _keep_starting(self, model: Model) -> None:
        pause = 1.0
        while not self._stopping:
            try:
                model.start()
            except Exception as error:
                log.error("a model's process does not start", exc_info=error)
            else:
                with self._changed:
                    self._failed.discard(model)
                    if not self._stopping:
                        self._free.append(model)
                        self._changed.notify_all()
                        return
                break
            with self._changed:
                self._failed.add(model)
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._stopping, pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        model.close()
