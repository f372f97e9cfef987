"""The commands that look after a store."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from kept_studies import EVERYBODY, new_study

from app.store.store import Store, open_store
from app.store.studies import add_study, open_study
from app.store_options import StoreOptions


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """With one study that was seen once."""
    store = open_store(StoreOptions(tmp_path / "store"))
    open_study(store, add_study(store, new_study(), EVERYBODY), EVERYBODY)
    return store


def tamper(store: Store, statement: str) -> None:
    with store.database.engine.begin() as raw:
        raw.exec_driver_sql("DROP TRIGGER IF EXISTS audit_no_update")
        raw.exec_driver_sql(statement)


def test_verify_prints_a_head_that_a_later_run_must_find(run: Callable, store: Store) -> None:
    status, out, _ = run("store", "verify", store.options.folder)
    assert status == 0 and out.startswith("2 lines, none changed or missing.")
    head = re.findall(r"Head: ([0-9a-f]{64})", out)[0]
    assert run("store", "verify", store.options.folder, "--head", head)[0] == 0
    status, _, err = run("store", "verify", store.options.folder, "--head", "0" * 64)
    assert status == 2 and "missing or was changed" in err


def test_verify_names_the_line_that_was_changed(run: Callable, store: Store) -> None:
    tamper(store, "UPDATE audit SET actor = 'nobody' WHERE sequence = 2")
    status, _, err = run("store", "verify", store.options.folder)
    assert status == 2 and "line 2 of the audit log" in err


def test_a_store_of_another_version_is_refused_and_migrated_where_it_can_be(
    run: Callable, store: Store
) -> None:
    folder = store.options.folder
    status, out, _ = run("store", "migrate", folder)
    assert status == 0 and "of this version already" in out
    for table in ("job_studies", "jobs", "sessions"):
        tamper(store, f"DROP TABLE {table}")
    tamper(store, "UPDATE alembic_version SET version_num = '0001'")
    status, _, err = run("store", "verify", folder)
    assert status == 2 and "crossray store migrate" in err
    status, out, _ = run("store", "migrate", folder)
    assert status == 0 and "from revision 0001 to 0003" in out
    assert run("store", "verify", folder)[0] == 0
    tamper(store, "UPDATE alembic_version SET version_num = '9999'")
    for command in ("verify", "migrate", "prune"):
        status, _, err = run("store", command, folder)
        assert status == 2 and "newer version" in err


def test_prune_says_what_it_removed(
    run: Callable, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSRAY_STORE_RETENTION_DAYS", "1")
    status, out, _ = run("store", "prune", store.options.folder)
    assert status == 0 and out.startswith("0 files removed")


def test_looking_after_a_store_creates_none(run: Callable, tmp_path: Path) -> None:
    for command in ("migrate", "verify", "prune"):
        status, _, err = run("store", command, tmp_path / "nowhere")
        assert status == 2 and "there is no store" in err
    assert not (tmp_path / "nowhere").exists()
