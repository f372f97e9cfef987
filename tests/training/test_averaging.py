"""Weights between the start of runs and their ends."""

from pathlib import Path

import pytest
import torch

from model.checkpoint import load_checkpoint, save_checkpoint
from model.errors import ConfigError
from training.averaging import average
from training.provenance import record_of


@pytest.fixture
def trained(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A run that moved every weight by 1."""
    model, tokenizer, _ = load_checkpoint(tiny_checkpoint)
    moved = {k: v + 1 if v.is_floating_point() else v for k, v in model.state_dict().items()}
    model.load_state_dict(moved)
    record = {"step": 3, "initial": record_of(tiny_checkpoint)}
    save_checkpoint(tmp_path / "trained", model, tokenizer, record, "card")
    return tmp_path / "trained"


def test_every_weight_lies_between(trained: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    sha256 = average([trained], tiny_checkpoint, tmp_path / "mean", 0.25)
    start, mean = load_checkpoint(tiny_checkpoint)[0], load_checkpoint(tmp_path / "mean")
    assert mean[2].sha256 == sha256
    for name, weight in mean[0].state_dict().items():
        moved = 0.25 if weight.is_floating_point() else 0
        torch.testing.assert_close(weight, start.state_dict()[name] + moved)
    record = record_of(tmp_path / "mean")
    assert record["average"]["share"] == 0.25 and record["step"] == 3


def test_runs_from_one_start_are_averaged(
    trained: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    model, tokenizer, _ = load_checkpoint(trained)
    further = {k: v + 2 if v.is_floating_point() else v for k, v in model.state_dict().items()}
    model.load_state_dict(further)
    note = {"source": "nih", "manifest_sha256": "1"}
    record = {**record_of(trained), "step": 4, "data": {"mixed": {"nih": note}}}
    save_checkpoint(tmp_path / "other", model, tokenizer, record, "card")
    average([trained, tmp_path / "other"], tiny_checkpoint, tmp_path / "mean", 1.0)
    start, mean = load_checkpoint(tiny_checkpoint)[0], load_checkpoint(tmp_path / "mean")[0]
    for name, weight in mean.state_dict().items():
        moved = 2 if weight.is_floating_point() else 0
        torch.testing.assert_close(weight, start.state_dict()[name] + moved)
    [other] = record_of(tmp_path / "mean")["average"]["others"]
    assert other["step"] == 4 and "initial" not in other
    assert other["data"] == record["data"], "what the other has seen is known of the mean"


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_that_is_none_is_refused(
    trained: Path, tiny_checkpoint: Path, tmp_path: Path, share: float
) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        average([trained], tiny_checkpoint, tmp_path / "mean", share)


def test_a_run_that_started_elsewhere_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did not start from"):
        average([trained], trained, tmp_path / "mean", 0.5)
