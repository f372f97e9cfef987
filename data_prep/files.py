"""A data set's files: what lies below a folder, and the rows of its tables. Streams both."""

import csv
import gzip
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from model.errors import DataError

__all__ = ["IMAGE_ENDINGS", "Row", "files_below", "read_rows"]

IMAGE_ENDINGS = (".dcm", ".dicom", ".png", ".jpg", ".jpeg")
Row = dict[str, str]


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below a folder, relative to it, in a settled order; hidden ones are passed over.

    Links to folders are not followed: they may lead in a circle.

    Raises:
        DataError: no such folder, or one below it may not be listed.
    """
    if not folder.is_dir():
        raise DataError(f"the data set's folder {str(folder)!r} is not there")

    def refuse(error: OSError) -> None:
        name = Path(error.filename).relative_to(folder).as_posix()
        raise DataError(f"the folder {name!r} cannot be listed: {error.strerror}") from error

    for root, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(root).relative_to(folder)
        yield from (here / name for name in sorted(files) if not name.startswith("."))


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, Row]]:
    """(origin, row) of each row of a CSV file, plain or gzipped; the origin is for messages.

    Values are stripped; what a short row lacks is empty. Names of columns are stripped too.

    Args:
        columns: those that must be there.

    Raises:
        DataError: no such file, a column is missing, it is no CSV file of UTF-8, or is cut short.
    """
    if not path.is_file():
        raise DataError(f"there is no table {str(path)!r}")
    with _opened(path) as lines:
        rows = csv.reader(lines)
        header = [name.strip() for name in next(rows, [])]
        missing = [name for name in columns if name not in header]
        if missing:
            found = ", ".join(name for name in header if name)
            raise DataError(
                f"{path.name} has no column {', '.join(map(repr, missing))}; it has {found!r}"
            )
        for number, values in enumerate(rows, 2):
            if any(values):
                padded = [*values, *[""] * (len(header) - len(values))]
                row = dict(zip(header, (value.strip() for value in padded), strict=False))
                yield f"{path.name} row {number}", row


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as lines:
            yield lines
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path.name} cannot be read as CSV: {error}; fetch it again, or save it as CSV UTF-8"
        ) from error
