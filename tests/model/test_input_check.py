"""The input_check: what it refuses and warns of, whatever the size and the layout of the pixels."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from paths import SHARED

from data_prep.phantom.study import make_phantom
from model import input_check
from model.errors import CheckpointError, DataError
from model.imaging.radiograph import ImageWarning
from model.imaging.read import read_image
from model.input_check import examine, load_input_check
from training.input_check import fit as fitting
from training.input_check.alterations import ALTERATIONS
from training.input_check.material import chest_images
from training.input_check.measure import Folders, run_input_check, wilson

SHARED_DATA = SHARED / "data"
SEED = 31337
"""Of phantoms that the input check was neither fitted with nor measured on."""


@pytest.fixture(scope="module")
def phantoms() -> list[np.ndarray]:
    return [make_phantom(SEED, index, 128).images[0].pixels for index in range(8)]


def codes(pixels: np.ndarray) -> set[str]:
    return {warning.code for warning in examine(pixels)}


def refused(pixels: np.ndarray) -> bool:
    return any(warning.refuses for warning in examine(pixels))


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_one_gray_is_blank(level) -> None:
    (warning,) = examine(np.full((90, 70), level, np.float32))
    assert warning.code == "blank"
    assert warning.refuses
    assert "0.000" in warning.message, "the measured value is quoted"


def test_a_marker_alone_on_black_is_refused() -> None:
    ink = np.zeros((256, 256), np.uint8)
    cv2.putText(ink, "L", (200, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 2)
    assert refused(ink.astype(np.float32) / 255)


def noise(power: float) -> np.ndarray:
    """White and colored: power falls with frequency to 2 * power."""
    rng = np.random.default_rng(5)
    frequency = np.maximum(np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.rfftfreq(128))), 0.01)
    spectrum = np.fft.rfft2(rng.standard_normal((128, 128))) / frequency.T**power
    field = np.fft.irfft2(spectrum, (128, 128))
    unit = np.clip((field - field.mean()) / field.std() / 4 + 0.5, 0, 1)
    return unit.astype(np.float32)


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_noise_is_refused(power) -> None:
    assert refused(noise(power))


def test_an_upright_phantom_raises_no_concern(phantoms) -> None:
    alarmed = [index for index, pixels in enumerate(phantoms) if examine(pixels)]
    assert not alarmed


def test_an_inverted_phantom_is_called_inverted(phantoms) -> None:
    assert all("inverted" in codes(1 - pixels) for pixels in phantoms)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_phantom_is_called_rotated_by_how_much(phantoms, quarters) -> None:
    for pixels in phantoms:
        warnings = {c.code: c for c in examine(np.rot90(pixels, -quarters))}
        assert f"{90 * quarters} degrees clockwise" in warnings["rotated"].message


def test_turned_and_inverted_are_both_told(phantoms) -> None:
    assert codes(np.rot90(1 - phantoms[0], 2)) == {"inverted", "rotated"}


def test_only_what_is_no_chest_refuses(phantoms) -> None:
    rng = np.random.default_rng(0)
    seen: list[ImageWarning] = []
    for change in ALTERATIONS:
        seen += examine(change.apply(phantoms[0], rng))
    seen += examine(np.zeros((20, 20), np.float32))
    assert {c.refuses for c in seen} == {True, False}
    assert all(c.code in ("blank", "not_chest") for c in seen if c.refuses)
    assert all(c.message.endswith(".") and "limit" in c.message for c in seen if c.code != "blank")


def test_size_layout_and_type_do_not_matter(phantoms) -> None:
    rng = np.random.default_rng(7)
    images = [phantoms[0], 1 - phantoms[1], np.rot90(phantoms[2]), rng.random((128, 128))]
    for pixels in images:
        pixels = np.ascontiguousarray(pixels, np.float32)
        expected = codes(pixels)
        assert codes(np.repeat(np.repeat(pixels, 2, 0), 2, 1)) == expected
        assert codes(np.asfortranarray(pixels)) == expected
        assert codes(pixels.astype(np.float64)) == expected
        assert codes(np.pad(pixels, 40)[40:-40, 40:-40]) == expected


def test_black_around_a_chest_does_not_change_what_is_seen(phantoms) -> None:
    for pixels in phantoms:
        wide = np.pad(pixels, ((0, 0), (64, 64)))
        assert np.abs(input_check.thumbnail(wide) - input_check.thumbnail(pixels)).mean() < 0.1
        assert not examine(wide)


def test_the_image_is_left_as_it_was(phantoms) -> None:
    before = phantoms[0].copy()
    examine(phantoms[0])
    np.testing.assert_array_equal(phantoms[0], before)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 2000)])
def test_slivers_get_an_answer(shape) -> None:
    rng = np.random.default_rng(1)
    assert refused(rng.random(shape, dtype=np.float32))


@pytest.mark.parametrize("shape", [(0, 5), (5, 5, 3)])
def test_what_is_no_image_is_told(shape) -> None:
    with pytest.raises(ValueError, match="expected pixels"):
        examine(np.zeros(shape, np.float32))


def test_altered_or_missing_weights_do_not_load(tmp_path) -> None:
    content = input_check.WEIGHTS.read_bytes()
    copy = tmp_path / input_check.WEIGHTS.name
    total = input_check.WEIGHTS.with_suffix(".sha256").read_text()
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_input_check(copy)
    (tmp_path / "input_check.sha256").write_text(total)
    copy.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="SHA-256"):
        load_input_check(copy)
    copy.write_bytes(content)
    assert load_input_check(copy).thresholds.tolist() == load_input_check().thresholds.tolist()


def test_saved_weights_judge_as_before(tmp_path, phantoms) -> None:
    digest = input_check.save_input_check(load_input_check(), tmp_path / "input_check.safetensors")
    assert (tmp_path / "input_check.sha256").read_text().startswith(digest)
    seen = np.stack([input_check.thumbnail(p) for p in phantoms])
    again = load_input_check(tmp_path / "input_check.safetensors")
    assert again.judge(seen) == load_input_check().judge(seen)


def test_weights_are_small() -> None:
    assert input_check.WEIGHTS.stat().st_size < 400_000


def test_descent_learns_what_is_there_to_learn() -> None:
    """Which of four places is high is the kind, of four others the turn; signs are the rest."""
    rng = np.random.default_rng(3)
    sizes = (4, 4, 2, 2)
    truth = np.stack([rng.integers(0, size, 800) for size in sizes], 1)
    inputs = rng.normal(0, 0.1, (800, 12)).astype(np.float32)
    for row, (kind, turn, inverted, mirrored) in zip(inputs, truth, strict=True):
        row[kind] += 1
        row[4 + turn] += 1
        row[8] += 2 * inverted - 1
        row[9] += 2 * mirrored - 1
    truth[::5, 1:] = fitting.IGNORED
    torch.manual_seed(0)
    fitted = fitting.descend(inputs, truth)
    known = truth[:, 1] != fitting.IGNORED
    units = np.maximum(
        (inputs - fitted.mean) / fitted.deviation @ fitted.hidden[:-1] + fitted.hidden[-1], 0
    )
    logits = units @ fitted.output[:-1] + fitted.output[-1]
    assert (logits[:, :4].argmax(1) == truth[:, 0]).mean() > 0.95
    assert (logits[:, 4:8].argmax(1) == truth[:, 1])[known].mean() > 0.95
    assert ((logits[:, 8:] > 0) == truth[:, 2:])[known].mean() > 0.95


def test_weights_of_another_network_do_not_load(tmp_path) -> None:
    network = load_input_check()
    for name, changed, message in (
        ("hidden", network.hidden[:-1], "another network"),
        ("output", network.output * np.float32(np.nan), "not finite"),
    ):
        path = tmp_path / name / "input_check.safetensors"
        path.parent.mkdir()
        input_check.save_input_check(replace(network, **{name: changed}), path)
        with pytest.raises(CheckpointError, match=message):
            load_input_check(path)


def test_what_speaks_for_mirrored_speaks_against_it_once_mirrored(phantoms) -> None:
    seen = np.stack([input_check.thumbnail(p) for p in phantoms])
    network = load_input_check()
    upright, mirrored = network.judge(seen), network.judge(np.ascontiguousarray(seen[:, :, ::-1]))
    for one, other in zip(upright, mirrored, strict=True):
        assert one.mirrored + other.mirrored == pytest.approx(1, abs=1e-4)
        assert one.mirrored < 0.5


@pytest.fixture
def chest_folder(tmp_path) -> Path:
    folder = tmp_path / "nih"
    folder.mkdir()
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "patient"])
        for number in range(80):
            # Its gray tells the patient, who has two images.
            gray = np.full((16, 16), 3 * number, np.uint8)
            cv2.imwrite(str(folder / f"{number}.png"), gray)
            table.writerow([f"{number}.png", number // 2])
    return folder


def test_no_patient_is_both_fitted_and_measured(chest_folder) -> None:
    fitted = chest_images(chest_folder, measured=False)
    measured = chest_images(chest_folder, measured=True)
    groups = [
        {round(float(p.mean()) * 255) // 6 for p in part}
        for part in (fitted.weights, fitted.limits, measured.weights)
    ]
    assert all(groups)
    assert sum(map(len, groups)) == len(set.union(*groups)) == 40


def test_phantoms_of_one_seed_are_not_fitted_and_measured(chest_folder, tmp_path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "prepared.json").write_text(json.dumps({"seed": 5}))
    folders = Folders(chests=(chest_folder,), phantoms=tmp_path / "a", images=tmp_path)
    with pytest.raises(DataError, match="one seed"):
        run_input_check(folders, fit_phantoms=tmp_path / "b")


def test_wilson_is_the_published_interval() -> None:
    """Newcombe 1998, Statistics in Medicine 17: 857-872, table I, method 3."""
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1 / 29, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_alterations_keep_the_range_and_the_source(phantoms) -> None:
    rng = np.random.default_rng(8)
    for change in ALTERATIONS:
        before = phantoms[0].copy()
        after = change.apply(phantoms[0], rng)
        np.testing.assert_array_equal(phantoms[0], before)
        assert after.ndim == 2
        assert after.min() >= 0 and after.max() <= 1, change.name


needs_shared = pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="../shared/data is absent")


@needs_shared
@pytest.mark.parametrize("name", ["RG1_J2KI.dcm", "chest_cr_jpeg_baseline.dcm"])
def test_real_chests_are_not_refused_and_inverted_ones_are_told(name) -> None:
    pixels = read_image(SHARED_DATA / "dicom" / name).pixels
    assert not examine(pixels)
    assert "inverted" in codes(1 - pixels)


@needs_shared
def test_encodings_of_one_extremity_are_judged_alike() -> None:
    seen = {
        name: tuple(c.code for c in examine(read_image(SHARED_DATA / "dicom" / name).pixels))
        for name in ("RG3_JPLL.dcm", "RG3_J2KI.dcm", "RG3_JPLY.dcm")
    }
    assert len(set(seen.values())) == 1, seen


@needs_shared
def test_nih_images_that_were_not_fitted_are_rarely_refused() -> None:
    images = chest_images(SHARED_DATA / "nih", measured=True).weights[::4]
    assert sum(map(refused, images)) <= 0.03 * len(images)
