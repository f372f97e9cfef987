"""A batch's studies as HTML pages beside summary.csv: no server, no script, nothing fetched."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import islice
from math import ceil

from app.batch.rows import IDENTIFIERS, Row, SummaryRows, lines, probabilities

__all__ = ["PAGE", "PAGE_ROWS", "pages"]

PAGE = "index.html"
PAGE_ROWS = 1000
"""Of one page."""
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
nav { margin: 0.6rem 0; }
@media print { nav { display: none; } thead th { position: static; } body { margin: 0; } }
"""


def pages(rows: SummaryRows) -> Iterator[tuple[str, bytes]]:
    """The pages by their names: a line a study, the most urgent first, then other files.

    The first is index.html; where there are more than PAGE_ROWS lines, others are in pages/.
    """
    ordered = rows.by_urgency()
    count = max(1, ceil(len(rows) / PAGE_ROWS))
    for number in range(1, count + 1):
        html = _page(rows, list(islice(ordered, PAGE_ROWS)), number, count)
        # Names of files need not be UTF-8, as in summary.csv.
        yield _name(number), html.encode("utf-8", "backslashreplace")


def _name(number: int) -> str:
    return PAGE if number == 1 else f"pages/{number}.html"


def _page(rows: SummaryRows, shown: Sequence[Row], number: int, count: int) -> str:
    columns = sorted(rows.findings)
    extra = [name for name in IDENTIFIERS if name in rows.identifiers]
    root = "" if number == 1 else "../"
    titles = ["Study", *(IDENTIFIERS[name] for name in extra), "Status"]
    titles += [name.replace("_", " ") for name in columns]
    titles += ["Impression", "Check first", "Files"]
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    body = "\n".join(_line(row, columns, extra, root) for row in shown)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; img-src 'self'\">\n"
        f"<title>Draft reports</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{rows.statuses['done']} draft reports</h1>\n"
        "<p>Research software, not for diagnosis. The order is a proposal made of drafts that may "
        "be wrong. Numbers are the model's probabilities that a finding is "
        "present; a dash is a finding without one.</p>\n"
        f"{_navigation(number, count, root)}"
        f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"
        "</body>\n</html>\n"
    )


def _navigation(number: int, count: int, root: str) -> str:
    if count == 1:
        return ""
    targets = [("First", 1, number > 1), ("Previous", number - 1, number > 1)]
    targets += [("Next", number + 1, number < count), ("Last", count, number < count)]
    links = " ".join(
        f'<a href="{root}{_name(target)}">{label}</a>' if there else label
        for label, target, there in targets
    )
    return f"<nav>Page {number} of {count}. {links}</nav>\n"


def _line(row: Row, columns: Sequence[str], extra: Sequence[str], root: str) -> str:
    found = probabilities(row)
    names = "<br>".join(escape(name) for name in lines(row, "sources"))
    cells = [f'<th scope="row">{names}</th>']
    cells += [f"<td><code>{escape(str(row.get(name) or ''))}</code></td>" for name in extra]
    reason = f": {row['reason']}" if row.get("reason") else ""
    cells.append(f"<td>{escape(str(row['status']) + reason)}</td>")
    cells += [_probability(found, name) for name in columns]
    text = str(row.get("impression") or row.get("findings") or "")
    checks = "\n".join(lines(row, "review") + lines(row, "warnings"))
    cells.append(f'<td class="text">{escape(text)}</td><td class="text">{escape(checks)}</td>')
    folder = f"{root}studies/{escape(str(row.get('study') or ''))}"
    files = f'<a href="{folder}/heatmaps.jpg">maps</a> <a href="{folder}/report.json">JSON</a>'
    cells.append(f"<td>{files if row['status'] == 'done' else ''}</td>")
    return f'<tr class="{escape(str(row["status"]))}">{"".join(cells)}</tr>'


def _probability(found: Mapping[str, float | None], name: str) -> str:
    if name not in found:
        return '<td class="p"></td>'
    probability = found[name]
    if probability is None:
        return '<td class="p">-</td>'
    return f'<td class="p" style="--p: {probability:.2f}">{probability:.2f}</td>'
