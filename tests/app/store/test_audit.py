"""The audit log tells every step, and a changed, missing or cut-off line is found."""

import pytest
from kept_studies import CHIEF, EVERYBODY, READER, new_study
from sqlalchemy import text as sql

from app.store import edits
from app.store.audit import audit_lines, verify
from app.store.store import Store
from app.store.studies import add_study, image_file, open_study, take_out


@pytest.fixture
def study(store: Store) -> str:
    study = add_study(store, new_study(), EVERYBODY)
    open_study(store, study, READER)
    image_file(store, study, 1, READER)
    edits.edit(store, study, 1, "Findings: Quillfeather.", READER)
    edits.sign(store, study, 2, CHIEF, "Dr. Chief")
    edits.add_addendum(store, study, 3, CHIEF, "More.", "Dr. Chief")
    take_out(store, study, READER, "pdf")
    return study


def test_who_did_what_is_told_and_no_text(store: Store, study: str) -> None:
    lines = audit_lines(store.database, study)
    told = [(line.actor, line.action) for line in lines]
    assert told == [
        ("local", "stored"),
        ("Ada Reader", "seen"),
        ("Ada Reader", "image"),
        ("Ada Reader", "edited"),
        ("Dr. Chief", "signed"),
        ("Dr. Chief", "amended"),
        ("Ada Reader", "exported"),
    ]
    assert "Quillfeather" not in repr(lines)
    assert lines[4].details["sha256"] == open_study(store, study, EVERYBODY).signature.sha256


def test_a_whole_chain_is_whole(store: Store, study: str) -> None:
    verdict = verify(store.database)
    assert (verdict.lines, verdict.broken) == (7, None)
    assert verdict.head == audit_lines(store.database)[-1].sha256
    open_study(store, study, EVERYBODY)
    assert verify(store.database, verdict.head).broken is None
    assert verify(store.database, "0" * 64).broken is not None


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("UPDATE audit SET actor = 'nobody' WHERE sequence = 3", 3),
        ("UPDATE audit SET at = at + 1 WHERE sequence = 1", 1),
        ("DELETE FROM audit WHERE sequence = 4", 4),
        ("DELETE FROM audit WHERE sequence = 7", 7),
    ],
)
def test_a_tampered_chain_is_found(store: Store, study: str, change: str, broken: int) -> None:
    """Somebody who may do everything with the database has taken its triggers away."""
    _without_triggers(store)
    with store.database.engine.begin() as raw:
        raw.execute(sql(change))
    verdict = verify(store.database)
    assert verdict.broken == broken and verdict.lines == broken - 1


def test_a_log_cut_off_with_its_head_is_found_by_a_head_noted_before(
    store: Store, study: str
) -> None:
    noted = verify(store.database).head
    _without_triggers(store)
    with store.database.engine.begin() as raw:
        raw.execute(sql("DELETE FROM audit WHERE sequence = 7"))
        last = raw.execute(sql("SELECT sha256 FROM audit WHERE sequence = 6")).scalar_one()
        raw.execute(sql("UPDATE audit_head SET sequence = 6, sha256 = :last"), {"last": last})
    assert verify(store.database).broken is None
    assert verify(store.database, noted).broken == 7


def _without_triggers(store: Store) -> None:
    with store.database.engine.begin() as raw:
        if store.options.url is None:
            raw.execute(sql("DROP TRIGGER audit_no_update"))
            raw.execute(sql("DROP TRIGGER audit_no_delete"))
        else:
            raw.execute(sql("DROP TRIGGER audit_append_only ON audit"))
