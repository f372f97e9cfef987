"""Square pixels, and images that are not stored as they are looked at."""

import numpy as np
import pytest
from dicom_files import dataset, encoded, image

from model.imaging.geometry import square_pixels, turn_upright
from model.imaging.radiograph import Radiograph, ReadLimits
from model.imaging.read import read_image

STORED = np.rint(image(60, 80) * 4095).astype(np.uint16)


def read(stored: np.ndarray = STORED, **elements: object) -> Radiograph:
    return read_image(encoded(dataset(stored, BitsStored=12, **elements)))


def codes(radiograph: Radiograph) -> list[str]:
    return [warning.code for warning in radiograph.warnings]


@pytest.mark.parametrize(
    "elements",
    [
        {"PixelAspectRatio": [1, 2]},
        {"ImagerPixelSpacing": [0.2, 0.4]},
        {"PixelSpacing": [0.2, 0.4]},
        {"NominalScannedPixelSpacing": [0.2, 0.4]},
        {"PixelSpacing": [0.2, 0.4], "PixelAspectRatio": [1, 1]},
    ],
)
def test_pixels_are_made_square(elements):
    """Every second column of an image, with pixels twice as wide, is nearly the image."""
    plain, wide = read(), read(STORED[:, ::2], **elements)
    assert wide.pixels.shape == plain.pixels.shape
    assert codes(wide) == ["pixel_aspect"]
    assert np.abs(wide.pixels - plain.pixels).mean() < 0.02


def test_high_pixels_are_made_square():
    plain, high = read(), read(STORED[::2], PixelAspectRatio=[2, 1])
    assert high.pixels.shape == plain.pixels.shape
    assert np.abs(high.pixels - plain.pixels).mean() < 0.03


@pytest.mark.parametrize(
    "elements",
    [
        {"PixelAspectRatio": [1, 1]},
        {"PixelSpacing": [0.143, 0.143]},
        {"PixelSpacing": [0.143, 0.1431]},
        {"PixelSpacing": [0, 0]},
        {"PixelSpacing": None},
    ],
)
def test_square_pixels_stay_as_they_are(elements):
    assert np.array_equal(read(**elements).pixels, read().pixels)


def test_an_aspect_that_cannot_be_is_passed_over():
    strange = read(PixelAspectRatio=[1, 500])
    assert np.array_equal(strange.pixels, read().pixels)
    assert "PixelAspectRatio" in strange.warnings[0].message


def test_no_more_pixels_than_are_allowed():
    pixels = np.zeros((100, 100), np.float32)
    assert square_pixels(pixels, 3, 1_000_000).shape == (100, 300)
    assert square_pixels(pixels, 3, 20_000).shape == (33, 100)
    assert square_pixels(pixels, 1 / 3, 20_000).shape == (100, 33)
    limits = ReadLimits(max_pixels=STORED.size)
    file = encoded(dataset(STORED, PixelAspectRatio=[1, 2]))
    assert read_image(file, limits).pixels.size <= STORED.size


@pytest.mark.parametrize(
    ("orientation", "change"),
    [
        (["L", "F"], lambda p: p),
        (["R", "F"], np.fliplr),
        (["L", "H"], np.flipud),
        (["R", "H"], lambda p: np.rot90(p, 2)),
        (["F", "L"], np.transpose),
        (["F", "R"], lambda p: np.rot90(p, 1)),
        (["H", "L"], lambda p: np.rot90(p, -1)),
        (["H", "R"], lambda p: np.rot90(np.transpose(p), 2)),
        (["LF", "FR"], lambda p: p),
        (["A", "F"], lambda p: p),
        (["P", "F"], lambda p: p),
        (["P", "H"], lambda p: np.rot90(p, 2)),
    ],
)
def test_an_image_is_turned_back_as_its_header_says(orientation, change):
    """However an upright image is stored, its orientation gives it back."""
    plain = read().pixels
    stored = np.ascontiguousarray(change(STORED))
    turned_back = read(stored, PatientOrientation=orientation)
    assert np.array_equal(turned_back.pixels, plain)
    same = stored.shape == STORED.shape and np.array_equal(stored, STORED)
    assert codes(turned_back) == ([] if same else ["orientation"])


@pytest.mark.parametrize("orientation", [["L", "R"], ["L", "P"], ["X", "Y"], ["L"], "", None])
def test_an_orientation_that_is_none_changes_nothing(orientation):
    assert np.array_equal(read(PatientOrientation=orientation).pixels, read().pixels)


def test_a_turned_image_is_contiguous():
    pixels = turn_upright("F", "R")(np.zeros((3, 5), np.float32))
    assert pixels.flags.c_contiguous
