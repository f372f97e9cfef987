"""findings.parquet: one row for each finding that the reports of a batch assert."""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from tempfile import TemporaryFile
from typing import Any

from app.api.schemas import ReportAnswer
from app.batch.locations import Location
from app.batch.rows import Row, SummaryRows
from model.errors import ConfigError

__all__ = ["FINDINGS", "finding_table", "parquet"]

FINDINGS = "findings.parquet"
STUDIES_AT_ONCE = 1000
"""Studies of one row group."""
PIECE = 2**20
"""Bytes."""


def parquet() -> Any:
    """The package that writes Parquet files.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError("--parquet needs pyarrow: pip install 'crossray[parquet]'") from error
    return pyarrow


def finding_table(arrow: Any, out: Location, rows: SummaryRows) -> Iterator[bytes]:
    """The content of the table, in pieces.

    Args:
        arrow: from `parquet`.
        out: where the studies' report.json are.

    Raises:
        OSError: a report.json is gone.
    """
    columns = {
        "study": arrow.string(),
        "sources": arrow.list_(arrow.string()),
        "finding": arrow.string(),
        "sides": arrow.list_(arrow.string()),
        "zone": arrow.string(),
        "certainty": arrow.string(),
        "text": arrow.string(),
        "presence_probability": arrow.float64(),
        "probability": arrow.float64(),
        "evidence": arrow.float64(),
        "attention": arrow.float64(),
        "state": arrow.string(),
        "probability_withheld": arrow.string(),
        "model": arrow.string(),
    }
    schema = arrow.schema(list(columns.items()))
    done = rows.of("done")
    with TemporaryFile() as file:
        with arrow.parquet.ParquetWriter(file, schema) as writer:
            while studies := list(islice(done, STUDIES_AT_ONCE)):
                found = [finding for row in studies for finding in _findings(out, row)]
                writer.write_table(arrow.Table.from_pylist(found, schema))
        file.seek(0)
        yield from iter(partial(file.read, PIECE), b"")


def _findings(out: Location, row: Row) -> Iterator[dict[str, object]]:
    content = (out / "studies" / str(row["study"]) / "report.json").read_bytes()
    report = ReportAnswer.model_validate_json(content)
    for finding in report.findings:
        yield {
            "study": row["study"],
            # As in summary.csv, where bytes that are not UTF-8 are written out.
            "sources": [
                name.encode("utf-8", "backslashreplace").decode()
                for name in str(row["sources"]).split("\n")
            ],
            "finding": finding.name,
            "sides": finding.sides,
            "zone": finding.zone,
            "certainty": finding.certainty,
            "text": finding.text,
            "presence_probability": finding.presence_probability,
            "probability": finding.probability,
            "evidence": finding.evidence,
            "attention": finding.attention,
            "state": finding.state,
            "probability_withheld": report.probability_withheld,
            "model": report.model.sha256,
        }
