"""The rows of a batch's summary, however many there are.

They lie in a temporary file of the system, so a million take hardly any memory.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from app.store.records import Finding
from app.store.urgency import urgency
from app.store_options import DEFAULT_WEIGHTS

__all__ = [
    "COLUMNS",
    "IDENTIFIERS",
    "Row",
    "SummaryRows",
    "lines",
    "parse_probability",
    "probabilities",
    "walk_key",
]

Row = Mapping[str, object]
"""By COLUMNS and IDENTIFIERS; a column that a row lacks is empty."""
COLUMNS = (
    "study",
    "status",
    "sources",
    "reason",
    "images",
    "views",
    "findings",
    "impression",
    "probabilities",
    "warnings",
    "review",
    "model",
)
IDENTIFIERS = {"study_uid": "StudyInstanceUID", "accession": "AccessionNumber"}
"""Columns that are there where the operator wants them, and their DICOM elements."""
WITH_IMAGES = {"done", "refused"}
"""Statuses of studies; the others are of files."""


class SummaryRows:
    """Rows that come in any order and are read in their settled one, as often as is asked."""

    def __init__(self) -> None:
        # Without a name: a temporary file, gone at the end.
        self._database = sqlite3.connect("")
        self._database.execute(
            "CREATE TABLE rows (place BLOB, status TEXT, urgency REAL, content TEXT)"
        )
        self.statuses: Counter[str] = Counter()
        """How many rows have each status."""
        self.warned = 0
        """Rows with a warning."""
        self.flagged = 0
        """Rows with something to check first."""
        self.findings: set[str] = set()
        """That any report asserts."""
        self.identifiers: set[str] = set()
        """Of IDENTIFIERS, those that any row has."""

    def add(self, row: Row) -> None:
        status = str(row["status"])
        found = probabilities(row)
        self.statuses[status] += 1
        self.warned += bool(row.get("warnings"))
        self.flagged += bool(row.get("review"))
        self.findings.update(found)
        self.identifiers.update(IDENTIFIERS.keys() & row.keys())
        # ASCII only: names of files need not be UTF-8, and survive this way.
        values = _place(row), status, _urgency(row, found), json.dumps(row)
        self._database.execute("INSERT INTO rows VALUES (?, ?, ?, ?)", values)

    def __len__(self) -> int:
        return self.statuses.total()

    def __iter__(self) -> Iterator[Row]:
        """Studies as their files lie, then other files."""
        return self._read("ORDER BY place")

    def by_urgency(self) -> Iterator[Row]:
        """The most urgent study first, then files without a report."""
        return self._read("ORDER BY urgency DESC, place")

    def of(self, status: str, most: int = -1) -> Iterator[Row]:
        """Those with a status, in their order.

        Args:
            most: so many of them; below 0: all.
        """
        return self._read("WHERE status = ? ORDER BY place LIMIT ?", status, most)

    def _read(self, which: str, *values: str | int) -> Iterator[Row]:
        for (content,) in self._database.execute(f"SELECT content FROM rows {which}", values):
            yield json.loads(content)


def _place(row: Row) -> bytes:
    """Bytes that are ordered as the rows are."""
    first = min(map(walk_key, str(row["sources"]).split("\n")))
    kind = b"\1" if row["status"] in WITH_IMAGES else b"\2"
    return kind + first + str(row["study"]).encode()


def walk_key(name: str) -> bytes:
    """A sort key of relative names: a folder's files come first, then the folders in it."""
    *folders, file = PurePosixPath(name).parts or ("",)
    parts = [*((b"\2", folder) for folder in folders), (b"\1", file)]
    # Bytes of UTF-8 are ordered as code points are, those of names that are no UTF-8 as well.
    return b"".join(kind + part.encode("utf-8", "surrogatepass") + b"\0" for kind, part in parts)


def probabilities(row: Row) -> dict[str, float | None]:
    """The findings that a report asserts, with the probability where there is one."""
    return dict(map(parse_probability, lines(row, "probabilities")))


def parse_probability(line: str) -> tuple[str, float | None]:
    """A line of the column `probabilities`, "pleural_effusion=0.97" or "nodule=", as values."""
    name, _, number = line.partition("=")
    return name, float(number) if number else None


def _urgency(row: Row, found: Mapping[str, float | None]) -> float:
    findings = [Finding(name, (), None, "definite", p) for name, p in found.items()]
    text = f"{row.get('findings') or ''} {row.get('impression') or ''}"
    return urgency(text, findings, DEFAULT_WEIGHTS) if row["status"] == "done" else -1.0


def lines(row: Row, column: str) -> list[str]:
    """The lines of a field that are not empty."""
    return [line for line in str(row.get(column) or "").split("\n") if line]
