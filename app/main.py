"""The service: `create_app(settings) -> FastAPI`. Building it loads and opens nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from anyio import to_thread
from fastapi import APIRouter, Depends, FastAPI, File, Form, Query, Request, Response, UploadFile
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse
from starlette.types import Scope

from app.accounts.sessions import Lifetime, Sessions
from app.api.answers import Maps
from app.api.description import CHECK, QUESTION, RAW_BODY, REPORT, answered, openapi
from app.api.documents import documents
from app.api.gate import Gate, MayEdit
from app.api.middleware import BodyLimit, Border, BrowserGate, UploadLimits
from app.api.pixel_route import pixels
from app.api.problems import TooManyFiles, add_problem_handlers, documented
from app.api.schemas import AskAnswer, CheckAnswer, ModelDescription, ReportAnswer, Status
from app.api.service import Options, Sent, Service
from app.api.sign_in import add_sign_in_cookie, open_provider, session
from app.api.sign_in import pages as sign_in_pages
from app.api.studies import router as studies
from app.api.uploads import StudyRoute
from app.settings import Settings
from app.telemetry import NO_TELEMETRY, Telemetry, TraceRequests, exporting
from crossray import __version__
from model.errors import DataError
from model.generator import ReportGenerator

__all__ = ["STATIC", "create_app"]

STATIC = Path(__file__).parent / "static"
MAX_PHRASE = 200
"""Letters of a question; the decoder reads no more than a report's tokens."""
MAX_REPORT = 10_000
"""Letters of a report to check; the decoder reads no more than a report's tokens."""
MAX_NAME = 200
"""Letters of what the worklist calls a study."""
MAX_INDICATION = 1000
"""Letters of an indication; how many tokens a model reads is its own, `prompt_tokens`."""


def _service(request: Request) -> Service:
    result: Service = request.app.state.service
    return result


ServiceHere = Annotated[Service, Depends(_service)]


def _sent(
    files: Annotated[
        list[UploadFile],
        File(description="the images of one study: DICOM, PNG or JPEG, one or more"),
    ],
    priors: Annotated[
        list[UploadFile],
        File(
            default_factory=list,
            description="frontal images of an earlier study of the same patient",
        ),
    ],
    views: Annotated[
        list[Literal["PA", "AP", "LATERAL", ""]],
        Form(
            default_factory=list,
            description="one for each of files, in their order: its view, or empty for what the "
            "file says. PNG and JPEG cannot say it; what says nothing is read as frontal. A DICOM "
            "header that says another view is an error",
        ),
    ],
    service: ServiceHere,
    indication: Annotated[
        str,
        Form(
            max_length=MAX_INDICATION,
            description="why the images were taken, in the words of the request; nothing of it "
            "is logged",
        ),
    ] = "",
    name: Annotated[
        str,
        Form(
            max_length=MAX_NAME,
            description="what the worklist calls the study, where studies are kept; its accession "
            "number if left out",
        ),
    ] = "",
) -> Sent:
    allowed, count = service.settings.max_files, len(files) + len(priors)
    if count > allowed:
        raise TooManyFiles(f"{count} files in one study: at most {allowed} are allowed")
    if views and len(views) != len(files):
        raise DataError(
            f"{len(views)} views for {len(files)} files: give one for each file, empty where it "
            "says its own, or none at all"
        )
    return Sent([f.file for f in files], views, [p.file for p in priors], indication, name)


Study = Annotated[Sent, Depends(_sent)]


def _options(
    pixels: Annotated[bool, Query(description="fill images[].png, to show the images")] = False,
    input_check: Annotated[
        bool,
        Query(
            description="false: continue with images the input check rejects and report the "
            "reasons as warnings"
        ),
    ] = True,
    identity_check: Annotated[
        bool,
        Query(
            description="false: continue with files of different patients or studies, or a prior "
            "that is not earlier, and report it as a warning"
        ),
    ] = True,
    maps: Annotated[
        Maps,
        Query(
            description="all: the heatmap also of words, sentences, findings and answers that are "
            "not grounded; what they attended to is no place, most of it fell on no image"
        ),
    ] = "grounded",
) -> Options:
    return Options(pixels, input_check, identity_check, maps)


WithOptions = Annotated[Options, Depends(_options)]
Phrase = Annotated[
    str,
    Form(
        min_length=1,
        max_length=MAX_PHRASE,
        description='a finding, or a question for one: "a fracture", "is there a fracture?"',
    ),
]

ReportText = Annotated[
    str,
    Form(
        min_length=1,
        max_length=MAX_REPORT,
        description="somebody's report of these images, in any words; nothing of it is logged",
    ),
]

reports = APIRouter(prefix="/v1", tags=["reports"], route_class=StudyRoute)
health = APIRouter(tags=["health"])


@reports.post(
    "/reports",
    status_code=201,
    responses=answered(REPORT) | documented(400, 401, 403, 413, 415, 422, 429, 500, 503, 507),
    openapi_extra=RAW_BODY,
    summary="Write a draft report for one study",
)
def create_report(
    study: Study,
    service: ServiceHere,
    options: WithOptions,
    actor: MayEdit,
) -> ReportAnswer:
    """All files together are one study. Which views are read, and whether an indication is, the
    model decides: GET /v1/model. Nothing of what is sent is kept, unless the service was started
    with a store: `study` is then the id under which it is."""
    with service.place("report"):
        return service.report(study, options, actor)


@reports.post(
    "/questions",
    status_code=201,
    responses=answered(QUESTION) | documented(400, 401, 403, 413, 415, 422, 429, 500, 503),
    summary="Ask the images of one study for a phrase that its report need not hold",
)
def create_question(
    study: Study,
    phrase: Phrase,
    service: ServiceHere,
    options: WithOptions,
) -> AskAnswer:
    """How probable the phrase is on these images, and where. Nothing is kept."""
    with service.place("question"):
        return service.ask(study, phrase, options)


@reports.post(
    "/checks",
    status_code=201,
    responses=answered(CHECK) | documented(400, 401, 403, 413, 415, 422, 429, 500, 503),
    summary="Check somebody's report against the images of one study",
)
def create_check(
    study: Study,
    report: ReportText,
    service: ServiceHere,
    options: WithOptions,
) -> CheckAnswer:
    """What the images contradict, and what is seen and not mentioned. Nothing is kept."""
    with service.place("question"):
        return service.check(study, report, options)


@reports.get("/model", responses=documented(503), summary="The model reports are written by")
async def describe_model(service: ServiceHere) -> ModelDescription:
    return service.describe()


@health.get("/livez", summary="Whether the process answers")
async def live() -> Status:
    return Status(status="alive")


@health.get("/readyz", responses=documented(503), summary="Whether the model is loaded")
async def ready(service: ServiceHere) -> Status:
    service.describe()
    return Status(status="ready")


@health.get("/metrics", response_class=Response, summary="Counts and times, for Prometheus")
async def metrics(service: ServiceHere) -> Response:
    return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def _docs() -> FileResponse:
    return FileResponse(STATIC / "docs.html")


class Pages(StaticFiles):
    """The page's files; what is not there is 404, whatever the method."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if scope["method"] in {"GET", "HEAD"}:
            return await super().get_response(path, scope)
        allowed = {**scope, "method": "HEAD"}
        await super().get_response(path, allowed)
        raise HTTPException(405, headers={"Allow": "GET, HEAD"})


def _add_accounts(app: FastAPI, service: Service) -> None:
    """Have every request below /v1 come from somebody who may make it."""
    settings = service.settings
    lifetime = Lifetime(settings.session_idle_minutes * 60_000, settings.session_hours * 3_600_000)

    def sessions() -> Sessions:
        return Sessions(service.store, lifetime)

    bearer = None
    if settings.provider_options is not None:
        provider = open_provider(settings.provider_options)
        app.state.provider, app.state.sessions, bearer = provider, sessions, provider.bearer
        app.include_router(sign_in_pages)
        add_sign_in_cookie(app, secure=str(settings.public_url).startswith("https:"))
    app.add_middleware(Gate, settings=settings, sessions=sessions, bearer=bearer)


def create_app(
    settings: Settings,
    generator: ReportGenerator | None = None,
    telemetry: Telemetry | None = None,
) -> FastAPI:
    """The service's application.

    Args:
        generator: what reads the studies; loaded in the background from the start where None.
        telemetry: where traces go; as the settings say where None.

    Raises:
        ConfigError: the settings ask for a package that is not installed.
    """
    if telemetry is None:
        endpoint = settings.otlp_endpoint
        telemetry = NO_TELEMETRY if endpoint is None else exporting(endpoint)
    service = Service(settings, generator, telemetry)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Each study that waits does so on a thread; as many as else are left for all the rest.
        to_thread.current_default_thread_limiter().total_tokens += settings.queue
        loading = asyncio.create_task(asyncio.to_thread(service.load))
        yield
        await loading
        service.close()

    app = FastAPI(
        title="CrossRay",
        version=__version__,
        description="Draft reports for chest radiographs, with the image regions the decoder "
        "attended to for every word. Research software, not for diagnosis.",
        docs_url=None,  # FastAPI's own page fetches its scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.service = service
    app.include_router(reports)
    app.include_router(pixels)
    app.include_router(session)
    app.include_router(studies)
    app.include_router(documents)
    app.include_router(health)
    app.add_api_route("/docs", _docs, include_in_schema=False)
    # Not a mount: a mount at / would take a GET of a POST route for a missing file.
    app.router.default = Pages(directory=STATIC, html=True)
    app.openapi = partial(openapi, app)  # type: ignore[method-assign]
    add_problem_handlers(app)
    limits = UploadLimits(
        settings.max_request_bytes, settings.max_uploads, settings.max_uploads_per_client
    )
    app.add_middleware(BodyLimit, limits=limits)
    _add_accounts(app, service)
    app.add_middleware(BrowserGate, hosts=settings.hosts or ())
    app.add_middleware(Border, metrics=service.metrics)
    app.add_middleware(TraceRequests, telemetry=telemetry)
    return app
