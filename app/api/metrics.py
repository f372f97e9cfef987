"""Counts and times of one service, for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from app.workers.pool import Done, ModelPool
from app.workers.requests import CheckRequest, QuestionRequest, ReportRequest, Request

__all__ = ["Metrics"]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
WAITS = (600.0, 3600.0, 6 * 3600.0, 24 * 3600.0)
"""Seconds; jobs wait longer than requests do."""


class Metrics:
    """The counts that /metrics shows, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "crossray_requests",
            "Requests answered",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "crossray_request_seconds",
            "From a request's first byte to its answer's last",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.problems = Counter(
            "crossray_problems",
            "Requests answered with a problem",
            ["type"],
            registry=self.registry,
        )
        self.studies = Gauge(
            "crossray_studies_in_hand", "Studies being read or waiting", registry=self.registry
        )
        self._add_decoding()
        self._add_models()
        self._add_jobs()

    def _add_decoding(self) -> None:
        self.decode_failures = Counter(
            "crossray_decode_failures",
            "Images refused while being read",
            ["type"],
            registry=self.registry,
        )
        self.decode_seconds = Histogram(
            "crossray_decode_seconds", "One image read", buckets=SECONDS, registry=self.registry
        )

    def _add_models(self) -> None:
        self.generate_seconds = Histogram(
            "crossray_generate_seconds",
            "Reports and maps made, of all studies in the batch",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.ask_seconds = Histogram(
            "crossray_ask_seconds",
            "One study asked for a phrase",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.check_seconds = Histogram(
            "crossray_check_seconds",
            "One report checked against its study",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.queue_seconds = Histogram(
            "crossray_queue_seconds",
            "From a decoded study to its turn with a model",
            ["kind"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.batch_studies = Histogram(
            "crossray_batch_studies",
            "Studies that a model read together, one count for each of them",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )
        self.workers = Gauge(
            "crossray_workers",
            "Models that work, wait for work or are being started",
            registry=self.registry,
        )
        self.worker_restarts = Gauge(
            "crossray_worker_restarts",
            "Times that a model's process was started again",
            registry=self.registry,
        )

    def _add_jobs(self) -> None:
        self.job_studies_waiting = Gauge(
            "crossray_job_studies_waiting",
            "Studies of jobs that have not been begun, of all services of the same store",
            registry=self.registry,
        )
        self.job_wait_seconds = Histogram(
            "crossray_job_wait_seconds",
            "From a posted job to the beginning of one of its studies",
            buckets=(*SECONDS, *WAITS),
            registry=self.registry,
        )
        self.job_studies = Counter(
            "crossray_job_studies",
            "Studies of jobs that this service has ended",
            ["state"],
            registry=self.registry,
        )

    def watch_jobs(self, waiting: Callable[[], float]) -> None:
        """Show how many studies of jobs wait.

        Args:
            waiting: counts them, at each scrape.
        """
        self.job_studies_waiting.set_function(waiting)

    def watch(self, pool: ModelPool) -> None:
        """Show the state of the models."""
        self.workers.set_function(lambda: pool.alive)
        self.worker_restarts.set_function(lambda: pool.restarts)

    def observe(self, request: Request, done: Done) -> None:
        """Count one request that a model has answered."""
        self.queue_seconds.labels(request.kind).observe(done.waited)
        self.batch_studies.observe(done.studies)
        seconds = {
            ReportRequest: self.generate_seconds,
            QuestionRequest: self.ask_seconds,
            CheckRequest: self.check_seconds,
        }
        seconds[type(request)].observe(done.seconds)
