"""Sentences that every exported document has: its status, its addenda, what it was made by."""

from datetime import UTC, datetime

from app.store.records import Study, Version

__all__ = ["addendum_line", "provenance", "shown_time", "status_line"]

DISPOSITIONS = {
    "accepted": "the draft was accepted unchanged",
    "changed": "the draft was changed",
}


def shown_time(milliseconds: int) -> str:
    """Milliseconds since 1970 -> "2026-11-27 12:00 UTC"."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def status_line(study: Study) -> str:
    """Whether somebody answers for the report."""
    signature = study.signature
    if signature is not None:
        how = DISPOSITIONS[signature.disposition]
        return (
            f"Signed by {signature.author}, {shown_time(signature.at)}; {how}. "
            f"SHA-256 of the signed version: {signature.sha256}"
        )
    if study.current.status == "rejected":
        comment = f": {study.current.comment}" if study.current.comment else ""
        return (
            f"REJECTED by {study.current.author}, {shown_time(study.current.at)}{comment}. "
            "Not a report."
        )
    if study.current.status == "reviewed":
        by = f"Reviewed by {study.current.author}, {shown_time(study.current.at)}."
        return f"UNSIGNED. {by} Nobody has signed it."
    return "UNSIGNED DRAFT, written by a program. Nobody has signed it."


def addendum_line(addendum: Version) -> str:
    """An addendum's heading."""
    return f"Addendum by {addendum.author}, {shown_time(addendum.at)}"


def provenance(study: Study) -> list[str]:
    """The notice, and what wrote the draft."""
    return [
        study.draft.notice,
        f"Draft by {study.draft.model.name}, SHA-256 {study.draft.model.sha256}, CrossRay "
        f"{study.software}. Version {study.current.number}.",
    ]
