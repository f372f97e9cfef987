"""Studies put into the store and taken out of it again."""

import hashlib
import json
import zlib
from collections.abc import Sequence
from uuid import uuid4

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, undefer

from app.api.schemas import ReportAnswer
from app.store.audit import record
from app.store.carry import current_findings
from app.store.errors import StoreError, StoreFull, UnknownStudy
from app.store.records import Actor, Finding, Image, NewStudy, Study, StudySummary, Version
from app.store.store import Store
from app.store.tables import FindingRow, ImageRow, StudyRow, VersionRow
from app.store.urgency import urgency
from model.report import sections

__all__ = [
    "add_study",
    "draft_of",
    "image_file",
    "open_study",
    "preview_file",
    "show_current",
    "study_row",
    "summaries",
    "take_out",
    "version_hash",
    "version_of",
]

MODEL = "model"
"""The author of every draft."""


def add_study(store: Store, new: NewStudy, actor: Actor) -> str:
    """Keep a study and its draft; a study that is there already is left as it is.

    Returns:
        The study's id.

    Raises:
        StoreFull: the disk or the quota is full; nothing of the study is kept then.
    """
    content = _content_hash(new)
    with store.database.reading() as session:
        if known := session.scalar(select(StudyRow.id).where(StudyRow.content == content)):
            return str(known)
    _check_quota(store, new)
    names = [(store.files.put(i.content), store.files.put(i.preview)) for i in new.images]
    try:
        with store.database.writing() as session:
            study = _insert(store, session, new, content)
            _insert_images(session, study, new, names)
            record(session, actor, "stored", study.arrived, study.id, source=new.source)
            return study.id
    except IntegrityError as error:
        # Another process has stored the same study a moment ago.
        with store.database.reading() as session:
            if known := session.scalar(select(StudyRow.id).where(StudyRow.content == content)):
                return str(known)
        raise StoreError("the study contradicts what is stored") from error


def open_study(store: Store, study: str, actor: Actor) -> Study:
    """A study as it is kept; that it was seen is logged.

    Raises:
        UnknownStudy: there is none.
    """
    with store.database.writing() as session:
        row = study_row(session, study, draft=True)
        record(session, actor, "seen", store.now(), study, version=row.number)
        return _study(session, row)


def take_out(store: Store, study: str, actor: Actor, format: str) -> Study:
    """A study that leaves the store as a document; that is logged.

    Args:
        format: "text", "json" or "pdf".
    """
    with store.database.writing() as session:
        row = study_row(session, study, draft=True)
        detail = {"version": row.number, "format": format}
        record(session, actor, "exported", store.now(), study, **detail)
        return _study(session, row)


def draft_of(store: Store, study: str) -> ReportAnswer:
    """What the model wrote of a study.

    Raises:
        UnknownStudy: there is none.
    """
    with store.database.reading() as session:
        return _draft(study_row(session, study, draft=True))


def image_file(store: Store, study: str, number: int, actor: Actor) -> tuple[bytes, str]:
    """An image's file as it came in, and its media type; that it was taken out is logged.

    Raises:
        UnknownStudy: no such image, or retention has removed its file.
    """
    with store.database.writing() as session:
        row = session.get(ImageRow, (study, number))
        if row is None or not row.kept:
            raise UnknownStudy("the study has no such image, or its file is not kept any more")
        content = store.files.read(row.sha256)
        record(session, actor, "image", store.now(), study, image=number)
        return content, row.media_type


def preview_file(store: Store, image: Image) -> bytes:
    """An image's preview: 8 bit gray PNG."""
    return store.files.read(image.preview)


def study_row(session: Session, study: str, draft: bool = False, lock: bool = False) -> StudyRow:
    """A study's row.

    Args:
        draft: load the draft too.
        lock: nobody else may change it until the transaction ends.

    Raises:
        UnknownStudy: there is none.
    """
    options = [undefer(StudyRow.draft)] if draft else []
    row = session.get(StudyRow, study, options=options, with_for_update=lock or None)
    if row is None:
        raise UnknownStudy("the store has no such study")
    return row


def show_current(store: Store, session: Session, row: StudyRow, text: str) -> None:
    """Bring what the worklist shows of a study up to a text."""
    findings = current_findings(_draft(row), text)
    row.text = text
    row.impression = " ".join(s.text for s in sections(text) if s.name == "impression")
    row.urgency = urgency(text, findings, store.options.weights)
    session.execute(delete(FindingRow).where(FindingRow.study == row.id))
    session.add_all(
        FindingRow(
            study=row.id,
            place=place,
            name=finding.name,
            sides=",".join(finding.sides),
            zone=finding.zone,
            certainty=finding.certainty,
            probability=finding.probability,
        )
        for place, finding in enumerate(findings)
    )


def summaries(session: Session, rows: Sequence[StudyRow]) -> list[StudySummary]:
    """Rows of the worklist."""
    named: dict[str, list[Finding]] = {row.id: [] for row in rows}
    query = select(FindingRow).where(FindingRow.study.in_(named)).order_by(FindingRow.place)
    for finding in session.execute(query).scalars():
        sides = tuple(filter(None, finding.sides.split(",")))
        named[finding.study].append(
            Finding(finding.name, sides, finding.zone, finding.certainty, finding.probability)
        )
    return [_summary(row, tuple(named[row.id])) for row in rows]


def version_of(row: VersionRow) -> Version:
    """A version's row as a value."""
    return Version(
        number=row.number,
        kind=row.kind,  # type: ignore[arg-type]
        status=row.status,  # type: ignore[arg-type]
        text=row.text,
        author=row.author,
        at=row.at,
        comment=row.comment,
        disposition=row.disposition,
        sha256=row.sha256,
    )


def version_hash(row: VersionRow, draft: str, previous: str) -> str:
    """What a version's hash covers.

    Args:
        draft: hash of the model's answer.
        previous: hash of the version before; empty of the first.
    """
    fields = [row.study, row.number, row.kind, row.status, row.text, row.author, row.at]
    fields += [row.comment, row.disposition, draft, previous]
    return hashlib.sha256(json.dumps(fields, ensure_ascii=False).encode()).hexdigest()


def _content_hash(new: NewStudy) -> str:
    images = [hashlib.sha256(image.content).hexdigest() for image in new.images]
    fields = [images, new.answer.indication, new.answer.model.sha256, dict(new.options)]
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _check_quota(store: Store, new: NewStudy) -> None:
    quota = store.options.quota_bytes
    if not quota:
        return
    coming = sum(len(image.content) + len(image.preview) for image in new.images)
    with store.database.reading() as session:
        kept = session.scalar(
            select(func.coalesce(func.sum(ImageRow.size), 0)).where(ImageRow.kept)
        )
        previews = session.scalar(select(func.coalesce(func.sum(ImageRow.preview_size), 0)))
    taken = int(kept or 0) + int(previews or 0)
    if taken + coming > quota:
        raise StoreFull(
            f"the store's images take {taken:,} of {quota:,} bytes and this study needs "
            f"{coming:,}: raise CROSSRAY_STORE_QUOTA_BYTES, or remove old images with "
            "`crossray store prune`"
        )


def _insert(store: Store, session: Session, new: NewStudy, content: str) -> StudyRow:
    at = store.now()
    answer = new.answer
    written = answer.model_dump_json().encode()
    patient = (new.patient_name, new.patient_id) if store.options.keep_patient else (None, None)
    row = StudyRow(
        id=uuid4().hex,
        content=content,
        name=new.name[:200],
        accession=new.accession and new.accession[:200],
        patient_name=patient[0] and patient[0][:200],
        patient_id=patient[1] and patient[1][:200],
        source=new.source,
        arrived=at,
        updated=at,
        status="draft",
        number=1,
        author=MODEL,
        text="",
        impression="",
        urgency=0.0,
        flags=len(answer.review),
        warnings=len(answer.warnings) + sum(len(image.warnings) for image in answer.images),
        withheld=answer.probability_withheld is not None,
        images=len(new.images),
        model_name=answer.model.name[:200],
        model_sha256=answer.model.sha256,
        software=new.software,
        options=json.dumps(dict(new.options), sort_keys=True),
        draft=zlib.compress(written),
        draft_sha256=hashlib.sha256(written).hexdigest(),
    )
    session.add(row)
    session.flush()
    show_current(store, session, row, answer.text)
    first = VersionRow(
        study=row.id,
        number=1,
        kind="draft",
        status="draft",
        text=answer.text,
        author=MODEL,
        at=at,
        comment="",
        disposition="",
    )
    first.sha256 = version_hash(first, row.draft_sha256, "")
    session.add(first)
    return row


def _insert_images(
    session: Session, study: StudyRow, new: NewStudy, names: Sequence[tuple[str, str]]
) -> None:
    session.add_all(
        ImageRow(
            study=study.id,
            number=number,
            sha256=sha256,
            size=len(image.content),
            media_type=image.media_type,
            preview=preview,
            preview_size=len(image.preview),
            kept=True,
        )
        for number, (image, (sha256, preview)) in enumerate(zip(new.images, names, strict=True), 1)
    )


def _draft(row: StudyRow) -> ReportAnswer:
    written = zlib.decompress(row.draft)
    if hashlib.sha256(written).hexdigest() != row.draft_sha256:
        raise StoreError("the stored draft is damaged: restore the database from a backup")
    return ReportAnswer.model_validate_json(written)


def _study(session: Session, row: StudyRow) -> Study:
    images = session.execute(
        select(ImageRow).where(ImageRow.study == row.id).order_by(ImageRow.number)
    ).scalars()
    versions = session.execute(
        select(VersionRow).where(VersionRow.study == row.id).order_by(VersionRow.number)
    ).scalars()
    return Study(
        summary=summaries(session, [row])[0],
        images=tuple(
            Image(i.number, i.sha256, i.size, i.media_type, i.preview, i.kept) for i in images
        ),
        draft=_draft(row),
        draft_sha256=row.draft_sha256,
        software=row.software,
        options=json.loads(row.options),
        versions=tuple(version_of(version) for version in versions),
    )


def _summary(row: StudyRow, findings: tuple[Finding, ...]) -> StudySummary:
    return StudySummary(
        id=row.id,
        name=row.name,
        accession=row.accession,
        patient_name=row.patient_name,
        patient_id=row.patient_id,
        arrived=row.arrived,
        updated=row.updated,
        status=row.status,  # type: ignore[arg-type]
        number=row.number,
        author=row.author,
        urgency=row.urgency,
        flags=row.flags,
        warnings=row.warnings,
        withheld=row.withheld,
        source=row.source,  # type: ignore[arg-type]
        images=row.images,
        model=row.model_name,
        impression=row.impression,
        findings=findings,
    )
