"""Counts and times of one service, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

__all__ = ["Metrics"]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


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
        self.decode_failures = Counter(
            "crossray_decode_failures",
            "Images refused while being read",
            ["type"],
            registry=self.registry,
        )
        self.decode_seconds = Histogram(
            "crossray_decode_seconds", "One image read", buckets=SECONDS, registry=self.registry
        )
        self.generate_seconds = Histogram(
            "crossray_generate_seconds",
            "One study's report and maps made",
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
        self.studies = Gauge(
            "crossray_studies_in_hand", "Studies being read or waiting", registry=self.registry
        )
