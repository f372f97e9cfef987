"""Measuring the anatomy network: overlaps, outlines, and what holds on real radiographs."""

import json

import cv2
import numpy as np
import pytest
from paths import ROOT, SHARED

from data_prep.phantom.parts import prepare_parts
from model.anatomy import segment
from model.errors import DataError
from training.anatomy.measure import (
    Outputs,
    dice,
    lung_overlaps,
    run_anatomy,
)
from training.anatomy.outlines import inside, read_outlines
from training.anatomy.threshold import threshold_lungs

OUTLINES = ROOT / "tests" / "data" / "lung_outlines.json"


def test_dice_is_twice_the_common_area_over_both() -> None:
    one, other = np.zeros((2, 4, 4), bool)
    assert dice(one, other) == 1
    one[:2] = True
    assert dice(one, other) == 0
    other[1:3] = True
    assert dice(one, other) == 0.5


def test_outlines_are_in_percent_of_width_and_height(tmp_path) -> None:
    file = tmp_path / "outlines.json"
    square = [[25, 50], [75, 50], [75, 100], [25, 100]]
    file.write_text(json.dumps({"a/b.png": {"right": square, "left": [[0, 0], [0, 0], [0, 0]]}}))
    (polygons,) = read_outlines(file).values()
    drawn = inside(polygons[:1], 40, 80)
    rows, columns = np.nonzero(drawn)
    assert (rows.min(), columns.min(), columns.max()) == (pytest.approx(20, abs=1), 20, 60)
    assert drawn.mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("content", ["", "[]", '{"a": {"right": [[1, 2]]}}', '{"a": 3}'])
def test_a_file_that_holds_no_outlines_is_an_error(tmp_path, content: str) -> None:
    file = tmp_path / "outlines.json"
    file.write_text(content)
    with pytest.raises(DataError, match=r"outlines\.json"):
        read_outlines(file)


def test_the_command_measures_what_it_is_given(tmp_path) -> None:
    prepare_parts(tmp_path / "phantoms", 3, seed=62, size=128)
    polygon = [[20, 20], [45, 20], [45, 60], [20, 60]]
    names = [f"phantoms/images/000000{number}.png" for number in range(3)]
    outlines = tmp_path / "outlines.json"
    outlines.write_text(json.dumps({name: {"right": polygon, "left": polygon} for name in names}))
    outputs = Outputs(tmp_path / "sheet.png", tmp_path / "numbers.json")
    table = run_anatomy(tmp_path, outlines, tmp_path / "phantoms", outputs=outputs)
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    rows = {row["what"]: row for row in numbers["dice"]}
    assert rows["phantoms: left lung"]["mean"] > 0.9
    assert set(numbers["images"]) == set(names)
    assert all(what in table for what in rows)
    assert cv2.imread(str(tmp_path / "sheet.png")) is not None
    (tmp_path / names[0]).unlink()
    with pytest.raises(DataError, match="0000000"):
        run_anatomy(tmp_path, outlines)


@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="no real radiographs here")
def test_lungs_are_found_on_real_radiographs_better_than_by_a_threshold() -> None:
    outlines = read_outlines(OUTLINES)
    found = lung_overlaps(lambda pixels: segment(pixels).lungs, SHARED / "data", outlines)
    rule = lung_overlaps(threshold_lungs, SHARED / "data", outlines)
    assert np.mean([*found.values()]) > 0.88
    assert np.mean([*found.values()]) > np.mean([*rule.values()]) + 0.05
