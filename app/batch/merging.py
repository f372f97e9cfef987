"""One summary.csv of a batch whose parts ran apart.

Each part reads the names of the whole input folder, takes the studies whose key falls to it, and
writes into the same output folder. OUT/shards/I-of-N.json holds its rows of the summary.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from app.batch.results import Results, summary_path
from app.batch.sharding import Shard
from model.errors import ConfigError

__all__ = ["Merged", "merge_shards", "sorted_rows"]

Row = Mapping[str, object]


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


def merge_shards(out: Path) -> Merged:
    """Write summary.csv from the parts of a batch, as one run over everything would have.

    Raises:
        ConfigError: the folder is not a batch's, is being written to, a part is missing, or the
            parts are of two divisions.
        CrossRayError: the summary cannot be written.
    """
    results = Results(out)
    with results.reopened():
        parts = list(_parts(out))
        rows = sorted_rows(row for part in parts for row in part.rows)
        unmatched = set[int].intersection(*(set(part.unmatched) for part in parts))
        results.write_summary(rows, sorted(unmatched))
    status = [row["status"] for row in rows]
    return Merged(
        done=status.count("done"),
        refused=status.count("refused"),
        skipped=status.count("skipped"),
        failed=status.count("failed"),
        unmatched=tuple(sorted(unmatched)),
    )


def _parts(out: Path) -> Iterator[_Part]:
    paths = list((out / "shards").glob("*-of-*.json"))
    counts = sorted({path.stem.split("-of-")[1] for path in paths})
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
        if not summary_path(out, Shard(i, count)).is_file()
    ]
    if missing:
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise ConfigError(
            f"parts of the batch in {str(out)!r} have not ended: {', '.join(missing[:10])}{more}; "
            "run `crossray batch` with these as --shard first"
        )
    for number in range(1, count + 1):
        path = summary_path(out, Shard(number, count))
        try:
            part = json.loads(path.read_text("utf-8"))
            yield _Part(part["rows"], part["unmatched"])
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"{str(path)!r} is damaged: run that part again with --shard {number}/{count}"
            ) from error


def sorted_rows(rows: Iterable[Row]) -> list[Row]:
    """Rows of summary.csv in their settled order: studies as their files lie, then other files."""
    return sorted(rows, key=_order)


def _order(row: Row) -> tuple[bool, Sequence[tuple[bool, str]], str]:
    has_images = row["status"] in {"done", "refused"}
    first = min(_walked(name) for name in str(row["sources"]).split("\n"))
    return not has_images, first, str(row["study"])


def _walked(name: str) -> list[tuple[bool, str]]:
    """Sorts as the folder is walked: a folder's files, then the folders in it."""
    *folders, file = PurePosixPath(name).parts or ("",)
    return [*((True, folder) for folder in folders), (False, file)]
