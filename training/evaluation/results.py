"""What is measured of a model on a prepared folder: values that tables, plots and cards read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from training.bootstrap import Score
from training.calibration.reliability import Reliability
from training.report_scores.results import Scored

__all__ = [
    "ABSENT",
    "ROBUSTNESS_SCORES",
    "Evaluation",
    "FindingEvaluation",
    "Level",
    "Robustness",
    "Scores",
]

ABSENT = Score(None, None, None, 0)


@dataclass(frozen=True)
class Scores:
    """What one source of reports scores. Mappings have a key per finding, and "macro"."""

    finding_precision: Mapping[str, Score]
    finding_recall: Mapping[str, Score]
    finding_f1: Mapping[str, Score]
    side_accuracy: Score
    """Of true positives that have a side: exactly the right sides named."""
    zone_accuracy: Score
    normal_recall: Score
    """Share of studies without findings in whose report the reader finds none."""
    distinct_reports: Score
    """How many different texts; n is how many reports. Exact, so low and high are the value."""
    pointing_game: Score = ABSENT
    """Of words that name a true finding: the map's maximum lies in one of its boxes."""
    cnr: Score = ABSENT
    finding_pointing_game: Mapping[str, Score] = field(default_factory=dict)
    finding_cnr: Mapping[str, Score] = field(default_factory=dict)


@dataclass(frozen=True)
class FindingEvaluation:
    """What the reports assert, against what is there."""

    scores: Scores
    constant: Scores
    """Baseline: one train report for every study. It has no maps."""
    retrieval: Scores
    """Baseline: the report of the nearest train image. It has no maps."""
    constant_report: str
    """The one that is best for findings."""
    reliability: Reliability
    """Of the probability given with each finding that the reports assert."""


@dataclass(frozen=True)
class Evaluation:
    model: str
    sha256: str
    """Of the weights."""
    data_sha256: str
    """Of the prepared folder's manifest."""
    split: str
    views: tuple[str, ...]
    """Those that the model was given."""
    studies: int
    findings: FindingEvaluation | None
    """None where not all that is there has a box."""
    texts: Scored
    """The words, against those of the true reports."""
    baselines_from: str
    """Where the baselines' reports were taken from."""
    predictions: dict[str, dict[str, Any]]
    """By study, in ReXrank's names: the true report, its images, and "model_prediction"."""


@dataclass(frozen=True)
class Level:
    amount: float
    """In the corruption's unit; 0 is clean."""
    finding_f1: Score
    """Macro, of the generated reports."""
    pointing_game: Score
    """Of words that name a true finding."""
    normal_recall: Score


@dataclass(frozen=True)
class Robustness:
    model: str
    sha256: str
    data_sha256: str
    studies: int
    levels: dict[str, list[Level]]
    """By corruption, clean images first."""
    breaks: dict[str, dict[str, float | None]]
    """By corruption and score, the first amount where it has broken; None where it does not. Left
    out is a score that clean images do not have, or that is 0 there."""


ROBUSTNESS_SCORES = ("finding_f1", "pointing_game", "normal_recall")
"""Of a Level."""
