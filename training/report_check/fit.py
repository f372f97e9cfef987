"""Probabilities and thresholds of errors, fitted on reports whose errors are known.

Findings are not equally easy to see: a nodule that is not seen may be there, an effusion hardly. So
each has a probability of its own, drawn to that of all by a prior, since each occurs seldom; and
all of one code have one threshold, on that probability.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from data_prep.phantom.report_errors import CODE_OF
from model.check import FITTED
from training.calibration.estimators import fit_platt, platt_targets
from training.report_check.measure import ReportRead, Source

__all__ = ["ALARMS", "fit_check"]

ALARMS = 0.007
"""Share of true reports that one code may alarm: the six together stay below 0.05."""
SCALES, OFFSETS = 0.3, 0.6
"""Standard deviations, over findings, of the logarithm of the scale and of the offset: the prior.
Chosen on phantoms of seeds 515151 and 626262."""
NEVER = 1.0 + 1e-6
"""A threshold that no probability reaches."""


@dataclass(frozen=True)
class Line:
    """The log-odds of an error are scale * evidence + offset (Platt 1999)."""

    scale: float
    offset: float

    def __call__(self, evidence: float) -> float:
        return self.scale * evidence + self.offset


@dataclass(frozen=True)
class Case:
    """One thing that a report could have wrong, and whether it has."""

    name: str
    evidence: float
    wrong: bool


def fit_check(reports: Sequence[ReportRead], source: Source) -> dict[str, list[float]]:
    """Scale, offset and threshold of each code that occurs, and of its findings.

    The threshold is the one with the best F1 of those that alarm few enough true reports.
    """
    fits = {}
    kinds = {code: kind for kind, code in CODE_OF.items()}
    for code in FITTED:
        cases = list(_cases(reports, source, code, kinds[code]))
        if len({case.wrong for case in cases}) < 2:
            continue
        evidence = np.array([case.evidence for case in cases])
        wrong = np.array([case.wrong for case in cases])
        pooled = Line(*fit_platt(evidence, wrong))
        if pooled.scale <= 0:
            # What should speak for an error speaks against it: nothing is to be learned.
            fits[code] = [0.0, pooled.offset, NEVER]
            continue
        lines = {"": pooled, **_lines(pooled, [case.name for case in cases], evidence, wrong)}
        threshold = float(expit(_limit(reports, source, code, kinds[code], lines)))
        for name, line in lines.items():
            fits[f"{code}/{name}" if name else code] = [line.scale, line.offset, threshold]
    return fits


def _lines(
    pooled: Line,
    names: Sequence[str],
    evidence: NDArray[np.float64],
    wrong: NDArray[np.bool_],
) -> dict[str, Line]:
    """By finding, the likeliest line given its cases and the prior about that of all."""
    known, which = np.unique(names, return_inverse=True)
    target, count = platt_targets(wrong), len(known)

    def loss(away: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scales, offsets = away[:count], away[count:]
        raised = pooled.scale * np.exp(scales)[which] * evidence
        score = raised + pooled.offset + offsets[which]
        gap = expit(score) - target
        value = np.sum(np.logaddexp(0, score) - target * score)
        value += 0.5 * (np.sum((scales / SCALES) ** 2) + np.sum((offsets / OFFSETS) ** 2))
        by_scale = np.bincount(which, gap * raised) + scales / SCALES**2
        by_offset = np.bincount(which, gap) + offsets / OFFSETS**2
        return float(value), np.concatenate((by_scale, by_offset))

    away = minimize(loss, np.zeros(2 * count), jac=True, method="L-BFGS-B").x
    return {
        str(name): Line(
            pooled.scale * float(np.exp(away[k])), pooled.offset + float(away[count + k])
        )
        for k, name in enumerate(known)
    }


def _cases(reports: Sequence[ReportRead], source: Source, code: str, kind: str) -> Iterator[Case]:
    """Every case of a code in reports of which every second one is true."""
    used = {report.row for report in reports if report.kind == kind}
    for report in reports:
        if report.row in used and report.kind in (None, kind):
            for each in source(report):
                if each.code == code:
                    name = each.stated.name
                    wrong = report.kind == kind and name == report.name
                    yield Case(name, each.log_odds, wrong)


def _limit(
    reports: Sequence[ReportRead],
    source: Source,
    code: str,
    kind: str,
    lines: Mapping[str, Line],
) -> float:
    """The log-odds from which an error is called; halfway between two cases."""
    true, wrong = [], []
    for report in reports:
        odds = [
            (each.stated.name, lines.get(each.stated.name, lines[""])(each.log_odds))
            for each in source(report)
            if each.code == code
        ]
        if report.kind is None:
            true.append(max((value for _, value in odds), default=-np.inf))
        elif report.kind == kind:
            own = [value for name, value in odds if name == report.name]
            wrong.append(max(own, default=-np.inf))
    return _best_limit(np.sort(np.array(true))[::-1], np.sort(np.array(wrong)))


def _best_limit(true: NDArray[np.float64], wrong: NDArray[np.float64]) -> float:
    """Args: log-odds of true reports, largest first, and of errors, smallest first."""
    least = true[min(int(ALARMS * len(true)), len(true) - 1)]
    candidates = wrong[wrong > least]
    if not len(candidates):
        return float(np.nextafter(max(least, wrong[-1]), np.inf))
    share = len(wrong) / len(true)
    scores = []
    for candidate in candidates:
        right = int((wrong >= candidate).sum())
        false = share * int((true >= candidate).sum())
        scores.append(2 * right / (right + false + len(wrong)))
    best = float(candidates[int(np.argmax(scores))])
    below = np.concatenate([true[true < best], wrong[wrong < best]])
    finite = below[np.isfinite(below)]
    return (best + float(finite.max())) / 2 if len(finite) else best
