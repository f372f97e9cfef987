"""An exchange of left and right is noticed by the heart, and hardly ever called without one."""

import csv
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from paths import SHARED

from data_prep.phantom.study import make_phantom
from model.heart_side import heart_features, heart_warning, log_odds
from model.imaging.geometry import StoredGrid, Turn
from model.imaging.radiograph import Radiograph

NIH = SHARED / "data" / "nih"


def flipped(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(pixels[:, ::-1])


def test_a_mirror_image_has_the_features_with_the_other_sign() -> None:
    pixels = make_phantom(5, 0).images[0].pixels
    one, other = heart_features(pixels), heart_features(flipped(pixels))
    assert one is not None and other is not None
    assert np.allclose(np.add(one, other), 0, atol=[0.02, 0.02, 0.5])
    assert log_odds(one) < 0 < log_odds(other)


def test_a_blank_image_has_no_heart() -> None:
    assert heart_features(np.full((64, 64), 0.5, np.float32)) is None


@pytest.fixture(scope="module")
def chests() -> list[NDArray[np.float32]]:
    """40 real ones, PA."""
    if not NIH.exists():
        pytest.skip(f"{NIH} is absent")
    with (NIH / "labels.csv").open(encoding="utf-8", newline="") as lines:
        names = [row["image"] for row in csv.DictReader(lines) if row["view"] == "PA"][:40]
    read = [cv2.imread(str(NIH / name), cv2.IMREAD_GRAYSCALE) for name in names]
    return [image.astype(np.float32) / 255 for image in read if image is not None]


def test_most_mirrored_chests_are_noticed_and_hardly_any_other(
    chests: list[NDArray[np.float32]],
) -> None:
    assert sum(heart_warning(Radiograph(pixels, "PA")) is not None for pixels in chests) <= 1
    mirrored = [heart_warning(Radiograph(flipped(pixels), "PA")) for pixels in chests]
    found = [warning for warning in mirrored if warning is not None]
    assert len(found) >= len(chests) / 2
    assert all(warning.code == "mirrored" and not warning.refuses for warning in found)


def test_the_header_is_named_where_it_says_the_sides(chests: list[NDArray[np.float32]]) -> None:
    for pixels in map(flipped, chests):
        warning = heart_warning(Radiograph(pixels, "PA"))
        if warning is not None:
            break
    assert warning is not None and "PatientOrientation" not in warning.message
    grid = replace(StoredGrid.of(pixels), turn=Turn(directions=("L", "F")))
    turned = heart_warning(Radiograph(pixels, "PA", stored=grid))
    assert turned is not None and "against the header's PatientOrientation" in turned.message
