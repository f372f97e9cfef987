"""The batch's page: one line a study, findings as columns, and nothing of a file is mark-up."""

import csv
import os
import re
from collections.abc import Callable, Iterable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from material import PATIENT, put

from app.batch.page import PAGE_ROWS, pages
from app.batch.rows import SummaryRows, parse_probability
from app.batch.run import BatchOptions, run_batch
from app.store.store import open_store
from app.store.worklist import list_studies
from app.store_options import StoreOptions
from model.generator import ReportGenerator


class Cells(HTMLParser):
    """The table's rows as texts, and every address and tag of the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = False
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"href", "src"}]
        if tag == "tr":
            self.rows.append([])
        if tag in {"th", "td"}:
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in {"th", "td"}

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.rows[-1][-1] += data


def row(name: str, *probabilities: str, **fields: object) -> dict[str, object]:
    return {
        "study": "ab12",
        "status": "done",
        "sources": f"./{name}",
        "findings": "",
        "impression": "",
        "probabilities": "\n".join(probabilities),
        **fields,
    }


def written(rows: Iterable[dict[str, object]]) -> dict[str, str]:
    """The pages of these rows, by name."""
    summary = SummaryRows()
    for each in rows:
        summary.add(each)
    return {name: content.decode() for name, content in pages(summary)}


def test_findings_are_columns_and_the_most_urgent_is_first() -> None:
    rows = [
        row("quiet.png"),
        row("nodule.png", "nodule=0.50"),
        row("both.png", "nodule=", "pneumothorax=0.90"),
    ]
    head, *lines = Cells(written(rows)["index.html"]).rows
    assert head == [
        "Study",
        "Status",
        "nodule",
        "pneumothorax",
        "Impression",
        "Check first",
        "Files",
    ]
    assert [line[0] for line in lines] == ["./both.png", "./nodule.png", "./quiet.png"]
    assert [line[2:4] for line in lines] == [["-", "0.90"], ["0.50", ""], ["", ""]]


def test_nothing_of_a_file_is_markup() -> None:
    evil = '"><script>alert(1)</script>'
    fields = dict.fromkeys(("impression", "review", "warnings", "reason", "accession"), evil)
    html = written([row(evil, **fields)])["index.html"]
    cells = Cells(html)
    assert "script" not in cells.tags
    assert sum(evil in cell for cell in cells.rows[1]) == 5
    assert all(not re.match(r"\w+:|//", address) for address in cells.addresses)


def test_many_studies_are_pages_that_lead_to_each_other() -> None:
    count = 2 * PAGE_ROWS + 1
    rows = [row(f"{n}.png", f"nodule={n / count:.4f}", study=f"{n:04x}") for n in range(count)]
    files = written(rows)
    assert list(files) == ["index.html", "pages/2.html", "pages/3.html"]
    cells = {name: Cells(html) for name, html in files.items()}
    shown = [line for page in cells.values() for line in page.rows[1:]]
    assert [line[0] for line in shown] == [f"./{n}.png" for n in reversed(range(count))]
    for name, page in cells.items():
        assert page.rows[0] == cells["index.html"].rows[0]
        assert f"{count} draft reports" in files[name]
        found = {os.path.normpath(Path(name).parent / address) for address in page.addresses}
        reports = {address for address in found if address.startswith("studies/")}
        assert len(reports) == 2 * (len(page.rows) - 1)
        assert {*found} - reports <= {*files} and found - reports
    assert Cells(files["pages/2.html"]).addresses[:4] == [
        "../index.html",
        "../index.html",
        "../pages/3.html",
        "../pages/3.html",
    ]


def test_lines_of_probabilities_are_read_back() -> None:
    assert parse_probability("nodule=0.25") == ("nodule", 0.25)
    assert parse_probability("nodule=") == ("nodule", None)


@pytest.mark.parametrize("identifiers", [False, True])
def test_a_batch_writes_it_and_names_a_study_only_where_asked(
    tiny_generator: ReportGenerator, tmp_path: Path, make_dicom: Callable, identifiers: bool
) -> None:
    source = put(tmp_path / "in", {"a.dcm": make_dicom(), "b.txt": b"no image"})
    out = tmp_path / "out"
    run_batch(tiny_generator, source, out, BatchOptions(identifiers=identifiers))
    head, *lines = Cells((out / "index.html").read_text("utf-8")).rows
    assert [line[0] for line in lines] == ["./a.dcm", "./b.txt"]
    assert ("StudyInstanceUID" in head) is identifiers
    for path in (out / "index.html", out / "summary.csv"):
        for value in (PATIENT["StudyInstanceUID"], PATIENT["AccessionNumber"]):
            assert (value in path.read_text("utf-8")) is identifiers
        assert PATIENT["PatientID"] not in path.read_text("utf-8")
    with (out / "summary.csv").open(newline="") as file:
        [done, _] = csv.DictReader(file)
    assert done["status"] == "done"


def test_a_batch_puts_its_drafts_into_a_store_once(
    tiny_generator: ReportGenerator, tmp_path: Path, make_dicom: Callable, make_png: Callable
) -> None:
    source = put(tmp_path / "in", {"a.dcm": make_dicom(), "b.png": make_png(), "c.txt": b"x"})
    options = StoreOptions(tmp_path / "store")
    for out in ("one", "two"):
        run_batch(tiny_generator, source, tmp_path / out, BatchOptions(store=options))
    store = open_store(options)
    found = list_studies(store).studies
    store.close()
    assert sorted(study.name for study in found) == ["a.dcm", "b.png"]
    assert {study.source for study in found} == {"batch"}
