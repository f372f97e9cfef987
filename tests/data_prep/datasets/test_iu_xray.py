"""The Indiana University collection: three layouts, one content."""

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from layouts import FINDINGS, IMPRESSION, kaggle, open_i, png, r2gen, uids
from material import put
from paths import SHARED

from data_prep.datasets.iu_xray import standard_split, studies
from data_prep.importing.planning import ImportOptions
from data_prep.importing.run import import_studies
from data_prep.manifest import read_studies
from data_prep.source import DataSet
from model.errors import DataError

REAL = SHARED / "data" / "openi"
NAMED = {"_IM-0001-1001.png": png(1), "_IM-0001-2001.png": png(2)}
PROJECTIONS = b"uid,filename,projection\n"


def test_the_standard_split_has_the_published_sizes():
    assert Counter(standard_split().values()) == {"train": 2069, "validate": 296, "test": 590}


def test_every_layout_tells_the_same_studies(tmp_path, make_dicom: Callable):
    in_dicom = {"_IM-0001-1001.dcm": make_dicom(), "_IM-0001-2001.dcm": make_dicom()}
    trees = [
        kaggle(tmp_path / "kaggle"),
        open_i(tmp_path / "png", NAMED),
        open_i(tmp_path / "dicom", in_dicom, nested=False),
    ]
    told = [{study.id: study for study in studies(tree)} for tree in trees]
    for found, tree in zip(told, trees, strict=True):
        assert found.keys() == told[0].keys()
        for id_, study in found.items():
            assert (study.findings, study.impression) == (FINDINGS, IMPRESSION)
            assert (study.patient, study.split) == (told[0][id_].patient, told[0][id_].split)
            assert len(study.images) == 2
            assert all((tree / image.path).is_file() for image in study.images)
    splits = Counter(study.split for study in told[0].values())
    assert splits == {"train": 2, "validate": 1, "test": 1, None: 1}


@pytest.mark.parametrize(
    ("name", "test_key"),
    [("annotation.json", "test"), ("annotations.json", "test"), ("annotation.json", "    ")],
)
def test_annotations_of_r2gen(tmp_path, name, test_key):
    tree = r2gen(tmp_path, name, test_key)
    found = list(studies(tree))
    assert Counter(study.split for study in found) == {"train": 2, "validate": 1, "test": 1}
    assert [study.patient for study in found] == [
        uid for split in ("train", "validate", "test") for uid in uids()[split]
    ]
    assert all((tree / image.path).is_file() for s in found for image in s.images)


def test_a_lateral_is_known_from_the_projections_in_every_naming(tmp_path):
    tree = open_i(tmp_path, NAMED)
    first = uids()["train"][0]
    row = f"{first},{first}_IM-0001-1001.dcm.png,Lateral\n".encode()
    put(tree, {"indiana_projections.csv": PROJECTIONS + row})
    [study] = [study for study in studies(tree) if study.patient == first]
    assert [(p.path.stem[-4:], p.view) for p in study.images] == [
        ("2001", None),
        ("1001", "LATERAL"),
    ]


def test_the_image_named_with_its_uid_twice_is_found(tmp_path):
    xml = b'<e><uId id="CXR1"/><parentImage id="CXR1_1_IM-0001-3001"/></e>'
    put(tmp_path, {"1.xml": xml, "sub/1_IM-0001-3001.dcm": b""})
    [study] = studies(tmp_path)
    assert study.images[0].path == Path("sub/1_IM-0001-3001.dcm")


def test_the_layout_whose_images_are_there_is_read(tmp_path):
    kaggle(r2gen(tmp_path))
    for path in (tmp_path / "images").glob("CXR*/*.png"):
        path.unlink()
    assert {study.origin.split(" ")[0] for study in studies(tmp_path)} == {"indiana_reports.csv"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"readme.txt": b""}, "looked for annotation.json"),
        ({"indiana_reports.csv": b"uid\n1\n"}, "indiana_projections.csv is not in"),
        (
            {"indiana_reports.csv": b"uid\n1\n", "indiana_projections.csv": PROJECTIONS},
            "indiana_reports.csv has no column 'indication'",
        ),
        ({"annotation.json": b'{"train": ['}, "annotation.json cannot be read"),
        (
            {"annotation.json": b'{"train": [{"id": "02aa804e"}]}'},
            "annotation.json train entry 0 is not",
        ),
        (
            {"annotation.json": b'{"val": [{"id": "CXR1_IM-1", "report": "", "image_path": "a"}]}'},
            "annotation.json val entry 0 is not",
        ),
        ({"1.xml": b"<eCitation>"}, "1.xml cannot be read"),
        ({"1.xml": b"<eCitation/>"}, "1.xml is no Open-i report"),
        ({"1.xml": b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'}, "document type"),
        ({"1.xml": '<!DOCTYPE a [<!ENTITY b "c">]><a/>'.encode("utf-16")}, "document type"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, files, expected):
    with pytest.raises(DataError, match=expected):
        list(studies(put(tmp_path, files)))


def test_imported_with_marks_out_and_views_in_order(tmp_path):
    tree = kaggle(tmp_path / "in")
    asked = {"source": "iu-xray"}
    options = ImportOptions(size=64, split="standard")
    summary = import_studies(
        tmp_path / "out", DataSet(asked, tree, studies(tree)), options, 1, False
    )
    assert summary.left_out == {"not in the standard split": 1}
    assert summary.studies == {"train": 2, "validate": 1, "test": 1}
    for study in read_studies(tmp_path / "out"):
        assert [image.view for image in study.images] == [None, "LATERAL"]
        assert study.images[0].source == f"{study.patient}_IM-0001-1001"
        assert "XXXX" not in study.report and study.report.startswith("Findings: ")
        assert study.indication == "Cough."


def test_the_real_reports_are_read(tmp_path):
    if not REAL.is_dir():
        pytest.skip("the collection's reports are not here")
    found = {study.id: study for study in studies(REAL)}
    annotation = json.loads((REAL / "annotation.json").read_text(encoding="utf-8"))
    assert found.keys() == {entry["id"] for split in annotation.values() for entry in split}
    assert all(standard_split()[study.patient] == study.split for study in found.values())
    tables = ("indiana_reports.csv", "indiana_projections.csv")
    tree = put(tmp_path, {name: (REAL / name).read_bytes() for name in tables})
    table = {study.patient: study for study in studies(tree)}
    with (REAL / "indiana_projections.csv").open(encoding="utf-8", newline="") as lines:
        named = Counter(row["projection"] for row in csv.DictReader(lines))
    views = Counter(image.view for study in table.values() for image in study.images)
    assert views == {None: named["Frontal"], "LATERAL": named["Lateral"]}
    assert all(table[study.patient].findings == study.findings for study in found.values())
