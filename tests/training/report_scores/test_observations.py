"""CheXpert's observations in sentences that a person labeled, and F1 over them by hand."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from paths import SHARED

from model.errors import DataError
from training.report_scores.label import mesh_labels, run_label
from training.report_scores.observations import (
    NO_FINDING,
    OBSERVATIONS,
    Label,
    clinical_measures,
    labels_of,
)

YES, NO, MAYBE = Label.PRESENT, Label.ABSENT, Label.UNCERTAIN
SENTENCES: dict[str, dict[str, Label]] = {
    "Heart size is normal.": {"Cardiomegaly": NO},
    "The heart is mildly enlarged.": {"Cardiomegaly": YES},
    "Stable cardiomegaly.": {"Cardiomegaly": YES},
    "No cardiomegaly.": {"Cardiomegaly": NO},
    "Widened mediastinum.": {"Enlarged Cardiomediastinum": YES},
    "No pleural effusion or pneumothorax.": {"Pleural Effusion": NO, "Pneumothorax": NO},
    "There is no focal consolidation, effusion, or pneumothorax.": {
        "Consolidation": NO, "Pleural Effusion": NO, "Pneumothorax": NO,
    },
    "Small bilateral pleural effusions.": {"Pleural Effusion": YES},
    "Blunting of the left costophrenic angle.": {"Pleural Effusion": YES},
    "Possible small left pleural effusion.": {"Pleural Effusion": MAYBE},
    "Tiny right apical pneumothorax.": {"Pneumothorax": YES},
    "Bibasilar atelectasis.": {"Atelectasis": YES},
    "Left basilar opacity may represent atelectasis.": {"Lung Opacity": YES, "Atelectasis": MAYBE},
    "Opacity in the right lower lobe, atelectasis versus pneumonia.": {
        "Lung Opacity": YES, "Atelectasis": MAYBE, "Pneumonia": MAYBE,
    },
    "Findings concerning for pneumonia.": {"Pneumonia": MAYBE},
    "No evidence of pneumonia.": {"Pneumonia": NO},
    "Right upper lobe consolidation.": {"Consolidation": YES},
    "Mild pulmonary edema.": {"Edema": YES},
    "Pulmonary vascular congestion.": {"Edema": YES},
    "No pulmonary edema.": {"Edema": NO},
    "A 6 mm nodule in the left upper lobe.": {"Lung Lesion": YES},
    "Calcified granuloma in the right lung.": {},  # no lesion to CheXpert
    "Nodular opacity in the right mid lung.": {"Lung Lesion": YES},
    "Patchy airspace disease in the right base.": {"Lung Opacity": YES},
    "Old healed left rib fractures.": {"Fracture": YES},
    "No acute fracture.": {"Fracture": NO},
    "Mild biapical pleural thickening.": {"Pleural Other": YES},
    "Right-sided PICC with tip in the SVC.": {"Support Devices": YES},
    "Endotracheal tube is 4 cm above the carina.": {"Support Devices": YES},
    "Left chest pacemaker.": {"Support Devices": YES},
    "The lungs are clear.": {},
}  # fmt: skip


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_says_what_a_person_reads_in_it(sentence: str) -> None:
    labels = labels_of(sentence)
    found = {name: label for name, label in labels.items() if name != NO_FINDING}
    wanted = SENTENCES[sentence]
    # What a normal sentence leaves out with it is convention: it may be absent, never there.
    assert {n: v for n, v in found.items() if v != NO or n in wanted} == wanted


@pytest.mark.parametrize(
    ("report", "normal"),
    [
        ("The lungs are clear. No effusion.", True),
        ("Left chest port. The lungs are clear.", True),  # as CheXpert has it
        ("Cardiomegaly.", False),
        ("Possible pneumonia.", False),
    ],
)
def test_no_finding_is_where_nothing_else_is(report: str, normal: bool) -> None:
    assert (labels_of(report).get(NO_FINDING) == YES) == normal


def test_the_gravest_word_counts_wherever_it_stands() -> None:
    there, maybe = "There is a left effusion.", "Possible right effusion."
    for report in (f"{there} {maybe}", f"{maybe} {there}", f"No effusion. {there}"):
        assert labels_of(report)["Pleural Effusion"] == YES
    assert labels_of(f"No right effusion. {maybe}")["Pleural Effusion"] == MAYBE


def test_f1_over_observations_is_as_by_hand() -> None:
    references = ["Cardiomegaly.", "Small left effusion.", "Cardiomegaly. Small left effusion."]
    generated = ["Cardiomegaly.", "Cardiomegaly.", "Small left effusion."]
    scores = {
        m.name: float(m.scores(np.ones((1, 3)))[0])
        for m in clinical_measures(generated, references)
    }
    assert scores["f1.Cardiomegaly"] == 0.5  # one right, one invented, one missed
    assert scores["f1.Pleural Effusion"] == pytest.approx(2 / 3)
    assert scores["micro_f1_5"] == pytest.approx(4 / 7)
    assert scores["macro_f1_5"] == pytest.approx((0.5 + 2 / 3) / 2)  # of those that occur
    assert "f1.Edema" not in scores


def test_labels_go_through_a_file_and_measure_themselves_as_perfect(tmp_path: Path) -> None:
    reports = tmp_path / "reports.csv"
    with reports.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["study", "report"])
        writer.writerows(enumerate(SENTENCES))
    labels = tmp_path / "labels.csv"
    counts = run_label(reports, labels)
    assert f"{len(SENTENCES)} reports" in counts
    told = run_label(reports, None, labels)
    for line in told.splitlines()[2:]:
        assert line.count("1.000 [1.000, 1.000]") == 3, line
    assert [line.split("  ")[0] for line in told.splitlines()[2:]] == [
        name for name in OBSERVATIONS if f"{name}  " in told
    ]


def test_mimics_labels_are_a_truth_and_what_has_none_is_counted(tmp_path: Path) -> None:
    (tmp_path / "reports.csv").write_text("study_id,report\n50,Edema.\n51,Clear lungs.\n")
    (tmp_path / "truth.csv").write_text("subject_id,study_id,Edema,Fracture\n1,50,1.0,\n")
    told = run_label(tmp_path / "reports.csv", None, tmp_path / "truth.csv")
    assert told.startswith("1 reports") and told.endswith("1 more reports have no labels by people")


def test_generated_reports_are_labeled_where_true_ones_lie_beside(tmp_path: Path) -> None:
    entry = {"report": "Edema.", "model_prediction": "Cardiomegaly."}
    (tmp_path / "both.json").write_text(json.dumps({"a": entry}))
    run_label(tmp_path / "both.json", tmp_path / "labels.csv")
    [row] = csv.DictReader((tmp_path / "labels.csv").read_text().splitlines())
    assert (row["Cardiomegaly"], row["Edema"]) == ("1", "")
    (tmp_path / "both.json").write_text(json.dumps({"a": {**entry, "model_prediction": None}}))
    with pytest.raises(DataError, match=r"study 'a' of 'both\.json' has 'None'"):
        run_label(tmp_path / "both.json")


def test_open_i_is_read_from_its_terms() -> None:
    terms = "Cardiomegaly/mild;Pleural Effusion/left/small;Calcified Granuloma/lung"
    assert mesh_labels(terms) == {"Cardiomegaly": YES, "Pleural Effusion": YES}
    assert mesh_labels("normal") == {}


OPEN_I = SHARED / "data" / "openi"


@pytest.mark.skipif(not OPEN_I.is_dir(), reason="the real reports are not beside this clone")
def test_real_reports_are_read_as_their_indexers_read_them() -> None:
    """The digits stand in docs/how-to/scores.md; here, that no change of the rules costs much."""
    told = run_label(OPEN_I / "indiana_reports.csv", None, OPEN_I / "indiana_reports.csv")
    rows = [re.split(r"\s{2,}", line.strip()) for line in told.splitlines()[2:]]
    f1 = {row[0]: float(row[-1].split()[0]) for row in rows}
    plain = ("Cardiomegaly", "Pleural Effusion", "Pneumothorax", "Atelectasis", "Lung Opacity")
    assert {name: f1[name] for name in plain if f1[name] < 0.85} == {}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("name\nx\n", "neither Open-i's columns 'uid' and 'MeSH', nor"),
        ("study,Edema\n0,2\n", "has Edema = '2': it is 1, 0, -1 or empty"),
        ("study,Edema\n0,0.5\n", "has Edema = '0.5'"),
        ("study,Edema\n0,inf\n", "has Edema = 'inf'"),
        ("study,Edema\nelsewhere,1\n", "no labels of the studies"),
    ],
)
def test_labels_that_do_not_fit_are_named(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "reports.csv").write_text("study,report\n0,Edema.\n")
    (tmp_path / "truth.csv").write_text(content)
    with pytest.raises(DataError, match=says):
        run_label(tmp_path / "reports.csv", None, tmp_path / "truth.csv")
