"""What is measured of generated texts: values that the tables and the JSON are made of."""

from dataclasses import dataclass

from training.bootstrap import Score
from training.corpus_scores import Difference

__all__ = ["Comparison", "Scored"]


@dataclass(frozen=True)
class Scored:
    """A system's scores and those of the baselines, all on the same studies."""

    protocol: str
    studies: int
    scores: dict[str, Score]
    baselines: dict[str, dict[str, Score]]
    """By baseline: "constant", "random", "retrieval"; those that could be had."""
    not_computed: dict[str, str]
    """Scores and baselines that are missing, and why."""
    constant_report: str | None
    learned_metrics: tuple[str, ...]
    """The networks that scored too, by their weights."""
    alarms: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    protocol: str
    studies: int
    differences: dict[str, Difference]
    not_computed: dict[str, str]
    learned_metrics: tuple[str, ...]
