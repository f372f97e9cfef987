"""Folds of patients: each in exactly one, none of them in the test split."""

import pytest

from data_prep.manifest import Study
from model.errors import ConfigError
from training.folds import Fold

COUNT = 3


def study(number: int, split: str) -> Study:
    return Study(id=f"s{number}", patient=f"p{number // 2}", split=split, images=(), report="")


STUDIES = [study(n, "test" if n % 10 > 7 else "train" if n % 10 else "validate") for n in range(60)]


def test_every_patient_is_in_one_fold_but_for_the_test_split() -> None:
    folds = [Fold(number, COUNT) for number in range(COUNT)]
    holding = {s.id: [f.number for f in folds if f.holds(s)] for s in STUDIES}
    for one in STUDIES:
        assert len(holding[one.id]) == (one.split != "test")
    of_patients = {(s.patient, holding[s.id][0]) for s in STUDIES if holding[s.id]}
    assert len({patient for patient, _ in of_patients}) == len(of_patients)
    assert {number for _, number in of_patients} == set(range(COUNT))


@pytest.mark.parametrize("text", ["3/3", "1", "1/", "-1/3", "0/1", "a/b", "1/2/3"])
def test_another_text_is_no_fold(text: str) -> None:
    with pytest.raises(ConfigError, match="fold"):
        Fold.parse(text)
    assert str(Fold.parse("1/3")) == "1/3"
