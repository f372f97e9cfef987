"""A store on each kind of database."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from databases import create_database, missing_programs, postgresql

from app.store.store import Store, open_store
from app.store_options import StoreOptions

NUMBERS = count()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """A PostgreSQL server's URL."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install -e '.[dev]'")
    if missing := missing_programs():
        pytest.skip(f"PostgreSQL's {missing} is not installed (Debian: postgresql)")
    with postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> StoreOptions:
    """Of a store that is not there yet."""
    if request.param == "sqlite":
        return StoreOptions(tmp_path / "store")
    url = create_database(request.getfixturevalue("server"), f"db{next(NUMBERS)}")
    return StoreOptions(tmp_path / "store", url)


@pytest.fixture
def clock() -> Callable[[], int]:
    """Every look is a second later."""
    return count(1_700_000_000_000, 1000).__next__


@pytest.fixture
def store(options: StoreOptions, clock: Callable[[], int]) -> Iterator[Store]:
    store = open_store(options, clock)
    yield store
    store.close()
