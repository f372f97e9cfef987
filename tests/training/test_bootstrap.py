"""Laws of the scores: values by hand, intervals that cover, maps against boxes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.bootstrap import Bootstrap, Score, contrast, exact, points_inside

NAMES = ("opacity", "nodule", "edema")
TRUTH = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]], bool)
CALLED = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]], bool)


def test_findings_are_scored_as_by_hand() -> None:
    scores = Bootstrap(4).findings(NAMES, TRUTH, CALLED)
    assert (scores.precision["opacity"].value, scores.precision["opacity"].n) == (0.5, 2)
    assert (scores.recall["opacity"].value, scores.recall["opacity"].n) == (0.5, 2)
    assert scores.f1["opacity"].value == 0.5
    assert scores.f1["nodule"].value == 1


def test_macro_is_the_mean_over_findings_that_occur() -> None:
    scores = Bootstrap(4).findings(NAMES, TRUTH, CALLED)
    assert scores.f1["macro"].value == 0.75
    assert scores.f1["macro"].n == 4


def test_what_never_occurs_has_no_score_rather_than_zero() -> None:
    scores = Bootstrap(4).findings(NAMES, TRUTH, CALLED)
    assert scores.f1["edema"] == Score(None, None, None, 0)
    assert Bootstrap(4).ratio(np.zeros(4), np.zeros(4)) == Score(None, None, None, 0)


def test_a_finding_that_is_there_and_never_called_has_f1_zero() -> None:
    scores = Bootstrap(4).findings(NAMES, TRUTH, np.zeros_like(CALLED))
    assert scores.f1["opacity"].value == 0
    assert scores.f1["macro"].value == 0
    assert scores.precision["opacity"].value is None


def test_a_ratio_pools_its_studies() -> None:
    score = Bootstrap(3).ratio(np.array([1, 0, 5]), np.array([2, 0, 6]))
    assert (score.value, score.n) == (0.75, 8)


@given(st.integers(1, 60), st.integers(0, 1000))
def test_an_interval_holds_its_value_and_stays_a_share(studies: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cases = rng.integers(1, 4, studies)
    score = Bootstrap(studies, resamples=200).ratio(rng.binomial(cases, 0.6), cases)
    assert score.value is not None and score.low is not None and score.high is not None
    assert 0 <= score.low <= score.value <= score.high <= 1


def test_same_studies_same_interval() -> None:
    right, cases = np.arange(50) % 3 > 0, np.ones(50)
    assert Bootstrap(50).ratio(right, cases) == Bootstrap(50).ratio(right, cases)


def test_intervals_cover_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    bootstrap, cases = Bootstrap(200), np.ones(200)
    covered = 0
    for _ in range(300):
        score = bootstrap.ratio(rng.random(200) < 0.7, cases)
        assert score.low is not None and score.high is not None
        covered += score.low <= 0.7 <= score.high
    assert 270 <= covered <= 297


def test_intervals_narrow_with_the_root_of_the_studies() -> None:
    def width(studies: int) -> float:
        score = Bootstrap(studies).ratio(np.arange(studies) % 2, np.ones(studies))
        assert score.low is not None and score.high is not None
        return score.high - score.low

    assert width(1600) == pytest.approx(width(100) / 4, rel=0.15)


def test_an_exact_count_has_no_width() -> None:
    assert exact(7, 10) == Score(7, 7, 7, 10)


def test_no_studies_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 studies"):
        Bootstrap(0)


def test_pointing_looks_at_the_maximum_only() -> None:
    heatmap = np.array([[0.1, 0.2], [0.3, 0.4]])
    assert points_inside(heatmap, np.array([[False, False], [False, True]]))
    assert not points_inside(heatmap, np.array([[True, True], [True, False]]))


def test_contrast_is_the_published_formula() -> None:
    heatmap = np.array([4.0, 6.0, 1.0, 1.0, 2.0, 0.0])
    inside = np.array([True, True, False, False, False, False])
    assert contrast(heatmap, inside) == pytest.approx((5 - 1) / np.sqrt(1 + 0.5))


def test_contrast_does_not_depend_on_scale_or_offset() -> None:
    rng = np.random.default_rng(1)
    heatmap, inside = rng.random((20, 20)), rng.random((20, 20)) < 0.3
    assert contrast(3 * heatmap + 1, inside) == pytest.approx(contrast(heatmap, inside))


def test_contrast_of_nothing_is_not_a_number_and_of_a_flat_map_zero() -> None:
    flat = np.full((4, 4), 0.5)
    assert np.isnan(contrast(flat, np.zeros((4, 4), bool)))
    assert np.isnan(contrast(flat, np.ones((4, 4), bool)))
    assert contrast(flat, np.eye(4, dtype=bool)) == 0
