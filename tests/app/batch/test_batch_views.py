"""The batch given lateral views and indications, as the checkpoint reads them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from batch_output import contents, rows
from material import PATIENT, PROMPT_TOKENS, chest, put

from app.api.schemas import ReportAnswer
from app.batch.grouping import study_of
from app.batch.indications import Row, match_indications, read_indications
from app.batch.run import BatchOptions, Outcome, run_batch
from app.cli.batch_output import batch_text
from model.errors import ConfigError, DataError
from model.generator import ReportGenerator

UID = PATIENT["StudyInstanceUID"]


def table(folder: Path, *lines: Sequence[str]) -> Path:
    """A CSV file of (study, indication) below its head."""
    text = "".join(f'"{study}","{indication}"\n' for study, indication in lines)
    return put(folder, {"given.csv": f"study,indication\n{text}".encode()}) / "given.csv"


def answers(out: Path) -> list[ReportAnswer]:
    paths = sorted(out.glob("studies/*/report.json"))
    return [ReportAnswer.model_validate_json(path.read_text("utf-8")) for path in paths]


@pytest.fixture
def folder(tmp_path: Path, make_dicom: Callable, make_png: Callable) -> Path:
    files = {
        "one/a side.dcm": make_dicom(chest(1), ViewPosition="LL"),
        "one/front.dcm": make_dicom(),
        "two.png": make_png(3),
    }
    return put(tmp_path / "in", files)


def test_frontal_views_come_before_lateral_ones(
    folder: Path, tmp_path: Path, seeing_generator: ReportGenerator
) -> None:
    out = tmp_path / "out"
    assert run_batch(seeing_generator, folder, out) == Outcome(done=2)
    [two, one] = sorted(rows(out), key=lambda row: row["images"])
    assert one["sources"] == "./one/front.dcm\n./one/a side.dcm"
    assert one["views"] == "PA\nlateral"
    assert (two["sources"], two["views"]) == ("./two.png", "view not stated")
    report = out / "studies" / one["study"] / "report.json"
    images = json.loads(report.read_text())["images"]
    assert [(image["view"], image["prior"]) for image in images] == [
        ("PA", False),
        ("LATERAL", False),
    ]
    before = rows(out)
    assert run_batch(seeing_generator, folder, out) == Outcome(kept=2)
    assert rows(out) == before


def test_a_lateral_alone_is_a_study_where_the_model_reads_them(
    tmp_path: Path,
    seeing_generator: ReportGenerator,
    tiny_generator: ReportGenerator,
    make_dicom: Callable,
) -> None:
    source = put(tmp_path / "in", {"a": make_dicom(ViewPosition="LL")})
    assert run_batch(seeing_generator, source, tmp_path / "seeing").done == 1
    outcome = run_batch(tiny_generator, source, tmp_path / "frontal")
    assert (outcome.done, [file.status for file in outcome.unread]) == (0, ["skipped"])


@pytest.mark.parametrize("name", [UID, "one/front.dcm", "./one/a side.dcm", "one", "one/"])
def test_a_study_is_called_by_its_uid_a_file_or_a_folder(
    folder: Path, tmp_path: Path, seeing_generator: ReportGenerator, name: str
) -> None:
    out, given = tmp_path / "out", table(tmp_path, (name, "The lungs."))
    assert run_batch(seeing_generator, folder, out, BatchOptions(indications=given)).unmatched == ()
    told = {len(answer.images): answer.indication for answer in answers(out)}
    assert told == {2: "The lungs.", 1: ""}


def test_a_changed_indication_has_its_study_done_again_and_no_other(
    folder: Path, tmp_path: Path, seeing_generator: ReportGenerator
) -> None:
    out = tmp_path / "out"

    def run(*lines: Sequence[str]) -> tuple[int, int]:
        given = table(tmp_path, *lines) if lines else None
        outcome = run_batch(seeing_generator, folder, out, BatchOptions(indications=given))
        return outcome.done, outcome.kept

    assert run() == (2, 0)
    assert run(("one", "The lungs.")) == (1, 1)
    assert run(("one", " The  lungs. ")) == (0, 2)
    assert run(("one", "The heart.")) == (1, 1)
    assert run(("one", "The heart."), ("two.png", "")) == (0, 2)
    assert run() == (1, 1)


def test_rows_of_no_study_are_told_by_number_and_not_by_content(
    folder: Path, tmp_path: Path, seeing_generator: ReportGenerator
) -> None:
    lines = [("Quillfeather", "x"), ("one", "The lungs."), ("", "secret"), (f"{UID}.1", "y")]
    given = table(tmp_path, *lines)
    out = tmp_path / "out"
    outcome = run_batch(seeing_generator, folder, out, BatchOptions(indications=given))
    assert outcome.unmatched == (2, 4, 5)
    printed = batch_text(outcome, str(out / "summary.csv"))
    assert "belong to no study: 2, 4, 5" in printed
    assert "Quillfeather" not in printed and "secret" not in printed and UID not in printed


def test_no_indication_is_in_a_name_a_record_or_the_summary(
    folder: Path, tmp_path: Path, seeing_generator: ReportGenerator
) -> None:
    out = tmp_path / "out"
    given = table(tmp_path, (UID, "Quillfeather"))
    run_batch(seeing_generator, folder, out, BatchOptions(indications=given))
    holding = {name for name, data in contents(out).items() if b"Quillfeather" in data}
    assert holding == {f"studies/{study_of(UID)}/report.json"}
    assert not any(UID.encode() in data or UID in name for name, data in contents(out).items())


def test_an_indication_that_is_too_long_costs_its_own_study_only(
    folder: Path, tmp_path: Path, seeing_generator: ReportGenerator
) -> None:
    given = table(tmp_path, ("one", "Q" * (PROMPT_TOKENS + 1)))
    outcome = run_batch(seeing_generator, folder, tmp_path / "out", BatchOptions(indications=given))
    assert outcome.done == 1
    assert {file.name for file in outcome.unread} == {"./one/a side.dcm", "./one/front.dcm"}
    for file in outcome.unread:
        assert file.status == "failed" and f"this model reads {PROMPT_TOKENS}" in file.reason
        assert "QQ" not in file.reason


def test_indications_for_a_model_that_reads_none_are_refused(
    folder: Path, tmp_path: Path, tiny_generator: ReportGenerator
) -> None:
    given = table(tmp_path, ("one", "The lungs."))
    with pytest.raises(ConfigError, match="--indications"):
        run_batch(tiny_generator, folder, tmp_path / "out", BatchOptions(indications=given))
    assert not (tmp_path / "out").exists()


def test_two_rows_of_one_study_that_differ_are_refused() -> None:
    studies = [("key", ["./one/a", "./one/b"]), (study_of("1.2"), ["./two/c"])]
    rows = [Row(2, "one", "A."), Row(3, "one/b", "B."), Row(4, "1.2", "C."), Row(5, "two", "C.")]
    found, left = match_indications(rows[2:], studies)
    assert (found, left) == ({study_of("1.2"): "C."}, [])
    with pytest.raises(DataError, match="rows 2 and 3 of the indications"):
        match_indications(rows, studies)


def test_a_folder_speaks_for_all_studies_below_it() -> None:
    studies = [("a", ["./x/y/1.png"]), ("b", ["./x/2.png"]), ("c", ["./xx/3.png"])]
    assert match_indications([Row(2, "x", "A.")], studies) == ({"a": "A.", "b": "A."}, [])


@pytest.mark.parametrize(
    "content",
    [
        b"study,indication\none,The lungs.\n",
        b"\xef\xbb\xbfIndication , Study,more\r\n The\tlungs. ,one,x\r\n",
        b'study,indication\n"one","The\nlungs."\n',
        b"study;indication\none;The lungs.\n",
    ],
)
def test_tables_as_spreadsheets_write_them_are_read(tmp_path: Path, content: bytes) -> None:
    path = put(tmp_path, {"given.csv": content}) / "given.csv"
    assert read_indications(path) == [Row(2, "one", "The lungs.")]


def test_rows_are_counted_as_spreadsheets_count_them(tmp_path: Path) -> None:
    content = b'study,indication\n"a","on\ntwo lines"\n\nb\n'
    path = put(tmp_path, {"given.csv": content}) / "given.csv"
    assert read_indications(path) == [Row(2, "a", "on two lines"), Row(4, "b", "")]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no column 'study', 'indication'"),
        (b"Quillfeather,cough\n", "no column 'study', 'indication'"),
        (b"study,reason\none,Quillfeather\n", "no column 'indication'"),
        (b"study,study,indication\n", "column 'study' twice"),
        (b"study,indication\none,x\ntwo,Quillfeather,x\n", "row 3 has 3 fields"),
        (b"study,indication\none,Quillfeather\x81\n", "not UTF-8"),
        (b'study,indication\none,"Quillfeather\n', "row 2, which begins on line 2"),
    ],
)
def test_what_is_no_table_of_indications_is_refused_without_a_quote(
    tmp_path: Path, content: bytes, told: str
) -> None:
    path = put(tmp_path, {"given.csv": content}) / "given.csv"
    with pytest.raises(DataError, match=told) as raised:
        read_indications(path)
    assert "Quillfeather" not in str(raised.value)


def test_a_table_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_indications(tmp_path / "absent.csv")
