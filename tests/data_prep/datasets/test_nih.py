"""NIH ChestX-ray14: labels, and a report of them that our own reader reads back."""

import pytest
from layouts import nih_official, nih_small, table
from material import put
from paths import SHARED

from data_prep.datasets.nih import LABELS, report, studies
from model.errors import DataError
from model.report_text.parser import read_findings

REAL = SHARED / "data" / "nih"
READ_AS = {
    "Atelectasis": "atelectasis",
    "Cardiomegaly": "cardiomegaly",
    "Consolidation": "opacity",
    "Edema": "edema",
    "Effusion": "pleural_effusion",
    "Emphysema": "hyperinflation",
    "Hernia": "hiatal_hernia",
    "Infiltration": "opacity",
    "Mass": "nodule",
    "Nodule": "nodule",
    "Pneumonia": "opacity",
    "Pneumothorax": "pneumothorax",
}


@pytest.mark.parametrize("label", LABELS)
def test_the_reader_reads_back_what_a_label_says(label):
    read = [assertion.name for assertion in read_findings(report(frozenset({label})))]
    assert read == ([READ_AS[label]] if label in READ_AS else [])


def test_all_labels_at_once_and_none():
    read = {assertion.name for assertion in read_findings(report(frozenset(LABELS)))}
    assert read == set(READ_AS.values())
    assert not read_findings(report(frozenset()))


def test_the_official_layout(tmp_path):
    found = {study.id: study for study in studies(nih_official(tmp_path))}
    assert len(found) == 6
    for study in found.values():
        [image] = study.images
        assert (tmp_path / image.path).is_file()
        assert image.view == ("AP" if study.id.endswith("1") else "PA")
        assert (study.split == "test") == (study.patient == "3")
        assert study.split in {"train", "validate", "test"}
    first, second = found["00000001_000"], found["00000001_001"]
    assert first.time < second.time and first.split == second.split
    assert [label for label, value in first.labels.items() if value] == ["Effusion", "Hernia"]
    assert not any(second.labels.values()) and second.labels.keys() == set(LABELS)


def test_without_the_lists_the_split_is_left_to_the_hash(tmp_path):
    assert {study.split for study in studies(nih_official(tmp_path, lists=False))} == {None}


def test_the_small_layout(tmp_path):
    [study] = studies(nih_small(tmp_path))
    assert (study.patient, study.images[0].view) == ("0", "PA")
    assert study.findings == "Mass. Nodule."


HEADER = ("image", "patient", "labels", "age", "sex", "view")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"readme.txt": b""}, "looked for Data_Entry_2017"),
        ({"labels.csv": b"image,patient\n"}, "labels.csv has no column 'labels', 'view'"),
        (
            {"labels.csv": table(HEADER, [["a.png", 1, "Nodule|Cold", 1, "F", "PA"]])},
            "labels.csv row 2: 'Cold' is none of the labels",
        ),
        ({"labels.csv": b"image\x81"}, "labels.csv cannot be read as CSV"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, files, expected):
    with pytest.raises(DataError, match=expected):
        list(studies(put(tmp_path, files)))


def test_lists_that_do_not_fit_are_refused(tmp_path):
    tree = nih_official(tmp_path)
    (tree / "train_val_list.txt").write_text("")
    with pytest.raises(DataError, match="row 2: the image is in neither"):
        list(studies(tree))
    (tree / "train_val_list.txt").unlink()
    with pytest.raises(DataError, match=r"train_val_list\.txt is not in"):
        list(studies(tree))


def test_the_real_labels_are_read():
    if not REAL.is_dir():
        pytest.skip("the NIH images are not here")
    found = list(studies(REAL))
    assert len(found) == 749
    assert all((REAL / study.images[0].path).is_file() for study in found)
    for study in found:
        expected = {READ_AS[k] for k, value in study.labels.items() if value and k in READ_AS}
        assert {a.name for a in read_findings(study.findings)} == expected
