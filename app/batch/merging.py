"""One summary.csv of a batch whose parts ran apart.

Each part reads the names of the whole input folder, takes the studies whose key falls to it, and
writes into the same output folder. OUT/shards/I-of-N.json holds its rows of the summary.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from app.batch.finding_table import FINDINGS, finding_table, parquet
from app.batch.locations import Location
from app.batch.output import results_at
from app.batch.page import PAGE, page_content
from app.batch.sharding import Shard
from app.batch.summary import Row, sorted_rows, summary_content, summary_name
from model.errors import ConfigError

__all__ = ["Merged", "merge_shards"]


@dataclass(frozen=True)
class Merged:
    """What the parts of a batch came to."""

    done: int
    refused: int
    skipped: int
    failed: int
    unmatched: tuple[int, ...]
    """Rows of the indications that belong to no study of any part."""


@dataclass(frozen=True)
class _Part:
    rows: list[Row]
    unmatched: list[int]


def merge_shards(out: Location, findings: bool = False) -> Merged:
    """Write summary.csv from the parts of a batch, as one run over everything would have.

    Args:
        findings: write findings.parquet too.

    Raises:
        ConfigError: the folder is not a batch's, is being written to, a part is missing, or the
            parts are of two divisions.
        CrossRayError: the summary cannot be written.
    """
    arrow = parquet() if findings else None
    results = results_at(out)
    with results.reopened():
        parts = list(_parts(out))
        rows = sorted_rows(row for part in parts for row in part.rows)
        unmatched = set[int].intersection(*(set(part.unmatched) for part in parts))
        results.put(summary_name(None), summary_content(rows, sorted(unmatched)))
        results.put(PAGE, page_content(rows))
        if arrow is not None:
            results.put(FINDINGS, finding_table(arrow, out, rows))
    status = [row["status"] for row in rows]
    return Merged(
        done=status.count("done"),
        refused=status.count("refused"),
        skipped=status.count("skipped"),
        failed=status.count("failed"),
        unmatched=tuple(sorted(unmatched)),
    )


def _parts(out: Location) -> Iterator[_Part]:
    names = [path.name for path in (out / "shards").glob("*-of-*.json")]
    counts = sorted({name.removesuffix(".json").split("-of-")[1] for name in names})
    if len(counts) != 1:
        divisions = ", ".join(f"I/{count}" for count in counts) or "none"
        raise ConfigError(
            f"{str(out)!r} must hold the parts of one division, and has {divisions}: run "
            "`crossray batch` with --shard I/N and one N; remove the files of another in "
            f"{str(out / 'shards')!r}"
        )
    count = int(counts[0])
    missing = [
        f"{i}/{count}"
        for i in range(1, count + 1)
        if not (out / summary_name(Shard(i, count))).is_file()
    ]
    if missing:
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise ConfigError(
            f"parts of the batch in {str(out)!r} have not ended: {', '.join(missing[:10])}{more}; "
            "run `crossray batch` with these as --shard first"
        )
    for number in range(1, count + 1):
        path = out / summary_name(Shard(number, count))
        try:
            part = json.loads(path.read_text("utf-8"))
            yield _Part(part["rows"], part["unmatched"])
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"{str(path)!r} is damaged: run that part again with --shard {number}/{count}"
            ) from error
