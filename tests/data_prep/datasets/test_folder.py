"""A hospital's own folder: what belongs together, and which report is whose."""

from collections.abc import Callable
from pathlib import Path

import pytest
from layouts import png, table
from material import PATIENT, put
from typer.testing import CliRunner

from app.cli.main import app
from data_prep.datasets.folder import FolderReader
from data_prep.datasets.report_table import ReportColumns, form
from data_prep.importing.planning import ImportOptions
from data_prep.importing.run import import_studies
from data_prep.source import DataSet
from model.errors import ConfigError, DataError

REPORT = "INDICATION: Cough.\nFINDINGS: The lungs are clear.\nIMPRESSION: Normal."


@pytest.fixture
def tree(tmp_path: Path, make_dicom: Callable) -> Path:
    """Two DICOM studies, one of them in two folders, a folder of PNGs and a PNG in SRC."""
    first = {"StudyInstanceUID": "1.2.3", "AccessionNumber": "A1", "PatientID": "P1"}
    second = {"StudyInstanceUID": "1.2.4", "AccessionNumber": "A2", "PatientID": "P1"}
    files = {
        "deep/er/a": make_dicom(**first),
        "other/b.dcm": make_dicom(ViewPosition="LL", **first),
        "other/c.dcm": make_dicom(StudyDate="20230101", **second),
        "pngs/0.png": png(1),
        "pngs/1.png": png(2),
        "lone.png": png(3),
        "notes.md": b"no image",
    }
    return put(tmp_path / "in", files)


def with_table(tree: Path, rows: list, **columns: str) -> FolderReader:
    header = ("study", "report", "who", "part")
    path = tree.parent / "reports.csv"
    path.write_bytes(table(header, [[*row, *[""] * (4 - len(row))] for row in rows]))
    return FolderReader(tree, path, ReportColumns(**{"report": "report", **columns}))


def names(study) -> set[str]:
    return {image.path.as_posix() for image in study.images}


def test_studies_are_told_by_header_and_by_folder(tree):
    reader = with_table(tree, [["1.2.3", REPORT]])
    groups = {frozenset(names(study)) for study in reader.studies()}
    assert groups == {
        frozenset({"deep/er/a", "other/b.dcm"}),
        frozenset({"other/c.dcm"}),
        frozenset({"pngs/0.png", "pngs/1.png"}),
        frozenset({"lone.png"}),
    }


def test_a_row_may_name_a_study_in_every_way(tree):
    keys = ["1.2.3", "A2", ".\\pngs\\", "lone"]
    reader = with_table(tree, [[key, REPORT] for key in keys])
    found = list(reader.studies())
    assert [study.findings for study in found] == ["The lungs are clear."] * 4
    assert {study.indication for study in found} == {"Cough."}
    assert reader.matched == {
        "StudyInstanceUID": 1,
        "accession number": 1,
        "folder name": 1,
        "file name": 1,
    }


def test_a_image_that_the_table_names_is_a_study_by_itself(tree):
    reader = with_table(tree, [["pngs/0.png", REPORT], ["pngs/1", REPORT]])
    by_name = {names(study).pop(): study for study in reader.studies() if study.findings}
    assert by_name.keys() == {"pngs/0.png", "pngs/1.png"}


def test_studies_of_one_patient_share_what_stands_for_the_number(tree):
    reader = with_table(tree, [["1.2.3", REPORT], ["lone", REPORT, "P9"]], patient="who")
    patients = {min(names(study)): study.patient for study in reader.studies()}
    assert patients["deep/er/a"] == patients["other/c.dcm"]
    assert patients["lone.png"] not in {None, "P9", patients["deep/er/a"]}
    assert patients["pngs/0.png"] is None


def test_splits_are_read_by_their_usual_names(tree):
    rows = [["1.2.3", REPORT, "", "TRAIN"], ["lone", REPORT, "", "val"], ["pngs", REPORT]]
    reader = with_table(tree, rows, split="part")
    assert {study.split for study in reader.studies() if study.findings} == {
        *("train", "validate", None)
    }
    with pytest.raises(DataError, match="row 2: the split 'third'"):
        list(with_table(tree, [["1.2.3", REPORT, "", "third"]], split="part").studies())


def test_texts_lie_beside_their_images(tree):
    put(tree, {"deep/er/r.txt": REPORT.encode(), "pngs/0.txt": b"Impression: Normal."})
    put(tree, {"lone.txt": b"FINDINGS: Clear."})
    reader = FolderReader(tree)
    said = {min(names(study)): study for study in reader.studies()}
    assert said["deep/er/a"].impression == "Normal."
    assert said["lone.png"].findings == "Clear."
    # A text of an image's own name is of this image alone.
    assert (said["pngs/0.png"].impression, said["pngs/1.png"].impression) == ("Normal.", "")
    assert reader.matched == {"text file": 3}


def test_nothing_found_is_told_by_form_alone(tree):
    with pytest.raises(DataError, match="values such as 'aaa-99'") as error:
        list(with_table(tree, [["XYZ-77", REPORT]]).studies())
    message = str(error.value)
    assert "9.9.9" in message and "a9" in message
    assert not any(secret in message for secret in ("XYZ-77", "1.2.3", "A1", "A2"))
    with pytest.raises(DataError, match=r"no \.txt file lies beside"):
        list(FolderReader(tree).studies())


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [
        ([["1.2.3", "a"], ["1.2.3", "b"]], {}, "row 2 and reports.csv row 3 name one study"),
        ([["", "a"]], {}, "row 2 names no study in the column 'study'"),
        ([["1.2.3", "a"]], {"study": "uid"}, "no column 'uid'; it has 'study, report, who, part'"),
    ],
)
def test_a_table_that_cannot_be_is_refused(tree, rows, columns, expected):
    with pytest.raises(DataError, match=expected):
        list(with_table(tree, rows, **columns).studies())


def test_columns_must_say_where_the_reports_are():
    with pytest.raises(ConfigError, match="--report-column"):
        ReportColumns()
    with pytest.raises(ConfigError, match="whole reports"):
        ReportColumns(report="a", findings="b")


def test_no_image_and_no_folder_are_told(tmp_path):
    with pytest.raises(DataError, match="no DICOM, PNG or JPEG file"):
        list(FolderReader(put(tmp_path, {"a.txt": b""})).studies())
    with pytest.raises(DataError, match="is not there"):
        list(FolderReader(tmp_path / "nowhere").studies())


def test_a_form_keeps_what_does_not_identify():
    assert form("s50/AB-12_c.é") == "a99/aa-99_a.a"


def test_nothing_that_identifies_comes_out(tmp_path: Path, make_dicom: Callable) -> None:
    """What the header holds of a patient is in no file, and in no name, of the prepared folder."""
    secret = put(tmp_path / "in", {"1/a.dcm": make_dicom(), "1/r.txt": REPORT.encode()})
    reader = FolderReader(secret)
    out, options = tmp_path / "out", ImportOptions(size=64, seed=0)
    import_studies(out, DataSet({"source": "folder"}, secret, reader.studies()), options, 1, False)
    files = [path for path in out.rglob("*") if path.is_file()]
    assert {"studies.jsonl", "ledger.sqlite"} <= {path.name for path in files}
    for path in files:
        for kind, value in PATIENT.items():
            if kind != "StudyDate":  # the ledger orders a patient's studies by it
                assert value.encode() not in path.read_bytes() and value not in path.name


def test_the_command_tells_what_came_of_it(tree: Path, tmp_path: Path) -> None:
    table_ = tmp_path / "reports.csv"
    rows = [[key, REPORT, "train"] for key in ("1.2.3", "A2", "lone", "nobody")]
    table_.write_bytes(table(("study", "report", "part"), rows))
    words = ["prepare", "folder", tree, tmp_path / "out", "--reports", table_, "--workers", 1]
    words += ["--report-column", "report", "--split-column", "part", "--size", 64]
    told = CliRunner().invoke(app, [str(word) for word in words])
    assert told.exit_code == 0, told.output
    assert "train 3, validate 0, test 0" in told.stdout
    assert "no image is named 1, no report in the wanted sections 1" in told.stdout
    assert "StudyInstanceUID 1, accession number 1, file name 1" in told.stdout


def test_a_folder_of_several_studies_gives_none_of_them_its_text(tree):
    """`other/` holds files of two studies: its text would be told of both."""
    put(tree, {"other/report.txt": REPORT.encode(), "deep/er/r.txt": b"Impression: Normal."})
    said = {min(names(study)): study for study in FolderReader(tree).studies()}
    assert said["deep/er/a"].impression == "Normal."
    assert not said["other/c.dcm"].findings
    reader = with_table(tree, [["other", REPORT], ["A1", REPORT]])
    [second] = [study for study in reader.studies() if names(study) == {"other/c.dcm"}]
    assert not second.findings


def test_a_time_without_its_date_is_no_time(tmp_path: Path, make_dicom: Callable) -> None:
    put(tmp_path, {"a": make_dicom(StudyDate="", StudyTime="235900"), "a.txt": REPORT.encode()})
    [study] = FolderReader(tmp_path).studies()
    assert study.time == ""
