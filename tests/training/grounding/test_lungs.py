"""The lung mask: right where the lungs are known, none where there are none to see."""

import cv2
import numpy as np
import pytest

from data_prep.manifest import FINDINGS
from data_prep.phantom.study import make_phantom
from training.grounding.lungs import lung_mask

HYPERINFLATION = FINDINGS.index("hyperinflation")


def test_the_rule_finds_most_lungs_of_phantoms_whose_lungs_are_the_truth() -> None:
    found, overlaps = 0, []
    for index in range(400):
        image = make_phantom(61, index, 128).images[0]
        assert image.mask is not None
        lungs = (image.mask >> HYPERINFLATION) & 1 > 0
        if not lungs.any():
            continue
        mask = lung_mask(image.pixels)
        if mask is not None:
            found += 1
            overlaps.append((mask & lungs).sum() / (mask | lungs).sum())
    assert found >= 10
    assert np.mean(overlaps) > 0.65


def test_a_image_of_another_size_has_the_same_lungs() -> None:
    pixels = make_phantom(61, 0, 256).images[0].pixels
    large = cv2.resize(pixels, (700, 500), interpolation=cv2.INTER_LINEAR)
    mask, wide = lung_mask(pixels), lung_mask(large)
    assert mask is not None and wide is not None and wide.shape == (500, 700)
    small = cv2.resize(wide.astype(np.uint8), (256, 256), interpolation=cv2.INTER_NEAREST) > 0
    assert (small & mask).sum() / (small | mask).sum() > 0.9


@pytest.mark.parametrize("level", [0.0, 0.5])
def test_a_blank_image_has_no_lungs(level: float) -> None:
    assert lung_mask(np.full((64, 64), level, np.float32)) is None
