"""Whether words are known to speak of a finding: states, and what the image adds to them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from data_prep.manifest import Phrase
from model.heatmap import TokenAttention
from training.bootstrap import Bootstrap, Score, exact
from training.teacher_forcing import Text

__all__ = ["Words"]

THRESHOLDS = np.linspace(0.02, 0.98, 97)
"""Tried for the best one."""


@dataclass
class Words:
    """The words of forced reports: truly of a finding or not, and what the model says of them."""

    rows: list[int] = field(default_factory=list)
    finding: list[bool] = field(default_factory=list)
    """Whether the word overlaps a phrase of the report that asserts a finding, or denies one whose
    place the study knows."""
    shares: list[float] = field(default_factory=list)
    """Of its attention, how much fell on the images."""
    evidence: list[float] = field(default_factory=list)
    """Nats by which the images raised its log-probability."""

    def add(self, row: int, text: Text, phrases: Sequence[Phrase], tokens: TokenAttention) -> None:
        """The words of study number `row`."""
        raised = tokens.log_probabilities - tokens.prior_log_probabilities
        shares = tokens.attention.sum(axis=1)
        for start, end in text.words():
            span = text.tokens_of(start, end)
            if span.size:
                self.rows.append(row)
                self.finding.append(any(start < p.end and p.start < end for p in phrases))
                self.shares.append(float(shares[span].mean()))
                self.evidence.append(float(raised[span].sum()))

    def scores(self, grounded_share: float, bootstrap: Bootstrap) -> dict[str, Score]:
        """Precision, recall and F1 of the state at a share, the best share, and mean evidence.

        n is the number of words called grounded (precision), that are (recall, F1), or of that
        kind (evidence). "surprising" is the share of finding words that the images made more
        probable at all.
        """
        rows, truth = np.array(self.rows, np.int64), np.array(self.finding, bool)
        shares, evidence = np.array(self.shares), np.array(self.evidence)

        def per_study(values: np.ndarray) -> np.ndarray:
            return np.bincount(rows, values.astype(float), minlength=bootstrap.studies)

        def state(threshold: float) -> dict[str, Score]:
            called = shares >= threshold
            right, calls, cases = (per_study(v) for v in (called & truth, called, truth))
            f1 = bootstrap.ratio(2 * right, calls + cases)
            return {
                "precision": bootstrap.ratio(right, calls),
                "recall": bootstrap.ratio(right, cases),
                "f1": replace(f1, n=int(truth.sum())),
            }

        f1 = [_f1(shares >= threshold, truth) for threshold in THRESHOLDS]
        best = float(THRESHOLDS[int(np.argmax(f1))])
        return {
            "grounded_share": exact(grounded_share, len(truth)),
            **state(grounded_share),
            "best_grounded_share": exact(best, len(truth)),
            **{f"best_{name}": score for name, score in state(best).items()},
            "evidence_of_finding_words": bootstrap.ratio(
                per_study(evidence * truth), per_study(truth)
            ),
            "evidence_of_other_words": bootstrap.ratio(
                per_study(evidence * ~truth), per_study(~truth)
            ),
            "raised_finding_words": bootstrap.ratio(
                per_study((evidence > 0) & truth), per_study(truth)
            ),
        }


def _f1(called: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * (called & truth).sum() / max(1, called.sum() + truth.sum()))
