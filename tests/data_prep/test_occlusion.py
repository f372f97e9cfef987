"""Covers: what lies under one is gone from image, mask and report, and nothing else is."""

import numpy as np
import pytest

from data_prep.manifest import FINDINGS
from data_prep.occlusion import cover, elsewhere, overlap
from data_prep.phantom.study import Additions, make_phantom

SEED = 31


def test_a_cover_is_the_images_mean_and_leaves_the_rest() -> None:
    pixels = np.random.default_rng(0).random((20, 30), np.float32)
    occluded = cover(pixels, [(3, 4, 8, 10)])
    assert np.allclose(occluded[4:10, 3:8], pixels.mean())
    changed = occluded != pixels
    changed[4:10, 3:8] = False
    assert not changed.any()


def test_overlap_is_the_share_of_the_other_box() -> None:
    assert overlap((0, 0, 10, 10), (5, 5, 15, 15)) == pytest.approx(0.25)
    assert overlap((0, 0, 10, 10), (2, 2, 4, 4)) == 1
    assert overlap((0, 0, 10, 10), (10, 0, 12, 4)) == 0


def test_elsewhere_is_as_large_and_touches_nothing_or_is_none() -> None:
    rng = np.random.default_rng(1)
    avoid = [(0, 0, 50, 100), (60, 60, 70, 70)]
    for _ in range(20):
        box = elsewhere((10, 20, 40, 50), avoid, (100, 100), rng)
        assert box is not None
        assert (box[2] - box[0], box[3] - box[1]) == (30, 30)
        assert not any(overlap(box, other) for other in avoid)
        assert min(box) >= 0 and max(box) <= 100
    assert elsewhere((0, 0, 60, 60), [(0, 0, 50, 100)], (100, 100), rng) is None


def test_studies_without_a_cover_are_the_same_whatever_the_chance() -> None:
    same = 0
    for index in range(12):
        plain, occluded = (
            make_phantom(SEED, index, 64),
            make_phantom(SEED, index, 64, Additions(occluded=0.3)),
        )
        if np.array_equal(plain.images[0].pixels, occluded.images[0].pixels):
            assert plain.report == occluded.report
            same += 1
    assert 4 <= same < 12


def test_a_hidden_finding_is_neither_drawn_nor_told() -> None:
    hidden = kept = 0
    for index in range(60):
        plain, occluded = (
            make_phantom(SEED, index, 64),
            make_phantom(SEED, index, 64, Additions(occluded=1.0)),
        )
        names = {finding.name for finding in occluded.findings}
        mask = occluded.images[0].mask
        for finding in plain.findings:
            bit = 1 << FINDINGS.index(finding.name)
            if finding in occluded.findings:
                kept += 1
                continue
            hidden += 1
            x0, y0, x1, y1 = finding.box
            assert not (mask[y0:y1, x0:x1] & bit).any()
            if finding.name == "cardiomegaly":
                assert "heart" not in occluded.report.lower()
            if finding.name == "pneumothorax" and "pneumothorax" not in names:
                assert "pneumothorax" not in occluded.report
        assert all(max(phrase.findings) < len(occluded.findings) for phrase in occluded.phrases)
    assert hidden >= 10 and kept >= 10
