"""Harms do what they say, masks go with the image, and a break is the first one."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from prepared_folder import write_prepared

from data_prep.manifest import read_studies, write_studies
from model.errors import ConfigError, DataError
from model.generator import ReportGenerator
from training.bootstrap import Score
from training.evaluation.robustness import CORRUPTIONS, Level, breaks, robustness, run_robustness


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).random((300, 400)).astype(np.float32) * 0.8 + 0.1


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_keeps_shape_and_range_and_is_the_same_each_time(
    name: str, pixels: np.ndarray
) -> None:
    corruption = CORRUPTIONS[name]
    for amount in corruption.amounts:
        one, again = (corruption.change(pixels, amount, np.random.default_rng(3)) for _ in range(2))
        assert one.shape == pixels.shape and one.dtype == np.float32
        assert one.min() >= 0 and one.max() <= 1
        assert np.array_equal(one, again) and not np.array_equal(one, pixels)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_more_of_it_changes_more(name: str, pixels: np.ndarray) -> None:
    corruption = CORRUPTIONS[name]
    away = [
        float(np.abs(corruption.change(pixels, amount, np.random.default_rng(3)) - pixels).mean())
        for amount in corruption.amounts
    ]
    if name != "rotation":  # noise turned further is no further from itself
        assert away == sorted(away)


@pytest.mark.parametrize("name", ["noise", "contrast", "rotation", "occlusion"])
def test_none_of_it_changes_nothing(name: str, pixels: np.ndarray) -> None:
    changed = CORRUPTIONS[name].change(pixels, 0.0, np.random.default_rng(3))
    assert np.allclose(changed, pixels, atol=1e-6)


def test_a_box_turns_with_the_image() -> None:
    corruption = CORRUPTIONS["rotation"]
    image = np.zeros((60, 80), np.float32)
    image[12:20, 50:62] = 1
    for degrees in corruption.amounts:
        turned = corruption.change(image, degrees, np.random.default_rng(0))
        mask = corruption.moved(image > 0.5, degrees)
        union = (mask | (turned > 0.5)).sum()
        assert (mask & (turned > 0.5)).sum() > 0.9 * union


def test_a_cover_is_as_large_as_it_says(pixels: np.ndarray) -> None:
    for amount in CORRUPTIONS["occlusion"].amounts:
        changed = CORRUPTIONS["occlusion"].change(pixels, amount, np.random.default_rng(1))
        assert (changed != pixels).mean() == pytest.approx(amount, abs=0.03)


def _level(amount: float, f1: float | None) -> Level:
    score = Score(f1, f1, f1, 9)
    return Level(amount, score, Score(1, 1, 1, 9), score)


def test_it_breaks_at_the_first_level_below_nine_tenths() -> None:
    levels = [_level(0, 0.8), _level(1, 0.75), _level(2, 0.71), _level(3, 0.9), _level(4, None)]
    assert breaks(levels) == {"finding_f1": 2, "pointing_game": None, "normal_recall": 2}
    assert breaks([_level(0, 0.8), _level(4, None), _level(5, 0.1)])["finding_f1"] == 5
    for nothing in (0.0, None):  # what is not there cannot break
        assert "finding_f1" not in breaks([_level(0, nothing), _level(1, nothing)])


def test_the_command_measures_writes_and_draws(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_prepared(tmp_path / "prepared", 8)
    few = {name: CORRUPTIONS[name] for name in ("noise", "rotation")}
    monkeypatch.setattr("training.evaluation.robustness.CORRUPTIONS", few)
    out, drawn = tmp_path / "robustness.json", tmp_path / "robustness.png"
    table = run_robustness(tiny_checkpoint, folder, 4, out, drawn)
    told = json.loads(out.read_text())
    assert told["studies"] == 4
    assert {name: len(levels) for name, levels in told["levels"].items()} == {
        "noise": 6,
        "rotation": 6,
    }
    assert "rotation (degrees) breaks:" in table
    assert cv2.imread(str(drawn)) is not None
    with pytest.raises(ConfigError, match=r"what is drawn is a \.png"):
        run_robustness(tiny_checkpoint, folder, 4, None, tmp_path / "x.jpg")
    with pytest.raises(DataError, match="no folder"):
        run_robustness(tiny_checkpoint, folder, 4, tmp_path / "nowhere" / "x.json")


def test_without_boxes_it_says_so(tmp_path: Path, tiny_generator: ReportGenerator) -> None:
    folder = write_prepared(tmp_path / "prepared", 8)
    write_studies(folder, [study for study in read_studies(folder) if not study.findings])
    with pytest.raises(DataError, match="robustness needs them"):
        robustness(tiny_generator, folder, "all", 4, progress=False)
