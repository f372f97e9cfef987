"""Probabilities and thresholds of errors, fitted on reports whose errors are known."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data_prep.phantom.report_errors import CODE_OF
from model.check import FITTED
from training.calibration.estimators import fit_platt
from training.report_check.measure import ReportRead, Source

__all__ = ["ALARMS", "fit_check"]

ALARMS = 0.007
"""Share of true reports that one code may alarm: the six together stay below 0.05."""
NEVER = 1.0 + 1e-6
"""A threshold that no probability reaches."""


def fit_check(reports: Sequence[ReportRead], source: Source) -> dict[str, list[float]]:
    """Scale, offset and threshold of each code that occurs.

    The threshold is the one with the best F1 of those that alarm few enough true reports.
    """
    fits = {}
    kinds = {code: kind for kind, code in CODE_OF.items()}
    for code in FITTED:
        odds, wrong = _cases(reports, source, code, kinds[code])
        if wrong.any() and not wrong.all():
            scale, offset = fit_platt(odds, wrong)
            if scale <= 0:
                # What should speak for an error speaks against it: nothing is to be learned.
                fits[code] = [0.0, offset, NEVER]
                continue
            limit = _limit(reports, source, code, kinds[code])
            fits[code] = [scale, offset, float(1 / (1 + np.exp(-(scale * limit + offset))))]
    return fits


def _cases(
    reports: Sequence[ReportRead], source: Source, code: str, kind: str
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Log-odds of every case of a code, and whether it is an error, in reports of which every
    second one is true."""
    used = {report.row for report in reports if report.kind == kind}
    cases = [
        (each.log_odds, report.kind == kind and each.stated.name == report.name)
        for report in reports
        if report.row in used and report.kind in (None, kind)
        for each in source(report)
        if each.code == code
    ]
    return np.array([odds for odds, _ in cases]), np.array([wrong for _, wrong in cases], bool)


def _limit(reports: Sequence[ReportRead], source: Source, code: str, kind: str) -> float:
    """The log-odds from which an error is called; halfway between two cases."""
    true, wrong = [], []
    for report in reports:
        found = [each for each in source(report) if each.code == code]
        if report.kind is None:
            true.append(max((each.log_odds for each in found), default=-np.inf))
        elif report.kind == kind:
            own = [each.log_odds for each in found if each.stated.name == report.name]
            wrong.append(max(own, default=-np.inf))
    ranked = np.sort(np.array(true))[::-1]
    least = ranked[min(int(ALARMS * len(ranked)), len(ranked) - 1)]
    positive = np.sort(np.array(wrong))
    candidates = positive[positive > least]
    if not len(candidates):
        return float(np.nextafter(max(least, positive[-1]), np.inf))
    share = len(positive) / len(ranked)
    scores = []
    for candidate in candidates:
        right = int((positive >= candidate).sum())
        false = share * int((ranked >= candidate).sum())
        scores.append(2 * right / (right + false + len(positive)))
    best = float(candidates[int(np.argmax(scores))])
    below = np.concatenate([ranked[ranked < best], positive[positive < best]])
    finite = below[np.isfinite(below)]
    return (best + float(finite.max())) / 2 if len(finite) else best
