"""Exported documents: what they say, and that a PDF is one."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from kept_studies import CHIEF, EVERYBODY, new_study

from app.export.pdf import report_pdf
from app.export.text import report_text
from app.store import edits
from app.store.records import Study
from app.store.store import Store, open_store
from app.store.studies import add_study, open_study, preview_file
from app.store_options import StoreOptions


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(StoreOptions(tmp_path / "store"), lambda: 1_700_000_000_000)


@pytest.fixture
def study(store: Store) -> str:
    return add_study(store, new_study(name="<b>ward & 3</b>"), EVERYBODY)


def pdf_text(store: Store, kept: Study, tmp_path: Path, paper: str = "a4") -> str:
    """The words of the PDF, as poppler reads them."""
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed (Debian: poppler-utils)")
    path = tmp_path / "report.pdf"
    path.write_bytes(report_pdf(kept, [preview_file(store, i) for i in kept.images], paper))
    command = ["pdftotext", "-layout", str(path), "-"]
    return " ".join(subprocess.run(command, capture_output=True, text=True).stdout.split())


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ("", "UNSIGNED DRAFT"),
        ("review", "UNSIGNED. Reviewed by Dr. Chief"),
        ("sign", "Signed by Dr. Chief, 2023-11-14 22:13 UTC; the draft was accepted unchanged."),
        ("reject", "REJECTED by Dr. Chief, 2023-11-14 22:13 UTC: wrong patient."),
        ("sign amend", "Addendum by Dr. Chief, 2023-11-14 22:13 UTC"),
    ],
)
def test_every_document_says_who_answers_for_it(
    store: Store, study: str, tmp_path: Path, steps: str, told: str
) -> None:
    for number, step in enumerate(steps.split(), 1):
        {
            "review": lambda n: edits.review(store, study, n, CHIEF),
            "sign": lambda n: edits.sign(store, study, n, CHIEF, "Dr. Chief"),
            "reject": lambda n: edits.reject(store, study, n, CHIEF, "wrong patient"),
            "amend": lambda n: edits.add_addendum(store, study, n, CHIEF, "More.", "Dr. Chief"),
        }[step](number)
    kept = open_study(store, study, EVERYBODY)
    plain = " ".join(report_text(kept).split())
    for document in (plain, pdf_text(store, kept, tmp_path)):
        assert told in document
        assert "There is a left pneumothorax." in document
        assert "<b>ward & 3</b>" in document
        assert "Research software, not for diagnosis" in document


@pytest.mark.parametrize(("paper", "points"), [("a4", (595, 842)), ("letter", (612, 792))])
def test_a_pdf_has_its_paper_and_its_pictures(
    store: Store, study: str, paper: str, points: tuple[int, int]
) -> None:
    kept = open_study(store, study, EVERYBODY)
    previews = [preview_file(store, image) for image in kept.images]
    content = report_pdf(kept, previews, paper)
    [box] = set(re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", content))
    assert tuple(round(float(side)) for side in box) == points
    assert content.count(b"/Subtype /Image") == 2  # the radiograph, and the map of its finding
    assert content == report_pdf(kept, previews, paper)
