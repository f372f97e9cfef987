"""Scores against labels: the area under the curve is that of pairs, intervals are of patients."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from labeled_folder import write_devices, write_labeled
from numpy.testing import assert_allclose
from prepared_folder import SIZE, write_prepared
from sklearn.metrics import roc_auc_score
from tiny import tiny_model
from tokenizers import Tokenizer

from data_prep.manifest import read_studies
from model.checkpoint import load_checkpoint, save_checkpoint
from model.errors import DataError
from training.calibration.command import run_calibration
from training.evaluation.evaluate import EvaluationOptions, Outputs, run_evaluation
from training.evaluation.label_scores import weighted_auc

pytestmark = pytest.mark.usefixtures("without_java")


def test_the_area_of_many_weightings_is_that_of_each() -> None:
    rng = np.random.default_rng(2)
    scores = rng.integers(0, 6, 40).astype(float)  # with ties
    present = rng.random(40) < 0.4
    weights = rng.integers(0, 3, (5, 40)).astype(float)
    expected = [roc_auc_score(present, scores, sample_weight=row) for row in weights]
    assert_allclose(weighted_auc(scores, present, weights), expected)
    assert np.isnan(weighted_auc(scores, np.zeros(40, bool), weights)).all()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A checkpoint that answers, phantoms, and labeled images it was trained on, as it says."""
    folder = tmp_path_factory.mktemp("labels")
    boxed, labeled = write_prepared(folder / "boxed"), write_labeled(folder / "labeled")
    tokenizer = Tokenizer.from_file(str(boxed / "tokenizer.json"))
    model = tiny_model(
        1, image_size=SIZE, vocab_size=tokenizer.get_vocab_size(), max_tokens=48, answers=True
    )
    note = json.loads((labeled / "prepared.json").read_text())
    record = {"step": 0, "data": {"source": "blobs", "mixed": {"labeled": note}}}
    save_checkpoint(folder / "checkpoint", model, tokenizer, record, "# Tiny\n")
    return folder / "checkpoint", boxed, labeled


def test_calibrated_on_validate_measured_on_test(folders: tuple[Path, Path, Path]) -> None:
    checkpoint, boxed, labeled = folders
    table = run_calibration(checkpoint, boxed, None, labeled=[labeled])
    record = json.loads((checkpoint / "training.json").read_text())["calibration"]
    # Of 24 studies 12 have an effusion and 6 an opacity; nothing else occurs.
    reasons = {row["finding"]: row["withheld"] for row in record["presence"]["findings"]}
    assert reasons.keys() == {"opacity", "pleural_effusion"}
    assert all("fewer than 20" in reason for reason in reasons.values())
    assert record["calibrated"] == [] and record["labeled_studies"] == 24
    assert "opacity: withheld, 6 labeled images" in table
    config = json.loads((checkpoint / "config.json").read_text())
    assert config["assert_from"].keys() == reasons.keys() < config["answer_scales"].keys()

    out = checkpoint.parent / "scores.json"
    csv = checkpoint.parent / "labels.csv"
    rows = [f"{study.id}.png,{40 + k},F" for k, study in enumerate(read_studies(labeled))]
    csv.write_text("\n".join(["image,age,sex", *rows]) + "\n")
    options = EvaluationOptions(demographics=csv, compare_with=[checkpoint])
    table = run_evaluation(checkpoint, labeled, Outputs(out), options)
    scores = json.loads(out.read_text())["labels"]
    assert (scores["studies"], scores["patients"]) == (24, 12)
    rows = {row["finding"]: row for row in scores["rows"]}
    assert rows.keys() == {"opacity", "pleural_effusion"}
    effusion = rows["pleural_effusion"]
    assert (effusion["present"], effusion["absent"]) == (12, 12)
    # The images tell it apart, and so does the nearest one.
    assert effusion["auc"]["nearest images"]["value"] > 0.9
    assert effusion["auc"]["model"] == effusion["auc"]["tiny"]
    assert {"AP", "PA", "age, sex, view"} < effusion["auc"].keys()
    assert scores["reliability"]["error"]["n"] == 24 + 12 + 6
    assert effusion["withheld"] and effusion["calibration"]["error"]["n"] == 24
    assert "normal, no finding asserted" in table and "error among the surest 40%" in table


def test_images_whose_devices_were_labeled_are_not_compared_with_as_normal(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    devices, out = write_devices(tmp_path / "devices", each=8), tmp_path / "scores.json"
    run_evaluation(folders[0], devices, Outputs(out))
    scores = json.loads(out.read_text())["labels"]
    counts = {row["finding"]: (row["present"], row["absent"]) for row in scores["rows"]}
    assert counts == {"endotracheal_tube": (4, 0), "pacemaker": (6, 0)}
    assert scores["normal_clear"]["n"] == 0 and scores["normal_clear"]["value"] is None


@pytest.fixture(scope="module")
def left_out(folders: tuple[Path, Path, Path]) -> list[Path]:
    """Checkpoints that say that they have left out one of two folds each."""
    checkpoint, *_ = folders
    record = json.loads((checkpoint / "training.json").read_text())
    record.pop("calibration", None)
    model, tokenizer, _ = load_checkpoint(checkpoint)
    checkpoints = [checkpoint.parent / f"fold-{number}" for number in range(2)]
    for number, folder in enumerate(checkpoints):
        own = {**record, "settings": {"fold": f"{number}/2"}}
        save_checkpoint(folder, model, tokenizer, own, "# Tiny\n")
    return checkpoints


def test_a_fold_is_measured_by_the_checkpoint_that_left_it_out(
    folders: tuple[Path, Path, Path], left_out: list[Path], tmp_path: Path
) -> None:
    checkpoint, boxed, labeled = folders
    of_folds: list[set[str]] = []
    for number, folder in enumerate(left_out):
        out, reports = tmp_path / f"{number}.json", tmp_path / f"{number}-reports.json"
        run_evaluation(folder, labeled, Outputs(out, reports), EvaluationOptions("fold"))
        assert json.loads(out.read_text())["split"] == "fold"
        of_folds.append(set(json.loads(reports.read_text())))
    studies = {s.id for s in read_studies(labeled) if s.split != "test"}
    assert of_folds[0] | of_folds[1] == studies and not of_folds[0] & of_folds[1]
    with pytest.raises(DataError, match="left out no fold"):
        run_evaluation(checkpoint, labeled, options=EvaluationOptions("fold"))
    calibrated = shutil.copytree(left_out[0], tmp_path / "calibrated")
    run_calibration(calibrated, boxed, None, labeled=[labeled])
    with pytest.raises(DataError, match="calibrated on labels"):
        run_evaluation(calibrated, labeled, options=EvaluationOptions("fold"))


def test_folds_add_the_train_split(folders: tuple[Path, Path, Path], left_out: list[Path]) -> None:
    checkpoint, boxed, labeled = folders
    run_calibration(checkpoint, boxed, None, labeled=[labeled], folds=left_out)
    fit = json.loads((checkpoint / "training.json").read_text())["calibration"]["presence"]
    counts = {row["finding"]: row["present"] + row["absent"] for row in fit["findings"]}
    assert counts["pleural_effusion"] == sum(s.split != "test" for s in read_studies(labeled))
    with pytest.raises(DataError, match="one checkpoint of each fold"):
        run_calibration(checkpoint, boxed, None, labeled=[labeled], folds=left_out[:1])
    with pytest.raises(DataError, match="did not leave out a fold"):
        run_calibration(checkpoint, boxed, None, labeled=[labeled], folds=[checkpoint])
    with pytest.raises(DataError, match="--fold without --labels"):
        run_calibration(checkpoint, boxed, None, folds=left_out)
