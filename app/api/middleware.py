"""What every request passes: an id, a limit on its body, safe headers, one log line, its counts."""

import logging
import time
import uuid

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import INTERNAL, Busy, RequestTooLarge, kind_of, problem_response
from model.errors import CrossRayError

__all__ = ["SECURITY_HEADERS", "BodyLimit", "Border", "Metrics", "add_headers"]

log = logging.getLogger("crossray.service")

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
CLIENT_GONE = 499
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
        self.studies = Gauge(
            "crossray_studies_in_hand", "Studies being read or waiting", registry=self.registry
        )


class Border:
    """The outermost layer: gives the request its id, and answers what nothing inside answered."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        scope["crossray.request"] = str(uuid.uuid4())
        status = 0

        async def watched_receive() -> Message:
            nonlocal status
            message = await receive()
            if message["type"] == "http.disconnect" and status == 0:
                status = CLIENT_GONE
            return message

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = status or message["status"]
                add_headers(scope, MutableHeaders(raw=message["headers"]))
            await send(message)

        try:
            await self.app(scope, watched_receive, send_with_headers)
        except Exception as error:
            # The service's one broad catch: whatever it is, the client gets no word of it.
            log.error(
                "request failed", exc_info=error, extra={"request": scope["crossray.request"]}
            )
            if status == 0:
                answer = problem_response(scope, INTERNAL, "The fault is the service's own.")
                await answer(scope, receive, send_with_headers)
        finally:
            self._count(scope, status, time.perf_counter() - start)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        # The template, not the path: paths are the client's words, and without end.
        route = getattr(scope.get("route"), "path", "file" if status < 400 else "none")
        self.metrics.requests.labels(method, route, str(status)).inc()
        self.metrics.request_seconds.labels(route).observe(seconds)
        fields = {
            "request": scope["crossray.request"],
            "method": method,
            "route": route,
            "status": status,
            "milliseconds": round(seconds * 1000, 1),
        }
        if "crossray.problem" in scope:
            fields["problem"] = scope["crossray.problem"]
            self.metrics.problems.labels(scope["crossray.problem"]).inc()
        log.info("request", extra=fields)


def add_headers(scope: Scope, headers: MutableHeaders) -> None:
    """Give an answer the request's id and the headers that every answer has."""
    for name, value in SECURITY_HEADERS.items():
        headers[name] = value
    headers["X-Request-ID"] = scope["crossray.request"]
    # Answers speak of a patient and stay nowhere; the page's files are asked about each time.
    headers.setdefault("Cache-Control", "no-cache" if "etag" in headers else "no-store")


class BodyLimit:
    """Refuses a body over the limit before it has been read whole, and uploads over their number.

    FastAPI's own `max_body_size` answers in plain text.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, max_uploads: int) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.max_uploads = max_uploads
        self.uploads = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD"}:
            await self.app(scope, receive, send)
            return
        try:
            self._check_length(scope)
            if self.uploads >= self.max_uploads:
                raise Busy(f"{self.max_uploads} uploads are on their way in: try again")
        except CrossRayError as error:
            await problem_response(scope, kind_of(error), str(error))(scope, receive, send)
            return
        self.uploads += 1
        try:
            await self.app(scope, self._limited(receive), send)
        finally:
            self.uploads -= 1

    def _check_length(self, scope: Scope) -> None:
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > self.max_bytes:
            raise RequestTooLarge(self._too_large())

    def _too_large(self) -> str:
        return f"the request has more than the {self.max_bytes} bytes allowed"

    def _limited(self, receive: Receive) -> Receive:
        received = 0

        async def limited_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                # FastAPI turns every other exception of a body into its own 400.
                raise HTTPException(413, self._too_large())
            return message

        return limited_receive
