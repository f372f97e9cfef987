"""The threshold rule that the network is compared with: most of a clear lung, none of a blank."""

import numpy as np
import pytest

from data_prep.phantom.parts import make_parts
from training.anatomy.measure import dice
from training.anatomy.threshold import threshold_lungs


def test_the_rule_finds_most_lungs_of_phantoms() -> None:
    overlaps = []
    for index in range(20):
        pixels, bits = make_parts(61, index, 128)
        found = threshold_lungs(pixels)
        overlaps.append(0.0 if found is None else dice(found, (bits & 3) > 0))
    assert np.median(overlaps) > 0.8


@pytest.mark.parametrize("level", [0.0, 0.5])
def test_a_blank_image_has_no_lungs(level: float) -> None:
    assert threshold_lungs(np.full((64, 64), level, np.float32)) is None
