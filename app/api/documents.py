"""The endpoints that take something out of the store: exported reports, and the audit log."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.gate import MayAudit, MayRead
from app.api.problems import documented
from app.api.service import Service
from app.api.study_schemas import instant, kept_study
from app.export.text import report_text
from app.store import audit, studies
from app.store.store import Store

__all__ = ["documents"]

documents = APIRouter(prefix="/v1", tags=["studies"])

TAKEN = documented(401, 403, 404, 422, 429, 500, 503)
MAX_LINES = 1000


class AuditLineAnswer(BaseModel):
    """One line of the audit log."""

    model_config = ConfigDict(frozen=True)

    sequence: int
    at: str = Field(description="ISO 8601, UTC")
    actor: str
    action: str = Field(description='such as "seen", "edited", "signed", "exported"')
    study: str | None
    details: dict[str, object]
    sha256: str = Field(description="of this line and the hash before it")


def _store(request: Request) -> Store:
    service: Service = request.app.state.service
    return service.store


StoreHere = Annotated[Store, Depends(_store)]
StudyId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="its id")]


@documents.get(
    "/studies/{study}/export",
    response_class=Response,
    responses=TAKEN
    | {200: {"content": {"text/plain": {}, "application/json": {}, "application/pdf": {}}}},
    summary="A report as text, JSON or PDF",
)
def export_report(
    study: StudyId,
    store: StoreHere,
    actor: MayRead,
    format: Annotated[Literal["text", "json", "pdf"], Query()] = "text",
    paper: Annotated[Literal["a4", "letter"], Query(description="of a PDF")] = "a4",
) -> Response:
    """With its addenda, who signed it, what wrote the draft, and the notice. It is logged."""
    kept = studies.take_out(store, study, actor, format)
    if format == "json":
        return _file(kept_study(kept).model_dump_json(indent=1), "application/json", study, format)
    if format == "text":
        return _file(report_text(kept), "text/plain; charset=utf-8", study, "txt")
    from app.export.pdf import report_pdf  # ReportLab takes a third of a second to import

    previews = [studies.preview_file(store, image) for image in kept.images]
    return _file(report_pdf(kept, previews, paper), "application/pdf", study, format)


@documents.get("/audit", responses=TAKEN, summary="The audit log")
def list_audit(
    store: StoreHere,
    actor: MayAudit,
    study: Annotated[str | None, Query(pattern=r"^[0-9a-f]{32}$")] = None,
    after: Annotated[int, Query(ge=0, description="the last line's sequence before these")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_LINES)] = 100,
) -> list[AuditLineAnswer]:
    """Who saw, changed, signed and exported what. `crossray store verify` checks its chain."""
    lines = audit.audit_lines(store.database, study, after, limit)
    return [
        AuditLineAnswer.model_validate({**vars(line), "at": instant(line.at)}) for line in lines
    ]


def _file(content: str | bytes, media_type: str, study: str, ending: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="report-{study[:8]}.{ending}"'}
    return Response(content, media_type=media_type, headers=headers)
