"""A hospital's table of reports, one row a study, columns called as the hospital calls them."""

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data_prep.manifest import SPLITS
from data_prep.report_text import sections
from data_prep.source import SourceStudy
from data_prep.tables import Row, read_rows
from model.errors import ConfigError, DataError

__all__ = ["ReportColumns", "ReportTable", "form", "short_hash"]

ALSO = {"val": "validate", "valid": "validate", "validation": "validate", "dev": "validate"}


@dataclass(frozen=True)
class ReportColumns:
    """Which column holds what; None where the table has none for it."""

    study: str = "study"
    """A StudyInstanceUID, an accession number, or a file's or folder's name relative to SRC."""
    report: str | None = None
    """A whole report, which is cut into its sections; instead of findings and impression."""
    findings: str | None = None
    impression: str | None = None
    indication: str | None = None
    patient: str | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        apart = self.findings or self.impression
        if not (self.report or apart):
            raise ConfigError(
                "which column holds the reports? Name --report-column, or --findings-column and "
                "--impression-column"
            )
        if self.report and apart:
            raise ConfigError(
                f"--report-column {self.report!r} holds whole reports: leave --findings-column and "
                "--impression-column out"
            )

    def named(self) -> list[str]:
        """The columns that the table must have."""
        return [name for name in vars(self).values() if name]


class ReportTable:
    """The rows of a table by what they call their study, kept in a database on disk."""

    def __init__(self, path: Path, columns: ReportColumns, folder: str = "") -> None:
        """
        Args:
            folder: the name of the folder of the images: paths may begin with it, or go through it.
        """
        self.path = path
        self.folder = folder
        self.columns = columns
        self._db: sqlite3.Connection | None = None

    def load(self, database: sqlite3.Connection) -> None:
        """Read the table into a database that stays open for as long as it is asked.

        Raises:
            DataError: no such table or column, a row that names no study, or two that name one.
        """
        self._db = database
        database.execute(
            "CREATE TABLE reports (key TEXT PRIMARY KEY, origin TEXT, cells TEXT, used INTEGER,"
            " loose TEXT)"
        )
        database.execute("CREATE INDEX by_loose ON reports (loose)")
        database.execute("BEGIN")
        for origin, row in read_rows(self.path, self.columns.named()):
            key = _normal(row[self.columns.study])
            if not key:
                raise DataError(f"{origin} names no study in the column {self.columns.study!r}")
            cells = json.dumps({name: row[name] for name in self.columns.named()})
            try:
                database.execute(
                    "INSERT INTO reports VALUES (?, ?, ?, 0, ?)",
                    (key, origin, cells, self._loose(key)),
                )
            except sqlite3.IntegrityError as error:
                other = self._one("SELECT origin FROM reports WHERE key = ?", key) or ("",)
                raise DataError(
                    f"{other[0]} and {origin} name one study: a study has one row"
                ) from error
        database.execute("COMMIT")

    def has(self, key: str) -> bool:
        """Whether a row names its study so."""
        return self._one("SELECT 1 FROM reports WHERE key = ?", key) is not None

    def like(self, name: str) -> str:
        """The only key that is a file's or folder's name but for the case of its letters and the
        folders before it, as a table from Windows has it; empty where none or several are."""
        assert self._db is not None
        rows = self._db.execute(
            "SELECT key FROM reports WHERE loose = ? LIMIT 2", (name.casefold(),)
        ).fetchall()
        return rows[0][0] if len(rows) == 1 else ""

    def _loose(self, key: str) -> str:
        """In small letters, relative to the folder of the images where the path goes through it."""
        parts = key.casefold().split("/")
        folder = self.folder.casefold()
        if folder in parts[:-1]:
            parts = parts[parts.index(folder) + 1 :]
        return "/".join(parts)

    def describe(self, bare: SourceStudy, key: str) -> SourceStudy | None:
        """A study with what the row of that key says of it, or None without such a row."""
        row = self._one("SELECT origin, cells FROM reports WHERE key = ?", key)
        if row is None:
            return None
        assert self._db is not None
        self._db.execute("UPDATE reports SET used = 1 WHERE key = ?", (key,))
        return self._told(bare, row[0], json.loads(row[1]))

    def unused(self) -> Iterator[SourceStudy]:
        """The rows that no image asked for, as studies without images."""
        assert self._db is not None
        for key, origin, cells in self._db.execute(
            "SELECT key, origin, cells FROM reports WHERE NOT used ORDER BY key"
        ):
            bare = SourceStudy(id=short_hash(f"row {key}"), origin=origin, images=())
            yield self._told(bare, origin, json.loads(cells))

    def example(self) -> str:
        """What the first row calls its study; empty where there is no row."""
        result: str = (self._one("SELECT key FROM reports ORDER BY rowid LIMIT 1") or ("",))[0]
        return result

    def _one(self, query: str, *values: str) -> tuple[Any, ...] | None:
        assert self._db is not None
        result: tuple[Any, ...] | None = self._db.execute(query, values).fetchone()
        return result

    def _told(self, bare: SourceStudy, origin: str, row: Row) -> SourceStudy:
        columns = self.columns
        if columns.report:
            parts = vars(sections(row[columns.report]))
        else:
            names = {"findings": columns.findings, "impression": columns.impression}
            parts = {section: row[name] for section, name in names.items() if name}
        if columns.indication:
            parts = {**parts, "indication": row[columns.indication]}
        patient = row[columns.patient] if columns.patient else ""
        return replace(
            bare,
            origin=origin,
            patient=short_hash(f"patient {patient}") if patient else bare.patient,
            split=_split(origin, row[columns.split]) if columns.split else None,
            **parts,
        )


def form(value: str) -> str:
    """The form of a value that may identify: each digit as 9, each letter as a."""
    return re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", value))


def short_hash(identity: str) -> str:
    """What stands for an id that may identify a patient, 16 letters: as `crossray batch` does."""
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def _normal(key: str) -> str:
    return key.replace("\\", "/").removeprefix("./").rstrip("/")


def _split(origin: str, value: str) -> str | None:
    split = ALSO.get(value.lower(), value.lower()) or None
    if split not in (None, *SPLITS):
        raise DataError(f"{origin}: the split {value!r} is none of {', '.join(SPLITS)}")
    return split
