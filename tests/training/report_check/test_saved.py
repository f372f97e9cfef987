"""What is fitted goes into the checkpoint, and the weights' file stays as it is."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from data_prep.manifest import read_studies, write_studies
from data_prep.phantom.prepare import PhantomOptions, prepare_phantom
from model.errors import DataError
from model.generator import ReportGenerator
from training.report_check.command import CheckOptions, run_evaluate_check


def test_fitted_values_are_saved_beside_the_same_weights(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    folder, numbers = tmp_path / "checkpoint", tmp_path / "check.json"
    shutil.copytree(tiny_checkpoint, folder)
    for name, seed in (("fit", 71), ("data", 72)):
        prepare_phantom(tmp_path / name, PhantomOptions(2, seed, 64), 1, progress=False)
    options = CheckOptions(save=True)
    table = run_evaluate_check(folder, tmp_path / "data", tmp_path / "fit", numbers, options)
    assert "2 studies" in table
    before, after = ReportGenerator.load(tiny_checkpoint), ReportGenerator.load(folder)
    assert after.identity.sha256 == before.identity.sha256
    fits = json.loads(numbers.read_text("utf-8"))["fits"]["check"]
    assert fits and after.model.config.check == fits
    assert json.loads((folder / "training.json").read_text("utf-8"))["check"]["data"]


def test_of_composed_radiographs_those_held_out_are_measured_and_others_refused(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    for name, seed in (("fit", 71), ("data", 72)):
        prepare_phantom(tmp_path / name, PhantomOptions(3, seed, 64), 1, progress=False)
    data = tmp_path / "data"
    studies = list(read_studies(data))
    write_studies(data, [replace(studies[0], split="validate"), *studies[1:]])
    (data / "prepared.json").write_text('{"source": "composed"}')
    table = run_evaluate_check(tiny_checkpoint, data, tmp_path / "fit")
    assert "of 1 studies" in table
    (data / "prepared.json").write_text('{"source": "nih"}')
    with pytest.raises(DataError, match="neither phantoms nor composed"):
        run_evaluate_check(tiny_checkpoint, data, tmp_path / "fit")
