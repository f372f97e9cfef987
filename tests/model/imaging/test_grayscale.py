"""Laws of showing stored values: modality, then window or table, then one inversion."""

import numpy as np
import pytest
from dicom_files import dataset, encoded
from pydicom import Dataset, uid

from model.imaging.grayscale import Window
from model.imaging.read import read_image

STEPS = np.arange(4096, dtype=np.uint16).reshape(64, 64)
X = np.arange(4096)


def steps(**elements) -> np.ndarray:
    """What 0, 1, 2 ... 4095 are shown as."""
    return read_image(encoded(dataset(STEPS, **{"BitsStored": 12} | elements))).pixels.reshape(-1)


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({}, ((X - 1999.5) / 999 + 0.5).clip(0, 1)),
        ({"VOILUTFunction": "LINEAR"}, ((X - 1999.5) / 999 + 0.5).clip(0, 1)),
        ({"VOILUTFunction": "LINEAR_EXACT"}, ((X - 2000) / 1000 + 0.5).clip(0, 1)),
        ({"VOILUTFunction": "SIGMOID"}, 1 / (1 + np.exp(-4 * (X - 2000) / 1000))),
        ({"PresentationLUTShape": "INVERSE"}, 1 - ((X - 1999.5) / 999 + 0.5).clip(0, 1)),
        ({"WindowCenter": [2000, 9], "WindowWidth": [1000, 2]}, ((X - 1999.5) / 999 + 0.5)),
        ({"WindowCenter": [9, 2000], "WindowWidth": [0, 1000]}, ((X - 1999.5) / 999 + 0.5)),
        ({"RescaleSlope": -1, "RescaleIntercept": 4000}, ((2000.5 - X) / 999 + 0.5).clip(0, 1)),
    ],
)
def test_windows_follow_the_standard(elements, expected):
    shown = steps(**{"WindowCenter": 2000, "WindowWidth": 1000} | elements)
    assert np.abs(shown - expected.clip(0, 1)).max() < 1e-6


def test_a_window_of_width_1_is_a_step():
    assert np.array_equal(Window(2000, 1)(X), (X > 1999.5).astype(float))


def test_monochrome1_with_shape_inverse_is_inverted_once():
    shown = steps(
        PhotometricInterpretation="MONOCHROME1",
        PresentationLUTShape="INVERSE",
        WindowCenter=2048,
        WindowWidth=4096,
    )
    assert np.abs(shown - (1 - X / 4095)).max() < 1e-6


@pytest.mark.parametrize(
    "window",
    [
        {},
        {"WindowCenter": 2000, "WindowWidth": 0},
        {"WindowCenter": 2000, "WindowWidth": -5},
        {"WindowCenter": 2000, "WindowWidth": 0.5},
        {"WindowCenter": 2000, "WindowWidth": 0, "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": None, "WindowWidth": 100},
    ],
)
def test_without_a_window_that_can_be_the_percentiles_span_the_image(window):
    expected = ((X - 20) / (4075 - 20)).clip(0, 1)
    assert np.abs(steps(**window) - expected).max() < 1e-6


def test_padding_is_black_and_counts_in_no_percentile():
    stored = np.full((64, 64), 4000, np.uint16)
    stored[:, :32] = np.arange(1000, 1000 + 2048).reshape(64, 32)
    padded = {"BitsStored": 12, "PixelPaddingValue": 3990, "PixelPaddingRangeLimit": 4095}
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        ds = dataset(stored, **padded, PhotometricInterpretation=photometric)
        for syntax in (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian):
            shown = read_image(encoded(ds, syntax)).pixels
            assert (shown[:, 32:] == 0).all()
            assert shown[:, :32].min() == 0
            assert shown[:, :32].max() == 1
            assert np.median(shown[:, :32]) == pytest.approx(0.5, abs=0.01)


def test_a_image_of_one_value_is_black():
    assert (read_image(encoded(dataset(np.full((5, 6), 700, np.uint16)))).pixels == 0).all()


def table(first: int, entries, bits: int, *, wide: bool = True) -> list[Dataset]:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries) % 65536, first, bits])
    data = np.asarray(entries, "<u2" if wide else "u1").tobytes()
    item.add_new("LUTData", "OW", data + b"\0" * (len(data) % 2))
    return [item]


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
@pytest.mark.parametrize("wide", [True, False])
def test_voi_tables_are_clamped_and_come_before_windows(syntax, wide):
    top = 255 if not wide else 65535
    entries = np.rint(np.linspace(0, 1, 1000) ** 2 * top)
    ds = dataset(STEPS, BitsStored=12, WindowCenter=5, WindowWidth=5)
    ds.VOILUTSequence = table(500, entries, 16 if wide else 8, wide=wide)
    shown = read_image(encoded(ds, syntax)).pixels.reshape(-1)
    assert np.abs(shown - entries[(X - 500).clip(0, 999)] / top).max() < 1e-6


def test_modality_tables_come_before_the_window():
    entries = np.linspace(0, 65535, 4096).astype(np.uint16)[::-1]
    ds = dataset(STEPS, BitsStored=12, WindowCenter=32768, WindowWidth=65536)
    ds.ModalityLUTSequence = table(0, entries, 16)
    ds.ModalityLUTSequence[0].ModalityLUTType = "US"
    shown = read_image(encoded(ds)).pixels.reshape(-1)
    assert np.abs(shown - entries / 65535).max() < 1e-6


def test_tables_of_signed_images_start_below_zero():
    stored = (STEPS.astype(np.int16) - 2048).astype(np.int16)
    ds = dataset(stored, BitsStored=12)
    ds.VOILUTSequence = table(-2048, np.arange(4096) * 16, 16)
    shown = read_image(encoded(ds)).pixels.reshape(-1)
    assert np.abs(shown - X * 16 / 65535).max() < 1e-6


def test_bits_that_are_not_stored_do_not_count():
    garbage = (np.arange(4096) % 16).astype(np.uint16).reshape(64, 64)
    window = {"BitsStored": 12, "WindowCenter": 2048, "WindowWidth": 4096}
    for ds in (
        dataset(STEPS | garbage << 12, **window),
        dataset(STEPS << 4 | garbage, **window, HighBit=15),
    ):
        assert np.abs(read_image(encoded(ds)).pixels.reshape(-1) - X / 4095).max() < 1e-6


def test_rescaled_values_are_windowed_after_the_rescale():
    rescale = {"RescaleSlope": 2, "RescaleIntercept": -100, "RescaleType": "US"}
    shown = steps(**rescale, WindowCenter=3995.5, WindowWidth=8191)
    assert np.abs(shown - X / 4095).max() < 1e-6
