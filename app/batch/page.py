"""A batch's studies as one HTML page beside summary.csv: no server, no script, nothing fetched."""

from collections.abc import Mapping, Sequence
from html import escape

from app.store.records import Finding
from app.store.urgency import urgency
from app.store_options import DEFAULT_WEIGHTS

__all__ = ["IDENTIFIERS", "PAGE", "page", "page_content", "parse_probability"]

Row = Mapping[str, object]
"""A row of summary.csv."""

PAGE = "index.html"
IDENTIFIERS = {"study_uid": "StudyInstanceUID", "accession": "AccessionNumber"}
"""Columns that are there where the operator wants them, and their DICOM elements."""
STYLE = """
:root { color-scheme: light dark; }
body { margin: 1.2rem; font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.3rem; font-weight: 500; }
table { border-collapse: collapse; font-size: 0.875rem; }
th, td { padding: 0.3rem 0.6rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid color-mix(in srgb, currentColor, transparent 80%); }
thead th { position: sticky; top: 0; background: Canvas; }
td.p { font-variant-numeric: tabular-nums; white-space: nowrap; }
td.p[style] { background: color-mix(in srgb, orange calc(var(--p) * 45%), transparent); }
td.text { min-width: 18rem; max-width: 34rem; white-space: pre-line; }
tr.refused, tr.skipped, tr.failed { opacity: 0.75; }
code { font-size: 0.8rem; }
@media print { thead th { position: static; } body { margin: 0; } }
"""


def parse_probability(line: str) -> tuple[str, float | None]:
    """A line of the column `probabilities`, "pleural_effusion=0.97" or "nodule=", as values."""
    name, _, number = line.partition("=")
    return name, float(number) if number else None


def page(rows: Sequence[Row]) -> str:
    """The page: one line a study, the most urgent first, then files without a report.

    Args:
        rows: of summary.csv.
    """
    named = [dict(map(parse_probability, _lines(row, "probabilities"))) for row in rows]
    columns = sorted({name for found in named for name in found})
    extra = [name for name in IDENTIFIERS if any(row.get(name) for row in rows)]
    both = sorted(zip(rows, named, strict=True), key=lambda one: -_urgency(*one))
    titles = ["Study", *(IDENTIFIERS[name] for name in extra), "Status"]
    titles += [name.replace("_", " ") for name in columns]
    titles += ["Impression", "Check first", "Files"]
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    body = "\n".join(_line(row, found, columns, extra) for row, found in both)
    done = sum(row["status"] == "done" for row in rows)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; img-src 'self'\">\n"
        f"<title>Draft reports</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{done} draft reports</h1>\n"
        "<p>Research software, not for diagnosis. The order is a proposal made of drafts that may "
        "be wrong. Numbers are the model's probabilities that a finding is "
        "present; a dash is a finding without one.</p>\n"
        f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"
        "</body>\n</html>\n"
    )


def page_content(rows: Sequence[Row]) -> bytes:
    """The page as a file: names of files need not be UTF-8, as in summary.csv."""
    return page(rows).encode("utf-8", "backslashreplace")


def _line(
    row: Row, found: Mapping[str, float | None], columns: Sequence[str], extra: Sequence[str]
) -> str:
    names = "<br>".join(escape(name) for name in _lines(row, "sources"))
    cells = [f'<th scope="row">{names}</th>']
    cells += [f"<td><code>{escape(str(row.get(name) or ''))}</code></td>" for name in extra]
    reason = f": {row['reason']}" if row.get("reason") else ""
    cells.append(f"<td>{escape(str(row['status']) + reason)}</td>")
    cells += [_probability(found, name) for name in columns]
    text = str(row.get("impression") or row.get("findings") or "")
    checks = "\n".join(_lines(row, "review") + _lines(row, "warnings"))
    cells.append(f'<td class="text">{escape(text)}</td><td class="text">{escape(checks)}</td>')
    folder = f"studies/{escape(str(row.get('study') or ''))}"
    files = f'<a href="{folder}/heatmaps.png">maps</a> <a href="{folder}/report.json">JSON</a>'
    cells.append(f"<td>{files if row['status'] == 'done' else ''}</td>")
    return f'<tr class="{escape(str(row["status"]))}">{"".join(cells)}</tr>'


def _probability(found: Mapping[str, float | None], name: str) -> str:
    if name not in found:
        return '<td class="p"></td>'
    probability = found[name]
    if probability is None:
        return '<td class="p">-</td>'
    return f'<td class="p" style="--p: {probability:.2f}">{probability:.2f}</td>'


def _urgency(row: Row, found: Mapping[str, float | None]) -> float:
    findings = [Finding(name, (), None, "definite", p) for name, p in found.items()]
    text = f"{row.get('findings') or ''} {row.get('impression') or ''}"
    return urgency(text, findings, DEFAULT_WEIGHTS) if row["status"] == "done" else -1.0


def _lines(row: Row, column: str) -> list[str]:
    return [line for line in str(row.get(column) or "").split("\n") if line]
