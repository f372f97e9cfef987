"""The service: `create_app(settings) -> FastAPI`. Building it loads and opens nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from anyio import to_thread
from fastapi import APIRouter, FastAPI, Response
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse
from starlette.types import Scope

from app.accounts.sessions import Lifetime, Sessions
from app.api.description import openapi
from app.api.documents import documents
from app.api.forms import ServiceHere
from app.api.gate import Gate
from app.api.job_work import jobs_waiting, work_of
from app.api.jobs import router as jobs
from app.api.middleware import BodyLimit, Border, BrowserGate, UploadLimits
from app.api.pixel_route import pixels
from app.api.problems import add_problem_handlers, documented
from app.api.reports import router as reports
from app.api.schemas import Status
from app.api.service import Service
from app.api.sign_in import add_sign_in_cookie, open_provider, session
from app.api.sign_in import pages as sign_in_pages
from app.api.studies import router as studies
from app.settings import Settings
from app.telemetry import NO_TELEMETRY, Telemetry, TraceRequests, exporting
from crossray import __version__
from model.generator import ReportGenerator
from model.imaging.reading_process import helper

__all__ = ["STATIC", "create_app"]

STATIC = Path(__file__).parent / "static"
health = APIRouter(tags=["health"])


@health.get("/livez", summary="Whether the process answers")
async def live() -> Status:
    return Status(status="alive")


@health.get("/readyz", responses=documented(503), summary="Whether the model is loaded")
async def ready(service: ServiceHere) -> Status:
    service.describe()
    return Status(status="ready")


@health.get("/metrics", response_class=Response, summary="Counts and times, for Prometheus")
def metrics(service: ServiceHere) -> Response:
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
    service.metrics.watch_jobs(partial(jobs_waiting, service))

    def begin() -> None:
        service.load()
        service.start_jobs(work_of(service))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Each study that waits does so on a thread; as many as else are left for all the rest.
        to_thread.current_default_thread_limiter().total_tokens += settings.queue
        helper.start(dicom=True)  # the first file need not wait for it
        loading = asyncio.create_task(asyncio.to_thread(begin))
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
    for router in (reports, jobs, pixels, session, studies, documents, health):
        app.include_router(router)
    app.add_api_route("/docs", _docs, include_in_schema=False)
    # Not a mount: a mount at / would take a GET of a POST route for a missing file.
    app.router.default = Pages(directory=STATIC, html=True)
    app.openapi = partial(openapi, app)  # type: ignore[method-assign]
    add_problem_handlers(app)
    limits = UploadLimits(
        settings.max_request_bytes, settings.max_uploads, settings.max_uploads_per_client
    )
    app.add_middleware(BodyLimit, limits=limits, retry_after=lambda: service.admission.retry_after)
    _add_accounts(app, service)
    app.add_middleware(BrowserGate, hosts=settings.hosts or ())
    app.add_middleware(Border, metrics=service.metrics)
    app.add_middleware(TraceRequests, telemetry=telemetry)
    return app
