"""The phantom's laws: from (seed, index) alone, with truth that agrees with the image."""

from collections import Counter

import numpy as np
import pytest

from data_prep.manifest import FINDINGS
from data_prep.phantom import study as phantom
from data_prep.phantom.anatomy import SIGNS, build
from data_prep.phantom.canvas import Canvas
from data_prep.phantom.pathology import PATHOLOGIES
from data_prep.phantom.patient import sample_patient
from data_prep.phantom.plan import SIDED, UNGRADED, ZONED, Plan
from data_prep.phantom.study import make_phantom

SIZE = 128
ZONES = ("upper", "mid", "lower")


@pytest.fixture(scope="module")
def phantoms():
    return [make_phantom(5, index, SIZE) for index in range(300)]


def test_a_study_follows_from_its_seed_and_index():
    one, same, other = (make_phantom(3, index, SIZE) for index in (7, 7, 8))
    assert np.array_equal(one.images[0].pixels, same.images[0].pixels)
    assert (one.report, one.findings) == (same.report, same.findings)
    assert not np.array_equal(one.images[0].pixels, other.images[0].pixels)


def test_pixels_are_a_image(phantoms):
    for study in phantoms:
        (image,) = study.images
        assert image.pixels.dtype == np.float32 and image.pixels.shape == (SIZE, SIZE)
        assert np.isfinite(image.pixels).all()
        assert image.pixels.min() >= 0 and image.pixels.max() <= 1
        assert image.pixels.std() > 0.1
        assert (image.pixels >= 1).mean() < 0.15  # a bright abdomen, no more


def test_about_half_are_normal_and_every_finding_occurs(phantoms):
    normal = sum(not study.findings for study in phantoms)
    assert 0.42 < normal / len(phantoms) < 0.62
    names = Counter(finding.name for study in phantoms for finding in study.findings)
    assert set(names) == set(FINDINGS)


def test_masks_and_boxes_agree(phantoms):
    for study in phantoms:
        mask = study.images[0].mask
        shown = {name for k, name in enumerate(FINDINGS) if (mask >> k & 1).any()}
        assert shown == {finding.name for finding in study.findings}
        for finding in study.findings:
            x0, y0, x1, y1 = finding.box
            assert 0 <= x0 < x1 <= SIZE and 0 <= y0 < y1 <= SIZE
            assert (mask[y0:y1, x0:x1] >> FINDINGS.index(finding.name) & 1).any()


def test_the_side_said_is_the_side_shown(phantoms):
    # a line from the left crosses the midline on its way to the right atrium
    for study in phantoms:
        for finding in study.findings:
            if finding.side and finding.name != "central_line":
                center = (finding.box[0] + finding.box[2]) / 2
                assert (center < SIZE / 2) == (finding.side == "right"), finding


def test_every_finding_is_spoken_of_and_every_phrase_is_in_the_text(phantoms):
    for study in phantoms:
        said = {index for phrase in study.phrases for index in phrase.findings}
        assert said == set(range(len(study.findings)))
        for phrase in study.phrases:
            assert study.report[phrase.start : phrase.end].strip()


@pytest.mark.parametrize("zone", ZONES)
def test_a_zone_said_is_the_zone_shown(zone, monkeypatch):
    for name in ("opacity", "nodule", "rib_fracture"):
        severity = None if name in UNGRADED else "mild"
        plan = [Plan(name, severity, "left", zone)]
        monkeypatch.setattr(phantom, "draw_plans", lambda rng, plan=plan: plan)
        heights = []
        for index in range(24):
            study = make_phantom(9, index, SIZE)
            heights += [(f.box[1] + f.box[3]) / 2 / SIZE for f in study.findings]
        assert heights
        low, high = {"upper": (0.15, 0.5), "mid": (0.3, 0.65), "lower": (0.45, 0.95)}[zone]
        assert low < np.mean(heights) < high


@pytest.mark.parametrize("name", sorted(set(FINDINGS) - {"cardiomegaly", "hyperinflation"}))
def test_a_finding_changes_the_rays_inside_its_mask(name):
    """Cardiomegaly and hyperinflation shape the patient instead."""
    patient = sample_patient(np.random.default_rng(1))
    canvas = Canvas(SIZE, 40, -20, 0)
    with_it, without = (build(patient, canvas, np.random.default_rng(2)) for _ in range(2))
    side = "left" if name in SIDED else None
    zone = "mid" if name in ZONED else None
    mask = PATHOLOGIES[name](with_it, "moderate", side, zone, np.random.default_rng(4))
    layers = ("soft", "air", "vessels", "bone", "metal")
    change = sum(np.abs(getattr(with_it, k) - getattr(without, k)) for k in layers)
    assert mask.any() and not mask.all()
    assert change[mask].mean() > 4 * change[~mask].mean()


def test_a_larger_ratio_draws_a_wider_heart():
    def width(ratio):
        patient = sample_patient(np.random.default_rng(6), heart=(ratio, ratio))
        anatomy = build(patient, Canvas(256, 40, -20, 0), np.random.default_rng(2))
        columns = np.flatnonzero((anatomy.heart > 0.5).any(axis=0))
        return (columns[-1] - columns[0]) / anatomy.canvas.scale / (2 * patient.half_width)

    for ratio in (0.42, 0.55, 0.70):
        assert width(ratio) == pytest.approx(ratio, abs=0.03)


def test_the_lungs_lie_on_their_sides():
    patient = sample_patient(np.random.default_rng(8))
    anatomy = build(patient, Canvas(SIZE, 40, -20, 0), np.random.default_rng(2))
    for side, sign in SIGNS.items():
        columns = np.average(np.arange(SIZE), weights=anatomy.lungs[side].sum(axis=0))
        assert (columns > SIZE / 2) == (sign > 0)
