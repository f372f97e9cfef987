"""Tables as people have them: read where they can only mean one thing, else the row is named."""

import gzip
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from layouts import png
from material import put
from paths import SHARED

from data_prep.datasets.folder import FolderReader
from data_prep.datasets.report_table import ReportColumns
from data_prep.tables import Row, is_blank, parse_json, read_json, read_rows
from model.errors import DataError
from training.report_scores.label import run_label
from training.report_scores.report_files import match, read_references, read_reports

CASES = SHARED / "cases"
PLAIN = "study,report\ns1,Clear.\ns2,A left effusion.\n"


@pytest.fixture
def rows(tmp_path: Path) -> Callable[[str | bytes], list[Row]]:
    def read(content: str | bytes) -> list[Row]:
        path = tmp_path / "table.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return [row for _, row in read_rows(path, ("study", "report"))]

    return read


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace("\n", "\r\n"),
        "\ufeff" + PLAIN,
        PLAIN.replace("study,report", "Study,REPORT"),
        PLAIN.replace("study,report", " study , report ,,").replace(".\n", ".,,\n"),
        PLAIN.replace("s1,Clear.", 's1,"Clear."') + "\n,\n",
    ],
)
def test_what_spreadsheets_write_is_the_same_table(
    rows: Callable[[str | bytes], list[Row]], content: str
) -> None:
    expected = [{"study": "s1", "report": "Clear."}, {"study": "s2", "report": "A left effusion."}]
    assert [{name: row[name] for name in ("study", "report")} for row in rows(content)] == expected


def test_windows_1252_is_read_and_reported(
    rows: Callable[[str | bytes], list[Row]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        [row] = rows("study,report\ns1,37 °C clear\n".encode("cp1252"))
    assert row["report"] == "37 °C clear"
    assert "table.csv is not UTF-8" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("study,report\ns1,Clear, no effusion.\ns2,Clear.\n", r"row 2 has 3 fields for 2 columns"),
        ('study,report\ns1,Clear.\ns2,"Clear.\ns3,Clear.\n', r"row 3, which begins on line 3,"),
        ('study,report\ns1,"Clear.\ns2,"Effusion."\n', r"row 2, which begins on line 2,"),
        ('study,report\ns1,"Two\nlines."\ns2,"Clear.\n', r"row 3, which begins on line 4,"),
        ("study,report,report\ns1,Clear.,No.\n", r"column 'report' twice"),
        ("study,text\ns1,Clear.\n", r"no column 'report'; it has 'study, text'"),
    ],
)
def test_a_broken_row_is_named(
    rows: Callable[[str | bytes], list[Row]], content: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        rows(content)


def test_a_gzipped_table_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "plain.csv").write_text(PLAIN)
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(PLAIN.encode()))
    plain, packed = (
        [row for _, row in read_rows(tmp_path / name)] for name in ("plain.csv", "packed.csv.gz")
    )
    assert plain == packed and len(plain) == 2


def test_json_with_a_key_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "reports.json"
    path.write_text('{"s1": "Clear.", "s2": "Effusion.", "s1": "Cardiomegaly."}')
    with pytest.raises(DataError, match=r"reports\.json' has the key 's1' twice"):
        read_json(path)
    assert parse_json('{"s1": {"a": 1}, "s2": {"a": 2}}', "x") == {"s1": {"a": 1}, "s2": {"a": 2}}


@pytest.mark.parametrize(
    ("text", "blank"),
    [
        ("", True),
        (" \t", True),
        ("...", True),
        ("-", True),
        ("nan", True),
        ("NaN", True),
        ("n/a", True),
        ("12", True),
        ("Normal.", False),
        ("None of the tubes moved.", False),
    ],
)
def test_what_is_no_report(text: str, blank: bool) -> None:
    assert is_blank(text) == blank


@pytest.mark.parametrize("empty", ["", "nan", "...", "-"])
def test_an_empty_report_is_no_normal_one(tmp_path: Path, empty: str) -> None:
    """Labels are blank and said to be; scores are refused."""
    path = tmp_path / "reports.csv"
    path.write_text(f"study,report\ns1,{empty}\ns2,There is a left effusion.\n")
    printed = run_label(path, tmp_path / "labels.csv")
    assert "1 reports are empty, such as that of 's1'" in printed
    assert (tmp_path / "labels.csv").read_text().splitlines()[1] == "s1" + "," * 14
    with pytest.raises(DataError, match="1 generated reports are empty, such as that of 's1'"):
        match(read_reports(path), read_references(path))
    path.write_text(f"study,report\ns1,{empty}\n")
    with pytest.raises(DataError, match="all 1 reports"):
        run_label(path)


NAMES = ("img 0.png", "Sub/img 1.png")
"""Files below the folder "src"."""


@pytest.mark.parametrize(
    "called",
    [
        NAMES,
        ("src\\img 0.png", "src\\Sub\\img 1.png"),
        ("C:\\data\\src\\img 0.png", "C:\\data\\src\\Sub\\img 1.png"),
        ("/data/SRC/img 0.png", "/data/SRC/Sub/img 1.png"),
        ("IMG 0.PNG", "SUB\\IMG 1.PNG"),
        ("Img 0", "sub/img 1"),
    ],
)
def test_files_are_found_by_windows_paths_and_in_any_case(
    tmp_path: Path, called: tuple[str, str]
) -> None:
    source = put(tmp_path / "src", {name: png(k) for k, name in enumerate(NAMES)})
    table = tmp_path / "reports.csv"
    table.write_text(f"study,report\n{called[0]},Clear number 0.\n{called[1]},Clear number 1.\n")
    reader = FolderReader(source, table, ReportColumns(report="report"))
    read = {study.images[0].path.as_posix(): study.findings for study in reader.studies()}
    assert read == {name: f"Clear number {k}." for k, name in enumerate(NAMES)}


def test_a_name_that_two_files_share_but_for_case_is_nobodys(tmp_path: Path) -> None:
    source = put(tmp_path / "src", {"a.png": png(1), "A.png": png(2), "b.png": png(3)})
    table = tmp_path / "reports.csv"
    table.write_text("study,report\nA.PNG,Clear.\nb.png,An effusion.\n")
    reader = FolderReader(source, table, ReportColumns(report="report"))
    found = [(len(study.images), study.findings) for study in reader.studies()]
    assert sorted(found) == [(0, "Clear."), (1, ""), (1, ""), (1, "An effusion.")]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("14_csv_row_too_long/comma_unquoted.csv", "row 2 has 3 fields"),
        ("14_csv_row_too_long/unq.csv", "row 2 has 3 fields"),
        ("15_csv_quote_never_closed/unbal.csv", "row 7, which begins on line 7,"),
        ("15_csv_quote_never_closed/unbalanced.csv", "row 2, which begins on line 2,"),
    ],
)
def test_cases_14_and_15_are_refused(case: str, message: str) -> None:
    if not (CASES / case).exists():
        pytest.skip(f"{CASES / case} is absent")
    with pytest.raises(DataError, match=message):
        read_reports(CASES / case)


@pytest.mark.parametrize(("name", "count"), [("empty", 1), ("nan", 1), ("punct_only", 2)])
def test_case_17_is_blank(name: str, count: int) -> None:
    path = CASES / "17_empty_report_labelled_no_finding" / f"{name}.csv"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    assert f"{count} reports are empty" in run_label(path)


@pytest.mark.parametrize("name", ["semi", "cp1252", "upper", "winpath"])
def test_case_21_is_read(tmp_path: Path, name: str) -> None:
    path = CASES / "21_winpath_and_case" / f"{name}.csv"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    source = put(tmp_path / "src", {f"img {k}.png": png(k) for k in range(12)})
    reader = FolderReader(source, path, ReportColumns(report="report"))
    for study in reader.studies():
        number = study.images[0].path.stem.removeprefix("img ")
        assert study.findings == f"The lungs are clear, no effusion number {number}."


def test_case_21_has_headings_in_capitals() -> None:
    path = CASES / "21_winpath_and_case" / "caps_head.csv"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    assert list(read_reports(path)) == ["s1", "s2", "s3"]
