"""Fitting the anatomy network: masks move with their image, nobody measured on is learnt from."""

import csv
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from paths import ROOT

from data_prep.phantom.parts import prepare_parts
from model.anatomy import segment
from model.anatomy_network import AnatomyNetwork, load_anatomy
from model.anatomy_parts import PARTS
from model.errors import DataError
from training.anatomy.adapt import adapt
from training.anatomy.alterations import moved, recolored
from training.anatomy.examples import (
    LONGEST,
    UNKNOWN,
    Example,
    outlined,
    radiographs,
    read_phantoms,
)
from training.anatomy.fit import Material, Stage, fit_anatomy
from training.anatomy.measure import FitOptions, dice, run_anatomy
from training.anatomy.pseudo_labels import plausible, pseudo_label

OUTLINES = ROOT / "tests" / "data" / "lung_outlines.json"


def test_masks_move_with_the_image_and_keep_their_sides() -> None:
    rng = np.random.default_rng(0)
    masks = np.zeros((len(PARTS), 96, 96), np.float32)
    masks[0, 20:70, 15:40] = 1
    masks[1, 20:70, 55:80] = 1
    pixels = masks[:2].sum(axis=0)
    for _ in range(30):
        image, parts = moved(pixels, masks, rng, size=64)
        assert image.shape == (64, 64)
        inner = parts[:2].sum(axis=0)
        assert np.abs(image - inner)[2:-2, 2:-2].mean() < 0.02
        right, left = (np.nonzero(part > 0.5)[1].mean() for part in parts[:2])
        assert right < left


def test_appearance_varies_within_the_range_of_pixels() -> None:
    rng = np.random.default_rng(1)
    masks = np.zeros((len(PARTS), 64, 64), np.float32)
    masks[0, 20:50, 8:28] = 1
    image = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    seen = [recolored(image, masks, rng, style=image.T.copy()) for _ in range(40)]
    assert all(one.shape == image.shape and one.dtype == np.float32 for one in seen)
    assert all(np.isfinite(one).all() and one.min() >= 0 and one.max() <= 1 for one in seen)
    assert len({one.tobytes() for one in seen}) == len(seen)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    prepare_parts(folder, 6, seed=91, size=96)
    return list(read_phantoms(folder))


def test_a_fit_follows_from_its_seed_and_reports_each_stage(phantoms) -> None:
    stages = (Stage(32, 4, 3e-3), Stage(64, 2, 1e-3))
    names = []
    network = fit_anatomy(
        Material(phantoms, []), stages, seed=3, measured=lambda stage, _: names.append(stage)
    )
    assert names == ["stage 1", "stage 2"]
    assert not network.training
    again = fit_anatomy(Material(phantoms, []), stages, seed=3)
    for value, other in zip(network.parameters(), again.parameters(), strict=True):
        assert (value == other).all()


def test_radiographs_without_lungs_cannot_be_learnt_from(phantoms) -> None:
    stages = (Stage(32, 2, 1e-3), Stage(32, 2, 1e-3, dropped=0.1))
    with pytest.raises(DataError, match="none of 1 radiographs"):
        fit_anatomy(Material(phantoms, [np.full((64, 64), 90, np.uint8)]), stages)


def test_a_pseudo_label_is_what_the_network_finds(phantoms) -> None:
    pixels = cv2.resize(phantoms[0].pixels, (LONGEST, LONGEST))
    label = pseudo_label(load_anatomy(), pixels)
    assert label is not None
    assert label.agreement > 0.9
    found = segment(pixels.astype(np.float32) / 255)
    for number, part in enumerate(PARTS[:3]):
        assert dice(label.example.parts[number] > 127, found.mask(part)) > 0.9
    assert pseudo_label(load_anatomy(), np.full((64, 64), 90, np.uint8)) is None


def lung(top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
    mask = np.zeros((100, 100), bool)
    mask[top:bottom, left:right] = True
    return mask


def test_only_two_masks_like_lungs_are_plausible() -> None:
    right, left = lung(20, 70, 15, 42), lung(20, 72, 56, 84)
    assert plausible(right, left)
    assert not plausible(right, lung(20, 72, 56, 58))
    assert not plausible(right, lung(60, 99, 56, 84))
    assert not plausible(right, lung(30, 50, 52, 95))
    assert not plausible(right, left & ~lung(25, 65, 62, 99))


def test_images_of_patients_with_outlines_are_left_out(tmp_path) -> None:
    folder = tmp_path / "ward"
    folder.mkdir()
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "patient"])
        for number in range(6):
            rows.writerow([f"{number}.png", f"p{number // 2}"])
            shade = np.full((40, 80), 40 * number, np.uint8)
            cv2.imwrite(str(folder / f"{number}.png"), shade)
    rng = np.random.default_rng(0)
    kept = radiographs(folder, 10, {"ward/3.png"}, rng)
    assert sorted(int(pixels[0, 0]) for pixels in kept) == [0, 40, 160, 200]
    assert all(pixels.shape == (LONGEST // 2, LONGEST) for pixels in kept)
    assert len(radiographs(folder, 2, (), rng)) == 2
    with pytest.raises(DataError, match=r"labels\.csv"):
        radiographs(tmp_path, 2, (), rng)


def test_outlined_lungs_are_learned_and_nothing_is_said_of_other_parts(tmp_path) -> None:
    cv2.imwrite(str(tmp_path / "chest.png"), np.full((100, 200), 80, np.uint8))
    corners = np.array([[10, 20], [40, 20], [40, 80], [10, 80]], float)
    [example] = outlined(tmp_path, {"chest.png": [corners, corners + np.array([50, 0])]})
    assert example.pixels.shape == (LONGEST // 2, LONGEST) and not example.phantom
    right, left = example.parts[:2] == 255
    assert abs(float(right.mean()) - 0.18) < 0.02
    assert np.array_equal(np.roll(right, LONGEST // 2, axis=1), left)
    assert (example.parts[2:] == UNKNOWN).all()


def test_the_last_layers_learn_outlines_and_leave_other_parts(phantoms, tmp_path) -> None:
    examples = [
        Example(e.pixels, np.concatenate([e.parts[:2], np.full_like(e.parts[2:], UNKNOWN)]), False)
        for e in phantoms
    ]
    narrow = [replace(e, parts=_eroded(e.parts)) for e in examples]

    def overlap(network: AnatomyNetwork) -> float:
        pairs = [(segment(e.pixels.astype(np.float32) / 255, network).mask("left_lung"), e)
                 for e in narrow]  # fmt: skip
        return float(np.mean([dice(found, e.parts[1] > 0) for found, e in pairs]))

    start = load_anatomy()
    learned, overlaps = adapt(start, narrow, overlap, steps=40)
    assert overlap(learned) == max(overlaps) > overlaps[0] + 0.01
    assert all(torch.equal(a, b) for a, b in zip(start.down.parameters(), learned.down.parameters(),
                                                  strict=True))  # fmt: skip
    hearts = [segment(narrow[0].pixels.astype(np.float32) / 255, n).mask("heart")
              for n in (start, learned)]  # fmt: skip
    assert dice(*hearts) > 0.9


def _eroded(parts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    kernel = np.ones((7, 7), np.uint8)
    return np.stack([*(cv2.erode(part, kernel) for part in parts[:2]), *parts[2:]])


def test_who_is_measured_on_is_not_learned_from(tmp_path) -> None:
    for fit in (FitOptions(tmp_path, OUTLINES), FitOptions(None, OUTLINES, OUTLINES)):
        with pytest.raises(DataError, match="learned from and measured on"):
            run_anatomy(tmp_path, OUTLINES, fit=fit)
    with pytest.raises(DataError, match="nothing to adapt to"):
        run_anatomy(tmp_path, OUTLINES, fit=FitOptions())
