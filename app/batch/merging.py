"""One summary.csv of a batch whose parts ran apart.

Each part reads the names of the whole input folder, takes the studies whose key falls to it, and
writes into the same output folder. OUT/shards/I-of-N.jsonl holds its rows of the summary.
"""

import json
from dataclasses import dataclass

from app.batch.finding_table import parquet
from app.batch.locations import Location
from app.batch.output import results_at
from app.batch.rows import SummaryRows
from app.batch.sharding import Shard
from app.batch.summary import put_summary, summary_name
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
        rows = SummaryRows()
        unmatched = set[int].intersection(*(_read(out, shard, rows) for shard in _shards(out)))
        put_summary(results, rows, out, arrow)
    status = rows.statuses
    return Merged(
        done=status["done"],
        refused=status["refused"],
        skipped=status["skipped"],
        failed=status["failed"],
        unmatched=tuple(sorted(unmatched)),
    )


def _shards(out: Location) -> list[Shard]:
    """The parts of a batch, all of which have ended."""
    names = [path.name for path in (out / "shards").glob("*-of-*.jsonl")]
    counts = sorted({name.removesuffix(".jsonl").split("-of-")[1] for name in names})
    if len(counts) != 1:
        divisions = ", ".join(f"I/{count}" for count in counts) or "none"
        raise ConfigError(
            f"{str(out)!r} must hold the parts of one division, and has {divisions}: run "
            "`crossray batch` with --shard I/N and one N; remove the files of another in "
            f"{str(out / 'shards')!r}"
        )
    count = int(counts[0])
    shards = [Shard(number, count) for number in range(1, count + 1)]
    missing = [shard for shard in shards if not (out / summary_name(shard)).is_file()]
    if missing:
        first = ", ".join(f"{shard.number}/{count}" for shard in missing[:10])
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise ConfigError(
            f"parts of the batch in {str(out)!r} have not ended: {first}{more}; "
            "run `crossray batch` with these as --shard first"
        )
    return shards


def _read(out: Location, shard: Shard, rows: SummaryRows) -> set[int]:
    """Take in the rows of one part.

    Returns:
        Rows of the indications that belong to no study of it.
    """
    path = out / summary_name(shard)
    try:
        with path.open("rb") as file:
            head = json.loads(file.readline())
            before = len(rows)
            for line in file:
                rows.add(json.loads(line))
            if len(rows) - before != head["rows"]:
                raise ValueError("lines are missing")
            return set(head["unmatched"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{str(path)!r} is damaged: run that part again with --shard "
            f"{shard.number}/{shard.count}"
        ) from error
