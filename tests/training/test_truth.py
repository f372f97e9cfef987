"""What labels, boxes and reports tell of a study's findings, and what they leave open."""

import pytest

from data_prep.manifest import FINDINGS, Finding, Image, Study
from training.truth import EVERY, label_truth, truth_of

IMAGE = (Image("images/a.png", 64, 64, "PA"),)


def names(kinds: frozenset[int]) -> set[str]:
    return {FINDINGS[kind] for kind in kinds}


@pytest.mark.parametrize(
    ("labels", "present", "absent"),
    [
        ({"Pneumonia": 1, "Effusion": 0}, {"opacity"}, {"pleural_effusion"}),
        ({"Mass": 0, "Nodule": 1}, {"nodule"}, set()),
        ({"Mass": 0, "Nodule": 0}, set(), {"nodule"}),
        ({"Mass": 0, "Nodule": -1}, set(), set()),
        ({"Pneumonia": 0, "Infiltration": 0, "Consolidation": 0}, set(), {"opacity"}),
        # By another name it may have been told.
        ({"Pneumonia": 0, "Edema": 1}, {"edema"}, set()),
        ({"Pneumonia": 0, "Pleural_Thickening": 1}, set(), set()),
        ({"Fracture": 1}, set(), set()),
    ],
)
def test_labels(labels: dict[str, int], present: set[str], absent: set[str]) -> None:
    truth = label_truth(labels)
    assert names(truth.present) == present
    assert names(truth.known - truth.present) == absent


def test_boxes_reports_and_labels_by_what_a_folder_has() -> None:
    finding = Finding("nodule", None, "left", None, (1, 1, 5, 5))
    study = Study("a", "train", IMAGE, "Findings: There is edema.", (finding,))
    boxed, told = truth_of(study, complete=True), truth_of(study, complete=False)
    assert (names(boxed.present), boxed.known) == ({"nodule"}, EVERY)
    assert (names(told.present), told.known) == ({"edema"}, EVERY)
