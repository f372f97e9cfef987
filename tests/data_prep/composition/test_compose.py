"""Composed radiographs: deterministic, untouched elsewhere, findings where they belong."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep.composition.compose import COMPOSED, compose
from data_prep.composition.prepare import prepare_composed
from data_prep.composition.warp import phantom_places
from data_prep.manifest import FINDINGS, Image, Study, read_studies, write_studies
from data_prep.phantom.exposure import attenuation
from data_prep.phantom.patient import sample_patient
from data_prep.phantom.views import draw_anatomy, draw_change
from model.anatomy import segment
from model.errors import DataError

SIZE = 200


def chest(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    view, _ = draw_anatomy(sample_patient(rng), [], SIZE, rng)
    return np.round(view.pixels * 255).astype(np.uint8)


def test_what_is_put_in_is_all_that_changes() -> None:
    pixels = chest(3)
    anatomy = segment(pixels.astype(np.float32) / 255)
    names, changed = set(), 0
    for seed in range(14):
        made = compose(pixels, anatomy, "PA", np.random.default_rng(seed))
        again = compose(pixels, anatomy, "PA", np.random.default_rng(seed))
        if made is None or again is None:
            assert made is again
            continue
        assert np.array_equal(made.pixels, again.pixels) and made.report == again.report
        names |= {finding.name for finding in made.findings}
        for finding in made.findings:
            x0, y0, x1, y1 = finding.box
            inside = made.mask[y0:y1, x0:x1] >> FINDINGS.index(finding.name) & 1
            assert inside.any()
            before = pixels[y0:y1, x0:x1][inside > 0].mean()
            after = made.pixels[y0:y1, x0:x1][inside > 0].mean()
            if len(made.findings) == 1 and finding.name not in ("pneumothorax", "edema"):
                assert after > before
            if finding.side and finding.name in ("nodule", "opacity"):
                own = anatomy.mask(f"{finding.side}_lung")
                other = anatomy.mask("left_lung" if finding.side == "right" else "right_lung")
                assert own[y0:y1, x0:x1].sum() > other[y0:y1, x0:x1].sum()
        same = made.pixels == pixels
        changed += 1
        assert not same.all()
        if names & {"edema"} == set():
            assert same[: SIZE // 20].mean() > 0.9
    assert changed >= 8 and names <= set(COMPOSED) and len(names) >= 4


def test_a_change_is_the_difference_of_two_patients() -> None:
    patient = sample_patient(np.random.default_rng(1))
    change = draw_change(patient, [], 96, np.random.default_rng(2))
    assert not change.soft.any() and not change.dense.any() and change.shown == ()
    assert all(plane.min() >= 0 for plane in attenuation(change.before))


def test_lungs_are_mapped_to_lungs() -> None:
    lungs = []
    for seed in (3, 4):
        found = segment(chest(seed).astype(np.float32) / 255)
        lungs.append((found.mask("right_lung"), found.mask("left_lung")))
    places = phantom_places(lungs[0], lungs[1])
    assert places is not None
    for own, other in zip(lungs[0], lungs[1], strict=True):
        moved = cv2.remap(own.astype(np.float32), *places, cv2.INTER_LINEAR) > 0.5
        assert 2 * (moved & other).sum() / (moved.sum() + other.sum()) > 0.9
    assert phantom_places((np.zeros((9, 9), bool), lungs[0][1]), lungs[1]) is None


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    (folder / "images").mkdir()
    studies = []
    for number, split in enumerate(("train", "validate", "test", "train", "train")):
        path = f"images/{number}.png"
        cv2.imwrite(str(folder / path), chest(number + 20))
        labels = {"Effusion": int(number == 3), "Pneumonia": 0}
        if number == 4:  # not known to be normal: its devices alone were looked for
            labels = {"pacemaker": 0}
        image = Image(path, SIZE, SIZE, "PA")
        studies.append(
            Study(f"s{number}", split, (image,), "Findings.", patient=f"p{number}", labels=labels)
        )
    write_studies(folder, studies)
    return folder


def test_normal_train_and_validate_images_are_composed_the_same_every_time(
    source: Path, tmp_path: Path
) -> None:
    outs = [tmp_path / name for name in ("a", "b")]
    for out in outs:
        assert "composed studies of 2 radiographs" in prepare_composed(source, out, 2, seed=1)
    made = [list(read_studies(out)) for out in outs]
    assert made[0] == made[1]
    assert {study.id.split("-")[0] for study in made[0]} == {"s0", "s1"}
    assert all(s.split == {"p0": "train", "p1": "validate"}[s.patient or ""] for s in made[0])
    assert all(study.findings and study.phrases for study in made[0])
    for study in made[0]:
        assert study.places and all(place.absent for place in study.places)
        assert not {p.name for p in study.places} & {f.name for f in study.findings}
        angles = {p.side: p.box for p in study.places if p.name == "pleural_effusion"}
        if angles:  # the patient's right is on the left, both angles in the lower half
            assert angles["right"][0] < angles["left"][0]
            assert all(box[3] > SIZE / 2 for box in angles.values())
        images = [(out / study.images[0].path).read_bytes() for out in outs]
        assert images[0] == images[1]
    note = json.loads((outs[0] / "prepared.json").read_text())
    assert (note["source"], note["each"]) == ("composed", 2)
    with pytest.raises(DataError, match="choose an empty folder"):
        prepare_composed(source, outs[0], 3, seed=1)


def test_of_a_folder_without_normal_radiographs_nothing_is_made(tmp_path: Path) -> None:
    write_studies(tmp_path, [])
    with pytest.raises(DataError, match="no labeled radiograph"):
        prepare_composed(tmp_path, tmp_path / "out")
