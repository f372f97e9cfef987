"""What a batch writes beside its studies: summary.csv, its page, and a table of findings."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from app.batch.finding_table import FINDINGS, finding_table
from app.batch.locations import Location
from app.batch.output import BatchResults
from app.batch.page import pages
from app.batch.rows import COLUMNS, IDENTIFIERS, SummaryRows
from app.batch.sharding import Shard

__all__ = ["put_part", "put_summary", "summary_name"]


def summary_name(shard: Shard | None) -> str:
    """The file that says what became of every file of a batch, or of a part, relative to OUT."""
    return "summary.csv" if shard is None else f"shards/{shard.name}.jsonl"


def put_summary(results: BatchResults, rows: SummaryRows, out: Location, arrow: Any = None) -> None:
    """Write the files that cover a whole batch.

    Args:
        out: where the studies' report.json are.
        arrow: from `parquet`, where findings.parquet is wanted.

    Raises:
        CrossRayError: they cannot be written.
    """
    results.put(summary_name(None), _table(rows))
    for name, content in pages(rows):
        results.put(name, [content])
    if arrow is not None:
        results.put(FINDINGS, finding_table(arrow, out, rows))


def put_part(
    results: BatchResults, rows: SummaryRows, unmatched: Sequence[int], shard: Shard
) -> None:
    """Write what `batch-merge` needs of one part.

    Args:
        unmatched: rows of the indications that belong to no study of this part.
    """
    results.put(summary_name(shard), _part(rows, unmatched))


def _part(rows: SummaryRows, unmatched: Sequence[int]) -> Iterator[bytes]:
    """JSON lines: what holds for the part, then its rows."""
    head = {"rows": len(rows), "unmatched": list(unmatched)}
    for line in chain([head], rows):
        # ASCII only: names of files need not be UTF-8, and survive this way.
        yield json.dumps(line).encode() + b"\n"


def _table(rows: SummaryRows) -> Iterator[bytes]:
    text = io.StringIO(newline="")
    extra = [name for name in IDENTIFIERS if name in rows.identifiers]
    table = csv.DictWriter(text, [*COLUMNS, *extra], restval="")
    table.writeheader()
    for row in rows:
        table.writerow(row)
        yield _taken(text)
    yield _taken(text)


def _taken(text: io.StringIO) -> bytes:
    """What was written; it is empty afterward."""
    content = text.getvalue()
    text.seek(0)
    text.truncate()
    # File names need not be UTF-8: bytes that are not come out as \\udc80 and so on.
    return content.encode("utf-8", "backslashreplace")
