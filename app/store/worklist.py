"""The worklist: studies filtered, searched and sorted, page after page.

Pages follow a key, not a count of rows: a study that arrives meanwhile moves no other.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.store.records import Status, StudySummary
from app.store.store import Store
from app.store.studies import summaries
from app.store.tables import FindingRow, StudyRow
from model.errors import DataError

__all__ = ["MAX_PAGE", "Order", "Page", "Query", "Sort", "last_change", "list_studies"]

Sort = Literal["urgency", "arrived", "updated", "name"]
Order = Literal["ascending", "descending"]
MAX_PAGE = 500
COLUMNS: dict[Sort, InstrumentedAttribute[Any]] = {
    "urgency": StudyRow.urgency,
    "arrived": StudyRow.arrived,
    "updated": StudyRow.updated,
    "name": StudyRow.name,
}
STATUSES: tuple[Status, ...] = ("draft", "reviewed", "signed", "rejected")


@dataclass(frozen=True)
class Query:
    """Which studies, in which order."""

    status: tuple[Status, ...] = ()
    """Any of these; empty: all."""
    findings: tuple[str, ...] = ()
    """All of these."""
    flagged: bool = False
    """Only those with something to check first, or with a warning."""
    search: str = ""
    """In names, accession numbers, patients where they are kept, and the current text."""
    sort: Sort = "urgency"
    order: Order = "descending"


@dataclass(frozen=True)
class Page:
    studies: tuple[StudySummary, ...]
    after: str | None
    """Where the next page begins; None behind the last."""
    total: int
    """Studies that the query finds, on all pages."""
    counts: dict[Status, int]
    """By status, whatever status the query asks for."""


def list_studies(
    store: Store, query: Query = Query(), after: str | None = None, limit: int = 100
) -> Page:
    """One page of the worklist.

    Args:
        after: of the page before.
        limit: studies on the page, at most MAX_PAGE.

    Raises:
        DataError: `after` is not of a page of this query.
    """
    column = COLUMNS[query.sort]
    found = _conditions(query)
    rows = select(StudyRow).where(*found)
    if query.status:
        rows = rows.where(StudyRow.status.in_(query.status))
    if after is not None:
        rows = rows.where(_beyond(query, after))
    down = query.order == "descending"
    rows = rows.order_by(
        column.desc() if down else column.asc(), StudyRow.id.desc() if down else StudyRow.id.asc()
    ).limit(min(limit, MAX_PAGE) + 1)
    with store.database.reading() as session:
        page = list(session.execute(rows).scalars())
        more = len(page) > min(limit, MAX_PAGE)
        page = page[: min(limit, MAX_PAGE)]
        counts = _counts(session, found)
        return Page(
            studies=tuple(summaries(session, page)),
            after=_key(query, page[-1]) if more else None,
            total=sum(counts[status] for status in query.status or STATUSES),
            counts=counts,
        )


def last_change(store: Store) -> int | None:
    """When a study last came in or changed, in milliseconds since 1970; None of an empty store."""
    with store.database.reading() as session:
        return session.scalar(select(func.max(StudyRow.updated)))


def _counts(session: Session, found: list[ColumnElement[bool]]) -> dict[Status, int]:
    query = select(StudyRow.status, func.count()).where(*found).group_by(StudyRow.status)
    known = {status: int(count) for status, count in session.execute(query)}
    return {status: known.get(status, 0) for status in STATUSES}


def _conditions(query: Query) -> list[ColumnElement[bool]]:
    """All but the status."""
    conditions: list[ColumnElement[bool]] = [
        exists().where(FindingRow.study == StudyRow.id, FindingRow.name == name)
        for name in query.findings
    ]
    if query.flagged:
        conditions.append(or_(StudyRow.flags > 0, StudyRow.warnings > 0, StudyRow.withheld))
    for word in query.search.split():
        pattern = "%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        places = (
            StudyRow.name,
            StudyRow.accession,
            StudyRow.patient_name,
            StudyRow.patient_id,
            StudyRow.text,
        )
        conditions.append(or_(*(place.ilike(pattern, escape="\\") for place in places)))
    return conditions


def _beyond(query: Query, after: str) -> ColumnElement[bool]:
    """What comes behind a key in the query's order."""
    sort, order, value, study = _parsed(after)
    if (sort, order) != (query.sort, query.order):
        raise DataError("`after` is of a page in another order: begin with the first page")
    column = COLUMNS[query.sort]
    if query.order == "descending":
        return or_(column < value, and_(column == value, StudyRow.id < study))
    return or_(column > value, and_(column == value, StudyRow.id > study))


def _key(query: Query, last: StudyRow) -> str:
    fields = [query.sort, query.order, getattr(last, COLUMNS[query.sort].key), last.id]
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


def _parsed(after: str) -> tuple[str, str, str | float, str]:
    try:
        padded = after + "=" * (-len(after) % 4)
        sort, order, value, study = json.loads(base64.urlsafe_b64decode(padded.encode()))
    except (ValueError, TypeError, binascii.Error) as error:
        raise DataError("`after` is not of a page: begin with the first page") from error
    text = sort == "name"
    if not isinstance(study, str) or not isinstance(value, str if text else int | float):
        raise DataError("`after` is not of a page: begin with the first page")
    return sort, order, value, study
