"""Weights between those that a run started from and those that it ended with.

What the first weights could do and the run has partly unlearned comes back, while most of what it
has learned stays (WiSE-FT, Wortsman et al. 2022).
"""

from pathlib import Path

from model.checkpoint import load_checkpoint, save_checkpoint
from model.checkpoint_folder import read_folder
from model.errors import ConfigError
from training.provenance import record_of

__all__ = ["average"]


def average(trained: Path, initial: Path, out: Path, share: float) -> str:
    """Write the checkpoint folder whose every weight is `share` of `trained`'s and the rest
    `initial`'s; returns its SHA-256. It is to be calibrated again.

    Args:
        initial: the checkpoint that the run of `trained` started from.
        share: between 0 and 1.

    Raises:
        ConfigError: another share; a run that started elsewhere or with another shape, or whose
            checkpoint is calibrated already.
        CheckpointError: a checkpoint that cannot be loaded.
    """
    if not 0 < share < 1:
        raise ConfigError(f"share {share}: a number between 0 and 1 is needed")
    model, tokenizer, _ = load_checkpoint(trained)
    start, _, identity = load_checkpoint(initial)
    record = record_of(trained)
    if "calibration" in record:
        raise ConfigError(f"{str(trained)!r} is calibrated: average first, and calibrate the mean")
    if record.get("initial") != record_of(initial):
        raise ConfigError(
            f"the run of {str(trained)!r} did not start from {str(initial)!r}: name the checkpoint "
            "that its `initial` was, unchanged"
        )
    first, last = start.state_dict(), model.state_dict()
    if {k: v.shape for k, v in first.items()} != {k: v.shape for k, v in last.items()}:
        raise ConfigError(
            f"{str(trained)!r} and {str(initial)!r} have other shapes: images or layers differ"
        )
    mean = {
        name: first[name].lerp(weight, share) if weight.is_floating_point() else weight
        for name, weight in last.items()
    }
    model.load_state_dict(mean)
    record = {**record, "average": {"share": share, "initial_sha256": identity.sha256}}
    card = read_folder(trained, ["README.md"])[0]["README.md"].decode()
    return save_checkpoint(out, model, tokenizer, record, card).sha256
