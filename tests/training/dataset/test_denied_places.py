"""What a report denies, as phrases with places that the losses of attention can use."""

from dataclasses import replace

import numpy as np
import pytest
from prepared_folder import write_prepared, write_settings

from data_prep.manifest import Finding, Study, read_studies, write_studies
from training.config import load_config
from training.denied_places import add_areas, with_denied_places
from training.train import Training

TEXT = (
    "Findings: No pleural effusion or pneumothorax. There is a right opacity. Heart size is normal."
)


@pytest.fixture
def study(tmp_path) -> Study:
    folder = write_prepared(tmp_path / "prepared", 4)
    first = next(study for study in read_studies(folder) if study.findings)
    return replace(
        first,
        report=TEXT,
        phrases=(),
        places=(
            Finding("pleural_effusion", None, "right", None, (2, 40, 10, 60), absent=True),
            Finding("pleural_effusion", None, "left", None, (54, 40, 62, 60), absent=True),
            Finding("cardiomegaly", None, None, None, (24, 30, 44, 50), absent=True),
        ),
    )


def test_denials_become_phrases_that_name_their_places(study) -> None:
    denied = with_denied_places(study)
    said = {TEXT[p.start : p.end]: [denied.findings[j] for j in p.findings] for p in denied.phrases}
    assert denied.findings[: len(study.findings)] == study.findings
    assert said == {
        "pleural effusion": list(study.places[:2]),
        "Heart size is normal": [study.places[2]],
    }  # no place is known for the pneumothorax


def test_one_side_is_denied_at_one_place(study) -> None:
    denied = with_denied_places(replace(study, report="Findings: No left pleural effusion."))
    [phrase] = denied.phrases
    assert [denied.findings[j].side for j in phrase.findings] == ["left"]


def test_without_places_nothing_changes(study) -> None:
    plain = replace(study, places=())
    assert with_denied_places(plain) is plain


def test_places_are_drawn_beside_what_is_there(study) -> None:
    denied, size = with_denied_places(study), 32
    before = np.full((size, size), 1, np.uint16)
    areas = [before.copy()]
    add_areas(denied, areas)
    assert (areas[0] & 1 == 1).all()
    first = len(study.findings)
    right, left, heart = (areas[0] >> np.uint16(first + k) & 1 for k in range(3))
    assert right[20:30, 1:5].all() and right.sum() == 40
    assert left[20:30, 27:31].all() and heart.any() and not (right & left).any()


def test_denial_words_are_guided_and_their_findings_stay_absent(tmp_path) -> None:
    folder = write_prepared(tmp_path / "prepared", 8)
    place = Finding("pleural_effusion", None, "left", None, (40, 40, 60, 60), absent=True)
    text = "Findings: No pleural effusion."
    write_studies(
        folder,
        [
            replace(s, report=text, findings=(), phrases=(), places=(place,))
            for s in read_studies(folder)
        ],
    )
    settings = write_settings(tmp_path, folder, workers=0)
    losses, batches = {}, {}
    for denials in ("false", "true"):
        changes = ("augment=false", f"denials={denials}", f'output="{tmp_path}/{denials}"')
        config = load_config(settings, changes)
        training = Training(config)
        batches[denials] = training.setup.train_batches[0, 0]
        losses[denials] = next(training.steps())
    assert losses["false"]["guidance"] == 0 < losses["true"]["guidance"]
    assert not batches["true"].present.any() and (batches["true"].kinds == -1).all()
    assert batches["true"].mentions.any() and not batches["false"].mentions.any()
