"""What readers do with a report: edit, review, sign, reject, add to it. Every step is a version.

    draft ──edit──> draft ──review──> reviewed ──sign──> signed ──addendum──> signed
    draft, reviewed ──reject──> rejected ──edit──> draft

Whoever changes a report names the version that was read. If another one is current, nothing is
changed and both texts come back.
"""

from dataclasses import dataclass

from sqlalchemy import delete
from sqlalchemy.orm import Session

from app.store.audit import record
from app.store.errors import Conflict, WrongStatus
from app.store.records import Actor, Kind, Status, Version
from app.store.store import Store
from app.store.studies import show_current, study_row, version_hash, version_of
from app.store.tables import AutosaveRow, StudyRow, VersionRow
from model.errors import DataError

__all__ = [
    "MAX_TEXT",
    "Autosave",
    "add_addendum",
    "autosave",
    "autosaved",
    "drop_autosave",
    "edit",
    "reject",
    "review",
    "sign",
]

MAX_TEXT = 20_000
"""Characters of a report."""
MAX_NAME = 200
"""Letters of a name."""
ALLOWED: dict[Kind, set[Status]] = {
    "edit": {"draft", "reviewed", "rejected"},
    "review": {"draft"},
    "sign": {"draft", "reviewed"},
    "reject": {"draft", "reviewed"},
    "addendum": {"signed"},
}
BECOMES: dict[Kind, Status] = {
    "edit": "draft",
    "review": "reviewed",
    "sign": "signed",
    "reject": "rejected",
    "addendum": "signed",
}
ACTIONS: dict[Kind, str] = {
    "edit": "edited",
    "review": "reviewed",
    "sign": "signed",
    "reject": "rejected",
    "addendum": "amended",
}


@dataclass(frozen=True)
class Autosave:
    """What one person has typed and not saved."""

    base: int
    """Number of the version it began from."""
    text: str
    at: int


@dataclass(frozen=True)
class _Step:
    """What is done to a report."""

    kind: Kind
    text: str | None = None
    """None: the text stays."""
    comment: str = ""
    signed_by: str = ""
    """The name under it, where that is not the account's."""


def edit(store: Store, study: str, number: int, text: str, actor: Actor) -> Version:
    """Save a text as the report's next version.

    Args:
        number: of the version that was edited.

    Raises:
        Conflict: another version is current.
        WrongStatus: the report is signed.
        DataError: the text is empty or too long.
        UnknownStudy: no such study.
    """
    return _step(store, study, number, actor, _Step("edit", _checked(text)))


def review(store: Store, study: str, number: int, actor: Actor) -> Version:
    """Mark a draft as reviewed; Raises as `edit`."""
    return _step(store, study, number, actor, _Step("review"))


def sign(store: Store, study: str, number: int, actor: Actor, name: str) -> Version:
    """Sign a report, for good: later words are addenda.

    Args:
        name: of who signs, as it stands under the report.

    Raises:
        As `edit`.
    """
    if not name.strip():
        raise DataError("a signature needs a name: give the name of who signs")
    return _step(store, study, number, actor, _Step("sign", signed_by=name.strip()[:MAX_NAME]))


def reject(store: Store, study: str, number: int, actor: Actor, reason: str) -> Version:
    """Reject a draft; Raises as `edit`."""
    step = _Step("reject", comment=reason.strip()[:MAX_TEXT])
    return _step(store, study, number, actor, step)


def add_addendum(
    store: Store, study: str, number: int, actor: Actor, text: str, name: str
) -> Version:
    """Add words to a signed report; Raises as `edit`."""
    if not name.strip():
        raise DataError("an addendum needs a name: give the name of who signs it")
    step = _Step("addendum", _checked(text), signed_by=name.strip()[:MAX_NAME])
    return _step(store, study, number, actor, step)


def autosave(store: Store, study: str, saved: Autosave, who: str) -> None:
    """Keep what somebody has typed, apart from the report's versions and from other people's.

    Args:
        saved: its time is not used.
        who: an actor's name, and what distinguishes their editors: "NAME/EDITOR".

    Raises:
        DataError: it is too long.
        UnknownStudy: no such study.
    """
    if len(saved.text) > MAX_TEXT:
        raise DataError(f"a text of {len(saved.text)} characters: at most {MAX_TEXT} are kept")
    with store.database.writing() as session:
        study_row(session, study)
        fields = {"base": saved.base, "text": saved.text, "at": store.now()}
        session.merge(AutosaveRow(study=study, author=who, **fields))


def autosaved(store: Store, study: str, who: str) -> Autosave | None:
    """What somebody has typed and not saved; Args as for `autosave`."""
    with store.database.reading() as session:
        row = session.get(AutosaveRow, (study, who))
        return None if row is None else Autosave(row.base, row.text, row.at)


def drop_autosave(store: Store, study: str, who: str) -> None:
    """Forget what somebody has typed and saved, or does not want any more."""
    with store.database.writing() as session:
        session.execute(
            delete(AutosaveRow).where(AutosaveRow.study == study, AutosaveRow.author == who)
        )


def _step(store: Store, study: str, number: int, actor: Actor, step: _Step) -> Version:
    with store.database.writing() as session:
        row = study_row(session, study, draft=True, lock=True)
        text = row.text if step.text is None else step.text
        _check(session, row, number, step.kind, text)
        made = VersionRow(
            study=study,
            number=row.number + 1,
            kind=step.kind,
            status=BECOMES[step.kind],
            text=text,
            author=step.signed_by or actor.name,
            at=store.now(),
            comment=step.comment,
            disposition=_disposition(step.kind, row.text, _version(session, row, 1).text),
        )
        before = _version(session, row, row.number)
        made.sha256 = version_hash(made, row.draft_sha256, before.sha256)
        session.add(made)
        row.number, row.author, row.updated = made.number, made.author, made.at
        row.status = made.status
        if step.kind == "edit":
            show_current(store, session, row, text)
        detail = {"version": made.number, "sha256": made.sha256}
        record(session, actor, ACTIONS[step.kind], made.at, study, **detail)
        return version_of(made)


def _version(session: Session, row: StudyRow, number: int) -> VersionRow:
    return session.get_one(VersionRow, (row.id, number))


def _check(session: Session, row: StudyRow, number: int, kind: Kind, yours: str) -> None:
    if row.number != number:
        current = version_of(_version(session, row, row.number))
        raise Conflict(
            f"version {number} was read and version {row.number} by {row.author} is current: "
            "nothing was changed; compare both and save again",
            current,
            yours,
        )
    if row.status not in ALLOWED[kind]:
        ways = {
            "signed": "a signed report is only added to, by an addendum",
            "rejected": "edit it first, it is a draft again then",
        }
        way = ways.get(row.status, "sign it first")
        raise WrongStatus(f"the report is {row.status} and cannot be {ACTIONS[kind]}: {way}")


def _disposition(kind: Kind, text: str, draft: str) -> str:
    """In the words of the IHE profile AI Result Assessment."""
    if kind == "sign":
        return "accepted" if text.split() == draft.split() else "changed"
    return "rejected" if kind == "reject" else ""


def _checked(text: str) -> str:
    if not text.strip():
        raise DataError("the text is empty: reject the draft if nothing of it is right")
    if len(text) > MAX_TEXT:
        raise DataError(f"a text of {len(text)} characters: at most {MAX_TEXT} are kept")
    return text.strip()
