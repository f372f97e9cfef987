"""Phantoms with masks: the sides are right, and an interrupted folder is completed."""

import cv2
import numpy as np
import pytest

from data_prep.phantom.parts import make_parts, prepare_parts
from model.anatomy_parts import PARTS
from model.errors import ConfigError, DataError


def test_a_phantom_follows_from_seed_and_index_alone() -> None:
    pixels, bits = make_parts(5, 3, 64)
    again, other = make_parts(5, 3, 64), make_parts(5, 4, 64)
    assert np.array_equal(pixels, again[0]) and np.array_equal(bits, again[1])
    assert not np.array_equal(bits, other[1])


def test_parts_lie_where_they_lie_in_a_chest() -> None:
    for index in range(10):
        _, bits = make_parts(7, index, 96)
        masks = {part: bits >> number & 1 > 0 for number, part in enumerate(PARTS)}
        assert all(mask.any() for mask in masks.values())
        middle = {part: np.nonzero(mask)[1].mean() for part, mask in masks.items()}
        assert middle["right_lung"] < middle["spine"] < middle["left_lung"]
        lungs = masks["right_lung"] | masks["left_lung"]
        assert not (masks["right_lung"] & masks["left_lung"]).any()
        assert not (lungs & masks["heart"]).any()
        assert not (lungs & masks["mediastinum"]).any()


def test_a_folder_is_completed_and_never_mixed(tmp_path) -> None:
    prepare_parts(tmp_path, 3, seed=2, size=64)
    files = sorted(file for file in tmp_path.rglob("*.png"))
    content = [file.read_bytes() for file in files]
    assert len(files) == 6
    files[-1].unlink()
    prepare_parts(tmp_path, 3, seed=2, size=64)
    assert [file.read_bytes() for file in files] == content
    stored = cv2.imread(str(tmp_path / "parts" / "0000002.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(stored, make_parts(2, 2, 64)[1])
    with pytest.raises(DataError, match="choose an empty folder"):
        prepare_parts(tmp_path, 3, seed=3, size=64)
    with pytest.raises(ConfigError, match="count 0"):
        prepare_parts(tmp_path / "none", 0, seed=3)
