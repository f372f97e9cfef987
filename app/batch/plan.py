"""The studies of a run, planned without decoding or reading whole files, however many they are.

The plan lies in a temporary file of the system: a million files take some hundred megabytes there,
and hardly any memory.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from tqdm import tqdm

from app.batch.grouping import Source, Study, Unread, in_shard, read_source, relative_name
from app.batch.locations import Location
from app.batch.sharding import Shard

__all__ = ["Plan", "plan_studies"]

TABLES = """
CREATE TABLE files (place INTEGER PRIMARY KEY, study TEXT, stamp TEXT, name BLOB);
CREATE TABLE finished (study TEXT PRIMARY KEY) WITHOUT ROWID;
"""
INDEXES = """
CREATE INDEX by_study ON files (study, place);
CREATE INDEX by_stamp ON files (stamp);
CREATE TABLE studies AS SELECT study, min(place) AS place FROM files GROUP BY study;
CREATE INDEX by_place ON studies (place, study);
"""
STUDIES = """
SELECT studies.study, stamp, name
FROM studies CROSS JOIN files ON files.study = studies.study
WHERE studies.study NOT IN (SELECT study FROM finished)
ORDER BY studies.place, files.place
"""


class Plan:
    """Studies in the order of their first file."""

    def __init__(self, folder: Location) -> None:
        self.folder = folder
        self.unread: list[Unread] = []
        """Files that cannot be opened."""
        # Without a name: a temporary file, gone at the end.
        self._database = sqlite3.connect("")
        self._database.executescript(TABLES)

    def add(self, sources: Iterable[Source]) -> None:
        """Take in the files, in the order in which they lie. Only once."""
        rows = ((s.study, s.stamp, s.name.encode("utf-8", "surrogateescape")) for s in sources)
        self._database.executemany("INSERT INTO files (study, stamp, name) VALUES (?, ?, ?)", rows)
        self._database.executescript(INDEXES)

    def __len__(self) -> int:
        """Studies that are not finished."""
        return self._count("studies") - self._count("finished")

    def finish(self, studies: Iterable[str]) -> None:
        """Leave studies out from now on, by their keys."""
        rows = ((study,) for study in studies)
        self._database.executemany("INSERT INTO finished VALUES (?)", rows)

    def studies(self) -> Iterator[Study]:
        """Each study that is not finished with its files, as often as is asked."""
        rows = self._database.execute(STUDIES)
        for key, files in groupby(rows, key=itemgetter(0)):
            sources = (self._source(*row) for row in files)
            yield Study(key, tuple(sources))

    def name_of(self, stamp: str) -> str:
        """The name of the file with this Source.stamp."""
        query = "SELECT name FROM files WHERE stamp = ?"
        [[name]] = self._database.execute(query, [stamp])
        return str(name.decode("utf-8", "surrogateescape"))

    def _count(self, table: str) -> int:
        [[rows]] = self._database.execute(f"SELECT count(*) FROM {table}")
        return int(rows)

    def _source(self, study: str, stamp: str, content: bytes) -> Source:
        name = content.decode("utf-8", "surrogateescape")
        return Source(self.folder / name.removeprefix("./"), name, stamp, study)


def plan_studies(paths: Iterable[Location], folder: Location, shard: Shard | None = None) -> Plan:
    """Which files belong to one study.

    Args:
        paths: in the order in which they lie.
        shard: the part of the batch that is wanted; None for all of it.
    """
    plan = Plan(folder)
    plan.add(_sources(plan, paths, shard))
    return plan


def _sources(plan: Plan, paths: Iterable[Location], shard: Shard | None) -> Iterator[Source]:
    for path in tqdm(paths, desc="Looking", unit="file"):
        try:
            source = read_source(path, plan.folder)
        except OSError as error:
            name = relative_name(path, plan.folder)
            if in_shard(name, shard):
                reason = f"cannot be opened: {error.strerror}"
                plan.unread.append(Unread(name, "failed", reason))
        else:
            if shard is None or shard.holds(source.study):
                yield source
