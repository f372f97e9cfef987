"""What readers do with a report, and that nobody's words are lost."""

import threading

import pytest
from kept_studies import CHIEF, DRAFT, EVERYBODY, OTHER, READER, new_study
from sqlalchemy import text as sql
from sqlalchemy.exc import DBAPIError

from app.store import edits
from app.store.errors import Conflict, StoreFull, WrongStatus
from app.store.store import Store, open_store
from app.store.studies import add_study, open_study
from model.errors import DataError

EDITED = "Findings: There is no pneumothorax. The heart is normal in size."


@pytest.fixture
def study(store: Store) -> str:
    return add_study(store, new_study(), EVERYBODY)


def test_a_signed_report_survives_a_restart(store: Store, study: str) -> None:
    edits.edit(store, study, 1, EDITED, READER)
    edits.review(store, study, 2, OTHER)
    signed = edits.sign(store, study, 3, CHIEF, "Dr. Chief")
    store.close()
    again = open_store(store.options, store.now)
    kept = open_study(again, study, EVERYBODY)
    assert kept.signature == signed
    assert (kept.text, kept.current.status) == (EDITED, "signed")
    assert [v.kind for v in kept.versions] == ["draft", "edit", "review", "sign"]
    assert [v.author for v in kept.versions] == ["model", *(a.name for a in (READER, OTHER, CHIEF))]
    assert kept.draft == DRAFT
    again.close()


def test_two_readers_of_one_version_conflict_and_both_texts_come_back(
    store: Store, study: str
) -> None:
    edits.edit(store, study, 1, EDITED, READER)
    with pytest.raises(Conflict) as conflict:
        edits.edit(store, study, 1, "Findings: Something else.", OTHER)
    assert conflict.value.current.text == EDITED
    assert conflict.value.current.author == READER.name
    assert conflict.value.yours == "Findings: Something else."
    assert open_study(store, study, EVERYBODY).text == EDITED


def test_of_many_at_once_one_wins_and_the_others_conflict(store: Store, study: str) -> None:
    results: list[object] = []

    def write(number: int) -> None:
        try:
            results.append(edits.edit(store, study, 1, f"Findings: Text {number}.", READER))
        except Conflict as conflict:
            results.append(conflict)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert sum(not isinstance(result, Conflict) for result in results) == 1
    assert len(open_study(store, study, EVERYBODY).versions) == 2


@pytest.mark.parametrize(("text", "disposition"), [(None, "accepted"), (EDITED, "changed")])
def test_a_signature_says_whether_the_draft_was_changed(
    store: Store, study: str, text: str | None, disposition: str
) -> None:
    number = edits.edit(store, study, 1, text, READER).number if text else 1
    assert edits.sign(store, study, number, CHIEF, "Dr. Chief").disposition == disposition


def test_a_signed_report_is_only_added_to(store: Store, study: str) -> None:
    edits.sign(store, study, 1, CHIEF, "Dr. Chief")
    with pytest.raises(WrongStatus, match="addendum"):
        edits.edit(store, study, 2, EDITED, CHIEF)
    with pytest.raises(WrongStatus):
        edits.reject(store, study, 2, CHIEF, "wrong patient")
    edits.add_addendum(store, study, 2, CHIEF, "Seen again.", "Dr. Chief")
    kept = open_study(store, study, EVERYBODY)
    assert kept.text == DRAFT.text
    assert [a.text for a in kept.addenda] == ["Seen again."]
    assert kept.current.status == "signed"


def test_a_rejected_draft_is_no_report_until_it_is_edited(store: Store, study: str) -> None:
    rejected = edits.reject(store, study, 1, CHIEF, "Not this patient.")
    assert (rejected.disposition, rejected.comment) == ("rejected", "Not this patient.")
    with pytest.raises(WrongStatus, match="edit it first"):
        edits.sign(store, study, 2, CHIEF, "Dr. Chief")
    edits.edit(store, study, 2, EDITED, READER)
    assert open_study(store, study, EVERYBODY).summary.status == "draft"


def test_a_draft_has_no_addendum(store: Store, study: str) -> None:
    with pytest.raises(WrongStatus, match="sign it first"):
        edits.add_addendum(store, study, 1, CHIEF, "More.", "Dr. Chief")


@pytest.mark.parametrize("text", ["", "  \n", "x" * (edits.MAX_TEXT + 1)])
def test_a_text_must_say_something_and_not_too_much(store: Store, study: str, text: str) -> None:
    with pytest.raises(DataError):
        edits.edit(store, study, 1, text, READER)


def test_nobody_signs_without_a_name(store: Store, study: str) -> None:
    with pytest.raises(DataError, match="name"):
        edits.sign(store, study, 1, CHIEF, " ")


def test_each_editor_has_what_it_typed(store: Store, study: str) -> None:
    for who, text in (("Ada", "one"), ("Ben", "two"), ("Ada", "three")):
        edits.autosave(store, study, edits.Autosave(1, text, 0), who)
    assert edits.autosaved(store, study, "Ada").text == "three"
    assert edits.autosaved(store, study, "Ben").text == "two"
    edits.drop_autosave(store, study, "Ben")
    assert edits.autosaved(store, study, "Ben") is None
    assert len(open_study(store, study, EVERYBODY).versions) == 1


@pytest.mark.parametrize(
    "change", ["UPDATE versions SET text = 'x'", "DELETE FROM versions", "DELETE FROM audit"]
)
def test_the_database_itself_refuses_to_change_what_was_signed(
    store: Store, study: str, change: str
) -> None:
    with pytest.raises(DBAPIError, match="append-only"), store.database.engine.begin() as raw:
        raw.execute(sql(change))


def test_a_full_database_loses_no_version(store: Store, study: str) -> None:
    if store.options.url is not None:
        pytest.skip("PostgreSQL's disk cannot be filled from here")
    edits.edit(store, study, 1, EDITED, READER)
    with store.database.engine.connect() as raw:
        pages = raw.exec_driver_sql("PRAGMA page_count").scalar_one()
    _limit(store, int(pages))
    big = "Findings: " + "A long sentence about nothing. " * 600
    with pytest.raises(StoreFull, match="disk is full"):
        for number in range(2, 60):
            edits.edit(store, study, number, big, READER)
    _limit(store, 2**30)
    kept = open_study(store, study, EVERYBODY)
    assert kept.versions[1].text == EDITED
    assert [v.number for v in kept.versions] == list(range(1, len(kept.versions) + 1))
    edits.edit(store, study, kept.current.number, big, READER)


def _limit(store: Store, pages: int) -> None:
    """How large the database may become, for the one connection that the pool hands out again."""
    with store.database.engine.connect() as raw:
        raw.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
