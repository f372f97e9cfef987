"""Laws of comparing systems: swapped, signs turn; one against itself differs in nothing."""

import numpy as np
import pytest

from training.bootstrap import Score
from training.corpus_scores import differences, f1_of, intervals, mean

STUDIES = 80


def _system(seed: int, right: float):
    rng = np.random.default_rng(seed)
    truth = np.arange(STUDIES) % 3 == 0
    called = np.where(rng.random(STUDIES) < right, truth, ~truth)
    counts = np.stack((called & truth, called, truth), axis=1).astype(float)
    return [mean("share", (called == truth).astype(float)), f1_of("f1", counts, int(truth.sum()))]


def test_a_system_against_itself_differs_in_nothing() -> None:
    system = _system(0, 0.8)
    for told in differences(system, system, STUDIES).values():
        assert told.difference == Score(0, 0, 0, told.difference.n)
        assert told.p == 1


def test_swapped_systems_turn_the_sign_and_keep_p() -> None:
    a, b = _system(1, 0.9), _system(2, 0.7)
    there, back = differences(a, b, STUDIES), differences(b, a, STUDIES)
    for name, one in there.items():
        other = back[name]
        assert (one.first, one.second) == (other.second, other.first)
        assert one.difference.value == pytest.approx(-other.difference.value)
        assert one.difference.low == pytest.approx(-other.difference.high)
        assert one.p == other.p


def test_a_large_difference_is_told_from_chance_and_none_is_not() -> None:
    good, bad, alike = _system(3, 0.95), _system(4, 0.5), _system(5, 0.5)
    assert differences(good, bad, STUDIES)["share"].p < 0.001
    assert differences(bad, alike, STUDIES)["share"].p > 0.05


def test_p_is_uniform_where_systems_are_alike() -> None:
    """At most about one in ten pairs of equally good systems is told apart at 0.1."""
    values = [
        differences(_system(seed, 0.7)[:1], _system(1000 + seed, 0.7)[:1], STUDIES)["share"].p
        for seed in range(30)
    ]
    assert np.mean(np.array(values) <= 0.1) <= 0.25
    assert 0.25 < np.mean(values) < 0.75


def test_what_does_not_occur_has_no_difference() -> None:
    nothing = [f1_of("f1", np.zeros((STUDIES, 3)), 0)]
    told = differences(nothing, nothing, STUDIES)["f1"]
    assert (told.first, told.second, told.p) == (None, None, None)
    assert intervals(nothing, STUDIES)["f1"].value is None
