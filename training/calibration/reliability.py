"""How well probabilities are calibrated: reliability tables, expected calibration error.

Of all cases predicted with a probability of about 0.8, about 8 in 10 should be right. Knows no
model.
"""

from dataclasses import dataclass

import numpy as np

from training.bootstrap import Bootstrap, Score, interval

__all__ = ["BINS", "Bin", "Predictions", "Reliability", "reliability", "reliability_table"]

BINS = 15
"""Of equal width between 0 and 1, as in Guo et al. 2017."""
DRAWS = 200


@dataclass(frozen=True)
class Predictions:
    """Predicted probabilities and their outcomes. Arrays (cases,)."""

    probability: np.ndarray
    """In [0, 1]."""
    right: np.ndarray
    """bool."""
    study: np.ndarray
    """int, whose case it is: intervals are over studies."""


@dataclass(frozen=True)
class Bin:
    """The cases predicted with about the same probability."""

    predicted: float
    """Mean of their probabilities."""
    right: Score
    """Share of them that is right."""


@dataclass(frozen=True)
class Reliability:
    error: Score
    """Expected calibration error over BINS bins."""
    by_chance: float | None
    """What the error of as many cases would be on average, were every probability right: bins
    hold few cases, so it is above 0."""
    bins: tuple[Bin, ...]
    """From low to high; bins without a case are left out."""


def reliability(predictions: Predictions, studies: int, seed: int = 0) -> Reliability:
    """Measure probabilities of cases from `studies` studies, numbered from 0."""
    bootstrap = Bootstrap(studies)
    number = np.minimum((predictions.probability * BINS).astype(int), BINS - 1)

    def by_bin(values: np.ndarray) -> np.ndarray:
        """(cases,) -> sums (studies, BINS)."""
        sums = np.zeros((studies, BINS))
        np.add.at(sums, (predictions.study, number), values)
        return sums

    probability, right = by_bin(predictions.probability), by_bin(predictions.right)
    cases = by_bin(np.ones(len(number)))
    full = np.flatnonzero(cases.sum(axis=0))
    return Reliability(
        error=bootstrap.calibration_error(probability, right, cases),
        by_chance=_by_chance(predictions.probability, number, np.random.default_rng(seed)),
        bins=tuple(
            Bin(
                predicted=float(probability[:, k].sum() / cases[:, k].sum()),
                right=bootstrap.ratio(right[:, k], cases[:, k]),
            )
            for k in full
        ),
    )


def _by_chance(
    probability: np.ndarray, number: np.ndarray, rng: np.random.Generator
) -> float | None:
    """Mean error of outcomes drawn from the probabilities themselves."""
    if not len(probability):
        return None
    errors = []
    for _ in range(DRAWS):
        gaps = probability - (rng.random(len(probability)) < probability)
        errors.append(np.abs(np.bincount(number, gaps)).sum() / len(probability))
    return float(np.mean(errors))


def reliability_table(name: str, measured: Reliability) -> str:
    """A line for the error and one for each bin."""
    lines = [f"{name}: expected calibration error {interval(measured.error)}"]
    if measured.by_chance is None:
        return lines[0]
    lines[0] += f", n {measured.error.n} ({measured.by_chance:.4f} were every probability right)"
    lines.append(f"    {'mean':>6}  {'right [95 %]':<24}{'n':>8}")
    for each in measured.bins:
        lines.append(f"    {each.predicted:>6.3f}  {interval(each.right):<24}{each.right.n:>8}")
    return "\n".join(lines)
