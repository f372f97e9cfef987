"""The endpoints of studies that are kept: the worklist, one study, and what readers do with it."""

import base64
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from app.accounts.roles import LOCAL
from app.api.gate import MayEdit, MayRead, MaySign
from app.api.problems import ConflictProblem, NoPrecondition, documented
from app.api.service import Service
from app.api.streaming import EVENTS, changes, wants_events
from app.api.study_schemas import (
    AutosaveAnswer,
    JobCounts,
    KeptStudy,
    MarkedText,
    PageAnswer,
    ProgressAnswer,
    Run,
    StatusName,
    VersionAnswer,
    autosave_answer,
    batch_answer,
    instant,
    kept_study,
    marked_text,
    page_answer,
    version_answer,
)
from app.jobs.queue import count_studies
from app.store import edits, studies
from app.store.carry import compared
from app.store.records import Actor, Version
from app.store.store import Store
from app.store.upkeep import batches
from app.store.worklist import MAX_PAGE, Order, Sort, last_change, list_studies
from app.store.worklist import Query as Wanted

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["studies"])

STORED = documented(401, 403, 404, 422, 429, 500, 503)
CHANGED = documented(401, 403, 404, 422, 428, 429, 500, 503, 507) | {
    409: {"model": ConflictProblem, "description": "/problems/conflict or /problems/wrong-status"}
}


def _store(request: Request) -> Store:
    service: Service = request.app.state.service
    return service.store


StoreHere = Annotated[Store, Depends(_store)]
StudyId = Annotated[str, Path(alias="study", pattern=r"^[0-9a-f]{32}$", description="its id")]
Name = Annotated[str, Field(max_length=edits.MAX_NAME)]
Text = Annotated[str, Field(max_length=edits.MAX_TEXT)]
EditorName = Annotated[
    str,
    Query(
        pattern=r"^[0-9A-Za-z-]{0,40}$",
        description="identifies the window of one person",
    ),
]


def _version_read(
    if_match: Annotated[
        str | None, Header(description='the version that was read, as in ETag: "3"')
    ] = None,
) -> int:
    number = (if_match or "").removeprefix("W/").strip().strip('"')
    if not number.isdecimal():
        raise NoPrecondition(
            'a change names the version that was read: send If-Match: "NUMBER", the ETag of '
            "GET /v1/studies/ID"
        )
    return int(number)


VersionRead = Annotated[int, Depends(_version_read)]


class WorklistQuery(BaseModel):
    """Which studies, in which order, and which page of them."""

    status: list[StatusName] = Field(default=[], description="any of these; none: all")
    finding: list[Annotated[str, Field(max_length=60)]] = Field(
        default=[], description='all of these, such as "pneumothorax"'
    )
    flagged: bool = Field(
        default=False, description="only with something to check first, or a warning"
    )
    search: str = Field(
        default="", max_length=200, description="words in names, accession numbers and texts"
    )
    sort: Sort = "urgency"
    order: Order = "descending"
    limit: int = Field(default=100, ge=1, le=MAX_PAGE)
    after: str | None = Field(
        default=None, max_length=1000, description="of the page before, in the same order"
    )


class Edited(BaseModel):
    text: Text = Field(description="the whole report")


class Both(BaseModel):
    before: Text
    after: Text


class Typed(BaseModel):
    text: Text
    base: int = Field(ge=1, description="the version that is being edited")


class Signed(BaseModel):
    name: Name = Field(
        default="", description="of who signs; where there are accounts, the account's is taken"
    )


class Rejected(BaseModel):
    reason: Text = ""


class Amended(Signed):
    text: Text = Field(description="of the addendum alone")


@router.get("/studies", responses=STORED, summary="The worklist, page after page")
def list_kept(
    store: StoreHere, actor: MayRead, asked: Annotated[WorklistQuery, Query()]
) -> PageAnswer:
    """Pages follow a key, so studies that arrive meanwhile move no row from one page to another."""
    wanted = Wanted(
        tuple(asked.status),
        tuple(asked.finding),
        asked.flagged,
        asked.search,
        asked.sort,
        asked.order,
    )
    return page_answer(list_studies(store, wanted, asked.after, asked.limit))


@router.get(
    "/progress",
    response_model=ProgressAnswer,
    responses=STORED | {200: {"content": {EVENTS: {"schema": {"type": "string"}}}}},
    summary="Batches, jobs and studies in work",
)
def describe_progress(
    store: StoreHere, actor: MayRead, request: Request
) -> ProgressAnswer | StreamingResponse:
    """With `Accept: text/event-stream` an event with it now and whenever it has changed."""
    service: Service = request.app.state.service

    def look() -> ProgressAnswer:
        changed = last_change(store)
        return ProgressAnswer(
            batches=[batch_answer(batch) for batch in batches(store)],
            reading=service.in_hand,
            jobs=JobCounts.model_validate(vars(count_studies(service.jobs))),
            changed=None if changed is None else instant(changed),
        )

    if not wants_events(request):
        return look()
    events = changes(look, service.stopping)
    return StreamingResponse(events, media_type=EVENTS, headers={"X-Accel-Buffering": "no"})


@router.get("/studies/{study}", responses=STORED, summary="One study with its report")
def open_kept(
    study: StudyId,
    store: StoreHere,
    actor: MayRead,
    response: Response,
    pixels: Annotated[bool, Query(description="fill report.images[].png")] = False,
) -> KeptStudy:
    """Its ETag is the number of the current version. That it was seen is logged."""
    kept = studies.open_study(store, study, actor)
    response.headers["ETag"] = _etag(kept.current)
    if not pixels:
        return kept_study(kept)
    pngs = [studies.preview_file(store, image) for image in kept.images]
    return kept_study(kept, [base64.b64encode(png).decode() for png in pngs])


@router.get(
    "/studies/{study}/images/{number}",
    response_class=Response,
    responses=STORED | {200: {"content": {"application/octet-stream": {}}}},
    summary="An image's file as it came in",
)
def get_image(study: StudyId, number: int, store: StoreHere, actor: MayRead) -> Response:
    content, media_type = studies.image_file(store, study, number, actor)
    return Response(content, media_type=media_type)


@router.put("/studies/{study}/report", responses=CHANGED, summary="Save an edited text")
def edit_report(
    study: StudyId,
    store: StoreHere,
    actor: MayEdit,
    read: VersionRead,
    edited: Edited,
    response: Response,
) -> VersionAnswer:
    """A new version. Where somebody else has saved meanwhile: 409 with both texts."""
    return _made(response, edits.edit(store, study, read, edited.text, actor))


@router.post("/studies/{study}/review", responses=CHANGED, summary="Mark a draft as reviewed")
def review_report(
    study: StudyId, store: StoreHere, actor: MayEdit, read: VersionRead, response: Response
) -> VersionAnswer:
    return _made(response, edits.review(store, study, read, actor))


@router.post("/studies/{study}/signature", responses=CHANGED, summary="Sign a report")
def sign_report(
    study: StudyId,
    store: StoreHere,
    actor: MaySign,
    read: VersionRead,
    response: Response,
    signed: Annotated[Signed, Body(default_factory=Signed)],
) -> VersionAnswer:
    """For good: a signed report is only added to."""
    name = _signing_name(actor, signed)
    return _made(response, edits.sign(store, study, read, actor, name))


@router.post("/studies/{study}/addenda", responses=CHANGED, summary="Add to a signed report")
def amend_report(
    study: StudyId,
    store: StoreHere,
    actor: MaySign,
    read: VersionRead,
    amended: Amended,
    response: Response,
) -> VersionAnswer:
    name = _signing_name(actor, amended)
    return _made(response, edits.add_addendum(store, study, read, actor, amended.text, name))


@router.post("/studies/{study}/rejection", responses=CHANGED, summary="Reject a draft")
def reject_report(
    study: StudyId,
    store: StoreHere,
    actor: MaySign,
    read: VersionRead,
    response: Response,
    rejected: Annotated[Rejected, Body(default_factory=Rejected)],
) -> VersionAnswer:
    return _made(response, edits.reject(store, study, read, actor, rejected.reason))


@router.post(
    "/studies/{study}/marks", responses=STORED, summary="Which words of a text are the draft's"
)
def mark_text(study: StudyId, store: StoreHere, actor: MayRead, edited: Edited) -> MarkedText:
    """For an editor: nothing is kept."""
    return marked_text(studies.draft_of(store, study), edited.text)


@router.post("/comparisons", responses=STORED, summary="Two texts word by word")
def compare_texts(store: StoreHere, actor: MayRead, both: Both) -> list[Run]:
    """For versions of a report, and for what two readers have written: nothing is kept."""
    return [Run(change=change, text=text) for change, text in compared(both.before, both.after)]


@router.put("/studies/{study}/autosave", responses=STORED, summary="Keep what was typed")
def keep_typed(
    study: StudyId, store: StoreHere, actor: MayEdit, typed: Typed, editor: EditorName = ""
) -> Response:
    """Apart from the report's versions, and from what other people type."""
    saved = edits.Autosave(typed.base, typed.text, 0)
    edits.autosave(store, study, saved, _editor(actor, editor))
    return Response(status_code=204)


@router.get("/studies/{study}/autosave", responses=STORED, summary="What was typed and not saved")
def get_typed(
    study: StudyId, store: StoreHere, actor: MayEdit, editor: EditorName = ""
) -> AutosaveAnswer | None:
    saved = edits.autosaved(store, study, _editor(actor, editor))
    return None if saved is None else autosave_answer(saved)


@router.delete("/studies/{study}/autosave", responses=STORED, summary="Forget what was typed")
def drop_typed(
    study: StudyId, store: StoreHere, actor: MayEdit, editor: EditorName = ""
) -> Response:
    edits.drop_autosave(store, study, _editor(actor, editor))
    return Response(status_code=204)


def _made(response: Response, version: Version) -> VersionAnswer:
    response.headers["ETag"] = _etag(version)
    return version_answer(version)


def _etag(version: Version) -> str:
    return f'"{version.number}"'


def _editor(actor: Actor, editor: str) -> str:
    return f"{actor.name}/{editor}" if editor else actor.name


def _signing_name(actor: Actor, signed: Signed) -> str:
    """The account's name; what was typed only where there are no accounts."""
    return signed.name if actor.name == LOCAL.name else actor.name
