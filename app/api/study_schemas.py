"""The API's JSON of studies that are kept, and how it is made of the store's values."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas import ReportAnswer
from app.store.carry import carry
from app.store.edits import Autosave
from app.store.records import Finding, Image, Study, StudySummary, Version
from app.store.upkeep import Batch
from app.store.worklist import Page

__all__ = [
    "AutosaveAnswer",
    "BatchAnswer",
    "FindingSummary",
    "JobCounts",
    "KeptImage",
    "KeptStudy",
    "MarkedText",
    "PageAnswer",
    "ProgressAnswer",
    "Run",
    "SummaryAnswer",
    "VersionAnswer",
    "autosave_answer",
    "batch_answer",
    "instant",
    "kept_study",
    "marked_text",
    "page_answer",
    "version_answer",
]

StatusName = Literal["draft", "reviewed", "signed", "rejected"]


class Kept(BaseModel):
    model_config = ConfigDict(frozen=True)


class FindingSummary(Kept):
    """A finding that the current text asserts."""

    name: str
    sides: list[str]
    zone: str | None
    certainty: str
    probability: float | None = Field(
        description="that it is there, from the draft; null of what a reader added"
    )


class SummaryAnswer(Kept):
    """One row of the worklist."""

    id: str
    name: str = Field(description="an accession number, a file name, or what the sender called it")
    accession: str | None
    patient_name: str | None = Field(description="kept only where the operator turned it on")
    patient_id: str | None = Field(description="kept only where the operator turned it on")
    arrived: str = Field(description="ISO 8601, UTC")
    updated: str = Field(description="ISO 8601, UTC")
    status: StatusName
    version: int = Field(description="of the current text: the study's ETag")
    author: str = Field(description='of the current version; "model" of a draft nobody touched')
    urgency: float = Field(description="weight times probability of the most urgent finding")
    flags: int = Field(description="things to check first")
    warnings: int = Field(description="what speaks against reporting on its images")
    withheld: bool = Field(description="whether probabilities are withheld")
    source: Literal["upload", "batch"]
    images: int
    model: str
    impression: str
    findings: list[FindingSummary]


class PageAnswer(Kept):
    studies: list[SummaryAnswer]
    after: str | None = Field(description="`after` of the next page; null behind the last")
    total: int = Field(description="studies that the query finds, on all pages")
    counts: dict[StatusName, int] = Field(
        description="by status, whatever status the query asks for"
    )


class VersionAnswer(Kept):
    """One state of a report."""

    number: int = Field(description="from 1; the draft of the model is 1")
    kind: Literal["draft", "edit", "review", "sign", "reject", "addendum"]
    status: StatusName
    text: str = Field(description="of an addendum the text of the addendum alone")
    author: str
    at: str = Field(description="ISO 8601, UTC")
    comment: str = Field(description="why it was rejected")
    disposition: Literal["", "accepted", "changed", "rejected"] = Field(
        description="of a signed or rejected report, as in IHE AI Result Assessment"
    )
    sha256: str = Field(description="of this version, the draft, and the version before")


class KeptImage(Kept):
    number: int
    sha256: str = Field(description="of the file as it came in")
    size: int = Field(description="bytes")
    media_type: str
    kept: bool = Field(description="false once retention has removed the file")


class AutosaveAnswer(Kept):
    """What this editor has typed and not saved."""

    base: int = Field(description="the version it began from")
    text: str
    at: str


class MarkedText(Kept):
    """Which words of a text are the draft's, and which the reader's."""

    draft_words: list[tuple[int, int, int]] = Field(
        description="[start, end) in the text, and the word's place in the draft's words"
    )
    by_reader: list[tuple[int, int]] = Field(description="[start, end) of what the reader wrote")


class Run(Kept):
    """Words of two texts that stayed, are gone, or are new."""

    change: Literal["same", "removed", "added"]
    text: str


class KeptStudy(SummaryAnswer):
    """A study with its report as it is now, the model's draft, and every version."""

    report: ReportAnswer = Field(
        description="the current text; its words, sentences, findings and flags are those of the "
        "draft that are unchanged, with their maps"
    )
    marked: MarkedText
    draft_text: str = Field(description="what the model wrote")
    draft_sha256: str = Field(description="of the model's answer as it is kept")
    software: str = Field(description="version of CrossRay that wrote the draft")
    options: dict[str, bool | str] = Field(description="how the draft was written")
    files: list[KeptImage]
    versions: list[VersionAnswer] = Field(description="oldest first")


class BatchAnswer(Kept):
    id: str
    began: str
    total: int
    done: int
    without_report: int = Field(description="of those done: refused, or not read")
    ended: bool


class JobCounts(Kept):
    """Studies of jobs that have not ended, whoever posted them."""

    queued: int
    running: int


class ProgressAnswer(Kept):
    """What is at work on the store."""

    batches: list[BatchAnswer] = Field(description="running, or ended a short while ago")
    reading: int = Field(description="studies that this service reads or that wait for it")
    jobs: JobCounts = Field(description="studies of jobs that have not ended")
    changed: str | None = Field(description="when a study last came in or changed; null of none")


def instant(milliseconds: int) -> str:
    """Milliseconds since 1970 -> "2026-11-27T12:00:00.000Z"."""
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def page_answer(page: Page) -> PageAnswer:
    """A page of the worklist as JSON."""
    return PageAnswer(
        studies=[SummaryAnswer(**_summary(study)) for study in page.studies],
        after=page.after,
        total=page.total,
        counts=page.counts,
    )


def version_answer(version: Version) -> VersionAnswer:
    """A version as JSON."""
    return VersionAnswer.model_validate({**vars(version), "at": instant(version.at)})


def kept_study(study: Study, pngs: Sequence[str | None] | None = None) -> KeptStudy:
    """A study as JSON.

    Args:
        pngs: base64 of the images' previews; they fill `report.images[].png`.
    """
    carried = carry(study.draft, study.text)
    report = carried.report.model_copy(update={"study": study.summary.id})
    if pngs is not None:
        images = [
            image.model_copy(update={"png": png})
            for image, png in zip(report.images, pngs, strict=True)
        ]
        report = report.model_copy(update={"images": images})
    return KeptStudy(
        **_summary(study.summary),
        report=report,
        marked=marked_text(study.draft, study.text),
        draft_text=study.draft.text,
        draft_sha256=study.draft_sha256,
        software=study.software,
        options={name: _plain(value) for name, value in study.options.items()},
        files=[_image(image) for image in study.images],
        versions=[version_answer(version) for version in study.versions],
    )


def marked_text(draft: ReportAnswer, text: str) -> MarkedText:
    """Which words of a text are the draft's."""
    carried = carry(draft, text)
    words = zip(carried.report.words, carried.kept, strict=True)
    return MarkedText(
        draft_words=[(word.start, word.end, place) for word, place in words],
        by_reader=list(carried.by_reader),
    )


def autosave_answer(saved: Autosave) -> AutosaveAnswer:
    """What was typed as JSON."""
    return AutosaveAnswer(base=saved.base, text=saved.text, at=instant(saved.at))


def batch_answer(batch: Batch) -> BatchAnswer:
    """A batch's progress as JSON."""
    return BatchAnswer.model_validate({**vars(batch), "began": instant(batch.began)})


def _summary(study: StudySummary) -> dict[str, Any]:
    fields = {name: value for name, value in vars(study).items() if name != "number"}
    return {
        **fields,
        "version": study.number,
        "arrived": instant(study.arrived),
        "updated": instant(study.updated),
        "findings": [_finding(finding) for finding in study.findings],
    }


def _finding(finding: Finding) -> FindingSummary:
    return FindingSummary(
        name=finding.name,
        sides=list(finding.sides),
        zone=finding.zone,
        certainty=finding.certainty,
        probability=finding.probability,
    )


def _image(image: Image) -> KeptImage:
    fields = ("number", "sha256", "size", "media_type", "kept")
    return KeptImage.model_validate({name: getattr(image, name) for name in fields})


def _plain(value: object) -> bool | str:
    return value if isinstance(value, bool) else str(value)
