"""Weights between those that runs started from and those that they ended with.

What the first weights could do and a run has partly unlearned comes back, while most of what it
has learned stays (WiSE-FT, Wortsman et al. 2022). Several runs from one start, which differ in
their seed or data, are better averaged than alone (model soups, Wortsman et al. 2022).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.checkpoint import load_checkpoint, save_checkpoint
from model.checkpoint_folder import read_folder
from model.errors import ConfigError
from training.provenance import record_of

__all__ = ["average"]


def average(runs: Sequence[Path], initial: Path, out: Path, share: float) -> str:
    """Write the checkpoint folder whose every weight is `share` of the runs' mean and the rest
    `initial`'s; returns its SHA-256. It is to be calibrated again.

    Args:
        runs: checkpoints of runs that started from `initial`; record and card are the first one's.
        share: above 0 and at most 1; of one run below 1.

    Raises:
        ConfigError: another share; a run that started elsewhere or with another shape, or whose
            checkpoint is calibrated already.
        CheckpointError: a checkpoint that cannot be loaded.
    """
    if not 0 < share <= 1 or (share == 1 and len(runs) == 1):
        raise ConfigError(f"share {share}: a number between 0 and 1 is needed")
    start, _, identity = load_checkpoint(initial)
    first = start.state_dict()
    records = [_record(run, initial) for run in runs]
    ended = [_weights(run, initial, first) for run in runs]
    model, tokenizer, _ = load_checkpoint(runs[0])
    mean = {
        name: weight.lerp(torch.stack([each[name] for each in ended]).mean(0), share)
        if weight.is_floating_point()
        else ended[0][name]
        for name, weight in first.items()
    }
    model.load_state_dict(mean)
    others = [{k: v for k, v in record.items() if k != "initial"} for record in records[1:]]
    note = {"share": share, "initial_sha256": identity.sha256, "others": others}
    card = read_folder(runs[0], ["README.md"])[0]["README.md"].decode()
    return save_checkpoint(out, model, tokenizer, {**records[0], "average": note}, card).sha256


def _record(run: Path, initial: Path) -> dict[str, Any]:
    record = record_of(run)
    if "calibration" in record:
        raise ConfigError(f"{str(run)!r} is calibrated: average first, and calibrate the mean")
    if record.get("initial") != record_of(initial):
        raise ConfigError(
            f"the run of {str(run)!r} did not start from {str(initial)!r}: name the checkpoint "
            "that its `initial` was, unchanged"
        )
    return record


def _weights(run: Path, initial: Path, first: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    weights: Mapping[str, Tensor] = load_checkpoint(run)[0].state_dict()
    if {k: v.shape for k, v in first.items()} != {k: v.shape for k, v in weights.items()}:
        raise ConfigError(
            f"{str(run)!r} and {str(initial)!r} have other shapes: images or layers differ"
        )
    return weights
