"""Laws of reading PNG and JPEG, and of telling files apart by their content."""

import os
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from dicom_files import dataset, encoded, image, stored_as
from paths import ROOT
from pydicom import uid

from model.errors import (
    ImageError,
    ImageTooLarge,
    NotARadiograph,
    UndecodableImage,
    UnsupportedImage,
)
from model.imaging.radiograph import Radiograph, ReadLimits
from model.imaging.read import read_image

GRAY8 = np.rint(image() * 255).astype(np.uint8)
GRAY16 = np.rint(image() * 4000 + 90).astype(np.uint16)


def written(pixels: np.ndarray, suffix: str, *options: int) -> bytes:
    return cv2.imencode(suffix, pixels, options)[1].tobytes()


def upright(jpeg: bytes, orientation: int) -> bytes:
    """A JPEG whose EXIF says how it has to be turned."""
    entry = struct.pack("<HHII", 0x0112, 3, 1, orientation)
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + bytes(4)
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(written(GRAY8, ".png"), id="gray"),
        pytest.param(written(cv2.merge([GRAY8] * 3), ".png"), id="equal channels"),
        pytest.param(
            written(cv2.merge([GRAY8] * 3 + [np.full_like(GRAY8, 255)]), ".png"), id="opaque"
        ),
        pytest.param(encoded(dataset(GRAY8)), id="DICOM without window"),
        pytest.param(encoded(dataset(GRAY8), uid.JPEG2000Lossless), id="the same, JPEG 2000"),
    ],
)
def test_8_bit_values_are_ready_for_display(file):
    radiograph = read_image(file)
    assert radiograph.pixels.dtype == np.float32
    assert np.abs(radiograph.pixels - GRAY8 / 255).max() < 1e-6


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(written(GRAY16, ".png"), id="gray"),
        pytest.param(written(cv2.merge([GRAY16] * 3), ".png"), id="equal channels"),
        pytest.param(encoded(dataset(GRAY16)), id="DICOM"),
        pytest.param(encoded(dataset(GRAY16, BitsStored=12)), id="DICOM, 12 bits"),
        pytest.param(encoded(dataset(GRAY16), uid.JPEGLSLossless), id="DICOM, JPEG-LS"),
    ],
)
def test_deeper_values_without_a_window_span_their_percentiles(file):
    low, high = np.percentile(GRAY16, [0.5, 99.5], method="inverted_cdf")
    expected = ((GRAY16.astype(float) - low) / (float(high) - low)).clip(0, 1)
    assert np.abs(read_image(file).pixels - expected).max() < 1e-6


@pytest.mark.parametrize("channels", [1, 3])
def test_a_gray_jpeg_is_read(channels):
    jpeg = written(cv2.merge([GRAY8] * channels), ".jpg", cv2.IMWRITE_JPEG_QUALITY, 100)
    radiograph = read_image(jpeg)
    assert radiograph.view is None
    assert np.abs(radiograph.pixels - GRAY8 / 255).max() < 0.012


def test_a_jpeg_alone_and_in_dicom_gives_the_same_pixels():
    stored, _ = stored_as(image(), bits=8)
    file = encoded(dataset(stored), uid.JPEGBaseline8Bit)
    start = file.index(b"\xff\xd8\xff")
    end = file.rindex(b"\xff\xd9") + 2
    assert np.array_equal(read_image(file).pixels, read_image(file[start:end]).pixels)


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, lambda p: p),
        (2, np.fliplr),
        (3, lambda p: np.rot90(p, 2)),
        (6, lambda p: np.rot90(p, 3)),
    ],
)
def test_exif_orientation_is_followed(orientation, turned):
    jpeg = written(GRAY8, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 100)
    plain, seen = read_image(jpeg).pixels, read_image(upright(jpeg, orientation)).pixels
    assert np.array_equal(seen, turned(plain))


def test_content_counts_and_not_the_name(tmp_path):
    path = tmp_path / "radiograph.dcm"
    path.write_bytes(written(GRAY8, ".png"))
    assert np.array_equal(read_image(path).pixels, read_image(path.read_bytes()).pixels)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_real_color_is_refused(suffix):
    color = cv2.merge([GRAY8, GRAY8, 255 - GRAY8])
    with pytest.raises(NotARadiograph, match="a color image"):
        read_image(written(color, suffix))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "an HTML page"),
        (b"\n  <HTML><title>SECRET</title>" + bytes(400), "an HTML page"),
        (b"%PDF-1.7 SECRET", "a PDF"),
        (b"PK\x03\x04" + bytes(300), "a ZIP archive"),
        (b"GIF89a" + bytes(300), "a GIF"),
        (b"Findings: SECRET.\n" * 50, "a file of an unknown kind"),
        (bytes(1000), "a file of an unknown kind"),
    ],
)
def test_other_files_are_named_and_not_quoted(data, message):
    with pytest.raises(UnsupportedImage, match=message) as caught:
        read_image(data)
    assert "SECRET" not in str(caught.value)


def test_an_empty_file_is_a_bad_one_and_not_a_stray():
    with pytest.raises(UndecodableImage, match="an empty file"):
        read_image(b"")


def test_a_image_too_large_is_refused_by_its_header():
    png = written(np.zeros((2, 2), np.uint8), ".png")
    header = struct.pack(">4sIIBBBBB", b"IHDR", 7500, 8000, 8, 0, 0, 0, 0)
    checksum = struct.pack(">I", zlib.crc32(header))
    with pytest.raises(ImageTooLarge, match=r"7500 x 8000 is 60\.0 megapixels: at most 36"):
        read_image(png[:12] + header + checksum + png[33:])
    jpeg = bytearray(written(GRAY8, ".jpg"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 8000, 7500)
    with pytest.raises(ImageTooLarge, match="megapixels"):
        read_image(bytes(jpeg))


def test_a_file_too_large_is_refused(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(written(GRAY8, ".png"))
    with pytest.raises(ImageTooLarge, match="MiB"):
        read_image(path, ReadLimits(max_bytes=100))
    with pytest.raises(ImageTooLarge, match="MiB"):
        read_image(path.read_bytes(), ReadLimits(max_bytes=100))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_image_cut_short_is_an_error_wherever_it_is_cut(suffix):
    file = written(GRAY8, suffix)
    for length in {*range(0, len(file), max(1, len(file) // 60)), len(file) - 2}:
        with pytest.raises(ImageError):
            read_image(file[:length])


def test_a_flipped_bit_in_a_png_is_found():
    file = written(GRAY8, ".png")
    for position in range(8, len(file), 7):
        damaged = bytearray(file)
        damaged[position] ^= 16
        with pytest.raises(ImageError):
            read_image(bytes(damaged))


def test_a_flipped_bit_in_a_jpeg_gives_a_image_or_a_typed_error():
    file = written(GRAY8, ".jpg")
    for position in range(0, len(file), 5):
        damaged = bytearray(file)
        damaged[position] ^= 4
        try:
            assert isinstance(read_image(bytes(damaged)), Radiograph)
        except ImageError:
            continue


def test_an_animation_is_no_radiograph():
    png = written(GRAY8, ".png")
    body = b"acTL" + struct.pack(">II", 3, 0)
    chunk = struct.pack(">I", 8) + body + struct.pack(">I", zlib.crc32(body))
    with pytest.raises(NotARadiograph, match="animation"):
        read_image(png[:33] + chunk + png[33:])


def test_paths_that_are_no_files_are_named_without_their_name(tmp_path):
    os.mkfifo(tmp_path / "DOE^JOHN")
    for path, message in (
        (tmp_path / "missing DOE^JOHN", "No such file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "DOE^JOHN", "not a regular file"),
    ):
        with pytest.raises(UndecodableImage, match=message) as caught:
            read_image(path)
        assert "DOE" not in str(caught.value)


def test_reading_imports_neither_torch_nor_until_needed_pydicom():
    code = "import sys, model.imaging.read; print('torch' in sys.modules, 'pydicom' in sys.modules)"
    root = ROOT
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert out.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(("scale", "offset"), [(0.1, 0.0), (0.1, 0.9), (0.12, 0.4)])
def test_an_image_of_hardly_any_contrast_is_windowed_anew(scale, offset):
    """What is nearly black, or nearly white, would be read as clear lungs."""
    faint = np.rint(GRAY8 * scale + 255 * offset).astype(np.uint8)
    seen = read_image(written(faint, ".png"))
    assert [warning.code for warning in seen.warnings] == ["display"]
    low, high = np.percentile(seen.pixels, (1, 99))
    assert high - low > 0.9
