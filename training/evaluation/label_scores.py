"""Scores against labels of whole images, such as those of ChestX-ray14, where nothing has a box.

The probability is the one that the report and `ask` give. Intervals are over patients: images of
one patient resemble each other. Beside the model stand three baselines that have not read the
image as a radiologist does: what age, sex and projection alone predict (patients with pneumonia
are imaged in bed, AP), the nearest train images, and other checkpoints.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import expit

from data_prep.labels import is_normal
from data_prep.manifest import FINDINGS, Study
from model.errors import DataError
from model.generator import ReportGenerator
from model.imaging.read import read_image
from model.questions import answer_line
from model.report_text.parser import read_findings
from training.bootstrap import Bootstrap, Score, divide, draw, percentiles
from training.calibration.labeled import labeled_answers, novelty_distances
from training.calibration.reliability import Predictions, Reliability, reliability
from training.report_scores.baselines import thumbnail
from training.truth import truth_of

__all__ = ["FindingRow", "LabelEvaluation", "LabeledStudies", "evaluate_labels", "weighted_auc"]

NEIGHBORS = 5
COVERAGES = (1.0, 0.8, 0.6, 0.4, 0.2)
RIDGE = 1.0


@dataclass(frozen=True)
class FindingRow:
    """One finding against the normal radiographs (data_prep.labels.is_normal)."""

    finding: str
    present: int
    absent: int
    """Normal radiographs."""
    auc: Mapping[str, Score]
    """By whose probability: "model", "AP" and "PA" (the model's within a projection), "age, sex,
    view", "nearest images", and the name of each other checkpoint."""
    sensitivity: Score
    """Of what the report asserts."""
    specificity: Score
    calibration: Reliability | None
    """Of its probability, shown or withheld; None where none was fitted."""
    withheld: bool


@dataclass(frozen=True)
class LabelEvaluation:
    studies: int
    patients: int
    rows: tuple[FindingRow, ...]
    normal_clear: Score
    """Share of normal radiographs whose report asserts no finding."""
    precision: Score
    """Share of asserted findings (of those that labels name) that are labeled."""
    reliability: Reliability
    """Of the probabilities of findings that were fitted, shown or withheld."""
    risk: Mapping[float, Score]
    """Error of "present if the probability is .5 or more" among the surest share of cases."""
    in_distribution: Score
    """Share of images without a warning that they are unlike those trained on."""


@dataclass(frozen=True)
class _Patients:
    """Resamples of patients, as weights of studies."""

    weights: np.ndarray
    """(1 + resamples, studies); row 0 is the sample itself."""

    def ratio(self, numerator: np.ndarray, denominator: np.ndarray) -> Score:
        """Sum of numerators over sum of denominators, (studies,) each."""
        values = divide(self.weights @ numerator, self.weights @ denominator)
        return percentiles(values, int(denominator.sum()))

    def auc(self, scores: np.ndarray, present: np.ndarray, among: np.ndarray) -> Score:
        """Area under the curve of the studies `among`, arrays (studies,)."""
        values = weighted_auc(scores[among], present[among], self.weights[:, among])
        return percentiles(values, int(present[among].sum()))


def weighted_auc(scores: np.ndarray, present: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve for many weightings of the same cases at once.

    What sklearn's `roc_auc_score` gives row by row; a call a resample would take minutes a table.

    Args:
        scores: (cases,); present: bool (cases,); weights: (resamples, cases).

    Returns:
        (resamples,), NaN where one of the kinds has no weight.
    """
    _, rank = np.unique(scores, return_inverse=True)
    count = rank.max(initial=-1) + 1
    at = np.zeros((len(rank), count))
    at[np.arange(len(rank)), rank] = 1
    positive, negative = (weights * present) @ at, (weights * ~present) @ at
    below = negative.cumsum(axis=1) - negative / 2
    wins = (positive * below).sum(axis=1)
    return divide(wins, positive.sum(axis=1) * negative.sum(axis=1))


@dataclass(frozen=True)
class LabeledStudies:
    """Studies with labels, and the prepared folder they lie in.

    Raises:
        DataError: a study without labels.
    """

    folder: Path
    studies: Sequence[Study]

    def __post_init__(self) -> None:
        if any(study.labels is None for study in self.studies):
            raise DataError(
                f"not every study of {str(self.folder)!r} has labels: nothing to compare with"
            )

    def has(self) -> tuple[np.ndarray, np.ndarray]:
        """bool (studies, FINDINGS) each: which findings are present, and of which that is known."""
        truths = [truth_of(study, complete=False) for study in self.studies]
        present, known = (
            np.array([[k in of for k in range(len(FINDINGS))] for of in column])
            for column in zip(*((truth.present, truth.known) for truth in truths), strict=True)
        )
        return present, known


def evaluate_labels(
    generator: ReportGenerator,
    measured: LabeledStudies,
    texts: Sequence[str],
    train: LabeledStudies,
    demographics: Path | None = None,
    others: Sequence[ReportGenerator] = (),
) -> LabelEvaluation:
    """Score reports and probabilities of labeled studies.

    Args:
        texts: the model's reports.
        train: what the baselines learn from.
        demographics: CSV with the columns image, age and sex; None: the baseline knows the
            projection alone.
        others: checkpoints to compare with.
    """
    data, studies = measured.folder, measured.studies
    patients = _patients(studies)
    present, known = measured.has()
    normal = np.array([is_normal(study.labels) for study in studies])
    named = [{finding.name for finding in read_findings(text)} for text in texts]
    asserted = np.array([[name in of_text for name in FINDINGS] for of_text in named])
    odds = labeled_answers(generator, data, studies)
    scores = {"model": odds}
    scores |= _confounders(train.studies, studies, demographics)
    scores["nearest images"] = _nearest(train, measured)
    scores |= {other.identity.name: labeled_answers(other, data, studies) for other in others}
    view = np.array([study.images[0].view for study in studies])
    probability, fitted, shown = _probabilities(generator, odds)
    calibration = _calibration(probability, present, known & fitted)
    rows = []
    for k in np.flatnonzero(present.any(axis=0)):
        cases = present[:, k]
        among = cases | normal
        auc = {who: patients.auc(of[:, k], cases, among) for who, of in scores.items()}
        auc |= {v: patients.auc(odds[:, k], cases, among & (view == v)) for v in ("AP", "PA")}
        rows.append(
            FindingRow(
                finding=FINDINGS[k],
                present=int(cases.sum()),
                absent=int(normal.sum()),
                auc=auc,
                sensitivity=patients.ratio(cases & asserted[:, k], cases),
                specificity=patients.ratio(normal & ~asserted[:, k], normal),
                calibration=calibration.get(int(k)),
                withheld=not shown[k],
            )
        )
    labeled = known.any(axis=0) | present.any(axis=0)
    judged = known & fitted
    where = np.argwhere(judged)
    predictions = Predictions(probability[judged], present[judged], where[:, 0])
    return LabelEvaluation(
        studies=len(studies),
        patients=len({study.patient for study in studies}),
        rows=tuple(rows),
        normal_clear=patients.ratio(normal & ~asserted.any(axis=1), normal),
        precision=patients.ratio(
            (asserted & present)[:, labeled].sum(axis=1), asserted[:, labeled].sum(axis=1)
        ),
        reliability=reliability(predictions, len(studies)),
        risk=_risk(predictions, len(studies)),
        in_distribution=_in_distribution(generator, data, studies),
    )


def _calibration(
    probability: np.ndarray, present: np.ndarray, judged: np.ndarray
) -> dict[int, Reliability]:
    """By finding, of those that some study is judged by; arrays (studies, findings)."""
    found = {}
    for k in np.flatnonzero(judged.any(axis=0)).tolist():
        use = judged[:, k]
        cases = Predictions(probability[use, k], present[use, k], np.flatnonzero(use))
        found[k] = reliability(cases, len(judged))
    return found


def _patients(studies: Sequence[Study]) -> _Patients:
    names = [study.patient or study.id for study in studies]
    numbers = np.unique(names, return_inverse=True)[1]
    return _Patients(draw(int(numbers.max()) + 1)[:, numbers])


def _probabilities(
    generator: ReportGenerator, odds: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimated (studies, findings), and bool (findings,) each, which of them were fitted on
    radiographs or hold for all findings, and which are shown."""
    config = generator.model.config
    shown = np.array([config.calibrated is None or name in config.calibrated for name in FINDINGS])
    fitted = shown | np.array([name in config.assert_from for name in FINDINGS])
    lines = np.array([answer_line(config, name) for name in FINDINGS])
    return expit(lines[:, 0] * odds + lines[:, 1]), fitted, shown


def _risk(predictions: Predictions, studies: int) -> dict[float, Score]:
    sureness = np.abs(predictions.probability - 0.5)
    wrong = (predictions.probability >= 0.5) != predictions.right
    bootstrap, risk = Bootstrap(studies), {}
    for coverage in COVERAGES:
        kept = np.argsort(-sureness, kind="stable")[: round(coverage * len(sureness))]
        counts = np.bincount(predictions.study[kept], minlength=studies)
        errors = np.bincount(predictions.study[kept], wrong[kept], studies)
        risk[coverage] = bootstrap.ratio(errors, counts)
    return risk


def _in_distribution(generator: ReportGenerator, data: Path, studies: Sequence[Study]) -> Score:
    far = novelty_distances(generator, data, studies)
    limit = generator.model.config.novelty_threshold
    return Bootstrap(len(far)).ratio((far <= limit) | (limit == 0), np.ones(len(far)))


def _confounders(
    train: Sequence[Study], studies: Sequence[Study], demographics: Path | None
) -> dict[str, np.ndarray]:
    """What the projection, and age and sex where they are known, predict: log-odds."""
    rows: dict[str, dict[str, str]] = {}
    if demographics is not None:
        with demographics.open(encoding="utf-8", newline="") as table:
            rows = {Path(row["image"]).stem: row for row in csv.DictReader(table)}
    inputs = [_known_of(study, rows) for study in (*train, *studies)]
    values = np.array(inputs)
    values = (values - values.mean(axis=0)) / values.std(axis=0).clip(1e-6)
    scores = np.zeros((len(studies), len(FINDINGS)))
    truths = [truth_of(study, complete=False) for study in train]
    for k in range(len(FINDINGS)):
        known = np.array([k in truth.known for truth in truths])
        there = np.array([k in truth.present for truth in truths])[known]
        if there.any() and not there.all():
            scores[:, k] = _logistic(values[: len(train)][known], there, values[len(train) :])
    return {"age, sex, view" if rows else "view": scores}


def _known_of(study: Study, rows: Mapping[str, Mapping[str, str]]) -> list[float]:
    row = rows.get(study.id, {})
    age = float(row.get("age") or 50) / 50
    return [study.images[0].view == "AP", age, age**2, row.get("sex") == "M"]


def _logistic(inputs: np.ndarray, present: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Ridge-regularized logistic regression; log-odds of `asked`."""
    from sklearn.linear_model import LogisticRegression

    # sklearn minimizes C * loss + |weights|^2 / 2
    result: np.ndarray = (
        LogisticRegression(C=0.5 / RIDGE, tol=1e-6).fit(inputs, present).decision_function(asked)
    )
    return result


def _nearest(train: LabeledStudies, measured: LabeledStudies) -> np.ndarray:
    """Share of the NEIGHBORS nearest train images that have each finding."""
    images, known = (
        np.stack([thumbnail(read_image(of.folder / s.images[0].path)) for s in of.studies])
        for of in (measured, train)
    )
    gaps = (images**2).sum(1)[:, None] + (known**2).sum(1)[None] - 2 * images @ known.T
    present, _ = train.has()
    result: np.ndarray = present[np.argsort(gaps, axis=1)[:, :NEIGHBORS]].mean(axis=1)
    return result
