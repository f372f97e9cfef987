"""The database's tables. A change here needs a migration in app/store/migrations.

Times are milliseconds since 1970 in UTC: SQLite drops time zones.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = [
    "AuditHeadRow",
    "AuditRow",
    "AutosaveRow",
    "Base",
    "BatchRow",
    "FindingRow",
    "ImageRow",
    "JobRow",
    "JobStudyRow",
    "SessionRow",
    "SettingRow",
    "StudyRow",
    "VersionRow",
]

ID_LENGTH = 32
HASH_LENGTH = 64


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class StudyRow(Base):
    """A study, its draft, and what the worklist shows of its current version."""

    __tablename__ = "studies"
    __table_args__ = (
        Index("ix_studies_arrived", "arrived", "id"),
        Index("ix_studies_updated", "updated", "id"),
        Index("ix_studies_urgency", "urgency", "id"),
        Index("ix_studies_name", "name", "id"),
        Index("ix_studies_status", "status"),
    )

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    content: Mapped[str] = mapped_column(String(HASH_LENGTH), unique=True)
    """Hash of images, indication and model: the same study comes in once."""
    name: Mapped[str] = mapped_column(String(200))
    accession: Mapped[str | None] = mapped_column(String(200))
    patient_name: Mapped[str | None] = mapped_column(String(200))
    patient_id: Mapped[str | None] = mapped_column(String(200))
    source: Mapped[str] = mapped_column(String(16))
    arrived: Mapped[int] = mapped_column(BigInteger)
    updated: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(String(16))
    number: Mapped[int] = mapped_column(Integer)
    author: Mapped[str] = mapped_column(String(200))
    text: Mapped[str] = mapped_column(Text)
    impression: Mapped[str] = mapped_column(Text)
    urgency: Mapped[float] = mapped_column(Float)
    flags: Mapped[int] = mapped_column(Integer)
    warnings: Mapped[int] = mapped_column(Integer)
    withheld: Mapped[bool] = mapped_column(Boolean)
    images: Mapped[int] = mapped_column(Integer)
    model_name: Mapped[str] = mapped_column(String(200))
    model_sha256: Mapped[str] = mapped_column(String(HASH_LENGTH))
    software: Mapped[str] = mapped_column(String(40))
    options: Mapped[str] = mapped_column(Text)
    """JSON."""
    draft: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    """The API's answer without pixels, JSON, deflated."""
    draft_sha256: Mapped[str] = mapped_column(String(HASH_LENGTH))
    """Of the JSON."""


class ImageRow(Base):
    __tablename__ = "images"

    study: Mapped[str] = mapped_column(ForeignKey("studies.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    sha256: Mapped[str] = mapped_column(String(HASH_LENGTH), index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str] = mapped_column(String(40))
    preview: Mapped[str] = mapped_column(String(HASH_LENGTH), index=True)
    preview_size: Mapped[int] = mapped_column(BigInteger)
    kept: Mapped[bool] = mapped_column(Boolean)


class FindingRow(Base):
    """A finding of a study's current text, for the worklist's filter."""

    __tablename__ = "findings"

    study: Mapped[str] = mapped_column(ForeignKey("studies.id"), primary_key=True)
    place: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(60), index=True)
    sides: Mapped[str] = mapped_column(String(20))
    zone: Mapped[str | None] = mapped_column(String(20))
    certainty: Mapped[str] = mapped_column(String(20))
    probability: Mapped[float | None] = mapped_column(Float)


class VersionRow(Base):
    """Every state a report was in. Rows are added, never changed."""

    __tablename__ = "versions"

    study: Mapped[str] = mapped_column(ForeignKey("studies.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(String(16))
    text: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(String(200))
    at: Mapped[int] = mapped_column(BigInteger)
    comment: Mapped[str] = mapped_column(Text)
    disposition: Mapped[str] = mapped_column(String(16))
    sha256: Mapped[str] = mapped_column(String(HASH_LENGTH))


class AutosaveRow(Base):
    """What one person has typed and not saved."""

    __tablename__ = "autosaves"

    study: Mapped[str] = mapped_column(ForeignKey("studies.id"), primary_key=True)
    author: Mapped[str] = mapped_column(String(200), primary_key=True)
    base: Mapped[int] = mapped_column(Integer)
    """Number of the version it began from."""
    text: Mapped[str] = mapped_column(Text)
    at: Mapped[int] = mapped_column(BigInteger)


class AuditRow(Base):
    """One line of the audit log; triggers refuse to change or remove it."""

    __tablename__ = "audit"

    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[int] = mapped_column(BigInteger)
    actor: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(40))
    study: Mapped[str | None] = mapped_column(String(ID_LENGTH), index=True)
    details: Mapped[str] = mapped_column(Text)
    """JSON; never a text of a report or a name of a patient."""
    previous: Mapped[str] = mapped_column(String(HASH_LENGTH))
    sha256: Mapped[str] = mapped_column(String(HASH_LENGTH))


class AuditHeadRow(Base):
    """The last line's place and hash: two processes take turns at it."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    sequence: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(HASH_LENGTH))


class BatchRow(Base):
    """A batch that writes to the store, for the worklist's progress."""

    __tablename__ = "batches"

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    began: Mapped[int] = mapped_column(BigInteger)
    seen: Mapped[int] = mapped_column(BigInteger, index=True)
    """When it last said something."""
    total: Mapped[int] = mapped_column(Integer)
    done: Mapped[int] = mapped_column(Integer)
    without_report: Mapped[int] = mapped_column(Integer)
    ended: Mapped[bool] = mapped_column(Boolean)


class SessionRow(Base):
    """Somebody who is signed in."""

    __tablename__ = "sessions"

    token: Mapped[str] = mapped_column(String(HASH_LENGTH), primary_key=True)
    """Hash of the cookie's token."""
    actor: Mapped[str] = mapped_column(String(200))
    roles: Mapped[str] = mapped_column(String(200))
    """JSON."""
    csrf: Mapped[str] = mapped_column(String(HASH_LENGTH))
    began: Mapped[int] = mapped_column(BigInteger)
    seen: Mapped[int] = mapped_column(BigInteger)


class JobRow(Base):
    """Studies that somebody posted together to be reported on later."""

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("owner", "key"),
        Index("ix_jobs_state", "state", "served", "id"),
    )

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    owner: Mapped[str] = mapped_column(String(200))
    key: Mapped[str | None] = mapped_column(String(255))
    """Idempotency key, as long as the job is kept."""
    fingerprint: Mapped[str] = mapped_column(String(HASH_LENGTH))
    """Hash of what was posted."""
    options: Mapped[str] = mapped_column(Text)
    """JSON."""
    state: Mapped[str] = mapped_column(String(16))
    created: Mapped[int] = mapped_column(BigInteger)
    updated: Mapped[int] = mapped_column(BigInteger)
    ended: Mapped[int | None] = mapped_column(BigInteger, index=True)
    served: Mapped[int] = mapped_column(BigInteger)
    """When a study of it was last begun: jobs take turns."""
    sequence: Mapped[int] = mapped_column(Integer)
    """Counts the changes of the job and of its studies."""
    total: Mapped[int] = mapped_column(Integer)
    done: Mapped[int] = mapped_column(Integer)
    failed: Mapped[int] = mapped_column(Integer)
    size: Mapped[int] = mapped_column(BigInteger)
    """Bytes of its files, which are there until it ends."""
    gone: Mapped[bool] = mapped_column(Boolean)
    """Its results are not kept any more."""


class JobStudyRow(Base):
    """One study of a job."""

    __tablename__ = "job_studies"
    __table_args__ = (Index("ix_job_studies_state", "state", "lease"),)

    job: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    given: Mapped[str] = mapped_column(Text)
    """JSON: hashes of its files, and what was said of them."""
    state: Mapped[str] = mapped_column(String(16))
    sequence: Mapped[int] = mapped_column(Integer)
    attempts: Mapped[int] = mapped_column(Integer)
    worker: Mapped[str | None] = mapped_column(String(ID_LENGTH), index=True)
    """Who is at it."""
    begun: Mapped[int | None] = mapped_column(BigInteger)
    lease: Mapped[int | None] = mapped_column(BigInteger)
    """Until when its worker is taken to be alive."""
    ended: Mapped[int | None] = mapped_column(BigInteger, index=True)
    outcome: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    """JSON of the report or of the problem, deflated."""


class SettingRow(Base):
    """What the stored values were made with: a hash of the urgency weights."""

    __tablename__ = "settings"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
