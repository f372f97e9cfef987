"""The small inputs of shared/cases, each once misread, against what their READMEs say is right."""

import numpy as np
import pytest
from paths import SHARED

from model.errors import UndecodableImage
from model.imaging.read import read_image

CASES = SHARED / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="no ../shared/cases: inputs that failed")


def files(number: str) -> list:
    folders = list(CASES.glob(f"{number}_*"))
    assert len(folders) == 1, f"case {number} is there once"
    found = sorted(path for path in folders[0].iterdir() if path.name != "README")
    assert found
    return found


def test_01_a_voi_lut_that_fills_less_than_it_states() -> None:
    shown = [read_image(path).pixels for path in files("01")]
    for pixels in shown:
        assert pixels.mean() == pytest.approx(0.535, abs=0.005)
        assert np.percentile(pixels, 99) == pytest.approx(0.978, abs=0.005)


def test_02_numbers_written_otherwise() -> None:
    for path in files("02"):
        radiograph = read_image(path)
        assert radiograph.warnings, path.name
        assert radiograph.pixels.mean() == pytest.approx(0.517, abs=0.01)


def test_03_view_words() -> None:
    assert {read_image(path).view for path in files("03")} == {"LATERAL"}


def test_05_square_pixels() -> None:
    for path in files("05"):
        assert read_image(path).pixels.shape == (256, 256)


def test_06_gray_stored_in_color() -> None:
    for path in files("06"):
        assert read_image(path).pixels.mean() == pytest.approx(0.522, abs=0.003)


def test_08_truncated_jpeg() -> None:
    for path in files("08"):
        with pytest.raises(UndecodableImage):
            read_image(path)


def test_09_sign_of_jpeg_2000() -> None:
    (path,) = files("09")
    assert read_image(path).pixels.mean() == pytest.approx(0.522, abs=0.003)


def test_10_spoilt_voi() -> None:
    for path in files("10"):
        radiograph = read_image(path)
        assert radiograph.pixels.mean() == pytest.approx(0.522, abs=0.003)
        assert radiograph.warnings


def test_11_missing_elements() -> None:
    for path in files("11"):
        radiograph = read_image(path)
        assert radiograph.pixels.mean() == pytest.approx(0.511, abs=0.003)
        assert radiograph.warnings


def test_12_syntax_and_pixels_disagree() -> None:
    for path in files("12"):
        radiograph = read_image(path)
        assert radiograph.pixels.mean() == pytest.approx(0.517, abs=0.01)
        assert [warning.code for warning in radiograph.warnings] == ["encoding"]
