"""Square pixels, images that are not stored as they are looked at, and the way back."""

import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest
from dicom_files import dataset, encoded, image
from PIL import Image, ImageOps

from model.imaging.geometry import square_pixels, turn_upright
from model.imaging.radiograph import Radiograph, ReadLimits
from model.imaging.read import read_image
from model.imaging.sandbox import read_image_isolated

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


ORIENTATIONS = [[a, b] for pair in ("LR", "AP") for a in pair for b in "HF"]
ORIENTATIONS += [[b, a] for a, b in ORIENTATIONS]


def exif(orientation: int) -> bytes:
    entry = struct.pack("<HHII", 0x0112, 3, 1, orientation)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + bytes(4)


def png(stored: np.ndarray, orientation: int) -> bytes:
    """A PNG whose EXIF chunk says how it has to be turned."""
    plain = cv2.imencode(".png", stored)[1].tobytes()
    body = b"eXIf" + exif(orientation)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return plain[:33] + chunk + plain[33:]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_what_is_shown_goes_back_to_the_stored_pixels(orientation):
    """However its header has a file turned, a map of it goes back to where the file has it."""
    file = encoded(dataset(STORED, BitsStored=12, PatientOrientation=orientation))
    shown = read_image(file)
    assert np.array_equal(shown.grid.to_stored(shown.pixels), read().pixels)
    assert read_image_isolated(file).grid == shown.grid


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_goes_back_too(orientation):
    plain, turned = read_image(png(STORED, 1)), read_image(png(STORED, orientation))
    assert np.array_equal(turned.grid.to_stored(turned.pixels), plain.pixels)
    opened = Image.open(BytesIO(png(STORED, orientation)))
    upright = np.asarray(ImageOps.exif_transpose(opened)).astype(np.uint16)
    expected = read_image(cv2.imencode(".png", upright)[1].tobytes()).pixels
    assert np.array_equal(turned.pixels, expected)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("aspect", [None, [1, 2], [2, 1], [2, 3]])
def test_the_matrix_and_the_map_lead_to_the_same_place(orientation, aspect):
    """A spot of the image as it is shown is where the matrix says in the file's pixels."""
    elements = {"PatientOrientation": orientation, "PixelAspectRatio": aspect}
    shown = read(**{name: value for name, value in elements.items() if value})
    height, width = shown.pixels.shape
    y, x = height // 3, width // 4
    spot = np.zeros((height, width), np.float32)
    spot[y - 2 : y + 3, x - 2 : x + 3] = 1
    stored = shown.grid.to_stored(spot)
    assert stored.shape == STORED.shape
    assert stored.sum() == pytest.approx(spot.sum(), rel=0.02)
    a, b, c, d, e, f = shown.grid.matrix(height, width)
    across, down = a * (x + 0.5) + b * (y + 0.5) + c, d * (x + 0.5) + e * (y + 0.5) + f
    rows, columns = (np.arange(side) + 0.5 for side in STORED.shape)
    assert stored.sum(axis=0) @ columns / stored.sum() == pytest.approx(across, abs=0.3)
    assert stored.sum(axis=1) @ rows / stored.sum() == pytest.approx(down, abs=0.3)


def test_pixels_of_no_file_are_their_own():
    pixels = np.random.default_rng(0).random((5, 7), np.float32)
    grid = Radiograph(pixels, None).grid
    assert np.array_equal(grid.to_stored(pixels), pixels)
    assert grid.matrix(5, 7) == (1, 0, 0, 0, 1, 0)
