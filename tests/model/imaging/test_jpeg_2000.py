"""Laws of JPEG 2000 at a lower resolution: the same image, and the whole where that is not sure."""

from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from dicom_files import dataset, encapsulated, encoded, image, stored_as, written
from imagecodecs import jpeg2k_encode
from paths import SHARED
from pydicom import uid

from model.errors import UndecodableImage
from model.imaging.letterbox import Letterbox
from model.imaging.radiograph import Radiograph, ReadLimits
from model.imaging.read import read_image
from model.imaging.sandbox import read_image_isolated

SYNTAXES = (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless)
REAL = SHARED / "data" / "dicom"
SHOWN = cv2.resize(image(), (515, 402), interpolation=cv2.INTER_CUBIC).clip(0, 1)
"""As smooth at its lower resolutions as radiographs are."""
ENOUGH = ReadLimits(enough=64)
LEAST_DECIBELS = 47


def decibels(found: Radiograph, whole: Radiograph, size: int) -> float:
    """Peak signal to noise of the encoder's square."""
    squares = [Letterbox(*whole.shape, size).square(each.pixels) for each in (found, whole)]
    return float(-10 * np.log10(np.square(squares[0] - squares[1]).mean()))


def same_but_for_pixels(found: Radiograph, whole: Radiograph) -> bool:
    names = ("shape", "view", "warnings", "identity", "grid")
    return all(getattr(found, name) == getattr(whole, name) for name in names)


@pytest.mark.parametrize(
    ("syntax", "bits", "inverted"),
    [(syntax, bits, bits == 12) for syntax, bits in product(SYNTAXES, (8, 12, 16))],
)
def test_a_lower_resolution_is_the_same_image(syntax, bits, inverted):
    stored, elements = stored_as(SHOWN, bits=bits, inverted=inverted)
    file = encoded(dataset(stored, **elements), syntax)
    whole, found = read_image(file), read_image(file, ENOUGH)
    assert found.pixels.shape == (101, 129)
    assert whole.whole is None
    assert same_but_for_pixels(found, whole)
    assert decibels(found, whole, 48) > LEAST_DECIBELS


@pytest.mark.parametrize(
    "elements",
    [
        {"PatientOrientation": ["F", "L"]},
        {"PatientOrientation": ["R", "F"], "PixelAspectRatio": ["1", "2"]},
    ],
)
def test_turned_and_made_square_it_is_as_large_as_the_whole(elements):
    stored, shown = stored_as(SHOWN, bits=12)
    file = encoded(dataset(stored, **shown, **elements), uid.JPEG2000Lossless)
    whole, found = read_image(file), read_image(file, ENOUGH)
    assert found.pixels.size < whole.pixels.size / 8
    assert same_but_for_pixels(found, whole)
    assert decibels(found, whole, 48) > LEAST_DECIBELS


def test_the_child_process_gives_the_same():
    stored, elements = stored_as(SHOWN, bits=12)
    file = encoded(dataset(stored, **elements), uid.JPEG2000Lossless)
    expected, found = read_image(file, ENOUGH), read_image_isolated(file, enough=ENOUGH.enough)
    assert np.array_equal(found.pixels, expected.pixels)
    assert same_but_for_pixels(found, expected)


def signed() -> bytes:
    stored, elements = stored_as(SHOWN, bits=12, signed=True)
    return encoded(dataset(stored, **elements), uid.JPEG2000Lossless)


def padded() -> bytes:
    stored, elements = stored_as(SHOWN, bits=12)
    return encoded(dataset(stored, **elements, PixelPaddingValue=0), uid.JPEG2000Lossless)


def of_one_resolution() -> bytes:
    stored, elements = stored_as(SHOWN, bits=12)
    ds = dataset(stored, **elements)
    frame = jpeg2k_encode(
        stored, level=0, reversible=True, codecformat="j2k", bitspersample=12, resolutions=1
    )
    encapsulated(ds, bytes(frame))
    return written(ds, uid.JPEG2000Lossless)


@pytest.mark.parametrize("file", [signed, padded, of_one_resolution])
def test_what_cannot_be_averaged_is_read_whole(file):
    whole, found = read_image(file()), read_image(file(), ENOUGH)
    assert np.array_equal(found.pixels, whole.pixels)
    assert same_but_for_pixels(found, whole)


def test_a_stream_cut_short_is_refused_as_it_is_whole():
    stored, elements = stored_as(SHOWN, bits=12)
    ds = dataset(stored, **elements)
    frame = bytes(jpeg2k_encode(stored, level=0, reversible=True, codecformat="j2k"))
    encapsulated(ds, frame[: len(frame) // 3 * 2])
    file = written(ds, uid.JPEG2000Lossless)
    for limits in (ReadLimits(), ENOUGH):
        with pytest.raises(UndecodableImage):
            read_image(file, limits)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the shared radiographs")
@pytest.mark.parametrize("size", [224, 320])
def test_real_radiographs(size):
    files = sorted(Path(REAL).glob("*J2K*.dcm"))
    assert files
    for file in files:
        whole, found = read_image(file), read_image(file, ReadLimits(enough=size * 4 // 3))
        assert found.pixels.size < whole.pixels.size / 8
        assert same_but_for_pixels(found, whole)
        assert decibels(found, whole, size) > LEAST_DECIBELS
