"""The endpoints that read a study: its report, a question, a check of somebody's report."""

from contextlib import ExitStack

from fastapi import APIRouter, Request

from app.api.description import CHECK, QUESTION, RAW_BODY, REPORT, answered
from app.api.forms import Phrase, ReportText, ServiceHere, Study, WithOptions
from app.api.gate import MayEdit
from app.api.problems import documented
from app.api.schemas import AskAnswer, CheckAnswer, ModelDescription, ReportAnswer
from app.api.streaming import EVENTS, ReportStream, wants_events
from app.api.uploads import StudyRoute
from app.workers.pool import Watch

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["reports"], route_class=StudyRoute)


@router.post(
    "/reports",
    status_code=201,
    response_model=ReportAnswer,
    responses=answered(REPORT)
    | documented(400, 401, 403, 413, 415, 422, 429, 500, 503, 507)
    | {
        200: {
            "description": "With `Accept: text/event-stream`: events `text` (TextChange) as the "
            "text is written, then `report` (ReportAnswer) or `problem` (Problem).",
            "content": {EVENTS: {"schema": {"type": "string"}}},
        }
    },
    openapi_extra=RAW_BODY,
    summary="Write a draft report for one study",
)
def create_report(
    study: Study,
    service: ServiceHere,
    options: WithOptions,
    actor: MayEdit,
    request: Request,
) -> ReportAnswer | ReportStream:
    """All files together are one study. Which views are read, and whether an indication is, the
    model decides: GET /v1/model. Nothing of what is sent is kept, unless the service was started
    with a store: `study` is then the id under which it is."""
    with ExitStack() as place:
        place.enter_context(service.admit("report"))
        if not wants_events(request):
            return service.report(study, options, actor)
        _ = service.card  # the model is loaded: what is wrong from here on is an event

        def write(watch: Watch) -> ReportAnswer:
            return service.report(study, options, actor, watch=watch)

        instance = f"/requests/{request.scope['crossray.request']}"
        return ReportStream(write, place.pop_all(), instance)


@router.post(
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
    with service.admit("question"):
        return service.ask(study, phrase, options)


@router.post(
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
    with service.admit("question"):
        return service.check(study, report, options)


@router.get("/model", responses=documented(503), summary="The model reports are written by")
async def describe_model(service: ServiceHere) -> ModelDescription:
    return service.describe()
