"""Boxes on prepared images: where they were drawn, once, and said by the report's own words."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import nih_official

from data_prep.datasets.attach_boxes import FINDING_OF, NAMES, attach
from data_prep.datasets.boxes import read_boxes
from data_prep.datasets.nih import studies as nih_studies
from data_prep.importing.run import import_studies
from data_prep.manifest import FINDINGS, Image, Study, manifest_hash, read_studies, write_studies
from data_prep.output import write_json
from data_prep.source import DataSet
from model.errors import DataError

DATA = Path(__file__).parents[2] / "data"
REPORT = (
    "Findings: There is a Small Left pleural effusion. No pneumothorax. "
    "Impression: Small left pleural effusion."
)
HEADER = "category_name,label_text,path,x,y,w,h,image_width,image_height,dicom_id\n"
EFFUSION = (
    "Pleural Effusion,small left  pleural effusion,files/a.jpg,500,100,400,800,1000,2000,aa\n"
)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Two studies, each of one image made half as large as it was, and one with a prior."""
    folder = tmp_path / "prepared"
    folder.mkdir()
    images = {name: Image("", 500, 1000, "PA", source=name) for name in ("aa", "bb")}
    earlier = Image("", 500, 1000, "PA", prior=True, source="aa")
    studies = [
        Study("1", "train", (images["aa"],), REPORT),
        Study("2", "test", (images["bb"], earlier), "Findings: Clear lungs."),
    ]
    write_json(folder / "prepared.json", {"manifest_sha256": write_studies(folder, studies)})
    return folder


def boxes(folder: Path, *rows: str, name: str = "boxes.csv") -> Path:
    path = folder.parent / name
    path.write_text(HEADER + "".join(rows))
    return path


def test_a_box_lies_on_the_prepared_image_where_it_was_drawn(prepared):
    done = attach(prepared, boxes(prepared, EFFUSION))
    first, second = read_studies(prepared)
    [finding] = first.findings
    assert (finding.name, finding.side, finding.image) == ("pleural_effusion", "left", 0)
    assert finding.box == (250, 50, 450, 450)
    assert not second.findings, "an earlier study's image is not what this report speaks of"
    assert (done.regions, done.images, done.findings, done.phrases) == (1, 1, 1, 2)
    assert done.manifest_sha256 == manifest_hash(prepared)


def test_the_reports_words_point_at_it_wherever_they_stand(prepared):
    attach(prepared, boxes(prepared, EFFUSION))
    first, _ = read_studies(prepared)
    said = [first.report[phrase.start : phrase.end] for phrase in first.phrases]
    assert said == ["Small Left pleural effusion", "Small left pleural effusion"]
    assert [phrase.findings for phrase in first.phrases] == [(0,), (0,)]


def test_a_phrase_on_two_images_is_one_phrase(prepared):
    first, second = read_studies(prepared)
    other = replace(second.images[0], view="LATERAL")
    both = replace(first, images=(first.images[0], other))
    write_json(
        prepared / "prepared.json", {"manifest_sha256": write_studies(prepared, [both, second])}
    )
    attach(prepared, boxes(prepared, EFFUSION, EFFUSION.replace(",aa", ",bb")))
    study = next(read_studies(prepared))
    assert [phrase.findings for phrase in study.phrases] == [(0, 1), (0, 1)]
    assert [finding.image for finding in study.findings] == [0, 1]


def test_what_the_report_denies_points_nowhere(prepared):
    row = EFFUSION.replace(
        "Pleural Effusion,small left  pleural effusion", "Pneumothorax,pneumothorax"
    )
    done = attach(prepared, boxes(prepared, row))
    assert (done.findings, done.phrases) == (1, 0)


def test_a_report_made_of_labels_says_it_in_its_own_words(prepared):
    """A box of pneumonia, and a sentence that calls it an opacity: no reader wrote either."""
    first, second = read_studies(prepared)
    report = "Findings: Airspace opacity. No pleural effusion."
    labeled = replace(first, report=report, labels={"Pneumonia": 1, "Effusion": 0})
    for study, phrases in ((labeled, ["Airspace opacity"]), (replace(labeled, labels=None), [])):
        write_json(
            prepared / "prepared.json",
            {"manifest_sha256": write_studies(prepared, [study, second])},
        )
        row = EFFUSION.replace(
            "Pleural Effusion,small left  pleural effusion", "Pneumonia,pneumonia"
        )
        attach(prepared, boxes(prepared, row))
        attached = next(read_studies(prepared))
        assert [report[phrase.start : phrase.end] for phrase in attached.phrases] == phrases


def test_boxes_that_measure_are_of_other_patients_than_those_that_train() -> None:
    """Of NIH images the name begins with the patient."""
    measuring, training = (
        {region.image[:8] for region in read_boxes(DATA / f"{name}.csv")}
        for name in ("nih_boxes", "nih_boxes_train")
    )
    assert measuring and training and not measuring & training


def test_prepared_json_tells_which_file_and_twice_is_refused(prepared):
    path = boxes(prepared, EFFUSION)
    digest = attach(prepared, path).manifest_sha256
    note = json.loads((prepared / "prepared.json").read_text())
    assert note["manifest_sha256"] == digest
    assert [known["file"] for known in note["boxes"]] == ["boxes.csv"]
    same = boxes(prepared, EFFUSION, name="copy.csv")
    with pytest.raises(DataError, match=r"copy\.csv is attached already"):
        attach(prepared, same)
    other = EFFUSION.replace(",aa\n", ",bb\n")
    attach(prepared, boxes(prepared, other, name="other.csv"))
    first, second = read_studies(prepared)
    assert len(first.findings) == len(second.findings) == 1
    assert len(json.loads((prepared / "prepared.json").read_text())["boxes"]) == 2


def test_labels_without_a_finding_are_counted_not_forced(prepared):
    other = EFFUSION.replace("Pleural Effusion", "Aortic enlargement")
    absent = EFFUSION.replace(",aa\n", ",elsewhere\n")
    done = attach(prepared, boxes(prepared, EFFUSION, other, absent))
    assert (done.regions, done.elsewhere, done.unmapped) == (1, 1, {"Aortic enlargement": 1})


def test_two_readers_of_one_place_are_one_finding(prepared):
    again = EFFUSION.replace("500,100,400,800", "520,100,400,800")
    apart = EFFUSION.replace("500,100,400,800", "0,100,400,800")
    done = attach(prepared, boxes(prepared, EFFUSION, again, apart))
    first, _ = read_studies(prepared)
    assert [finding.box for finding in first.findings] == [(255, 50, 455, 450), (0, 50, 200, 450)]
    assert (done.regions, done.findings) == (1, 2)
    assert {phrase.findings for phrase in first.phrases} == {(0, 1)}


def test_a_image_takes_as_many_findings_as_training_does(prepared):
    rows = [EFFUSION.replace("500,100,400,800", f"{50 * k},0,40,40") for k in range(20)]
    done = attach(prepared, boxes(prepared, *rows))
    assert (done.findings, done.crowded) == (16, 4)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (EFFUSION.replace(",aa\n", ",zz\n"), r"it names 'zz', the folder has 'aa', 'bb'"),
        (EFFUSION.replace("Pleural Effusion", "Scar"), "no label .* means a known finding.*'Scar'"),
        (EFFUSION.replace("1000,2000", "2000,2000"), "drawn on 2000 x 2000 pixels.*500 x 1000"),
        (EFFUSION.replace("500,100", "700,100"), r"'Pleural Effusion' on 'aa' lies beyond"),
    ],
)
def test_what_does_not_fit_is_told_and_changes_nothing(prepared, row, message):
    before = manifest_hash(prepared), (prepared / "prepared.json").read_bytes()
    with pytest.raises(DataError, match=f"(?s){message}"):
        attach(prepared, boxes(prepared, row))
    assert (manifest_hash(prepared), (prepared / "prepared.json").read_bytes()) == before


def test_an_unfinished_folder_is_told(prepared):
    write_json(prepared / "prepared.json", {"manifest_sha256": "0"})
    with pytest.raises(DataError, match=r"is not what prepared\.json describes"):
        attach(prepared, boxes(prepared, EFFUSION))


def test_vindr_needs_the_images_it_was_drawn_on(prepared, tmp_path):
    path = tmp_path / "annotations_train.csv"
    path.write_text(
        "image_id,rad_id,class_name,x_min,y_min,x_max,y_max\naa,R1,Cardiomegaly,20,40,60,80\n"
    )
    with pytest.raises(DataError, match="--originals"):
        attach(prepared, path)
    originals = tmp_path / "originals" / "train"
    originals.mkdir(parents=True)
    with pytest.raises(DataError, match="'aa' is not in the folder of originals"):
        attach(prepared, path, originals.parent)
    cv2.imwrite(str(originals / "aa.png"), np.zeros((200, 100), np.uint8))
    attach(prepared, path, originals.parent)
    first, _ = read_studies(prepared)
    assert [(f.name, f.box) for f in first.findings] == [("cardiomegaly", (100, 200, 300, 400))]


@given(st.tuples(*[st.floats(0, 1)] * 4).filter(lambda b: b[0] < b[2] and b[1] < b[3]))
def test_shares_of_a_image_become_pixels_that_cover_them(tmp_path_factory, box):
    folder = tmp_path_factory.mktemp("gr")
    image = Image("", 60, 90, None, source="aa")
    digest = write_studies(folder, [Study("1", "train", (image,), "Findings: Edema.")])
    write_json(folder / "prepared.json", {"manifest_sha256": digest})
    finding = {"sentence_en": "Edema.", "labels": ["pulmonary edema"], "boxes": [box]}
    path = folder / "gr.json"
    path.write_text(json.dumps([{"ImageID": "aa.png", "findings": [finding]}]))
    attach(folder, path)
    [study] = read_studies(folder)
    x0, y0, x1, y1 = study.findings[0].box
    assert 0 <= x0 < x1 <= 60 and 0 <= y0 < y1 <= 90
    drawn = np.array(box) * (60, 90, 60, 90)
    assert np.all(np.abs(drawn - (x0, y0, x1, y1)) <= 1)


def test_names_lead_to_findings_there_are():
    assert set(NAMES) == set(FINDINGS)
    assert len(FINDING_OF) == sum(len(labels.split(", ")) for labels in NAMES.values())


def test_preparing_again_tells_which_boxes_are_gone(tmp_path: Path) -> None:
    """The manifest is written anew, from the data set alone."""
    source = nih_official(tmp_path / "nih")
    out = tmp_path / "out"

    def prepare() -> list[str]:
        asked = {"source": "nih"}
        return import_studies(
            out, DataSet(asked, source, nih_studies(source)), workers=1, progress=False
        ).boxes_again

    assert prepare() == []
    name = next(read_studies(out)).images[0].source
    row = f"Pleural Effusion,effusion,files/a.jpg,5,5,10,10,40,48,{name}\n"
    file = boxes(out, row, name="again.csv")
    assert attach(out, file).findings == 1
    assert prepare() == ["again.csv"] and not any(study.findings for study in read_studies(out))
    assert prepare() == ["again.csv"], "it stays told until it is done"
    assert attach(out, file).findings == 1
    assert "boxes_again" not in json.loads((out / "prepared.json").read_text())
