"""A run on boxed and labeled studies together: its record knows both, and it learns to answer."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from labeled_folder import write_labeled
from prepared_folder import write_prepared, write_settings

from model.checkpoint import load_checkpoint
from model.errors import ConfigError
from training.config import load_config
from training.dataset.batches import Batches
from training.provenance import saw
from training.train import Training, run


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed")
    boxed, labeled = write_prepared(folder / "boxed"), write_labeled(folder / "labeled")
    path = write_settings(folder, boxed, max_tokens=60)
    mix = f'mix = {{ "{labeled.as_posix()}" = 3 }}\n'
    path.write_text(mix + path.read_text() + "\n[losses]\nanswers = 1.0\n")
    return path


def test_the_record_of_a_mixed_run_knows_every_folder(settings: Path) -> None:
    folder = settings.parent
    outcome = run(settings)
    assert outcome.finished and "labeled/auc" in outcome.scores
    record = json.loads((outcome.checkpoint / "training.json").read_text())
    assert list(record["data"]["mixed"]) == [(folder / "labeled").as_posix()]
    # So its validate split is all that may be calibrated on, and its test split measures.
    assert saw(record, folder / "labeled") and saw(record, folder / "boxed")
    model, _, _ = load_checkpoint(outcome.checkpoint)
    assert model.config.answers


def test_every_step_learns_from_both_and_to_answer(settings: Path) -> None:
    overrides = ["steps=60", "augment=false", f"output={(settings.parent / 'long').as_posix()}"]
    training = Training(load_config(settings, overrides))
    assert training.setup.train_batches[0, 0].complete.tolist() == [True] * 5 + [False] * 3
    losses = list(training.steps())
    first, last = (sum(step["answers"] for step in part) for part in (losses[:10], losses[-10:]))
    assert last < first / 2


def test_a_mix_leaves_studies_for_the_folder_itself(settings: Path) -> None:
    with pytest.raises(ConfigError, match="leave some for `data`"):
        load_config(settings, ["batch=3"])


def test_a_study_without_a_report_is_asked_about_and_teaches_no_words(settings: Path) -> None:
    training = Training(
        load_config(settings, [f"output={(settings.parent / 'silent').as_posix()}"])
    )
    source = training.setup.train_batches.sources[1]
    silent = [replace(study, report="", phrases=(), findings=()) for study in source.split.studies]
    batches = Batches(replace(source.split, studies=silent), 3, 0)
    losses = training.setup.objective(batches[0, 0])
    assert losses["tokens"] == 0 and losses["answers"] > 0 and losses["presence"] > 0
    assert all(torch.isfinite(loss) for loss in losses.values())
