"""Images of which a reader labeled some findings: prepared without a report, whole patients."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep.datasets.labeled import studies
from data_prep.importing.planning import ImportOptions
from data_prep.importing.run import import_studies
from data_prep.manifest import FINDINGS, read_studies
from data_prep.reader_labels import ReaderLabels, read_reader_labels
from data_prep.source import DataSet
from training.truth import truth_of

NAMES = [f"{number}.png" for number in range(24)]
STORED = {
    "findings": ["pacemaker", "central_line"],
    "images": {name: ["pacemaker"] if name == "3.png" else [] for name in NAMES},
    "uncertain": {"3.png": ["central_line"]},
    "patients": {name: str(number // 2) for number, name in enumerate(NAMES)},
}


@pytest.fixture
def labels(tmp_path: Path) -> ReaderLabels:
    (tmp_path / "labels.json").write_text(json.dumps(STORED))
    return read_reader_labels(tmp_path / "labels.json")


def test_a_prepared_study_has_its_labels_and_no_report(
    labels: ReaderLabels, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for name in NAMES:
        cv2.imwrite(str(tmp_path / name), rng.integers(0, 255, (64, 64), np.uint8))
    data_set = DataSet({"source": "labeled"}, tmp_path, studies(labels, 0))
    out = tmp_path.parent / f"{tmp_path.name}-prepared"
    import_studies(out, data_set, ImportOptions(target="findings"), 1, progress=False)
    prepared = {study.id: study for study in read_studies(out)}
    assert len(prepared) == len(NAMES) and {s.report for s in prepared.values()} == {""}
    assert prepared["3"].labels == {"pacemaker": 1, "central_line": -1}
    truth = truth_of(prepared["3"], complete=False)
    assert truth.present == truth.known == {FINDINGS.index("pacemaker")}
    other = truth_of(prepared["4"], complete=False)
    assert not other.present and len(other.known) == 2


def test_a_patient_is_in_one_split_whatever_the_seed(labels: ReaderLabels) -> None:
    for seed in range(5):
        found = list(studies(labels, seed))
        assert len({(s.patient, s.split) for s in found}) == len({s.patient for s in found}) == 12
        assert {s.split for s in found} <= {"train", "validate"}
