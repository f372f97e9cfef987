"""The probability of each finding from a model's answers, fitted on labeled radiographs.

Every finding has a scale and an offset of its own (Platt 1999). Most findings are on few images, so
scales are drawn towards the one that suits all that are labeled on the same images. What decides
(which probabilities may be shown, from which one a report asserts a finding) is of patients that
the fit has not seen.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.sparse.csgraph import connected_components
from scipy.special import expit, logit

from data_prep.manifest import FINDINGS
from model.errors import DataError
from training.bootstrap import Score, divide, draw, interval, percentiles
from training.calibration.estimators import platt_targets
from training.calibration.reliability import Predictions, reliability

__all__ = ["Answers", "FindingCalibration", "PresenceFit", "fit_presence", "presence_table"]

SPREAD = 0.35
"""Standard deviation of the log of a finding's scale around that of all it is labeled with."""
GROUPS = 10
"""Of patients: each one's probabilities come from a fit on the others."""
FEWEST_FITTED = 5
"""Images with a finding, and without it, from which it has a fit of its own. One with fewer has the
scale and offset of those it is labeled with, no probability that is shown and no `assert_from`."""
FEWEST_SHOWN = 20
"""From which its probability may be shown."""
LARGEST_ERROR = 0.08
LEAST_PRECISION = 0.6
MOST_FALSE = 0.1
"""Share of the normal radiographs on which a report may assert one finding."""
FEWEST_ASSERTED = 5
RESAMPLES = 300
CASES_PER_PRIOR = 1e3
"""sklearn's C: as good as no regularization."""
COLUMNS = {"": 18, "present": 9, "absent": 8, "error": 7, "up to": 7, "binned (by chance)": 34,
           "from": 7, "precision": 22, "sensitivity": 22}  # fmt: skip
EDGE = 1e-6
"""Probabilities are kept this far from 0 and 1."""


@dataclass(frozen=True)
class Answers:
    """Log-odds of a model's answers about images that it has not learned from."""

    odds: np.ndarray
    """(studies, FINDINGS)"""
    known: np.ndarray
    """bool (studies, FINDINGS): the labels say whether it is there."""
    present: np.ndarray
    """bool (studies, FINDINGS)"""
    normal: np.ndarray
    """bool (studies,): known to be normal (data_prep.labels.is_normal)."""
    patient: np.ndarray
    """int (studies,), numbered from 0."""


@dataclass(frozen=True)
class FindingCalibration:
    """One finding, measured on patients that the fit has not seen."""

    finding: str
    present: int
    absent: int
    scale: float
    offset: float
    """Of all patients together: what is written."""
    error: float
    """How far probabilities are from those recalibrated by a logistic regression, on average."""
    largest_error: float
    """Above 95 % of its bootstrap resamples of patients."""
    binned: Score
    """Expected calibration error in bins, which is above 0 even were every probability right."""
    by_chance: float
    """What `binned` would then be."""
    assert_from: float
    """Probability from which a report asserts it."""
    precision: Score
    """Of what would be asserted."""
    """The limit was chosen on the same patients."""
    sensitivity: Score
    withheld: str | None
    """Why its probability is not shown; None where it is."""


@dataclass(frozen=True)
class PresenceFit:
    scale: float
    offset: float
    """Of findings that no label tells of."""
    findings: tuple[FindingCalibration, ...]
    """Those with a fit of their own."""
    rare: Mapping[str, tuple[float, float]]
    """Scale and offset of those that labels tell of and too few images show."""

    @property
    def scales(self) -> dict[str, list[float]]:
        fitted = {each.finding: [each.scale, each.offset] for each in self.findings}
        return fitted | {name: list(line) for name, line in self.rare.items()}

    @property
    def assert_from(self) -> dict[str, float]:
        return {each.finding: each.assert_from for each in self.findings}

    @property
    def shown(self) -> list[str]:
        return [each.finding for each in self.findings if each.withheld is None]


def fit_presence(answers: Answers) -> PresenceFit:
    """Fit all findings that enough images have and lack, each on the images of which it is known.

    Findings that are labeled on the same images are fitted together, whatever other findings other
    images are labeled for. What too few show (FEWEST_FITTED) is estimated with the scale and the
    offset of those that it is labeled with: a report leaves it out below a half, never adds it, and
    gives no probability beside it.

    Raises:
        DataError: no finding has.
    """
    fitted = _fitted(answers)
    if not fitted.size:
        raise DataError(
            f"no finding has {FEWEST_FITTED} labeled images with it and as many without: prepare "
            "more"
        )
    scale, lines = _fit(answers, np.ones(len(answers.odds), bool), fitted)
    findings: list[FindingCalibration] = []
    rare: dict[str, tuple[float, float]] = {}
    for together in _labeled_together(answers):
        if (own := _fitted(together)).size:
            line, measured = _fit_together(together, own, answers.odds[answers.normal])
            findings += measured
            others = np.setdiff1d(np.flatnonzero(together.known.any(axis=0)), own)
            rare |= {FINDINGS[k]: line for k in others}
    return PresenceFit(
        scale=scale,
        offset=_mean_offset(lines),
        findings=tuple(sorted(findings, key=lambda each: FINDINGS.index(each.finding))),
        rare=rare,
    )


def _fitted(answers: Answers) -> np.ndarray:
    """int, places in FINDINGS of those that have a fit of their own."""
    with_it = (answers.known & answers.present).sum(axis=0)
    without = (answers.known & ~answers.present).sum(axis=0)
    return np.flatnonzero(np.minimum(with_it, without) >= FEWEST_FITTED)


def _labeled_together(answers: Answers) -> Iterator[Answers]:
    """The answers about each set of findings that some image is labeled for, and no others."""
    shared = answers.known.T.astype(float) @ answers.known
    count, numbers = connected_components(shared)
    for number in range(count):
        known = answers.known & (numbers == number)
        if (use := known.any(axis=1)).any():
            yield Answers(
                odds=answers.odds[use],
                known=known[use],
                present=answers.present[use],
                normal=answers.normal[use],
                patient=np.unique(answers.patient[use], return_inverse=True)[1],
            )


def _fit_together(
    answers: Answers, fitted: np.ndarray, normal: np.ndarray
) -> tuple[tuple[float, float], list[FindingCalibration]]:
    """The scale and offset that suit all of these findings, and each of them.

    Args:
        normal: log-odds (radiographs, FINDINGS) of those known to be normal, whatever they are
            labeled for.
    """
    scale, lines = _fit(answers, np.ones(len(answers.odds), bool), fitted)
    held_out = np.zeros(answers.odds.shape)
    group = np.random.default_rng(0).permutation(int(answers.patient.max()) + 1) % GROUPS
    for number in range(GROUPS):
        own = group[answers.patient] == number
        _, others = _fit(answers, ~own, fitted)
        for k, (own_scale, offset) in others.items():
            held_out[own, k] = expit(own_scale * answers.odds[own, k] + offset)
    measured = [
        _measured(answers, held_out[:, k], normal[:, k], k, *lines[k]) for k in fitted.tolist()
    ]
    return (scale, _mean_offset(lines)), measured


def _mean_offset(lines: Mapping[int, tuple[float, float]]) -> float:
    return float(np.mean([offset for _, offset in lines.values()]))


def _fit(
    answers: Answers, studies: np.ndarray, findings: np.ndarray
) -> tuple[float, Mapping[int, tuple[float, float]]]:
    """The scale that suits all these findings, and the scale and offset of each."""
    cases = {
        k: (answers.odds[use, k], answers.present[use, k])
        for k in findings.tolist()
        if len(np.unique(answers.present[use := studies & answers.known[:, k], k])) == 2
    }

    def all_losses(weights: np.ndarray) -> float:
        parts = zip(cases.values(), weights[1:], strict=True)
        return sum(_loss(weights[0], offset, *case) for case, offset in parts)

    start = [0.0, *(float(logit(present.mean())) for _, present in cases.values())]
    common = float(minimize(all_losses, np.array(start), method="BFGS").x[0])
    lines = {}
    for k, case in cases.items():

        def own_loss(weights: np.ndarray, case: tuple[np.ndarray, np.ndarray] = case) -> float:
            drawn = ((weights[0] - common) / SPREAD) ** 2 / 2
            return _loss(weights[0], weights[1], *case) + float(drawn)

        found = minimize(own_loss, np.array([common, float(logit(case[1].mean()))]), method="BFGS")
        lines[k] = float(np.exp(found.x[0])), float(found.x[1])
    return float(np.exp(common)), lines


def _loss(log_scale: float, offset: float, odds: np.ndarray, present: np.ndarray) -> float:
    score = np.exp(np.clip(log_scale, -5, 5)) * odds + offset
    return float((np.logaddexp(0, score) - platt_targets(present) * score).sum())


def _measured(
    answers: Answers,
    held_out: np.ndarray,
    normal: np.ndarray,
    k: int,
    scale: float,
    offset: float,
) -> FindingCalibration:
    use = answers.known[:, k]
    probability, present, patient = held_out[use], answers.present[use, k], answers.patient[use]
    patients = int(answers.patient.max()) + 1
    binned = reliability(Predictions(probability, present, patient), patients)
    weights = draw(patients, RESAMPLES)[:, patient]
    errors = [_recalibration_error(probability, present, row) for row in weights]
    largest = float(np.nanpercentile(errors[1:], 95))
    fewest = int(min(present.sum(), (~present).sum()))
    odds = answers.odds[use, k]
    limit = _assert_from(odds, present, normal, -offset / scale)
    asserted = odds >= limit
    withheld = None
    if fewest < FEWEST_SHOWN:
        withheld = f"{fewest} labeled images, fewer than {FEWEST_SHOWN}"
    elif largest > LARGEST_ERROR:
        withheld = f"calibration error up to {largest:.3f}, above {LARGEST_ERROR}"
    return FindingCalibration(
        finding=FINDINGS[k],
        present=int(present.sum()),
        absent=int((~present).sum()),
        scale=scale,
        offset=offset,
        error=float(errors[0]),
        largest_error=largest,
        binned=binned.error,
        by_chance=binned.by_chance or 0.0,
        assert_from=float(expit(scale * limit + offset)),
        precision=_share(weights, asserted & present, asserted),
        sensitivity=_share(weights, asserted & present, present),
        withheld=withheld,
    )


def _share(weights: np.ndarray, part: np.ndarray, whole: np.ndarray) -> Score:
    return percentiles(divide(weights @ part, weights @ whole), int(whole.sum()))


def _recalibration_error(
    probability: np.ndarray, present: np.ndarray, weights: np.ndarray
) -> float:
    """Mean distance of probabilities from those that a logistic regression of the outcome on their
    log-odds gives (Cox 1958): the integrated calibration index of Austin and Steyerberg 2019, with
    two parameters, since cases are few."""
    from sklearn.linear_model import LogisticRegression

    present = present[use := weights > 0]
    if present.all() or not present.any():
        return float("nan")
    scores = logit(probability.clip(EDGE, 1 - EDGE))[use, None]
    again = LogisticRegression(C=CASES_PER_PRIOR).fit(scores, present, weights[use])
    moved = again.predict_proba(scores)[:, 1]
    return float(weights[use] @ np.abs(probability[use] - moved) / weights.sum())


def _assert_from(odds: np.ndarray, present: np.ndarray, normal: np.ndarray, half: float) -> float:
    """The lowest log-odds from which enough of what is asserted is right, and few normal
    radiographs get it; where there are none, a half, or above every image without the finding and
    above all but the few normal radiographs that may get it.

    Of the model's own log-odds, which no fit has touched: the probabilities of different groups of
    patients come of different fits, and in their order a few images decide.

    Args:
        normal: log-odds of normal radiographs. Some may have a device, which no label of theirs
            says: counted as false, so that less is said.
        half: log-odds of a probability of a half.
    """
    order = np.argsort(-odds, kind="stable")
    asserted = np.arange(1, len(order) + 1)
    right = np.cumsum(present[order]) / asserted >= LEAST_PRECISION
    false = len(normal) - np.searchsorted(np.sort(normal), odds[order], side="left")
    most = MOST_FALSE * len(normal)
    clear = false <= most
    enough = np.flatnonzero(right & clear & (asserted >= FEWEST_ASSERTED))
    if enough.size:
        return float(odds[order][enough[-1]])
    above = [*odds[~present], *np.sort(normal)[: len(normal) - int(most)]]
    return max(half, float(np.max(above, initial=-np.inf)) + EDGE)


def presence_table(fit: PresenceFit) -> str:
    """A line per finding."""
    lines = [
        "probability of each finding, on patients that its fit has not seen",
        "    " + "".join(f"{name:<{width}}" for name, width in COLUMNS.items()),
    ]
    for each in fit.findings:
        binned = f"{interval(each.binned, 3)} ({each.by_chance:.3f})"
        cells = (
            *(each.finding.replace("_", " "), str(each.present), str(each.absent)),
            *(f"{each.error:.3f}", f"{each.largest_error:.3f}", binned, f"{each.assert_from:.3f}"),
            *(interval(each.precision, 3), interval(each.sensitivity, 3)),
        )
        widths = zip(cells, COLUMNS.values(), strict=True)
        lines.append("    " + "".join(f"{cell:<{width}}" for cell, width in widths))
    lines += [
        f"    {each.finding.replace('_', ' ')}: "
        + (f"withheld, {each.withheld}" if each.withheld else "shown")
        for each in fit.findings
    ]
    return "\n".join(lines)
