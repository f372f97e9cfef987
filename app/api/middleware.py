"""What every request passes: its id, its host, limits on its body, safe headers, log and counts."""

import asyncio
import logging
import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.metrics import Metrics
from app.api.problems import (
    FORBIDDEN,
    INTERNAL,
    Busy,
    RequestTooLarge,
    kind_of,
    problem_response,
)
from app.workers.errors import NotReady
from model.errors import CrossRayError

__all__ = [
    "SECURITY_HEADERS",
    "BodyLimit",
    "Border",
    "BrowserGate",
    "UploadLimits",
    "add_headers",
]

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
REQUEST_ID = re.compile(r"[0-9A-Za-z-]{20,64}")
"""A UUID, a ULID or a trace's id: too long for a patient's or an examination's number."""


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
        scope["crossray.request"] = _request_id(scope)
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
        except asyncio.CancelledError:
            # The server stops and waits no longer; uvicorn would answer in plain text.
            if status == 0:
                stopping = NotReady("the service is stopping: send the request again")
                answer = problem_response(scope, kind_of(stopping), str(stopping))
                await answer(scope, receive, send_with_headers)
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


def _request_id(scope: Scope) -> str:
    """The client's, where it may be one, so that logs of both sides can be brought together."""
    given = Headers(scope=scope).get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else str(uuid.uuid4())


def add_headers(scope: Scope, headers: MutableHeaders) -> None:
    """Give an answer the request's id and the headers that every answer has."""
    for name, value in SECURITY_HEADERS.items():
        headers[name] = value
    headers["X-Request-ID"] = scope["crossray.request"]
    # Answers speak of a patient and stay nowhere; the page's files are asked about each time.
    headers.setdefault("Cache-Control", "no-cache" if "etag" in headers else "no-store")


class BrowserGate:
    """Refuses hosts that the service is not called by, and posts from other sites' pages.

    A browser for which a stranger's name resolves to 127.0.0.1 would else let that stranger's page
    ask a service which only this machine may.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self.app = app
        self.hosts = frozenset(hosts)
        """In lower case and without port; none allows all."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reason = self._reason(scope) if scope["type"] == "http" else None
        if reason is None:
            await self.app(scope, receive, send)
        else:
            await problem_response(scope, FORBIDDEN, reason)(scope, receive, send)

    def _reason(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host = re.sub(r":\d+$", "", headers.get("host", "")).lower()
        if self.hosts and host not in self.hosts:
            return "the Host header names no host of this service: CROSSRAY_HOSTS lists them"
        changing = scope["method"] not in {"GET", "HEAD", "OPTIONS"}
        if changing and headers.get("sec-fetch-site") == "cross-site":
            return "the request comes from another site's page: use this service's own page"
        return None


@dataclass(frozen=True)
class UploadLimits:
    max_bytes: int
    """Of one body."""
    max_uploads: int
    """Bodies on their way in at the same time."""
    max_per_client: int
    """Of those, by one address."""


class BodyLimit:
    """Refuses a body over the limit before it has been read whole, and uploads over their number.

    FastAPI's own `max_body_size` answers in plain text.
    """

    def __init__(
        self, app: ASGIApp, limits: UploadLimits, retry_after: Callable[[], int | None]
    ) -> None:
        """
        Args:
            retry_after: seconds in which the studies that are here will be done, if it is known: an
                upload counts until its answer is sent.
        """
        self.app = app
        self.limits = limits
        self._retry_after = retry_after
        self.uploads: Counter[str] = Counter()
        """By the client's address."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD"}:
            await self.app(scope, receive, send)
            return
        client = (scope.get("client") or ("", 0))[0]
        try:
            self._check_length(scope)
            self._check_number(client)
        except CrossRayError as error:
            wait = self._retry_after() if isinstance(error, Busy) else None
            headers = None if wait is None else {"Retry-After": str(wait)}
            answer = problem_response(scope, kind_of(error), str(error), headers)
            await answer(scope, receive, send)
            return
        self.uploads[client] += 1
        try:
            await self.app(scope, self._limited(receive), send)
        finally:
            self.uploads[client] -= 1
            self.uploads += Counter()  # drops those at 0

    def _check_length(self, scope: Scope) -> None:
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > self.limits.max_bytes:
            raise RequestTooLarge(self._too_large())

    def _check_number(self, client: str) -> None:
        if self.uploads.total() >= self.limits.max_uploads:
            raise Busy(f"{self.limits.max_uploads} uploads are on their way in: try again")
        if self.uploads[client] >= self.limits.max_per_client:
            raise Busy(
                f"{self.limits.max_per_client} uploads of this client are on their way in: wait "
                "for them"
            )

    def _too_large(self) -> str:
        return f"the request has more than the {self.limits.max_bytes} bytes allowed"

    def _limited(self, receive: Receive) -> Receive:
        received = 0

        async def limited_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.limits.max_bytes:
                # FastAPI turns every other exception of a body into its own 400.
                raise HTTPException(413, self._too_large())
            return message

        return limited_receive
