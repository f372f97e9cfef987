"""Scores that follow from sums over studies: their intervals, and whether two systems differ.

A corpus score such as BLEU is no mean of its studies' scores, but it does follow from sums over
them. So any resample of the studies, and any mixture of two systems' studies, is scored by adding
up again what was counted once. Knows no texts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.bootstrap import Score, divide, draw, percentiles

__all__ = ["Difference", "Measure", "differences", "f1_of", "intervals", "mean", "mean_of"]

SWAPS = 10_000
"""Random swaps of a paired test; the smallest p value it can tell is 1 in so many."""
PART = 500
"""Swaps at once: memory is PART times the studies."""

Sums = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measure:
    """One score of one system."""

    name: str
    counts: Sums
    """(studies, k): what is added up."""
    value: Callable[[Sums], NDArray[np.float64]]
    """Sums (corpora, k) -> the score of each corpus, (corpora,); NaN where there is none."""
    n: int
    """How many cases the score is of: studies, or times a finding is there."""

    def scores(self, weights: Sums) -> NDArray[np.float64]:
        """(corpora, studies): how often each study counts -> (corpora,)."""
        return self.value(weights @ self.counts)


@dataclass(frozen=True)
class Difference:
    """A score of two systems on the same studies."""

    first: float | None
    second: float | None
    difference: Score
    """Second minus first, with its 95 % bootstrap interval over studies."""
    p: float | None
    """Probability of a difference at least as large between systems that are alike: approximate
    randomisation (Noreen 1989), two-sided. Not corrected for how many scores are compared."""


def intervals(measures: Sequence[Measure], studies: int) -> dict[str, Score]:
    """Each measure's value with its 95 % bootstrap interval, all from the same resamples."""
    weights = draw(studies)
    return {each.name: percentiles(each.scores(weights), each.n) for each in measures}


def differences(
    first: Sequence[Measure], second: Sequence[Measure], studies: int, seed: int = 0
) -> dict[str, Difference]:
    """Compare two systems measure by measure.

    Args:
        first, second: the same measures in the same order, of the same studies in the same order.
    """
    weights = draw(studies)
    extreme, swaps = (dict.fromkeys((each.name for each in first), 0) for _ in range(2))
    values = {}
    for a, b in zip(first, second, strict=True):
        of_both = a.scores(weights), b.scores(weights)
        values[a.name] = (*of_both, percentiles(of_both[1] - of_both[0], a.n))
    rng = np.random.default_rng(seed)
    for _ in range(SWAPS // PART):
        kept = rng.integers(0, 2, (PART, studies)).astype(np.float64)
        for a, b in zip(first, second, strict=True):
            own = abs(values[a.name][1][0] - values[a.name][0][0])
            mixed = (
                kept @ one.counts + (1 - kept) @ other.counts for one, other in ((a, b), (b, a))
            )
            swapped = np.abs(np.subtract(*(a.value(sums) for sums in mixed)))
            # What rounds differently is still as large; a swap that leaves no score is none.
            defined = ~np.isnan(swapped)
            swaps[a.name] += int(defined.sum())
            extreme[a.name] += int(np.count_nonzero(defined & ~(swapped < own - 1e-12)))
    return {
        name: Difference(
            first=_plain(a[0]),
            second=_plain(b[0]),
            difference=difference,
            p=_p(extreme[name], swaps[name], difference),
        )
        for name, (a, b, difference) in values.items()
    }


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _p(extreme: int, swaps: int, difference: Score) -> float | None:
    return None if difference.value is None else (extreme + 1) / (swaps + 1)


def mean(name: str, values: NDArray[np.float64]) -> Measure:
    """The mean over studies of (studies,) values."""
    return mean_of(name, values, np.ones(len(values)))


def mean_of(name: str, numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> Measure:
    """Sum of (studies,) numerators over the sum of denominators: a share."""
    counts = np.stack((numerator, denominator), axis=1)
    return Measure(name, counts, lambda s: divide(s[:, 0], s[:, 1]), int(denominator.sum()))


def f1_of(name: str, counts: Sums, n: int) -> Measure:
    """F1 of (studies, 3) true positives, calls and cases."""
    return Measure(name, counts, lambda s: divide(2 * s[:, 0], s[:, 1] + s[:, 2]), n)
