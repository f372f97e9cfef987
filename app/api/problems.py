"""Errors as the API reports them: RFC 9457 problem details, one table from error class to answer.

A detail is the error's own message where we raised it on purpose. Any other error says nothing of
itself: its text may quote a patient's file.
"""

import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import Scope

from app.accounts.errors import Expired, SignedOut, TooMany, WrongOrigin, WrongRole
from app.api.schemas import Problem
from app.api.study_schemas import VersionAnswer, version_answer
from app.api.uploads import WHAT_TO_SEND
from app.jobs.errors import (
    Abandoned,
    JobGone,
    JobsFull,
    JobTooLarge,
    KeyReused,
    NoJobs,
    TooManyJobs,
    UnknownJob,
)
from app.store.errors import (
    Conflict,
    NoStore,
    StoreError,
    StoreFull,
    StoreUnavailable,
    StoreVersion,
    UnknownStudy,
    WrongStatus,
)
from app.workers.errors import NotReady, WorkerLost
from model.errors import (
    CrossRayError,
    DataError,
    IdentityMismatch,
    ImageTooLarge,
    NotARadiograph,
    RefusedError,
    UndecodableImage,
    UnsupportedImage,
)

__all__ = [
    "FORBIDDEN",
    "INTERNAL",
    "PROBLEMS",
    "Busy",
    "ConflictProblem",
    "Kind",
    "NoPrecondition",
    "RequestTooLarge",
    "TooManyFiles",
    "add_problem_handlers",
    "documented",
    "kind_of",
    "problem_for",
    "problem_response",
]

log = logging.getLogger("crossray.service")
MEDIA_TYPE = "application/problem+json"


class Busy(CrossRayError):
    """As many studies wait as may."""

    def __init__(self, message: str = "", retry_after: int | None = None) -> None:
        """
        Args:
            retry_after: seconds; that of its kind where None.
        """
        super().__init__(message)
        self.retry_after = retry_after


class RequestTooLarge(CrossRayError):
    """A request's body holds more bytes than the limit."""


class TooManyFiles(CrossRayError):
    """A study of more images than the limit."""


class NoPrecondition(CrossRayError):
    """A change that does not say which version was read."""


@dataclass(frozen=True)
class Kind:
    """One kind of answer to an error."""

    status: int
    name: str
    title: str
    retry_after: int | None = None
    """Seconds."""

    @property
    def type(self) -> str:
        return f"/problems/{self.name}"


INVALID = Kind(422, "invalid-request", "The request is not valid")

# The first entry whose class fits decides, so a class stands before its bases.
PROBLEMS: dict[type[CrossRayError], Kind] = {
    RequestTooLarge: Kind(413, "too-large", "Too large"),
    ImageTooLarge: Kind(413, "too-large", "Too large"),
    TooManyFiles: Kind(413, "too-many-files", "Too many files"),
    UnsupportedImage: Kind(415, "not-an-image", "Not a DICOM, PNG or JPEG file"),
    UndecodableImage: Kind(422, "undecodable", "The image cannot be decoded"),
    NotARadiograph: Kind(422, "not-a-radiograph", "Not a radiograph"),
    RefusedError: Kind(422, "refused", "No report on this image"),
    IdentityMismatch: Kind(422, "identity-mismatch", "Not one study of one patient"),
    DataError: INVALID,
    Busy: Kind(503, "busy", "Busy", retry_after=5),
    NotReady: Kind(503, "not-ready", "Not ready", retry_after=5),
    WorkerLost: Kind(503, "worker-lost", "The model's process ended", retry_after=10),
    SignedOut: Kind(401, "signed-out", "Nobody is signed in"),
    Expired: Kind(401, "expired", "The session or token has expired"),
    WrongRole: Kind(403, "wrong-role", "This account may not do this"),
    WrongOrigin: Kind(403, "wrong-origin", "Not from this service's own page"),
    TooMany: Kind(429, "too-many-requests", "Too many requests", retry_after=10),
    NoPrecondition: Kind(428, "precondition-required", "Which version was read is not said"),
    NoStore: Kind(404, "no-store", "This service keeps no studies"),
    UnknownStudy: Kind(404, "unknown-study", "No such study"),
    Conflict: Kind(409, "conflict", "Somebody else has saved a newer version"),
    WrongStatus: Kind(409, "wrong-status", "The report's status does not allow it"),
    StoreVersion: Kind(503, "store-version", "The store is of another version"),
    StoreUnavailable: Kind(503, "store-unavailable", "The store does not answer", retry_after=5),
    StoreFull: Kind(507, "store-full", "The store is full"),
    StoreError: Kind(500, "store", "The store cannot do this"),
    NoJobs: Kind(404, "no-jobs", "This service takes no jobs"),
    UnknownJob: Kind(404, "unknown-job", "No such job"),
    JobGone: Kind(410, "job-gone", "The job's results are not kept any more"),
    JobTooLarge: Kind(413, "job-too-large", "More than may ever wait"),
    KeyReused: Kind(422, "key-reused", "The idempotency key came with another request"),
    Abandoned: Kind(500, "abandoned", "The service ended while it read the study"),
    TooManyJobs: Kind(429, "too-many-jobs", "Too many studies of this account wait"),
    JobsFull: Kind(503, "jobs-full", "Too many studies wait"),
}
STATUSES = {
    413: PROBLEMS[RequestTooLarge],
    400: Kind(400, "bad-request", "The request cannot be understood"),
    404: Kind(404, "not-found", "Not found"),
    405: Kind(405, "method-not-allowed", "Method not allowed"),
    422: INVALID,
}
FORBIDDEN = Kind(403, "forbidden", "Not from here")
INTERNAL = Kind(500, "internal", "Internal error")


def kind_of(error: Exception) -> Kind:
    """How an error is answered."""
    for cls, kind in PROBLEMS.items():
        if isinstance(error, cls):
            return kind
    return INTERNAL


class ConflictProblem(Problem):
    """Somebody else has saved a newer version: both are here, so that nothing is lost."""

    current: VersionAnswer
    yours: str = Field(description="the text that was not saved")


def problem_response(
    scope: Scope, kind: Kind, detail: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """The answer to a request that failed; its type is kept in the scope for log and metrics."""
    return _response(scope, kind, _problem(scope, kind, detail), headers)


def _problem(scope: Scope, kind: Kind, detail: str) -> Problem:
    return _problem_of(kind, detail, f"/requests/{scope['crossray.request']}")


def problem_for(error: Exception, instance: str) -> Problem:
    """The problem of an error that an event or a job reports, and no answer."""
    kind = kind_of(error)
    if kind is INTERNAL:
        log.error("request failed", exc_info=error)
    return _problem_of(kind, _detail(kind, error), instance)


def _detail(kind: Kind, error: Exception) -> str:
    return "The fault is the service's own." if kind is INTERNAL else str(error)


def _problem_of(kind: Kind, detail: str, instance: str) -> Problem:
    return Problem(
        type=kind.type, title=kind.title, status=kind.status, detail=detail, instance=instance
    )


def _response(
    scope: Scope, kind: Kind, problem: Problem, headers: dict[str, str] | None = None
) -> JSONResponse:
    scope["crossray.problem"] = kind.name
    headers = dict(headers or {})
    if kind.retry_after is not None:
        headers.setdefault("Retry-After", str(kind.retry_after))
    return JSONResponse(problem.model_dump(), kind.status, headers, media_type=MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These statuses' entries of an endpoint's OpenAPI `responses`."""
    kinds = [*PROBLEMS.values(), *STATUSES.values(), FORBIDDEN, INTERNAL]
    return {
        status: {
            "model": Problem,
            "description": " or ".join(
                dict.fromkeys(f"{k.title} ({k.type})" for k in kinds if k.status == status)
            ),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def add_problem_handlers(app: FastAPI) -> None:
    """Have every error that a route, the router or the validation raises answered as a problem."""
    app.add_exception_handler(CrossRayError, _answer_own_error)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(RequestValidationError, _answer_invalid_request)


async def _answer_own_error(request: Request, error: Exception) -> JSONResponse:
    kind = kind_of(error)
    if kind is INTERNAL:
        log.error("request failed", exc_info=error)
        return problem_response(request.scope, kind, _detail(kind, error))
    problem = _problem(request.scope, kind, str(error))
    if isinstance(error, Conflict):
        current = version_answer(error.current)
        problem = ConflictProblem(**problem.model_dump(), current=current, yours=error.yours)
    wait = error.retry_after if isinstance(error, Busy | JobsFull) else None
    return _response(
        request.scope, kind, problem, None if wait is None else {"Retry-After": str(wait)}
    )


async def _answer_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    # A static file without read permission is 401 to Starlette; nobody can log in here.
    status = 404 if error.status_code == 401 else error.status_code
    phrase = HTTPStatus(status).phrase
    kind = STATUSES.get(status, Kind(status, phrase.lower().replace(" ", "-"), phrase))
    details = {
        404: f"nothing is at {request.url.path}: /docs lists what there is",
        405: f"{request.method} is not possible here: the Allow header says what is",
    }
    headers = dict(error.headers or {})
    return problem_response(request.scope, kind, details.get(status, error.detail), headers)


async def _answer_invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # The offending values stay out: a form field may hold anything, a patient's name too.
    places = [" ".join(str(part) for part in fault["loc"]) for fault in error.errors()]
    faults = "; ".join(
        f"{place}: {fault['msg']}" for place, fault in zip(places, error.errors(), strict=True)
    )
    if "body files" in places:
        faults += f". {WHAT_TO_SEND[0].upper()}{WHAT_TO_SEND[1:]}"
    return problem_response(request.scope, STATUSES[422], faults)
