"""Laws of the lateral view: the same patient, findings at their heights, and what only it shows."""

from collections import Counter

import numpy as np
import pytest

from data_prep.manifest import FINDINGS, Finding
from data_prep.phantom.anatomy import build
from data_prep.phantom.canvas import Canvas
from data_prep.phantom.exposure import expose
from data_prep.phantom.lateral_anatomy import build_lateral, lateral_field
from data_prep.phantom.lateral_pathology import LATERAL_PATHOLOGIES
from data_prep.phantom.pathology import PATHOLOGIES
from data_prep.phantom.patient import sample_patient
from data_prep.phantom.plan import HEART, SIDED, UNGRADED, ZONED
from data_prep.phantom.prior import place_of
from data_prep.phantom.study import Additions, Phantom, make_phantom
from model.report_text.parser import read_denials, read_findings, sentences

SEED, SIZE = 5, 64
LAYERS = ("soft", "air", "vessels", "bone", "metal")
OF_PATIENT = {"cardiomegaly", "hyperinflation"}
"""They shape the patient; no layer changes afterwards."""
COMPACT = ("opacity", "nodule", "atelectasis", "hiatal_hernia", "pacemaker")


@pytest.fixture(scope="module")
def phantoms() -> list[Phantom]:
    return [make_phantom(SEED, index, SIZE, Additions(lateral=1.0)) for index in range(160)]


@pytest.mark.parametrize("occluded", [0.0, 0.7])
def test_what_is_asked_for_beside_it_leaves_the_frontal_image_as_it_is(occluded: float) -> None:
    for index in range(8):
        plain = make_phantom(SEED, index, SIZE, Additions(occluded))
        full = make_phantom(SEED, index, SIZE, Additions(occluded, 1, 1, 1))
        assert np.array_equal(plain.images[0].pixels, full.images[0].pixels)
        assert np.array_equal(plain.images[0].mask, full.images[0].mask)
        assert plain.findings == tuple(f for f in full.findings if f.image == 0)
        assert [image.view == "LATERAL" for image in full.images] == [False, True, False]
        assert [image.prior for image in full.images] == [False, False, True]


def test_masks_and_boxes_agree_on_both_images(phantoms: list[Phantom]) -> None:
    for study in phantoms:
        for number, image in enumerate(study.images):
            assert image.mask is not None
            found = [finding for finding in study.findings if finding.image == number]
            shown = {name for k, name in enumerate(FINDINGS) if (image.mask >> k & 1).any()}
            assert shown == {finding.name for finding in found}
            for finding in found:
                x0, y0, x1, y1 = finding.box
                assert 0 <= x0 < x1 <= SIZE and 0 <= y0 < y1 <= SIZE
                assert (image.mask[y0:y1, x0:x1] >> FINDINGS.index(finding.name) & 1).any()


def test_what_shows_on_the_lateral_shows_on_the_frontal_but_for_a_trace(
    phantoms: list[Phantom],
) -> None:
    seen: Counter[str] = Counter()
    for study in phantoms:
        frontal, lateral = ([f for f in study.findings if f.image == k] for k in (0, 1))
        twins = {_told(f) for f in frontal if f.name in LATERAL_PATHOLOGIES}
        traces = [f for f in lateral if _is_trace(f)]
        assert {_told(f) for f in lateral if not _is_trace(f)} == twins
        assert len(traces) <= 1
        seen.update(f.name for f in lateral)
    assert set(seen) == set(FINDINGS) - {"pneumothorax", "rib_fracture"}


def test_a_trace_of_fluid_is_told_and_not_denied(phantoms: list[Phantom]) -> None:
    could, traces = 0, 0
    for study in phantoms:
        frontal = [f for f in study.findings if f.image == 0]
        could += bool(frontal) and "pleural_effusion" not in {f.name for f in frontal}
        if not any(map(_is_trace, study.findings)):
            continue
        traces += 1
        at = next(k for k, finding in enumerate(study.findings) if _is_trace(finding))
        impression = study.report.index("Impression:")
        ends = [phrase.end for phrase in study.phrases if at in phrase.findings]
        assert min(ends) < impression < max(ends)
        for start, end in sentences(study.report):
            spoken = [p.findings for p in study.phrases if start <= p.start < end]
            assert all(which == (at,) for which in spoken) or (at,) not in spoken
        assert "pleural_effusion" in {said.name for said in read_findings(study.report)}
        assert "pleural_effusion" not in {said.name for said in read_denials(study.report)}
    assert traces >= 3 and traces / could < 0.25


def test_a_phrase_lists_a_finding_on_every_image_that_shows_it(phantoms: list[Phantom]) -> None:
    for study in phantoms:
        entries: dict[tuple, set[int]] = {}
        for index, finding in enumerate(study.findings):
            entries.setdefault(place_of(finding), set()).add(index)
        for phrase in study.phrases:
            places = {place_of(study.findings[index]) for index in phrase.findings}
            assert set(phrase.findings) == set().union(*(entries[place] for place in places))
        said = {index for phrase in study.phrases for index in phrase.findings}
        assert said == set(range(len(study.findings)))


@pytest.mark.parametrize("name", sorted(set(LATERAL_PATHOLOGIES) - OF_PATIENT))
def test_a_finding_is_seen_inside_its_mask_at_the_height_of_the_frontal(name: str) -> None:
    severity = None if name in UNGRADED else "moderate"
    side, zone = "left" if name in SIDED else None, "mid" if name in ZONED else None
    patient = sample_patient(np.random.default_rng(1))
    frontal = build(patient, Canvas(128, 40, -20, 0), np.random.default_rng(2))
    shown = PATHOLOGIES[name](frontal, severity, side, zone, np.random.default_rng(4))
    box = frontal.canvas.box(shown)
    assert box is not None
    like = frontal.canvas.region(box)
    canvas = lateral_field(patient, 128, np.random.default_rng(3))
    with_it, without = (build_lateral(patient, canvas, np.random.default_rng(2)) for _ in range(2))
    rng = np.random.default_rng(4)
    mask = LATERAL_PATHOLOGIES[name](with_it, severity, side, zone, rng, like)
    assert mask.any() and not mask.all()
    change = sum(np.abs(getattr(with_it, k) - getattr(without, k)) for k in LAYERS)
    assert change[mask].mean() > 4 * change[~mask].mean()
    images = [expose(a, "LATERAL", np.random.default_rng(5)) for a in (with_it, without)]
    seen = np.abs(images[0] - images[1])
    assert seen[mask].mean() > max(0.008, 2 * seen[~mask].mean())
    if name in COMPACT:
        box = canvas.box(mask)
        assert box is not None
        _, top, _, bottom = canvas.region(box)
        assert (top + bottom) / 2 == pytest.approx((like[1] + like[3]) / 2, abs=1.2)


def test_a_larger_heart_is_deeper_from_the_side() -> None:
    depths = []
    for ratio in (HEART[None][1], HEART["mild"][1], HEART["severe"][1]):
        patient = sample_patient(np.random.default_rng(6), heart=(ratio, ratio))
        canvas = Canvas(SIZE, 40, -20, 0)
        heart = build_lateral(patient, canvas, np.random.default_rng(2)).heart > 0.5
        depths.append(int(heart.any(axis=0).sum()))
    assert depths[0] < depths[1] < depths[2]


def test_hyperinflated_domes_are_flat_from_the_side() -> None:
    def arch(hyperinflated: bool) -> float:
        patient = sample_patient(np.random.default_rng(6), hyperinflated=hyperinflated)
        anatomy = build_lateral(patient, Canvas(SIZE, 40, -20, 0), np.random.default_rng(2))
        return float(anatomy.outlines["right"][:, 1].max()) - patient.base["right"]

    assert arch(True) < 0.6 * arch(False)


def test_a_cover_hides_only_what_no_other_image_shows() -> None:
    gone = half = 0
    for index in range(60):
        plain = make_phantom(SEED, index, SIZE, Additions(lateral=1.0))
        study = make_phantom(SEED, index, SIZE, Additions(occluded=1.0, lateral=1.0))
        left = {place_of(finding) for finding in study.findings}
        said = {place_of(study.findings[k]) for p in study.phrases for k in p.findings}
        asserted = {assertion.name for assertion in read_findings(study.report)}
        denied = {denial.name for denial in read_denials(study.report)}
        assert said == left
        for finding in set(plain.findings) - set(study.findings):
            mask = study.images[finding.image].mask
            assert mask is not None
            here = {f.name for f in study.findings if f.image == finding.image}
            if finding.name not in here:
                assert not (mask >> FINDINGS.index(finding.name) & 1).any()
            if place_of(finding) in left:
                half += 1
                assert finding.name in asserted
            elif finding.name not in {f.name for f in study.findings}:
                gone += 1
                assert finding.name not in asserted | denied
    assert gone and half


def _told(finding: Finding) -> tuple[str, str | None, str | None, str | None]:
    return finding.name, finding.severity, finding.side, finding.zone


def _is_trace(finding: Finding) -> bool:
    return finding.name == "pleural_effusion" and finding.side is None
