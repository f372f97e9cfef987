"""Both releases of MIMIC-CXR, and every way in which a download is not what it must be."""

import csv
import gzip
import json
from pathlib import Path

import pytest
from mimic_tree import write_mimic
from typer.testing import CliRunner

from app.cli.main import app
from data_prep.datasets.mimic_cxr import studies
from data_prep.importing.run import ImportOptions, import_studies
from data_prep.manifest import read_studies
from data_prep.source import DataSet
from model.errors import DataError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "mimic"
    write_mimic(folder, 10)
    return folder


def table(folder: Path, kind: str) -> Path:
    return folder / f"mimic-cxr-2.0.0-{kind}.csv"


def edit(path: Path, change) -> None:
    """Write a table back with its rows, header included, as `change` returns them."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(change(rows))


def test_a_study_is_told_with_all_that_the_tables_say(tree):
    told = list(studies(tree))
    assert len(told) == 20
    first, second = told[:2]
    assert [image.view for image in first.images] == ["PA", "LATERAL"]
    assert all((tree / image.path).is_file() for each in told for image in each.images)
    assert (first.id, first.patient, first.split) == ("50000000", "10000000", "train")
    assert first.findings.startswith("There is a small left pleural effusion. Number 0 of this")
    assert first.impression == "Small left pleural effusion."
    assert first.indication == "___-year-old with cough."
    assert first.comparison == "___."
    assert first.labels == {"Edema": 0, "Pleural Effusion": 1, "Pneumothorax": -1}
    assert first.origin == "p10/p10000000/s50000000.txt"
    assert first.time < second.time, "the day before, though later in the day"
    assert {each.split for each in told} == {"train", "validate", "test"}


def test_times_of_one_day_sort_though_the_table_drops_their_zeros(tree):
    def on_one_day(rows):
        return [
            rows[0],
            *([*row[:5], "21800506", time] for row, time in zip(rows[1:], times, strict=True)),
        ]

    times = ["93015.5", "93015.5", "213014.0", *["1.0"] * 27]
    edit(table(tree, "metadata"), on_one_day)
    first, second = list(studies(tree))[:2]
    assert first.time < second.time


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("ending", [".jpg", ".dcm"])
def test_releases_differ_in_endings_alone(tmp_path, tree, ending, gzipped):
    folder, reports = tmp_path / "other", tmp_path / "reports"
    write_mimic(folder, 10, ending, gzipped, reports)
    for one, other in zip(studies(tree), studies(folder, reports), strict=True):
        paths = [image.path.with_suffix(ending) for image in one.images]
        assert [image.path for image in other.images] == paths
        assert (one.id, one.findings, one.time, one.labels) == (
            *(other.id, other.findings, other.time, other.labels),
        )


@pytest.mark.parametrize(
    ("said", "view"),
    [
        *(("PA", "PA"), ("AP", "AP"), ("LATERAL", "LATERAL"), ("LL", "LATERAL"), ("ll", "LATERAL")),
        *(("", None), ("LPO", None), ("AP LLD", None), ("SWIMMERS", None)),
    ],
)
def test_what_is_plainly_frontal_or_lateral_is_told(tree, said, view):
    edit(
        table(tree, "metadata"), lambda rows: [rows[0], *([*r[:2], said, *r[3:]] for r in rows[1:])]
    )
    assert {image.view for each in studies(tree) for image in each.images} == {view}


def test_labels_are_of_negbio_where_chexpert_is_not_there(tree):
    expected = [each.labels for each in studies(tree)]
    table(tree, "chexpert").rename(table(tree, "negbio"))
    assert [each.labels for each in studies(tree)] == expected
    table(tree, "negbio").unlink()
    assert {each.labels for each in studies(tree)} == {None}


def test_the_newest_table_is_taken(tree):
    newer = tree / "mimic-cxr-2.1.0-split.csv.gz"
    newer.write_bytes(gzip.compress(table(tree, "split").read_bytes().replace(b"train", b"test")))
    (tree / "mimic-cxr-2.1.0-test-set-labeled.csv").write_text("study_id\n1\n")
    assert "train" not in {each.split for each in studies(tree)}


def test_a_table_that_was_unpacked_is_taken_before_the_packed_one(tree):
    packed = table(tree, "split").with_suffix(".csv.gz")
    packed.write_bytes(gzip.compress(table(tree, "split").read_bytes()))
    edit(table(tree, "split"), lambda rows: rows[:4])
    assert len(list(studies(tree))) == 2


def test_a_missing_report_is_named_and_the_others_are_told(tree):
    (tree / "files" / "p10" / "p10000000" / "s50000000.txt").unlink()
    first, second = list(studies(tree))[:2]
    assert (first.findings, first.impression) == ("", "")
    assert first.origin == "p10/p10000000/s50000000.txt, which is not there"
    assert second.findings


def gone(kind):
    return lambda tree: table(tree, kind).unlink()


def without_column(kind, name):
    def change(rows):
        at = rows[0].index(name)
        return [row[:at] + row[at + 1 :] for row in rows]

    return lambda tree: edit(table(tree, kind), change)


def with_cell(kind, row, column, value):
    def change(rows):
        rows[row - 1][rows[0].index(column)] = value
        return rows

    return lambda tree: edit(table(tree, kind), change)


def without_files(pattern, keep=0):
    def change(tree):
        for path in sorted(tree.rglob(pattern))[keep:]:
            path.unlink()

    return change


def twice(kind):
    return lambda tree: edit(table(tree, kind), lambda rows: [*rows, rows[1]])


def cut_short(tree):
    whole = gzip.compress(table(tree, "split").read_bytes())
    table(tree, "split").unlink()
    (tree / "mimic-cxr-2.0.0-split.csv.gz").write_bytes(whole[:60])


WRONG = {
    "no split": (gone("split"), r"2\.0\.0-split\.csv\.gz in .*mimic.*mimic-cxr-jpg.*lay it beside"),
    "no metadata": (gone("metadata"), r"no mimic-cxr-2\.0\.0-metadata\.csv\.gz in .*MIMIC-CXR-JPG"),
    "no column": (
        without_column("metadata", "ViewPosition"),
        r"metadata\.csv has no column 'ViewPosition'; it has 'dicom_id, .*StudyTime'",
    ),
    "no label": (without_column("chexpert", "Edema"), r"chexpert\.csv has no column 'Edema'"),
    "a label": (with_cell("chexpert", 3, "Edema", "2.0"), r"row 3: Edema is '2\.0', expected 1, 0"),
    "a path in an id": (
        with_cell("split", 4, "dicom_id", "../../x"),
        r"split\.csv row 4: '\.\./\.\./x' is no dicom_id",
    ),
    "a subject in two splits": (
        with_cell("split", 4, "split", "test"),
        r"rows 2 and 4 are of one subject but of two splits",
    ),
    "a study of two subjects": (
        with_cell("split", 3, "subject_id", "10000001"),
        r"rows 2 and 3 are of one study but of two subjects",
    ),
    "an image twice": (twice("split"), r"row 32 names a dicom_id a second time"),
    "a study's labels twice": (twice("chexpert"), r"row 22 names a study_id a second time"),
    "an image without metadata": (
        with_cell("metadata", 3, "dicom_id", "0"),
        r"1 images of .*split\.csv, first row 3, have no row in .*metadata\.csv",
    ),
    "half a download of a table": (
        cut_short,
        r"split\.csv\.gz cannot be read as CSV.*fetch it again",
    ),
    "no image": (
        without_files("*.jpg"),
        r"no image is there, looked for 'files/p10/p10000000/",
    ),
    "no report": (
        without_files("*.txt"),
        r"no report is there, looked for 'files/p10/p10000000/s50000000\.txt'.*mimic-cxr-reports",
    ),
    "few reports": (
        without_files("*.txt", keep=5),
        r"15 of 20 reports are not there, first 'p10/p10000\d+/s50\d+\.txt', looked for in",
    ),
    "a report that is no text": (
        lambda tree: next(tree.rglob("*.txt")).write_bytes(b"\xff\xfe\x00"),
        r"s50\d+\.txt is not UTF-8",
    ),
    "a report without end": (
        lambda tree: next(tree.rglob("*.txt")).write_bytes(b"a" * (2**20 + 1)),
        r"s50\d+\.txt has more than 1048576 bytes",
    ),
}


@pytest.mark.parametrize(("harm", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(tree, harm, message):
    harm(tree)
    with pytest.raises(DataError, match=f"(?s){message}"):
        list(studies(tree))


def contents(out):
    files = (path for path in out.rglob("*") if path.is_file() and "ledger" not in path.name)
    return {path: path.read_bytes() for path in files}


def test_what_was_prepared_is_kept_when_a_table_goes_wrong(tree, tmp_path):
    out = tmp_path / "prepared"
    asked = {"source": "mimic-cxr"}
    summary = import_studies(out, DataSet(asked, tree, studies(tree)), workers=1, progress=False)
    assert summary.studies == {"train": 16, "validate": 2, "test": 2}
    before = contents(out)
    gone("split")(tree)
    with pytest.raises(DataError, match="split"):
        import_studies(out, DataSet(asked, tree, studies(tree)), workers=1, progress=False)
    assert contents(out) == before


def test_a_prepared_folder_has_the_official_split_and_no_marks(tree, tmp_path):
    out = tmp_path / "prepared"
    import_studies(
        out,
        DataSet({"source": "mimic-cxr"}, tree, studies(tree)),
        ImportOptions(prior=True),
        1,
        False,
    )
    told = {study.id: study for study in studies(tree)}
    for study in read_studies(out):
        assert study.split == told[study.id].split
        assert "___" not in study.report + study.comparison
        assert study.indication == "With cough."
        assert study.report.startswith("Findings: There is a small left pleural effusion. Number")
        assert {p.source for p in study.images if not p.prior} == {
            image.path.stem for image in told[study.id].images
        }
    assert any(image.prior for study in read_studies(out) for image in study.images)


def test_the_commands_prepare_export_and_attach(tree, tmp_path):
    def run(*words):
        result = CliRunner().invoke(app, ["prepare", *map(str, words)])
        assert result.exit_code == 0, result.output
        return result.output

    out, annotation = tmp_path / "prepared", tmp_path / "annotation.json"
    told = run("mimic-cxr", tree, out, "--workers", 1, "--export-r2gen", annotation)
    assert "train 16, validate 2, test 2" in told
    assert len(json.loads(annotation.read_text())["train"]) == 16
    boxes = tmp_path / "MS_CXR_Local_Alignment_v1.1.0.csv"
    dicom = next(studies(tree)).images[0].path.stem
    boxes.write_text(
        "category_name,label_text,path,x,y,w,h,image_width,image_height,dicom_id\n"
        f"Pleural Effusion,small left pleural effusion,a.jpg,8,16,24,32,64,64,{dicom}\n"
    )
    told = run("boxes", out, boxes)
    assert "1, from 1 regions on 1 images" in told and "2 in reports" in told
    [study] = [study for study in read_studies(out) if study.findings]
    assert study.findings[0].box == (8, 16, 32, 48)
    assert {study.report[p.start : p.end].lower() for p in study.phrases} == {
        "small left pleural effusion"
    }
