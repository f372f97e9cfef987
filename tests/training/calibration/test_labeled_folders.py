"""Several labeled folders: each finding is fitted where it is known, and all are remembered.

On a tiny model that answers and two tiny folders, one of whose images devices alone were labeled.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from labeled_folder import write_devices, write_labeled
from prepared_folder import SIZE, write_prepared
from tiny import tiny_model
from tokenizers import Tokenizer

from data_prep.manifest import FINDINGS, Study, read_studies, write_studies
from model.checkpoint import load_checkpoint, save_checkpoint
from model.errors import DataError
from model.generator import ReportGenerator
from model.questions import answer_line
from training.calibration.command import run_calibration
from training.calibration.labeled import (
    Labeled,
    fold_checkpoints,
    held_out_answers,
    labeled_studies,
)
from training.evaluation.evaluate import EvaluationOptions, run_evaluation
from training.provenance import data_record, learned_from, record_of, saw

TUBE, PACEMAKER = FINDINGS.index("endotracheal_tube"), FINDINGS.index("pacemaker")
EFFUSION = FINDINGS.index("pleural_effusion")
VIEWS = ("frontal",)


class Folders:
    def __init__(self, top: Path) -> None:
        self.top = top
        self.boxed = write_prepared(top / "boxed")
        self.labeled = write_labeled(top / "labeled")
        self.devices = write_devices(top / "devices")
        self.both = [self.labeled, self.devices]
        self.tokenizer = Tokenizer.from_file(str(self.boxed / "tokenizer.json"))
        size = self.tokenizer.get_vocab_size()
        self.model = tiny_model(1, image_size=SIZE, vocab_size=size, max_tokens=60, answers=True)

    def checkpoint(
        self, name: str, trained_on: Sequence[Path], fold: str = "", initial: Any = None
    ) -> Path:
        """One whose record says that it was trained on these folders."""
        record = {"step": 0, "settings": {"fold": fold}, "initial": initial}
        if trained_on:
            record["data"] = data_record(trained_on[0], trained_on[1:])
        save_checkpoint(self.top / name, self.model, self.tokenizer, record, "# Tiny\n")
        return self.top / name


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return Folders(tmp_path_factory.mktemp("folders"))


@pytest.fixture(scope="module")
def calibrated(folders: Folders) -> Path:
    """Calibrated on both validate splits, as it was trained on both folders."""
    checkpoint = folders.checkpoint("calibrated", folders.both)
    run_calibration(checkpoint, folders.boxed, None, labeled=folders.both)
    return checkpoint


def counts(checkpoint: Path) -> dict[str, tuple[int, int]]:
    """Images with a finding and without it that were fitted on."""
    rows = record_of(checkpoint)["calibration"]["presence"]["findings"]
    return {row["finding"]: (row["present"], row["absent"]) for row in rows}


def test_each_finding_is_fitted_on_the_folders_that_know_it(calibrated: Path) -> None:
    # Six tubes are uncertain. An opacity is unknown where an effusion is, unless it is there too.
    assert counts(calibrated) == {
        "opacity": (6, 12),
        "pleural_effusion": (12, 12),
        "endotracheal_tube": (6, 12),
    }


def test_what_few_images_show_has_no_fit_of_its_own(calibrated: Path) -> None:
    config = load_checkpoint(calibrated)[0].config
    assert {"endotracheal_tube", "opacity"} <= config.assert_from.keys()
    assert "pacemaker" not in config.assert_from and config.calibrated == []
    # As what it is labeled with; of a fracture no label tells.
    tube, opacity = (answer_line(config, name) for name in ("endotracheal_tube", "opacity"))
    assert answer_line(config, "pacemaker") == pytest.approx(tube, rel=1e-3)
    assert answer_line(config, "pacemaker") != pytest.approx(opacity, rel=1e-3)
    assert answer_line(config, "rib_fracture") == (config.ask_scale, config.ask_offset)


def test_the_images_of_all_folders_are_familiar(calibrated: Path, folders: Folders) -> None:
    fit = record_of(calibrated)["calibration"]
    assert fit["labeled_studies"] == 24 + 24
    # All that has boxes, and train and validate of what has labels.
    assert fit["images"] == fit["studies"] + 48 + 48


def test_images_whose_devices_were_labeled_are_not_normal(folders: Folders) -> None:
    generator = ReportGenerator.load(folders.checkpoint("untrained", []))
    answers = held_out_answers(generator, labeled_studies({}, folders.both, VIEWS), {})
    assert answers.normal.sum() == 24 and not answers.normal[48:].any()
    assert not answers.known[:48, TUBE].any() and not answers.known[48:, EFFUSION].any()
    assert answers.known[48:, PACEMAKER].all() and len(answers.odds) == 96


def test_the_record_names_every_folder_and_none_measures(
    calibrated: Path, folders: Folders
) -> None:
    # As if no weight had seen them.
    record = {**record_of(calibrated), "data": None}
    checkpoint = folders.top / "fitted"
    save_checkpoint(checkpoint, folders.model, folders.tokenizer, record, "# Tiny\n")
    first = record["calibration"]["labeled"]
    assert first["manifest_sha256"] == data_record(folders.labeled)["manifest_sha256"]
    assert first["mixed"] == {folders.devices.as_posix(): data_record(folders.devices)}
    for folder in folders.both:
        assert learned_from(record, folder) and not saw(record, folder)
        with pytest.raises(DataError, match="trained or calibrated on"):
            run_evaluation(checkpoint, folder, options=EvaluationOptions(split="validate"))
    with pytest.raises(DataError, match="no study to measure on"):  # it has no test split
        run_calibration(checkpoint, None, folders.devices)
    # Calibrated again it may fit on the same studies.
    assert len(labeled_studies(record, [folders.devices], VIEWS)[0].held_out) == 48


def test_few_studies_are_enough_together(folders: Folders, tmp_path: Path) -> None:
    some, more = write_labeled(tmp_path / "some", 12), write_devices(tmp_path / "more", 12)
    trained = {"data": data_record(some, [more])}
    found = labeled_studies(trained, [some, more], VIEWS)
    assert [len(each.held_out) for each in found] == [12, 12]
    with pytest.raises(DataError, match=r"12 labeled studies of '.*more' can be"):
        labeled_studies(trained, [more], VIEWS)
    with pytest.raises(DataError, match="two hold the same studies"):
        labeled_studies(trained, [some, more, some], VIEWS)
    write_studies(more, list(read_studies(more, "train")))
    with pytest.raises(DataError, match=r"no labeled study of '.*more'"):
        labeled_studies(trained, [some, more], VIEWS)


def test_folds_of_every_folder_add_its_train_split(folders: Folders) -> None:
    checkpoint = folders.checkpoint("whole", folders.both)
    left_out = [folders.checkpoint(f"fold-{k}", folders.both, f"{k}/2") for k in range(2)]
    run_calibration(checkpoint, folders.boxed, None, labeled=folders.both, folds=left_out)
    found = counts(checkpoint)
    assert found["pleural_effusion"] == (24, 24) and found["endotracheal_tube"] == (12, 24)
    assert found["pacemaker"] == (6, 42)
    assert record_of(checkpoint)["calibration"]["labeled_studies"] == 96


def test_a_fold_is_left_out_of_every_folder_and_run(folders: Folders) -> None:
    seen = labeled_studies({"data": data_record(folders.labeled, [folders.devices])},
                           folders.both, VIEWS)  # fmt: skip
    one = folders.checkpoint("one", [folders.labeled], "0/2")
    with pytest.raises(DataError, match=r"leave out a fold of '.*devices'"):
        fold_checkpoints([one], seen)
    before = {"data": data_record(folders.labeled), "settings": {"fold": ""}}
    late = folders.checkpoint("late", folders.both, "0/2", before)
    with pytest.raises(DataError, match=r"leave out a fold of '.*labeled', or one of the runs"):
        fold_checkpoints([late], seen)
    # Of folders that training has not seen all studies are fitted on, and no fold is needed.
    with pytest.raises(DataError, match="leave --fold out"):
        fold_checkpoints([one], labeled_studies({}, folders.both, VIEWS))
    assert list(fold_checkpoints([], seen)) == []


def test_what_training_learned_of_the_same_image_elsewhere_is_not_held_out(
    folders: Folders, caplog: pytest.LogCaptureFixture
) -> None:
    """An image in two folders counts for the findings that the other one does not label."""
    generator = ReportGenerator.load(folders.checkpoint("untrained", []))
    *own, last = (study for study in read_studies(folders.devices, "validate"))
    tube = {"endotracheal_tube": 1}
    held_out = [_with_pixels(study, "a") if study is own[0] else study for study in own]
    other = _with_pixels(replace(last, labels=tube), "a")
    labeled = [Labeled(folders.devices, held_out, ()), Labeled(folders.devices, [last], [other])]
    with caplog.at_level(logging.WARNING):
        answers = held_out_answers(generator, labeled, {})
    assert not answers.known[0, TUBE] and answers.known[0, PACEMAKER]
    assert answers.present[0, PACEMAKER] and not answers.present[0, TUBE]
    assert answers.known[1, TUBE] and f"1 of {len(own)} held-out studies" in caplog.text


def _with_pixels(study: Study, sha256: str) -> Study:
    return replace(study, images=tuple(replace(i, pixels=sha256) for i in study.images))
