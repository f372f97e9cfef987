"""A table of indications, and which studies of a folder they belong to.

Messages give a row's number, never what it holds: a study may be called by its UID, and an
indication speaks of a patient.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from app.batch.grouping import study_of
from model.errors import DataError

__all__ = ["Row", "match_indications", "read_indications"]

COLUMNS = ("study", "indication")


@dataclass(frozen=True)
class Row:
    number: int
    """As a spreadsheet counts; the column names are row 1."""
    study: str
    """A StudyInstanceUID, or the path of a file or folder below the input folder."""
    indication: str
    """On one line."""


def read_indications(path: Path) -> list[Row]:
    """The rows of a table with the columns `study` and `indication`.

    Raises:
        DataError: as `numbered_rows`.
    """
    from data_prep.tables import numbered_rows

    return [
        Row(number, row["study"], " ".join(row["indication"].split()))
        for number, row in numbered_rows(path, COLUMNS, private=True)
    ]


def match_indications(
    rows: Iterable[Row], studies: Iterable[tuple[str, Sequence[str]]]
) -> tuple[dict[str, str], list[int]]:
    """Which study has which indication.

    A row that names a folder holds for every study with a file in it or below.

    Args:
        studies: each one's key and the names of all its files, as in Source.

    Returns:
        Indications by the study's key, and the numbers of the rows that belong to no study.

    Raises:
        DataError: two rows of one study that differ.
    """
    named: dict[str, list[Row]] = defaultdict(list)
    left = {}
    for row in rows:
        left[row.number] = row
        if row.study:
            named[study_of(row.study)].append(row)
            named[f"./{PurePosixPath(row.study)}"].append(row)
    found: dict[str, str] = {}
    for key, names in studies:
        own = {row.number: row for name in _called(key, names) for row in named.get(name, [])}
        for number in own:
            left.pop(number, None)
        texts = {row.indication for row in own.values()}
        if len(texts) > 1:
            numbers = " and ".join(str(number) for number in sorted(own))
            raise DataError(
                f"rows {numbers} of the indications belong to one study and differ: keep one"
            )
        if texts:
            found[key] = texts.pop()
    return found, sorted(left)


def _called(key: str, names: Sequence[str]) -> Iterable[str]:
    """All that a study can be called by: its key, its files, the folders they lie in."""
    called = {key}
    for name in names:
        path = PurePosixPath(name)
        called |= {f"./{part}" for part in (path, *path.parents)}
    return called
