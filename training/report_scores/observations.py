"""A report's text -> CheXpert's 14 observations: there, not there, doubtful, or not spoken of.

The rules of model/report_text/parser.py with another vocabulary. How right they are is measured on
reports that people labeled: `crossray label`, docs/how-to/scores.md.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum

import numpy as np

from model.report_text.parser import read_denials, read_findings
from training.bootstrap import divide
from training.corpus_scores import Measure, f1_of, mean_of
from training.report_scores.observation_terms import NORMAL, VOCABULARY

__all__ = [
    "COMPETITION",
    "NO_FINDING",
    "OBSERVATIONS",
    "Label",
    "clinical_measures",
    "f1_measures",
    "labels_of",
    "positives",
]

NO_FINDING = "No Finding"
OBSERVATIONS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Enlarged Cardiomediastinum",
    "Fracture",
    "Lung Lesion",
    "Lung Opacity",
    NO_FINDING,
    "Pleural Effusion",
    "Pleural Other",
    "Pneumonia",
    "Pneumothorax",
    "Support Devices",
)
"""In the order of MIMIC-CXR's label files."""
COMPETITION = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
"""The five that CheXpert's competition was about."""


class Label(IntEnum):
    """As in the label files of CheXpert and MIMIC-CXR."""

    PRESENT = 1
    ABSENT = 0
    UNCERTAIN = -1


def labels_of(report: str) -> dict[str, Label]:
    """What a report says of each observation; what it does not speak of is missing.

    Of several labels of an observation the gravest counts: present, uncertain, absent.
    No Finding is present where no other is, support devices left out, and missing otherwise.
    """
    labels: dict[str, Label] = {}
    for name, pattern in NORMAL:
        if pattern.search(report):
            labels[name] = Label.ABSENT
    for denial in read_denials(report, VOCABULARY, in_part=True):
        labels[denial.name] = Label.ABSENT
    for assertion in read_findings(report, VOCABULARY):
        sure = assertion.certainty == "definite"
        if sure or labels.get(assertion.name) != Label.PRESENT:
            labels[assertion.name] = Label.PRESENT if sure else Label.UNCERTAIN
    observed = {name for name, label in labels.items() if label != Label.ABSENT}
    if not observed - {"Support Devices"}:
        labels[NO_FINDING] = Label.PRESENT
    return labels


def positives(reports: Sequence[str]) -> np.ndarray:
    """bool (reports, OBSERVATIONS): present or uncertain, as F1 of this field counts."""
    read: Mapping[str, Mapping[str, Label]] = {text: labels_of(text) for text in set(reports)}
    return np.array(
        [
            [read[text].get(name, Label.ABSENT) != Label.ABSENT for name in OBSERVATIONS]
            for text in reports
        ]
    )


def clinical_measures(generated: Sequence[str], references: Sequence[str]) -> list[Measure]:
    """F1 of the observations that the rules read: of all, of COMPETITION, and of each.

    An observation that is never called has F1 0; one that does not occur in the references has
    none.
    """
    called, truth = positives(generated), positives(references)
    measures, counts = f1_measures(called, truth), _counts(called, truth)
    for column, name in enumerate(OBSERVATIONS):
        cases, of_one = int(truth[:, column].sum()), counts[:, column]
        if cases:
            measures += [
                f1_of(f"f1.{name}", of_one, cases),
                mean_of(f"precision.{name}", of_one[:, 0], of_one[:, 1]),
                mean_of(f"recall.{name}", of_one[:, 0], of_one[:, 2]),
            ]
    return measures


def f1_measures(called: np.ndarray, truth: np.ndarray, prefix: str = "") -> list[Measure]:
    """Micro and macro F1 over all observations and over COMPETITION.

    Micro F1 counts all observations together; macro F1 is the mean over those that occur in the
    references.

    Args:
        called, truth: bool (reports, OBSERVATIONS).
        prefix: of the measures' names: who read the reports.
    """
    counts = _counts(called, truth)
    chosen = [OBSERVATIONS.index(name) for name in COMPETITION]
    measures = []
    for suffix, columns in (("14", list(range(len(OBSERVATIONS)))), ("5", chosen)):
        some = counts[:, columns]
        measures.append(f1_of(f"{prefix}micro_f1_{suffix}", some.sum(axis=1), len(some)))
        flat = some.reshape(len(some), -1)
        measures.append(Measure(f"{prefix}macro_f1_{suffix}", flat, _macro_f1, len(some)))
    return measures


def _counts(called: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """float64 (reports, observations, 3): true positives, calls and cases."""
    return np.stack((called & truth, called, truth), axis=2).astype(np.float64)


def _macro_f1(sums: np.ndarray) -> np.ndarray:
    """(corpora, 3 x observations): the mean over those with cases."""
    of_each = sums.reshape(len(sums), -1, 3)
    f1 = divide(2 * of_each[..., 0], of_each[..., 1] + of_each[..., 2])
    occurs = of_each[..., 2] > 0
    return divide(np.where(occurs, f1, 0).sum(axis=1), occurs.sum(axis=1))
