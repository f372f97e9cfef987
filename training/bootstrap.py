"""Scores with 95 % intervals, and what a map says about a box. Knows no text and no model.

An interval is the percentile bootstrap over studies: 1000 resamples, the same ones for every score
of the same studies, from a fixed seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = [
    "Bootstrap",
    "FindingScores",
    "Score",
    "contrast",
    "divide",
    "draw",
    "exact",
    "interval",
    "percentiles",
    "points_inside",
]

CONFIDENCE = 95.0
MACRO = "macro"


@dataclass(frozen=True)
class Score:
    """A value with its 95 % interval; all None where there was nothing to measure."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    """How many cases the value is measured on."""


@dataclass(frozen=True)
class FindingScores:
    """Per finding, and under "macro" their mean over the findings that occur in the truth."""

    precision: Mapping[str, Score]
    recall: Mapping[str, Score]
    f1: Mapping[str, Score]


def exact(value: float, n: int) -> Score:
    """A count of this very set, which has no sampling error."""
    return Score(value, value, value, n)


def interval(score: Score, digits: int = 4) -> str:
    """ "0.9123 [0.9001, 0.9211]"."""
    if score.value is None:
        return "-"
    return f"{score.value:.{digits}f} [{score.low:.{digits}f}, {score.high:.{digits}f}]"


def draw(studies: int, number: int = 1000, seed: int = 0) -> np.ndarray:
    """How often each study is drawn, float64 (1 + number, studies); row 0 is the sample itself."""
    if studies < 1:
        raise ValueError(f"{studies} studies: at least one is needed to resample")
    shares = np.full(studies, 1 / studies)
    drawn = np.random.default_rng(seed).multinomial(studies, shares, size=number)
    return np.vstack([np.ones(studies), drawn])


class Bootstrap:
    """Resamples of `studies` studies."""

    def __init__(self, studies: int, resamples: int = 1000) -> None:
        self.studies = studies
        self._weights = draw(studies, resamples)

    def ratio(self, numerator: np.ndarray, denominator: np.ndarray) -> Score:
        """Sum of numerators over sum of denominators, (studies,) each: a share or a mean."""
        values = divide(self._weights @ numerator, self._weights @ denominator)
        return percentiles(values, int(np.sum(denominator)))

    def calibration_error(
        self, predicted: np.ndarray, right: np.ndarray, cases: np.ndarray
    ) -> Score:
        """Expected calibration error (Naeini et al. 2015; Guo et al. 2017).

        The mean over cases of how far, in their bin, the mean probability is from the share
        that is right.

        Args: (studies, bins) each: sum of probabilities, how many are right, how many cases.
        """
        gaps = np.abs(self._weights @ predicted - self._weights @ right).sum(axis=1)
        return percentiles(divide(gaps, self._weights @ cases.sum(axis=1)), int(cases.sum()))

    def findings(
        self, names: Sequence[str], truth: np.ndarray, called: np.ndarray
    ) -> FindingScores:
        """Precision, recall and F1 of bool arrays (studies, findings).

        n is the number of times a finding was called (precision), is there (recall), or is there
        (F1); for the macro means the number of studies. A precision that does not exist, because a
        finding was never called, is left out of its mean; F1 is 0 there.
        """
        true_positive = self._weights @ (truth & called)
        calls = self._weights @ called
        cases = self._weights @ truth
        occurs = truth.any(axis=0)
        tables = {
            "precision": (divide(true_positive, calls), called.sum(axis=0)),
            "recall": (divide(true_positive, cases), truth.sum(axis=0)),
            "f1": (divide(2 * true_positive, calls + cases), truth.sum(axis=0)),
        }
        scored = {}
        for measure, (values, counts) in tables.items():
            scores = {MACRO: percentiles(_mean(values[:, occurs]), len(truth))}
            for k, name in enumerate(names):
                scores[name] = percentiles(values[:, k], int(counts[k]))
            scored[measure] = scores
        return FindingScores(**scored)


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """NaN where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean of each row over what is defined in it; NaN where nothing is."""
    defined = ~np.isnan(values)
    return divide(np.where(defined, values, 0).sum(axis=1), defined.sum(axis=1))


def percentiles(values: np.ndarray, n: int) -> Score:
    """A score whose values[0] is the sample's own and the rest those of its resamples."""
    if np.isnan(values[0]):
        return Score(None, None, None, n)
    tail = (100 - CONFIDENCE) / 2
    low, high = np.nanpercentile(values[1:], [tail, 100 - tail])
    return Score(float(values[0]), float(low), float(high), n)


def points_inside(heatmap: np.ndarray, inside: np.ndarray) -> float:
    """Pointing game: 1 where the map's maximum lies inside, else 0.

    Where several places hold the maximum, the share of them that lie inside: a flat map is worth
    what pointing anywhere is.

    Args:
        heatmap: float, any shape.
        inside: bool of the same shape.
    """
    return float(inside[heatmap == heatmap.max()].mean())


def contrast(heatmap: np.ndarray, inside: np.ndarray) -> float:
    """Contrast-to-noise ratio |mean_in - mean_out| / sqrt(var_in + var_out) of a map.

    NaN where inside or outside is empty; 0 for a map that is the same everywhere, infinite for one
    that is flat both inside and outside, at different heights.
    """
    within, without = heatmap[inside], heatmap[~inside]
    if not within.size or not without.size:
        return float("nan")
    difference = abs(float(within.mean()) - float(without.mean()))
    noise = float(np.sqrt(within.var() + without.var()))
    if noise == 0:
        return float("inf") if difference else 0.0
    return difference / noise
