"""OpenTelemetry: a trace for each request, with its steps, and how long each step takes.

    decode    one image read
    queue     a decoded study waits for its turn with a model
    generate  a model writes the report with its maps, or answers the question or check
    maps      the answer with its maps as JSON

Names and numbers only: nothing of a file, a question or a report is an attribute. Without
CROSSRAY_OTLP_ENDPOINT nothing is measured, and no package is needed.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model.errors import ConfigError

__all__ = ["NO_TELEMETRY", "Step", "Telemetry", "TraceRequests", "exporting"]

Step = Literal["decode", "queue", "generate", "maps"]
EXPORT_MILLISECONDS = 15_000
"""From one sending of the metrics to the next."""


class Telemetry:
    """Where spans and times go: to a tracer and a meter, or nowhere."""

    def __init__(self, tracers: Any = None, meters: Any = None) -> None:
        """
        Args:
            tracers: an OpenTelemetry TracerProvider; None: nothing is kept.
            meters: a MeterProvider; None as well then.
        """
        self._providers = tracers, meters
        self.tracer = None
        if tracers is not None:
            self.tracer = tracers.get_tracer("crossray")
            self._seconds = meters.get_meter("crossray").create_histogram(
                "crossray.step.duration", "s", "Time that a step of a request took"
            )

    @contextmanager
    def step(self, step: Step) -> Iterator[None]:
        """A step of the request at hand; an error of it is noted by its kind alone."""
        start = time.time_ns()
        failed = True
        try:
            yield
            failed = False
        finally:
            self.took(step, start, time.time_ns(), failed=failed)

    def took(
        self, step: Step, start: int, end: int, studies: int = 1, failed: bool = False
    ) -> None:
        """A step that is over.

        Args:
            start, end: nanoseconds since the epoch.
            studies: that it was done for at once.
        """
        if self.tracer is None:
            return
        attributes = {"crossray.studies": studies, "crossray.failed": failed}
        self.tracer.start_span(step, start_time=start, attributes=attributes).end(end)
        self._seconds.record((end - start) / 1e9, {"crossray.step": step})

    def close(self) -> None:
        """Send what was not sent yet."""
        for provider in self._providers:
            if provider is not None:
                provider.shutdown()


NO_TELEMETRY = Telemetry()


def exporting(endpoint: str) -> Telemetry:
    """Telemetry that goes to a collector by OTLP over HTTP.

    Args:
        endpoint: such as "http://collector:4318".

    Raises:
        ConfigError: the packages are not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigError(
            "CROSSRAY_OTLP_ENDPOINT needs OpenTelemetry: pip install 'crossray[telemetry]'"
        ) from error
    base = endpoint.rstrip("/")
    resource = Resource.create({"service.name": "crossray"})
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{base}/v1/traces")))
    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(f"{base}/v1/metrics"), export_interval_millis=EXPORT_MILLISECONDS
    )
    return Telemetry(tracers, MeterProvider([reader], resource=resource))


class TraceRequests:
    """A span around each request, a child of the client's where it sends `traceparent`."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self.app = app
        self.telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self.telemetry.tracer is None:
            await self.app(scope, receive, send)
            return
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract(Headers(scope=scope))
        with self.telemetry.tracer.start_as_current_span(
            scope["method"], parent, SpanKind.SERVER, record_exception=False
        ) as span:

            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            await self.app(scope, receive, noting)
            # The template: a path is the client's words.
            route = getattr(scope.get("route"), "path", "file")
            span.update_name(f"{scope['method']} {route}")
            span.set_attribute("http.request.method", scope["method"])
            span.set_attribute("http.route", route)
