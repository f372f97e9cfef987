"""Laws of going to the model's square and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import ConfigError
from model.imaging.letterbox import Letterbox

SIZE, GRID = 64, 8
PATCH = SIZE // GRID
ASPECTS = [(90, 90), (64, 64), (40, 40), (200, 100), (100, 200), (333, 250), (31, 97), (640, 48)]


def brightest(image: np.ndarray) -> tuple[float, float]:
    row, column = np.unravel_index(image.argmax(), image.shape)
    return float(column) + 0.5, float(row) + 0.5


@pytest.mark.parametrize(("height", "width"), ASPECTS)
def test_a_bright_dot_returns_within_one_patch(height, width):
    box = Letterbox(height, width, SIZE)
    _, _, square_width, square_height = box.extent()
    for row in {0, height // 3, height // 2, height - 1}:
        for column in {0, width // 4, width // 2, width - 1}:
            image = np.zeros((height, width), np.float32)
            image[row, column] = 1
            seen = box.apply(image)[0] + 1
            heatmap = seen.reshape(GRID, PATCH, GRID, PATCH).sum((1, 3))
            x, y = brightest(box.restore(heatmap / heatmap.sum()))
            assert abs(x - (column + 0.5)) <= square_width / GRID
            assert abs(y - (row + 0.5)) <= square_height / GRID


@given(
    st.integers(1, 4000),
    st.integers(1, 4000),
    st.integers(16, 600),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_places_return_exactly(height, width, size, across, down):
    box = Letterbox(height, width, size)
    x, y = across * width, down * height
    u, v = box.to_model(x, y)
    assert 0 <= u <= size
    assert 0 <= v <= size
    assert box.to_original(u, v) == pytest.approx((x, y), abs=1e-6)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(8, 100))
@settings(deadline=None)
def test_extent_is_the_square_in_original_pixels(height, width, size):
    box = Letterbox(height, width, size)
    left, top, square_width, square_height = box.extent()
    assert left <= 1e-9
    assert top <= 1e-9
    assert left + square_width >= width - 1e-6
    assert top + square_height >= height - 1e-6
    assert box.to_model(left, top) == pytest.approx((0, 0), abs=1e-6)


@pytest.mark.parametrize(("height", "width"), ASPECTS)
def test_the_image_lies_where_to_model_says_and_the_rest_is_black(height, width):
    box = Letterbox(height, width, SIZE)
    seen = box.apply(np.ones((height, width), np.float32))
    assert seen.shape == (1, SIZE, SIZE)
    left, top = (round(edge) for edge in box.to_model(0, 0))
    right, bottom = (round(edge) for edge in box.to_model(width, height))
    image = np.zeros((SIZE, SIZE), bool)
    image[top:bottom, left:right] = True
    assert seen[0, image].min() > 1 - 1e-5
    assert (seen[0, ~image] == -1).all()
    assert seen.max() <= 1
    scale = SIZE / max(height, width)
    assert (bottom - top, right - left) == pytest.approx((height * scale, width * scale), abs=0.5)


@pytest.mark.parametrize(("height", "width"), ASPECTS)
def test_a_restored_map_is_a_density(height, width):
    box = Letterbox(height, width, SIZE)
    _, _, square_width, square_height = box.extent()
    inside = height * width / (square_width * square_height)
    even = box.restore(np.full((GRID, GRID), 1 / GRID**2, np.float32))
    assert even.shape == (height, width)
    assert even.dtype == np.float32
    assert even.sum() == pytest.approx(inside, rel=1e-4)
    assert even.max() == pytest.approx(even.min(), rel=1e-4)


def test_a_patch_in_the_middle_keeps_its_whole_share():
    heatmap = np.zeros((GRID, GRID), np.float32)
    heatmap[4, 3] = 0.25
    assert Letterbox(160, 160, SIZE).restore(heatmap).sum() == pytest.approx(0.25, rel=1e-4)


def test_area_is_averaged_when_shrinking():
    stripes = np.zeros((256, 256), np.float32)
    stripes[::2] = 1
    assert np.abs(Letterbox(256, 256, 64).apply(stripes)).max() < 1e-6


def test_another_image_or_an_empty_side_is_refused():
    with pytest.raises(ValueError, match=r"expected pixels \(4, 5\), got \(5, 4\)"):
        Letterbox(4, 5, 8).apply(np.zeros((5, 4), np.float32))
    with pytest.raises(ValueError, match="expected pixels"):
        Letterbox(400, 500, 8).apply(np.zeros((100, 100), np.float32))
    with pytest.raises(ConfigError, match="height=0"):
        Letterbox(0, 5, 8)
