"""A database of another version, another program's, or none at all."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from kept_studies import EVERYBODY, new_study
from sqlalchemy import text as sql

from app.store.database import migrate, open_database
from app.store.errors import StoreUnavailable, StoreVersion
from app.store.store import Store, database_url, open_store
from app.store.studies import add_study, open_study
from app.store.tables import Base
from app.store_options import StoreOptions
from model.errors import ConfigError


def test_the_migrations_make_the_tables_of_the_code(store: Store) -> None:
    with store.database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


@pytest.mark.parametrize("revision", ["9999", "older"])
def test_a_database_of_another_version_is_refused_and_left_alone(
    store: Store, revision: str
) -> None:
    study = add_study(store, new_study(), EVERYBODY)
    with store.database.engine.begin() as raw:
        known = raw.execute(sql("SELECT version_num FROM alembic_version")).scalar_one()
        raw.execute(sql("UPDATE alembic_version SET version_num = :name"), {"name": revision})
    store.close()
    for _ in range(2):
        with pytest.raises(StoreVersion, match="newer version"):
            open_store(store.options)
        with pytest.raises(StoreVersion, match="newer version"):
            migrate(database_url(store.options))
    again = store.database
    with again.engine.begin() as raw:
        raw.execute(sql("UPDATE alembic_version SET version_num = :name"), {"name": known})
    again.close()
    reopened = open_store(store.options)
    assert open_study(reopened, study, EVERYBODY).summary.id == study
    reopened.close()


def test_migrating_what_is_current_changes_nothing(store: Store) -> None:
    before, after = migrate(database_url(store.options))
    assert before == after


def test_another_programs_database_is_refused(options: StoreOptions) -> None:
    options.folder.mkdir()
    url = database_url(options)
    database = open_database(url)
    with database.engine.begin() as raw:
        raw.execute(sql("DROP TABLE alembic_version"))
    database.close()
    with pytest.raises(StoreVersion, match="not CrossRay's"):
        open_database(url)


@pytest.mark.parametrize("url", ["nonsense", "mongodb://x/y", "sqlite:///"])
def test_a_wrong_url_is_told(url: str, tmp_path: Path) -> None:
    if url == "sqlite:///":
        with pytest.raises(StoreUnavailable):
            open_store(StoreOptions(tmp_path, f"sqlite:///{tmp_path}/no/such/folder/x.db"))
        return
    with pytest.raises(ConfigError, match="database URL"):
        open_store(StoreOptions(tmp_path, url))


def test_a_store_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(ConfigError, match="is a file"):
        open_store(StoreOptions(tmp_path / "store"))


def test_a_server_that_is_away_is_told(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    url = f"postgresql://tests@/none?host={tmp_path}"
    with pytest.raises(StoreUnavailable, match="does not answer"):
        open_store(StoreOptions(tmp_path / "store", url))
