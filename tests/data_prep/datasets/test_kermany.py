"""Children's radiographs: labels as those of NIH, squeezed images left out."""

from pathlib import Path

import pytest
from paths import SHARED

from data_prep.datasets.kermany import studies
from data_prep.datasets.nih import LABELS
from model.errors import DataError
from training.truth import label_truth

REAL = SHARED / "data" / "kermany"
HEAD = "image,patient,label,split,aspect\n"


def test_what_a_label_says_and_does_not(tmp_path: Path) -> None:
    rows = (
        "a.jpg,1,normal,train,true",
        "b.jpg,2,viral pneumonia,test,true",
        "c.jpg,3,normal,train,squeezed",
    )
    (tmp_path / "labels.csv").write_text(HEAD + "\n".join(rows) + "\n")
    normal, pneumonia = studies(tmp_path)
    assert normal.labels == dict.fromkeys(LABELS, 0) and normal.split is None
    assert pneumonia.labels == {"Pneumonia": 1}
    assert len(label_truth(normal.labels).known) > 5
    truth = label_truth(pneumonia.labels)
    assert truth.present == truth.known and len(truth.known) == 1


@pytest.mark.parametrize("row", ["a.jpg,1,covid,train,true", "a.jpg,1,normal,train,wide"])
def test_another_value_is_named(tmp_path: Path, row: str) -> None:
    (tmp_path / "labels.csv").write_text(f"{HEAD}{row}\n")
    with pytest.raises(DataError, match="label '"):
        list(studies(tmp_path))


@pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL} is absent")
def test_the_real_table() -> None:
    found = list(studies(REAL))
    assert len(found) == 1539 and len({study.id for study in found}) == 1539
