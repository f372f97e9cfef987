"""The audit log: who saw, changed, signed or exported what, each line chained to the one before.

A line's hash covers the line and the hash before it, so changing or removing one breaks all that
follow. Cutting lines off the end is found by comparing with a head that was noted elsewhere:
`crossray store verify` prints it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.store.database import Database
from app.store.records import Actor
from app.store.tables import AuditHeadRow, AuditRow

__all__ = ["AuditLine", "Verdict", "audit_lines", "record", "verify"]

CHUNK = 1000


@dataclass(frozen=True)
class AuditLine:
    sequence: int
    at: int
    """Milliseconds since 1970, UTC."""
    actor: str
    action: str
    """Such as "seen", "edited", "signed", "exported"."""
    study: str | None
    details: Mapping[str, object]
    sha256: str


@dataclass(frozen=True)
class Verdict:
    """What a walk along the chain found."""

    lines: int
    head: str
    """Hash of the last line; empty of an empty log."""
    broken: int | None
    """The first line that is missing or is not what was written; None where all are."""


def record(
    session: Session,
    actor: Actor,
    action: str,
    at: int,
    study: str | None = None,
    **details: object,
) -> None:
    """Append a line, in the transaction of what it records.

    Args:
        details: numbers, hashes and formats; never a text of a report or a name of a patient.
    """
    head = session.execute(
        select(AuditHeadRow).where(AuditHeadRow.id == 1).with_for_update()
    ).scalar_one()
    written = json.dumps(details, sort_keys=True, ensure_ascii=False)
    row = AuditRow(
        sequence=head.sequence + 1,
        at=at,
        actor=actor.name,
        action=action,
        study=study,
        details=written,
        previous=head.sha256,
    )
    row.sha256 = _hash(row)
    session.add(row)
    session.execute(
        update(AuditHeadRow)
        .where(AuditHeadRow.id == 1)
        .values(sequence=row.sequence, sha256=row.sha256)
    )
    session.flush()


def audit_lines(
    database: Database, study: str | None = None, after: int = 0, limit: int = 100
) -> list[AuditLine]:
    """Lines in their order.

    Args:
        study: only those of one study.
        after: the sequence number that the first one follows.
    """
    query = select(AuditRow).where(AuditRow.sequence > after).order_by(AuditRow.sequence)
    if study is not None:
        query = query.where(AuditRow.study == study)
    with database.reading() as session:
        return [_line(row) for row in session.execute(query.limit(limit)).scalars()]


def verify(database: Database, head: str | None = None) -> Verdict:
    """Walk along the whole chain.

    Args:
        head: a line's hash that was noted before: it must be in the chain.
    """
    previous, sequence, seen = "", 0, head in (None, "")
    with database.reading() as session:
        for row in _rows(session):
            sequence += 1
            good = row.sequence == sequence and row.previous == previous
            if not good or row.sha256 != _hash(row):
                return Verdict(sequence - 1, previous, sequence)
            previous = row.sha256
            seen = seen or previous == head
        known = session.execute(select(AuditHeadRow)).scalar_one_or_none()
        whole = known is not None and (known.sequence, known.sha256) == (sequence, previous)
    return Verdict(sequence, previous, None if whole and seen else sequence + 1)


def _rows(session: Session) -> Iterator[AuditRow]:
    """All lines in their order, a chunk in memory at a time."""
    last = 0
    while True:
        query = select(AuditRow).where(AuditRow.sequence > last).order_by(AuditRow.sequence)
        rows = session.execute(query.limit(CHUNK)).scalars().all()
        yield from rows
        if len(rows) < CHUNK:
            return
        last = rows[-1].sequence
        session.expunge_all()


def _line(row: AuditRow) -> AuditLine:
    return AuditLine(
        row.sequence,
        row.at,
        row.actor,
        row.action,
        row.study,
        json.loads(row.details),
        row.sha256,
    )


def _hash(row: AuditRow) -> str:
    fields = [row.sequence, row.at, row.actor, row.action, row.study, row.details, row.previous]
    return hashlib.sha256(json.dumps(fields, ensure_ascii=False).encode()).hexdigest()
