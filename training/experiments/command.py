"""The command `crossray experiment NAME`."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from model.errors import ConfigError
from training.experiments import results
from training.experiments.directions import directions
from training.experiments.dominance import dominance
from training.experiments.fusion import fusion, jitter
from training.experiments.heads import heads
from training.experiments.highway import highway
from training.experiments.noise import noise
from training.experiments.results import Options, Outcome

__all__ = ["EXPERIMENTS", "run_experiment"]

EXPERIMENTS: Mapping[str, Callable[[Options], Outcome]] = {
    "fusion": fusion,
    "jitter": jitter,
    "noise": noise,
    "highway": highway,
    "dominance": dominance,
    "directions": directions,
    "heads": heads,
}
"""docs/explanation/cross-attention.md says what each asks."""


def run_experiment(name: str, options: Options, out: Path | None = None) -> str:
    """Run one; returns what is printed.

    Args:
        out: folder for NAME.json and NAME.png; None writes nothing.

    Raises:
        ConfigError: no such experiment, or one that lacks an option.
        DataError: phantoms that cannot be read, or a folder that cannot be written.
    """
    if name not in EXPERIMENTS:
        raise ConfigError(f"no experiment {name!r}: it is one of {', '.join(EXPERIMENTS)}")
    began = time.perf_counter()
    outcome = EXPERIMENTS[name](options)
    minutes = (time.perf_counter() - began) / 60
    outcome = replace(outcome, title=f"{outcome.title}; {minutes:.1f} minutes")
    if out is not None:
        results.write(outcome, name, out)
    return results.text(outcome)
