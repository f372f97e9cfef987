"""The tables and JSON files of a data set, as people have them on disk. Nothing is passed over.

A table is CSV in UTF-8, plain or gzipped. What a spreadsheet on Windows writes instead is read
where it can only mean one thing: semicolons or tabs between the fields, the encoding cp1252 (which
is reported as a warning), column names in another case. Everything else is an error that names
file and row, since a row that is read wrong gives a study the report of another.
"""

import csv
import gzip
import json
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from model.errors import DataError

__all__ = ["Row", "is_blank", "numbered_rows", "parse_json", "read_json", "read_rows"]

log = logging.getLogger(__name__)

Row = dict[str, str]
DELIMITERS = (",", ";", "\t")
CHUNK = 2**20
NO_TEXT = frozenset(("nan", "none", "null", "n/a", "na", "#n/a"))
"""What programs write into a cell that has no text."""


def is_blank(text: str) -> bool:
    """Whether a cell holds no report: no letter at all, or the "nan" of a data frame."""
    return not re.search(r"[^\W\d_]", text) or text.strip().lower() in NO_TEXT


def read_rows(
    path: Path, columns: Sequence[str] = (), known: Sequence[str] = ()
) -> Iterator[tuple[str, Row]]:
    """(origin, row) of each row of a table; the origin is for messages. See `numbered_rows`."""
    for number, row in numbered_rows(path, columns, known):
        yield _origin(path, number), row


def numbered_rows(
    path: Path, columns: Sequence[str] = (), known: Sequence[str] = (), private: bool = False
) -> Iterator[tuple[int, Row]]:
    """(number, row) of each row of a table, streamed.

    Values and names of columns are stripped; what a short row lacks is empty; rows without any
    value are left out. Rows are counted as a spreadsheet does: the names of the columns are row 1.

    Args:
        columns: those that must be there.
        known: further ones. The names of both are found in any case, and the row has them as they
            are written here.
        private: no name of a column is quoted in a message: without names, a patient's row stands
            in their place.

    Raises:
        DataError: no such file; a column is missing or there twice; a row has more fields than
            there are columns; a quote is never closed, or text follows a closed one; it is no
            text, or cut short.
    """
    if not path.is_file():
        raise DataError(f"there is no table {str(path)!r}: No such file")
    rows: Any = None
    number = first_line = 1
    with _opened(path) as lines:
        try:
            delimiter = _delimiter(lines.readline())
            lines.seek(0)
            rows = csv.reader(lines, delimiter=delimiter, strict=True)
            header = _header(path, next(rows, []), columns, known, private)
            number, first_line = 2, rows.line_num + 1
            for number, values in enumerate(rows, 2):
                if any(value.strip() for value in values):
                    yield number, _row(_origin(path, number), header, values)
                first_line = rows.line_num + 1
                number += 1
        except csv.Error as error:
            raise DataError(
                f"{_origin(path, number)}, which begins on line {first_line}, is no row of CSV "
                f"({error}): close its quotes, and write a quote inside a text twice"
            ) from error


def _origin(path: Path, number: int) -> str:
    return f"{path.name} row {number}"


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: not readable, no JSON, or an object that names one key twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name!r} is not UTF-8 text: {error}") from error
    return parse_json(text, repr(path.name))


def parse_json(text: str, origin: str) -> Any:
    """
    Args:
        origin: where the text stands, for messages.

    Raises:
        DataError: as `read_json`.
    """

    def single(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        if twice:
            raise DataError(
                f"{origin} has the key {twice[0]!r} twice in one object: only one could be read, "
                "so keep one"
            )
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=single)
    except ValueError as error:
        raise DataError(f"{origin} is not JSON: {error}") from error


def _delimiter(head: str) -> str:
    """What separates the names of the columns; a comma where nothing does."""
    return max(DELIMITERS, key=head.count)


def _header(
    path: Path,
    names: Sequence[str],
    columns: Sequence[str],
    known: Sequence[str],
    private: bool,
) -> list[str]:
    """The names of the columns, those that are known as they are known.

    Raises:
        DataError: a needed one is missing, or a known one is there twice.
    """
    found = [name.strip() for name in names]
    wanted = dict.fromkeys((*columns, *known))
    spelled = {name.lower(): name for name in reversed(wanted) if name not in found}
    header = [name if name in wanted else spelled.get(name.lower(), name) for name in found]
    twice = [name for name in wanted if header.count(name) > 1]
    if twice:
        raise DataError(f"{path.name} has the column {twice[0]!r} twice: keep one")
    missing = [name for name in columns if name not in header]
    if missing:
        listed = ", ".join(name for name in found if name)
        instead = "name it in the first line" if private else f"it has {listed!r}"
        raise DataError(f"{path.name} has no column {', '.join(map(repr, missing))}; {instead}")
    return header


def _row(origin: str, header: Sequence[str], values: Sequence[str]) -> Row:
    further = [value for value in values[len(header) :] if value.strip()]
    if further:
        raise DataError(
            f"{origin} has {len(values)} fields for {len(header)} columns: put a text with the "
            'separator in it between quotes, "so, as here"'
        )
    padded = [*values, *[""] * (len(header) - len(values))]
    return dict(zip(header, (value.strip() for value in padded), strict=False))


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding=_encoding(path), newline="") as lines:
            yield lines
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name} cannot be read as CSV: it is not UTF-8, nor Windows-1252 (byte "
            f"0x{error.object[error.start]:02x}); save it as CSV UTF-8"
        ) from error
    except (OSError, EOFError) as error:
        raise DataError(
            f"{path.name} cannot be read as CSV: {error}; fetch it again, or save it as CSV UTF-8"
        ) from error


def _encoding(path: Path) -> str:
    """UTF-8, or cp1252 where a byte of the file is none of UTF-8."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", newline="") as lines:
            while lines.read(CHUNK):
                pass
    except UnicodeDecodeError as error:
        log.warning(
            "%s is not UTF-8 (%s): it is read as Windows-1252; check its special characters",
            path.name,
            error.reason,
        )
        return "cp1252"
    return "utf-8-sig"
