"""Values that the store takes and gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from app.api.schemas import ReportAnswer

__all__ = [
    "ALL_ROLES",
    "Actor",
    "Finding",
    "Image",
    "Kind",
    "NewImage",
    "NewStudy",
    "Role",
    "Source",
    "Status",
    "Study",
    "StudySummary",
    "Version",
]

Role = Literal["reader", "radiologist", "admin"]
ALL_ROLES: frozenset[Role] = frozenset({"reader", "radiologist", "admin"})
Source = Literal["upload", "batch"]
Status = Literal["draft", "reviewed", "signed", "rejected"]
Kind = Literal["draft", "edit", "review", "sign", "reject", "addendum"]
"""What made a version. "draft" is the model's own text, always version 1."""


@dataclass(frozen=True)
class Actor:
    """Who does something: a person, or a command of this machine."""

    name: str
    roles: frozenset[Role]


@dataclass(frozen=True)
class NewImage:
    content: bytes = field(repr=False)
    """The file as it came in."""
    media_type: str
    """"application/dicom", "image/png" or "image/jpeg"."""
    preview: bytes = field(repr=False)
    """8 bit gray PNG, longest side at most 1024, as in the API's `images[].png`."""


@dataclass(frozen=True)
class NewStudy:
    """A study with the draft that was written for it."""

    name: str
    """What the worklist calls it: an accession number or a file name."""
    images: tuple[NewImage, ...]
    """In the order of the answer's images."""
    answer: ReportAnswer
    """Without pixels."""
    software: str
    """Version of CrossRay."""
    source: Source
    options: Mapping[str, object] = field(default_factory=dict)
    """How the draft was written: checks that were off, and so on."""
    accession: str | None = None
    patient_name: str | None = None
    patient_id: str | None = None
    """The last two are kept only where the operator wants it (StoreOptions.keep_patient)."""


@dataclass(frozen=True)
class Finding:
    """A finding that the current text asserts."""

    name: str
    sides: tuple[str, ...]
    zone: str | None
    certainty: str
    probability: float | None
    """Calibrated, from the draft; None where there is none, and of what a reader added."""


@dataclass(frozen=True)
class Version:
    """One state of a report: its text and status, who made it, and when."""

    number: int
    """From 1; the current one is the study's ETag."""
    kind: Kind
    status: Status
    text: str
    """Of an addendum the text of the addendum alone."""
    author: str
    at: int
    """Milliseconds since 1970, UTC."""
    comment: str
    """Why it was rejected; else empty."""
    disposition: str
    """Of a signed or rejected report, in the words of IHE AIRAI: "accepted", "changed" or
    "rejected"; else empty."""
    sha256: str
    """Of everything above, the draft's hash, and the hash of the version before it."""


@dataclass(frozen=True)
class Image:
    number: int
    """From 1, in the order of the answer's images."""
    sha256: str
    """Of the file as it came in."""
    size: int
    """Bytes."""
    media_type: str
    preview: str
    """SHA-256 of the preview."""
    kept: bool
    """False once retention has removed the file; the preview and the report stay."""


@dataclass(frozen=True)
class StudySummary:
    """One row of the worklist."""

    id: str
    name: str
    accession: str | None
    patient_name: str | None
    patient_id: str | None
    arrived: int
    updated: int
    """Both milliseconds since 1970, UTC."""
    status: Status
    number: int
    """Of the current version."""
    author: str
    """Of the current version."""
    urgency: float
    flags: int
    """Things to check first."""
    warnings: int
    withheld: bool
    """Whether the draft shows no probabilities."""
    source: Source
    images: int
    model: str
    impression: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Study:
    """One study as it is kept."""

    summary: StudySummary
    images: tuple[Image, ...]
    draft: ReportAnswer
    """What the model wrote."""
    draft_sha256: str
    software: str
    options: Mapping[str, object]
    versions: tuple[Version, ...]
    """Oldest first."""

    @property
    def current(self) -> Version:
        return self.versions[-1]

    @property
    def text(self) -> str:
        """The current text, without addenda."""
        return next(v.text for v in reversed(self.versions) if v.kind != "addendum")

    @property
    def signature(self) -> Version | None:
        return next((v for v in self.versions if v.kind == "sign"), None)

    @property
    def addenda(self) -> tuple[Version, ...]:
        return tuple(v for v in self.versions if v.kind == "addendum")
