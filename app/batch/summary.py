"""The content of summary.csv: one row a study, then one for each file without a report."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from app.batch.page import IDENTIFIERS
from app.batch.sharding import Shard

__all__ = ["Row", "sorted_rows", "summary_content", "summary_name", "walk_order"]

Row = Mapping[str, object]
"""By COLUMNS; a column that a row lacks is empty."""
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


def summary_name(shard: Shard | None) -> str:
    """The file that tells what became of every file of a batch, or of a part, relative to OUT."""
    return "summary.csv" if shard is None else f"shards/{shard.name}.json"


def summary_content(
    rows: Sequence[Row], unmatched: Sequence[int], shard: Shard | None = None
) -> bytes:
    """The content of that file.

    Args:
        unmatched: rows of the indications that belong to no study, for `batch-merge`.
    """
    if shard is not None:
        # ASCII only: names of files need not be UTF-8, and survive this way.
        return json.dumps({"rows": rows, "unmatched": unmatched}, indent=1).encode()
    text = io.StringIO(newline="")
    extra = [name for name in IDENTIFIERS if any(name in row for row in rows)]
    table = csv.DictWriter(text, [*COLUMNS, *extra], restval="")
    table.writeheader()
    table.writerows(rows)
    # File names need not be UTF-8: bytes that are not come out as \udc80 and so on.
    return text.getvalue().encode("utf-8", "backslashreplace")


def sorted_rows(rows: Iterable[Row]) -> list[Row]:
    """Rows in their settled order: studies as their files lie, then other files."""
    return sorted(rows, key=_order)


def _order(row: Row) -> tuple[bool, Sequence[tuple[bool, str]], str]:
    has_images = row["status"] in {"done", "refused"}
    first = min(walk_order(name) for name in str(row["sources"]).split("\n"))
    return not has_images, first, str(row["study"])


def walk_order(name: str) -> list[tuple[bool, str]]:
    """A sort key of relative names: a folder's files come first, then the folders in it."""
    *folders, file = PurePosixPath(name).parts or ("",)
    return [*((True, folder) for folder in folders), (False, file)]
