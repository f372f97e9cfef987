"""Laws of what is said of a map: a perfect one scores 1, a flat one what its box covers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.imaging.letterbox import Letterbox
from training.bootstrap import Bootstrap
from training.grounding.map_scores import Ground, Measured, measure, size_of

BOX = (16.0, 8.0, 48.0, 24.0)


@pytest.fixture
def field() -> Ground:
    return Ground.of([Letterbox(64, 64, 32)])


def test_a_map_that_is_the_box_is_perfect(field: Ground) -> None:
    inside = field.inside([(0, BOX)])
    scores = measure(inside.astype(np.float32), inside)
    assert scores["pointing_game"] == scores["miou"] == scores["mass"] == 1


def test_a_flat_map_is_worth_what_the_box_covers(field: Ground) -> None:
    inside = field.inside([(0, BOX)])
    share = 32 * 16 / 64**2
    for flat in (field.density(np.full((1, 4, 4), 0.3)), field.density(np.zeros((1, 4, 4)))):
        scores = measure(flat, inside)
        assert scores["cnr"] == 0
        assert scores["mass"] == pytest.approx(share, abs=1e-6)
    assert scores["pointing_game"] == scores["miou"] == pytest.approx(share)


@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_no_score_depends_on_a_maps_scale(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    density, inside = rng.random(400), rng.random(400) < 0.2
    assert measure(density * scale, inside) == pytest.approx(measure(density, inside))


def test_miou_is_as_by_hand() -> None:
    density = np.array([1.0, 0.45, 0.25, 0.05])
    inside = np.array([True, True, False, False])
    by_hand = (2 / 3 + 2 / 3 + 1 + 1 + 1 / 2) / 5
    assert measure(density, inside)["miou"] == pytest.approx(by_hand)


def test_a_image_is_measured_the_same_at_every_size() -> None:
    heatmap = np.random.default_rng(0).random((1, 4, 4)).astype(np.float32)
    scores = []
    for times in (4, 8, 16):
        field = Ground.of([Letterbox(64 * times, 48 * times, 32)])
        inside = field.inside([(0, tuple(side * times for side in (16, 8, 40, 24)))])
        scores.append(measure(field.density(heatmap), inside))
    for larger in scores[1:]:
        assert larger == pytest.approx(scores[0], rel=1e-3)


def test_a_box_smaller_than_a_pixel_is_still_there() -> None:
    field = Ground.of([Letterbox(2560, 2560, 32)])
    assert field.inside([(0, (1283.0, 1283.0, 1285.0, 1285.0))]).sum() == 1


def test_the_patients_right_is_on_the_images_left(field: Ground) -> None:
    heatmap = np.zeros((1, 4, 4), np.float32)
    heatmap[0, 1, 0] = 1
    assert field.side(field.density(heatmap)) == "right"
    assert field.side(field.density(heatmap[:, :, ::-1])) == "left"


def test_several_images_are_one_map() -> None:
    field = Ground.of([Letterbox(64, 64, 32), Letterbox(32, 64, 32)])
    heatmap = np.zeros((2, 4, 4), np.float32)
    heatmap[1, 1, 1] = 1
    inside = field.inside([(1, (0.0, 0.0, 32.0, 32.0))])
    scores = measure(field.density(heatmap), inside)
    assert scores["pointing_game"] == 1 and scores["mass"] > 0.5
    assert inside.sum() == 32 * 32


@pytest.mark.parametrize(("side", "size"), [(6, "small"), (12, "middle"), (40, "large")])
def test_sizes_are_shares_of_the_image(field: Ground, side: int, size: str) -> None:
    assert size_of(field.inside([(0, (0, 0, side, side))])) == size


def test_cases_are_pooled_by_group() -> None:
    measured = Measured()
    measured.add(0, "nodule", "small", {"cnr": 1.0})
    measured.add(0, "nodule", "middle", {"cnr": 2.0})
    measured.add(2, "edema", "large", {"cnr": 6.0, "mass": 0.5})
    scores = measured.scores(("cnr", "mass"), Bootstrap(3))
    assert list(scores) == ["all", "edema", "nodule", "small", "middle", "large", "small nodule"]
    assert (scores["all"]["cnr"].value, scores["all"]["cnr"].n) == (3, 3)
    assert (scores["nodule"]["cnr"].value, scores["small nodule"]["cnr"].value) == (1.5, 1)
    assert (scores["all"]["mass"].value, scores["all"]["mass"].n) == (0.5, 1)
    assert scores["nodule"]["mass"].value is None
