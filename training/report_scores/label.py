"""The command `crossray label`: reports -> CheXpert's observations, evaluated on people's labels.

Open-i's reports were indexed by people with MeSH terms; what of those says the same as one of the
observations is the truth here. People index what matters, not all that is reported, and call things
by their own rules: a "nodular density" is indexed as a density. Precision against them is a lower
bound.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data_prep.tables import is_blank, read_rows
from model.errors import DataError
from training.bootstrap import interval
from training.corpus_scores import Measure, f1_of, intervals, mean_of
from training.files import require_writable, write_text
from training.report_scores.observations import NO_FINDING, OBSERVATIONS, Label, labels_of
from training.report_scores.report_files import IDS, read_reports

__all__ = ["mesh_labels", "run_label"]

MESH = {
    "Atelectasis": r"Pulmonary Atelectasis",
    "Cardiomegaly": r"Cardiomegaly|Cardiac Shadow/enlarged",
    "Consolidation": r"Consolidation",
    "Edema": r"Pulmonary Edema|Pulmonary Congestion|Heart Failure",
    "Enlarged Cardiomediastinum": r"Mediastinum/(?:prominent|enlarged|wid)",
    "Fracture": r"Fractures, Bone",
    "Lung Lesion": r"Nodule|Mass\b",
    "Lung Opacity": r"Opacity|Infiltrate|Airspace Disease|Markings/lung|Density/lung|"
    r"Lung Diseases, Interstitial|Lung/.*interstitial",
    "Pleural Effusion": r"Pleural Effusion|Hydropneumothorax|Hemo(?:pneumo)?thorax",
    "Pleural Other": r"(?:Thickening|Fibrosis)/pleura|Pleura/",
    "Pneumonia": r"Pneumonia",
    "Pneumothorax": r"(?:Hydro|Hemo)?pneumothorax",
    "Support Devices": r"Catheters|Implanted Medical|Medical Device|Tube, Inserted|Stents",
}
"""Beginnings of Open-i's MeSH terms that say the same. Normal studies have a rule of their own."""
NOT_INDEXED = "No Indexing"


def run_label(reports: Path, out: Path | None = None, truth: Path | None = None) -> str:
    """Label each report; write a CSV where asked; return what is printed.

    Raises:
        DataError: a file that cannot be read or written, or labels of other studies.
    """
    require_writable(out)
    texts = read_reports(reports)
    empty = [study for study, text in texts.items() if is_blank(text)]
    if len(empty) == len(texts):
        raise DataError(f"all {len(empty)} reports of {reports.name!r} are empty: nothing to label")
    labels = {study: {} if study in empty else labels_of(text) for study, text in texts.items()}
    if out is not None:
        write_text(out, _csv(labels))
    note = ""
    if empty:
        note = (
            f"\n{len(empty)} reports are empty, such as that of {empty[0]!r} "
            f"({texts[empty[0]]!r}): all their labels are blank"
        )
    if truth is None:
        return _counts(labels) + note
    known = _truth(truth)
    studies = [study for study in labels if study in known and study not in empty]
    if not studies:
        raise DataError(f"{truth.name!r} has no labels of the studies of {reports.name!r}")
    table = _measured([labels[study] for study in studies], [known[study] for study in studies])
    left = len(labels) - len(studies) - len(empty)
    return table + (f"\n{left} more reports have no labels by people" if left else "") + note


def mesh_labels(terms: str) -> dict[str, Label]:
    """Open-i's MeSH column, terms between semicolons -> the observations they name."""
    return {
        name: Label.PRESENT
        for name, pattern in MESH.items()
        if any(re.match(pattern, term.strip(), re.IGNORECASE) for term in terms.split(";"))
    }


def _truth(path: Path) -> dict[str, dict[str, Label]]:
    rows = [row for _, row in read_rows(path, known=(*IDS, *OBSERVATIONS, "MeSH"))]
    columns = rows[0].keys() if rows else {}
    if "MeSH" in columns and "uid" in columns:
        indexed = (row for row in rows if row["MeSH"] != NOT_INDEXED)
        return {row["uid"]: mesh_labels(row["MeSH"]) for row in indexed}
    key = next((name for name in IDS if name in columns), None)
    if key is None or not set(columns) & set(OBSERVATIONS):
        raise DataError(
            f"{path.name!r} has neither Open-i's columns 'uid' and 'MeSH', nor a column of studies "
            "and those of the observations, as `crossray label --out` writes them"
        )
    return {row[key]: _row_labels(row, path) for row in rows}


def _row_labels(row: Mapping[str, str], path: Path) -> dict[str, Label]:
    labels = {}
    for name in OBSERVATIONS:
        if text := (row.get(name) or "").strip():
            if text not in NUMBERS:
                raise DataError(f"{path.name!r} has {name} = {text!r}: it is 1, 0, -1 or empty")
            labels[name] = NUMBERS[text]
    return labels


NUMBERS = {form.format(int(label)): label for label in Label for form in ("{}", "{}.0")}


def _positive(labels: Sequence[Mapping[str, Label]]) -> np.ndarray:
    return np.array(
        [
            [of_study.get(name, Label.ABSENT) != Label.ABSENT for name in OBSERVATIONS]
            for of_study in labels
        ]
    )


def _measured(labels: Sequence[Mapping[str, Label]], truth: Sequence[Mapping[str, Label]]) -> str:
    called, there = _positive(labels), _positive(truth)
    counts = np.stack((called & there, called, there), axis=2).astype(np.float64)
    lines = [
        f"{len(labels)} reports with labels by people",
        f"{'observation':<28}{'n':>6}  {'precision':<22}{'recall':<22}{'F1':<22}",
    ]
    for column, name in enumerate(OBSERVATIONS):
        if not there[:, column].any():
            continue
        of_one = counts[:, column]
        n = int(there[:, column].sum())
        measures: list[Measure] = [
            mean_of("precision", of_one[:, 0], of_one[:, 1]),
            mean_of("recall", of_one[:, 0], of_one[:, 2]),
            f1_of("f1", of_one, n),
        ]
        scores = intervals(measures, len(labels)).values()
        lines.append(f"{name:<28}{n:>6}  " + "".join(f"{interval(s, 3):<22}" for s in scores))
    return "\n".join(lines)


def _counts(labels: Mapping[str, Mapping[str, Label]]) -> str:
    lines = [
        f"{len(labels)} reports",
        f"{'observation':<28}{'present':>9}{'doubtful':>10}{'absent':>8}",
    ]
    for name in OBSERVATIONS:
        assigned = [of_study.get(name) for of_study in labels.values()]
        counts = [assigned.count(label) for label in (Label.PRESENT, Label.UNCERTAIN, Label.ABSENT)]
        if name == NO_FINDING:
            counts[1:] = [0, 0]
        lines.append(f"{name:<28}{counts[0]:>9}{counts[1]:>10}{counts[2]:>8}")
    return "\n".join(lines)


def _csv(labels: Mapping[str, Mapping[str, Label]]) -> str:
    """study and the observations, 1, 0, -1 or empty as in MIMIC-CXR's files."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["study", *OBSERVATIONS])
    for study, of_study in labels.items():
        row = [of_study.get(name) for name in OBSERVATIONS]
        writer.writerow([study, *("" if label is None else int(label) for label in row)])
    return text.getvalue()
