"""The anatomy network: the same at any size, mirrored with the image, right on phantoms."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from data_prep.phantom.parts import make_parts
from model.anatomy import (
    RememberedSegmenter,
    Window,
    percentile,
    right_of_spine,
    segment,
    whole_window,
)
from model.anatomy_network import load_anatomy, save_anatomy
from model.anatomy_parts import PARTS
from model.errors import CheckpointError
from model.imaging.letterbox import Letterbox
from training.anatomy.measure import dice

SEED = 61
"""Of phantoms that the network was not trained on."""


def phantom(index: int, size: int = 160) -> tuple[NDArray[np.float32], dict[str, NDArray]]:
    pixels, bits = make_parts(SEED, index, size)
    return pixels, {part: bits >> number & 1 > 0 for number, part in enumerate(PARTS)}


def test_parts_of_phantoms_are_found_where_they_are() -> None:
    overlaps: dict[str, list[float]] = {part: [] for part in PARTS}
    for index in range(6):
        pixels, truth = phantom(index)
        found = segment(pixels)
        for part in PARTS:
            overlaps[part].append(dice(found.mask(part), truth[part]))
    means = {part: float(np.mean(values)) for part, values in overlaps.items()}
    assert min(means["right_lung"], means["left_lung"]) > 0.94
    assert means["heart"] > 0.85
    assert min(means["mediastinum"], means["spine"]) > 0.8


@pytest.mark.parametrize(("height", "width"), [(80, 80), (640, 640), (500, 700)])
def test_an_image_of_another_size_has_the_same_parts(height: int, width: int) -> None:
    pixels, _ = phantom(3, 320)
    found = segment(pixels)
    other = segment(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))
    for part, least in (("right_lung", 0.93), ("left_lung", 0.93), ("heart", 0.88)):
        mask = other.mask(part)
        assert mask.shape == (height, width)
        small = cv2.resize(mask.astype(np.uint8), (320, 320), interpolation=cv2.INTER_NEAREST) > 0
        assert dice(small, found.mask(part)) > least


def test_a_border_moves_the_parts_and_changes_nothing_else() -> None:
    pixels, _ = phantom(5)
    framed = segment(np.pad(pixels, ((30, 50), (70, 10))))
    for part in ("right_lung", "left_lung", "heart"):
        inner = framed.mask(part)[30:-50, 70:-10]
        assert dice(inner, segment(pixels).mask(part)) > 0.88


def test_the_parts_of_a_mirrored_image_are_mirrored_and_change_sides() -> None:
    pixels, _ = phantom(7)
    found, mirrored = segment(pixels), segment(np.ascontiguousarray(pixels[:, ::-1]))
    for part, other in (("right_lung", "left_lung"), ("left_lung", "right_lung"), ("heart",) * 2):
        assert dice(mirrored.mask(part)[:, ::-1], found.mask(other)) > 0.97


def test_the_midline_runs_through_the_spine_between_the_lungs() -> None:
    for index in range(6):
        pixels, truth = phantom(index, 256)
        midline = segment(pixels).midline
        assert midline is not None
        y, x = np.nonzero(truth["spine"])
        middle = midline[0] + midline[1] * y
        assert abs(float((x - middle).mean())) < 0.03 * 256
        for part, side in (("right_lung", -1), ("left_lung", 1)):
            y, x = np.nonzero(truth[part])
            assert (np.sign(x - midline[0] - midline[1] * y) == side).mean() > 0.97


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_blank_image_has_no_lungs(level: float) -> None:
    assert segment(np.full((64, 64), level, np.float32)).lungs is None


@pytest.mark.parametrize("shape", [(0, 4), (3, 4, 4), (7,)])
def test_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected pixels"):
        segment(np.zeros(shape, np.float32))


@pytest.mark.parametrize("window", [whole_window(200, 120), Window(-7.5, 31.25, 150.0)])
def test_what_a_window_samples_lies_where_it_is_restored(window: Window) -> None:
    y, x = np.mgrid[0:200, 0:120].astype(np.float32)
    waves = np.sin(x / 17) * np.cos(y / 23)
    back = window.restore(window.sample(waves), 200, 120)
    rows = slice(max(3, int(window.top) + 3), min(197, int(window.top + window.side) - 3))
    columns = slice(max(3, int(window.left) + 3), min(117, int(window.left + window.side) - 3))
    assert np.abs(back - waves)[rows, columns].max() < 0.03


def test_saved_weights_give_the_same_masks_and_altered_ones_are_refused(tmp_path) -> None:
    file = tmp_path / "anatomy.safetensors"
    save_anatomy(load_anatomy(), file)
    pixels, _ = phantom(1)
    again = segment(pixels, load_anatomy(file))
    assert (again.mask("heart") == segment(pixels).mask("heart")).all()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    other = tmp_path / "other"
    other.mkdir()
    (other / file.name).write_bytes(content)
    (other / "anatomy.sha256").write_bytes((tmp_path / "anatomy.sha256").read_bytes())
    with pytest.raises(CheckpointError, match="SHA-256"):
        load_anatomy(other / file.name)
    (other / "anatomy.sha256").unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_anatomy(other / file.name)


def test_sides_move_with_the_patient() -> None:
    pixels, _ = phantom(2, 256)
    aside = np.ascontiguousarray(np.pad(pixels, ((0, 0), (40, 0)))[:, :256])
    placement = Letterbox(256, 256, 64)
    right, moved = (right_of_spine(image, placement, (32, 32)) for image in (pixels, aside))
    assert (moved - right).sum(axis=1).mean() * 8 == pytest.approx(40, abs=12)
    assert (np.diff(moved, axis=1) <= 0).all()


def test_sides_are_those_of_the_image_where_no_spine_is_found() -> None:
    right = right_of_spine(np.zeros((50, 100), np.float32), Letterbox(50, 100, 64), (4, 5))
    assert right.tolist() == [[1, 1, 0.5, 0, 0]] * 4


def test_sides_are_the_same_at_a_lower_resolution() -> None:
    pixels, _ = phantom(2, 512)
    placement = Letterbox(512, 512, 64)
    coarse = pixels.reshape(256, 2, 256, 2).mean(axis=(1, 3))
    whole, found = (right_of_spine(image, placement, (32, 32)) for image in (pixels, coarse))
    assert np.abs(whole - found).max() < 0.1


def test_percentiles_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 2, 101, 4096):
        rows = rng.random((3, count), np.float32)
        for share in (0.0, 0.01, 0.5, 0.99):
            expected = np.percentile(rows, 100 * share, axis=1)
            np.testing.assert_allclose(percentile(rows, share), expected, rtol=1e-6)


def test_the_same_squares_are_computed_once() -> None:
    pixels, _ = phantom(4)
    calls = []

    class Counted:
        def logits(self, squares: np.ndarray) -> np.ndarray:
            calls.append(squares)
            return load_anatomy().logits(squares)

    remembered = RememberedSegmenter(Counted())
    found = [segment(pixels, remembered, closer=False).logits for _ in range(2)]
    assert len(calls) == 1
    assert all((logits == segment(pixels, closer=False).logits).all() for logits in found)
    other = segment(pixels[::-1], remembered, closer=False).logits
    assert (other == segment(pixels[::-1], closer=False).logits).all()
