"""The ledger of an import, OUT/ledger.sqlite: what is planned, what is done, what went wrong.

The plan is written in one transaction, whole or not at all, and anew by every run. What is done is
kept from run to run and counts for as long as the plan names the same files. Nothing here grows in
memory with the data set.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data_prep.importing.images import Made, Outcome, Task
from data_prep.manifest import Image, Study
from data_prep.source import SourceImage
from model.errors import DataError

__all__ = ["Ledger", "LeftOut", "Planned"]

VERSION = 1
TABLES = """
CREATE TABLE planned (
    id TEXT PRIMARY KEY, origin TEXT, split TEXT, patient TEXT, time TEXT, text TEXT,
    files TEXT, state TEXT
) WITHOUT ROWID;
CREATE TABLE absent (id TEXT, name TEXT, reason TEXT);
CREATE TABLE left_out (id TEXT, origin TEXT, reason TEXT);
CREATE TABLE done (id TEXT PRIMARY KEY, state TEXT, reason TEXT) WITHOUT ROWID;
CREATE TABLE images (
    id TEXT, number INTEGER, path TEXT, width INTEGER, height INTEGER, view TEXT, source TEXT,
    pixels TEXT, size INTEGER, PRIMARY KEY (id, number)
) WITHOUT ROWID;
CREATE TABLE bad (id TEXT, name TEXT, reason TEXT, PRIMARY KEY (id, name)) WITHOUT ROWID;
CREATE INDEX planned_patient ON planned (patient, time);
CREATE INDEX bad_id ON bad (id);
CREATE INDEX images_pixels ON images (pixels);
"""
IMAGE = "path, width, height, view, source, pixels"
PENDING = """FROM planned LEFT JOIN done USING (id)
    WHERE (done.state IS NOT planned.state OR id IN (SELECT id FROM bad))"""
KEPT = "FROM planned JOIN done USING (id) WHERE done.state = planned.state AND done.reason = ''"
EQUAL = """FROM images JOIN planned USING (id) JOIN done USING (id)
    WHERE done.state = planned.state"""


@dataclass(frozen=True)
class Planned:
    """A study to prepare, with what its reader gives in the form that the manifest has."""

    study: Study
    """Without images."""
    origin: str
    time: str
    images: tuple[SourceImage, ...]
    """Those that are there."""
    absent: tuple[tuple[str, str], ...]
    """(name, reason) of the others."""
    state: str
    """Changes when a file does."""


@dataclass(frozen=True)
class LeftOut:
    """A study that is not prepared."""

    id: str
    origin: str
    reason: str


class Ledger:
    """One import's ledger, held by one process at a time: use `Ledger.opened`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator["Ledger"]:
        """Make the ledger or go on with it.

        Raises:
            DataError: another process has it, it is no ledger of this version, or it cannot be
                written.
        """
        try:
            connection = sqlite3.connect(path, timeout=1, isolation_level=None)
            try:
                # Held until it is closed: two runs into one folder would undo each other's plan.
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                ledger = cls(connection)
                with ledger._transaction():
                    ledger._make_tables()
                yield ledger
            finally:
                connection.close()
        except sqlite3.OperationalError as error:
            way_out = "is another `crossray prepare` writing there, or is the disk full?"
            raise DataError(f"the ledger {path.name!r}: {error}; {way_out}") from error
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"{path.name!r} is not a ledger: {error}; choose an empty folder"
            ) from error

    def plan(self, entries: Iterable[Planned | LeftOut]) -> None:
        """Write a plan; an exception of `entries` meanwhile leaves the old one.

        Raises:
            DataError: two studies have one id, or a patient is in two splits.
        """
        with self._transaction():
            for table in ("planned", "absent", "left_out"):
                self._db.execute(f"DELETE FROM {table}")
            for entry in entries:
                if isinstance(entry, LeftOut):
                    row = (entry.id, entry.origin, entry.reason)
                    self._db.execute("INSERT INTO left_out VALUES (?, ?, ?)", row)
                else:
                    self._insert(entry)
            self._refuse_leak()

    def forget_lost(self, out: Path) -> None:
        """What is done but whose prepared file is gone, or cut short by a crash, is to do again."""
        made = self._db.execute("SELECT id, path, size FROM images JOIN planned USING (id)")
        with self._transaction():
            for id_, path, size in made:
                if _size(out / path) != size:
                    self._db.execute("DELETE FROM done WHERE id = ?", (id_,))

    def counts(self) -> tuple[int, int]:
        """How many studies are planned, and how many of them are still to do."""
        (planned,) = self._db.execute("SELECT COUNT(*) FROM planned").fetchone()
        (pending,) = self._db.execute(f"SELECT COUNT(*) {PENDING}").fetchone()
        return planned, pending

    def pending(self, chunk: int) -> Iterator[list[Task]]:
        """What is to do, in order of id, `chunk` studies at a time; each study once."""
        after = ""
        # Page by page: a cursor that stayed open would meet the rows that are being written.
        while rows := self._db.execute(
            f"SELECT id, planned.state, files {PENDING} AND id > ? ORDER BY id LIMIT ?",
            (after, chunk),
        ).fetchall():
            yield [Task(id_, state, _sources(files)) for id_, state, files in rows]
            after = rows[-1][0]

    def record(self, outcomes: Iterable[Outcome]) -> None:
        """Write what became of some studies, all or none."""
        with self._transaction():
            for outcome in outcomes:
                for table in ("done", "images", "bad"):
                    self._db.execute(f"DELETE FROM {table} WHERE id = ?", (outcome.id,))
                self._db.execute(
                    "INSERT INTO done VALUES (?, ?, ?)", (outcome.id, outcome.state, outcome.reason)
                )
                self._db.executemany(
                    "INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [_row(outcome.id, number, made) for number, made in enumerate(outcome.made)],
                )
                self._db.executemany(
                    "INSERT INTO bad VALUES (?, ?, ?)", [(outcome.id, *bad) for bad in outcome.bad]
                )

    def studies(self, prior: bool) -> Iterator[Study]:
        """The manifest's studies, in order of id.

        Args:
            prior: add the best frontal image of the patient's latest earlier study.
        """
        for id_, split, patient, time, text in self._db.execute(
            f"SELECT id, split, patient, time, text {KEPT} ORDER BY id"
        ):
            images = self._images(id_)
            if prior and patient is not None and time:
                images += self._earlier(patient, time)
            yield Study(id_, split, tuple(images), patient=patient, **json.loads(text))

    def left_out(self) -> Iterator[tuple[str, str, str]]:
        """(id, origin, reason) of every study that is not in the manifest, in order of id."""
        return self._db.execute(
            """SELECT id, origin, reason FROM left_out
            UNION ALL SELECT id, origin, reason FROM planned JOIN done USING (id)
            WHERE reason != '' ORDER BY id, origin"""
        )

    def bad_images(self) -> Iterator[tuple[str, str, str]]:
        """(study, file, reason) of every image that was asked for and could not be read."""
        return self._db.execute(
            """SELECT id, name, reason FROM absent
            UNION ALL SELECT id, name, bad.reason FROM bad JOIN planned USING (id)
            ORDER BY id, name"""
        )

    def duplicates(self) -> Iterator[tuple[str, str, str, str]]:
        """(pixels, study, split, path) of every image that another study has too."""
        return self._db.execute(
            f"""SELECT pixels, id, split, path {EQUAL} AND pixels IN
            (SELECT pixels {EQUAL} GROUP BY pixels HAVING COUNT(DISTINCT id) > 1)
            ORDER BY pixels, id, number"""
        )

    def _insert(self, entry: Planned) -> None:
        study = entry.study
        text = {
            "report": study.report,
            "indication": study.indication,
            "comparison": study.comparison,
            "labels": study.labels,
        }
        files = [[image.path.as_posix(), image.view] for image in entry.images]
        row = (study.id, entry.origin, study.split, study.patient, entry.time)
        dumped = (json.dumps(text, ensure_ascii=False), json.dumps(files))
        try:
            self._db.execute(
                "INSERT INTO planned VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, *dumped, entry.state)
            )
        except sqlite3.IntegrityError as error:
            (other,) = self._db.execute(
                "SELECT origin FROM planned WHERE id = ?", (study.id,)
            ).fetchone()
            raise DataError(
                f"{other} and {entry.origin} tell of one study: remove one of them"
            ) from error
        self._db.executemany(
            "INSERT INTO absent VALUES (?, ?, ?)", [(study.id, *each) for each in entry.absent]
        )

    def _refuse_leak(self) -> None:
        leak = self._db.execute(
            """SELECT MIN(id) FROM planned WHERE patient IS NOT NULL
            GROUP BY patient HAVING MIN(split) != MAX(split) LIMIT 1"""
        ).fetchone()
        if leak is None:
            return
        (first, split), (second, other) = self._db.execute(
            """SELECT MIN(origin), split FROM planned
            WHERE patient = (SELECT patient FROM planned WHERE id = ?) GROUP BY split LIMIT 2""",
            (leak[0],),
        )
        raise DataError(
            f"one patient is in two splits: {first} is in {split}, {second} in {other}. A model "
            "would be tested on whom it was trained on: keep a patient's studies in one split"
        )

    def _images(self, id_: str) -> list[Image]:
        rows = self._db.execute(f"SELECT {IMAGE} FROM images WHERE id = ? ORDER BY number", (id_,))
        return [_image(row) for row in rows]

    def _earlier(self, patient: str, time: str) -> list[Image]:
        # The first image of a study is its best frontal, if it has one.
        row = self._db.execute(
            f"""SELECT {IMAGE} FROM planned JOIN done USING (id) JOIN images USING (id)
            WHERE patient = ? AND time < ? AND time != '' AND done.state = planned.state
            AND number = 0 AND view IS NOT 'LATERAL' ORDER BY time DESC, id DESC LIMIT 1""",
            (patient, time),
        ).fetchone()
        return [] if row is None else [replace(_image(row), prior=True)]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            # A full disk may have rolled back already.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _make_tables(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            raise DataError(
                f"the ledger is of version {version}, expected {VERSION}: choose an empty folder"
            )
        if version == 0:
            for statement in TABLES.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {VERSION}")


def _sources(files: str) -> tuple[SourceImage, ...]:
    return tuple(SourceImage(Path(path), view) for path, view in json.loads(files))


def _row(id_: str, number: int, made: Made) -> tuple[Any, ...]:
    p = made.image
    return (id_, number, p.path, p.width, p.height, p.view, p.source, p.pixels, made.size)


def _image(row: tuple[Any, ...]) -> Image:
    path, width, height, view, source, pixels = row
    return Image(path, width, height, view, source=source, pixels=pixels)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
