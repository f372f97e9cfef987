"""Stored values on the screen: windows as the standard says, values, lengths, letters, and undo."""

import re
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from dicom_files import dataset, encoded, image, stored_as
from known import known, png_image
from paths import SHARED
from pydicom import Dataset, dcmread
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from screen import canvas, expect, show_file

REAL = SHARED / "data" / "dicom" / "RG1_JLSN.dcm"
HEIGHT, WIDTH = 300, 240


def table(bits: int = 12) -> Dataset:
    """A VOI LUT of 12-bit values that is no straight line."""
    item = Dataset()
    item.LUTDescriptor = [4096, 0, bits]
    entries = np.rint(np.linspace(0, 1, 4096) ** 2 * ((1 << bits) - 1)).astype("<u2")
    item.LUTData = entries.tolist()
    item["LUTData"].VR = "US"
    item.LUTExplanation = "SQUARE"
    return item


WINDOWS: dict[str, dict[str, Any]] = {
    "linear": {"WindowCenter": 1800, "WindowWidth": 1500},
    "exact": {"WindowCenter": 1800, "WindowWidth": 1500, "VOILUTFunction": "LINEAR_EXACT"},
    "sigmoid": {"WindowCenter": 1800, "WindowWidth": 1500, "VOILUTFunction": "SIGMOID"},
    "rescaled": {
        "WindowCenter": -200,
        "WindowWidth": 3000,
        "RescaleSlope": "2",
        "RescaleIntercept": "-2048",
        "RescaleType": "HU",
    },
    "table": {"WindowCenter": None, "WindowWidth": None, "VOILUTSequence": [table()]},
    "inverse": {"WindowCenter": 1800, "WindowWidth": 1500, "PresentationLUTShape": "INVERSE"},
}


def radiograph(signed: bool = False, **elements: Any) -> Dataset:
    stored, rest = stored_as(image(HEIGHT, WIDTH), bits=12, signed=signed)
    return dataset(stored, **(rest | elements))


def answer(height: int = HEIGHT, width: int = WIDTH) -> dict[str, Any]:
    return known({}, (height, width, png_image(48, 48)))


def open_file(page: Any, ds: Dataset) -> None:
    show_file(page, encoded(ds), answer(ds.Rows, ds.Columns))


def pointed(page: Any, column: float, row: float, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> str:
    """What the corner says when the pointer is on an image that fits, upright."""
    x, y = on_screen(page, column, row, shape)
    page.mouse.move(x, y)
    return page.locator("#corner-pointer").text_content()


def on_screen(
    page: Any, column: float, row: float, shape: tuple[int, int] = (HEIGHT, WIDTH)
) -> tuple[float, float]:
    """Where a place of an image that fits, upright, is on the page."""
    box = page.locator("#canvas").bounding_box()
    scale = min((box["width"] - 20) / shape[1], (box["height"] - 20) / shape[0])
    x = box["x"] + box["width"] / 2 + (column - shape[1] / 2) * scale
    y = box["y"] + box["height"] / 2 + (row - shape[0] / 2) * scale
    return x, y


def pixel_on_pixel(page: Any) -> np.ndarray:
    """The image's gray levels at 1:1, uint8 (height, width)."""
    page.get_by_role("button", name="Actual pixels").click()
    expect(page.locator("#zoom")).to_have_text("100\u202f%")
    pixels = canvas(page)
    return middle_of(pixels[..., 0], HEIGHT, WIDTH)


def middle_of(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    top = (pixels.shape[0] - height + 1) // 2
    left = (pixels.shape[1] - width + 1) // 2
    return pixels[top : top + height, left : left + width]


def expected_gray(ds: Dataset) -> np.ndarray:
    """float (height, width) in [0, 255], of pydicom."""
    values = apply_modality_lut(ds.pixel_array, ds)
    shown = apply_voi_lut(values, ds).astype(float)
    if "VOILUTSequence" in ds:
        low, high = 0.0, 4095.0
    else:
        slope, intercept = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", 0))
        low = -2048.0 * ds.PixelRepresentation * slope + intercept
        high = low + 4095 * slope
    gray = (shown - low) / (high - low) * 255
    return 255 - gray if ds.get("PresentationLUTShape") == "INVERSE" else gray


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_are_pydicom_s_within_a_gray_level(page, name: str) -> None:
    ds = radiograph(**WINDOWS[name])
    open_file(page, ds)
    shown = pixel_on_pixel(page).astype(float)
    assert np.abs(shown - expected_gray(dcmread_back(ds))).max() <= 1


def test_signed_values_are_windowed_as_such(page) -> None:
    ds = radiograph(signed=True, WindowCenter=-300, WindowWidth=2000)
    open_file(page, ds)
    assert np.abs(pixel_on_pixel(page) - expected_gray(dcmread_back(ds))).max() <= 1
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2 + 3, box["y"] + box["height"] / 2 + 5)
    text = page.locator("#corner-pointer").text_content()
    x, y, value = map(int, re.fullmatch(r"x (\d+)  y (\d+)  value (-?\d+)", text).groups())
    assert abs(x - WIDTH / 2 - 3) <= 1 and abs(y - HEIGHT / 2 - 5) <= 1
    assert value == dcmread_back(ds).pixel_array[y, x]


def dcmread_back(ds: Dataset) -> Dataset:
    return dcmread(BytesIO(encoded(ds)))


def test_the_value_under_the_pointer_is_the_stored_one(page) -> None:
    ds = radiograph(**WINDOWS["rescaled"])
    open_file(page, ds)
    stored = dcmread_back(ds).pixel_array
    for column, row in [(3, 7), (120, 150), (236, 4), (17, 296)]:
        value = stored[row, column]
        text = pointed(page, column + 0.5, row + 0.5)
        assert text.startswith(f"x {column}  y {row}  value {value} = ")
        assert text.split("= ")[1].split("  ")[0] == f"{2 * int(value) - 2048} HU"
    page.mouse.move(5, 5)
    expect(page.locator("#corner-pointer")).to_have_text("")


def test_a_real_radiograph_keeps_its_fifteen_bits(page) -> None:
    if not REAL.exists():
        pytest.skip("no shared radiographs here")
    ds = dcmread(REAL)
    shape = (ds.Rows, ds.Columns)
    show_file(page, REAL.read_bytes(), answer(*shape))
    expect(page.locator("#corner-image")).to_contain_text("1841 \u00d7 1955, 15 bit")
    stored = ds.pixel_array
    for column, row in [(200, 300), (900, 1000), (1500, 1800)]:
        text = pointed(page, column + 0.5, row + 0.5, shape)
        x, y, value = map(int, re.match(r"x (\d+)  y (\d+)  value (\d+)", text).groups())
        assert abs(x - column) <= 2 and abs(y - row) <= 2
        assert value == stored[y, x]


def test_presets_are_the_file_s_windows_and_this_image_s(page) -> None:
    ds = radiograph(
        WindowCenter=[1800, 2500],
        WindowWidth=[1500, 900],
        WindowCenterWidthExplanation=["NORMAL", "HARD"],
    )
    open_file(page, ds)
    titles = page.locator("#preset option").all_text_contents()
    assert titles[1:] == [
        "Normal (1)",
        "Hard (2)",
        "Lung (3)",
        "Bone (4)",
        "Mediastinum (5)",
        "Auto (6)",
    ]
    page.keyboard.press("2")
    expect(page.locator("#corner-window")).to_contain_text("W 900  L 2500", use_inner_text=False)
    hard = radiograph(WindowCenter=2500, WindowWidth=900)
    assert np.abs(pixel_on_pixel(page) - expected_gray(dcmread_back(hard))).max() <= 1
    page.get_by_label("Window preset").select_option(label="Auto (6)")
    low, high = np.percentile(ds.pixel_array, [0.5, 99.5])
    width = int(re.search(r"W (\d+)", page.locator("#corner-window").text_content())[1])
    assert width == pytest.approx(high - low, abs=2)
    page.get_by_role("slider", name="Window").fill("700")
    expect(page.get_by_label("Window preset")).to_have_value("custom")


SPACED = {"ImagerPixelSpacing": [0.2, 0.2]}


@pytest.mark.parametrize(
    ("elements", "unit", "worth"),
    [
        (SPACED, 0.2, "imager spacing"),
        ({"PixelSpacing": [0.19, 0.19], **SPACED}, 0.19, "calibrated spacing"),
        ({"PixelSpacing": [0.2, 0.2]}, 0.2, "not stated"),
        ({}, None, "the file states no spacing"),
    ],
)
def test_a_ruler_is_right_to_a_pixel(
    page, elements: dict[str, Any], unit: float | None, worth: str
) -> None:
    open_file(page, radiograph(**elements))
    page.keyboard.press("d")
    draw(page, (40, 60), (160, 220))
    text = page.get_by_role("list", name="Measurements").get_by_role("listitem").text_content()
    assert worth in text and ("px" in text) == (unit is None)
    length = float(re.search(r"Ruler ([\d.]+)", text)[1])
    assert length == pytest.approx(200 * (unit or 1), abs=unit or 1)
    expect(page.locator("#status")).to_contain_text("Ruler")
    page.keyboard.press("Delete")
    expect(page.locator("#measures")).to_be_hidden()


def draw(page: Any, start: tuple[float, float], end: tuple[float, float], **how: Any) -> None:
    page.mouse.move(*on_screen(page, *start))
    page.mouse.down(**how)
    middle = [(a + b) / 2 for a, b in zip(start, end, strict=True)]
    page.mouse.move(*on_screen(page, *middle))
    page.mouse.move(*on_screen(page, *end))
    page.mouse.up(**how)


def test_an_angle_takes_three_points(page) -> None:
    open_file(page, radiograph(**SPACED))
    page.get_by_role("button", name="Angle").click()
    draw(page, (60, 150), (160, 150))
    page.mouse.move(*on_screen(page, 160, 60))
    page.mouse.click(*on_screen(page, 160, 60))
    text = page.get_by_role("list", name="Measurements").get_by_role("listitem").text_content()
    assert float(re.search(r"Angle ([\d.]+)°", text)[1]) == pytest.approx(90, abs=1)


def test_points_are_measured_by_keys_alone(page) -> None:
    open_file(page, radiograph(**SPACED))
    page.locator("#canvas").focus()
    page.keyboard.press("d")
    page.keyboard.press("ArrowRight")
    lengths = []
    for _ in range(2):
        page.keyboard.press("Shift+ArrowRight")
        text = page.locator("#measures li").text_content()
        lengths.append(float(re.search(r"Ruler ([\d.]+) mm", text)[1]))
    scale = int(page.locator("#zoom").text_content().rstrip("%\u202f")) / 100
    assert lengths[1] - lengths[0] == pytest.approx(10 / scale * 0.2, abs=0.11)


# Which way is up


def letters(page: Any) -> str:
    """At the left, right, upper and lower edge."""
    edges = ("left", "right", "top", "bottom")
    return "".join(page.locator(f"#stage [data-edge={edge}]").text_content() for edge in edges)


def test_letters_follow_every_turn_and_flip(page) -> None:
    open_file(page, radiograph(PatientOrientation=["L", "F"]))
    assert letters(page) == "RLHF"
    turns = {
        "r": "FHRL",  # to the right: the head is on the right
        "l": "HFLR",
        "h": "LRHF",
        "v": "RLFH",
        "rr": "LRFH",
        "rh": "HFRL",
        "rv": "FHLR",
        "hr": "FHLR",
        "vr": "HFRL",
        "rrrr": "RLHF",
        "hh": "RLHF",
    }
    for keys, expected in turns.items():
        for key in keys:
            page.keyboard.press(key)
        assert letters(page) == expected, keys
        page.keyboard.press("0")
        assert letters(page) == "RLHF"


def test_the_picture_turns_as_its_letters_do(page) -> None:
    ds = radiograph(PatientOrientation=["L", "F"], WindowCenter=1800, WindowWidth=1500)
    open_file(page, ds)
    upright = pixel_on_pixel(page)
    for key, change in (("r", lambda p: np.rot90(p, -1)), ("h", np.fliplr), ("v", np.flipud)):
        page.keyboard.press("0")
        page.keyboard.press(key)
        page.keyboard.press("a")
        pixels, expected = canvas(page)[..., 0], change(upright)
        drawn = middle_of(pixels, *expected.shape)
        np.testing.assert_array_equal(drawn, expected)


def test_a_file_without_orientation_has_no_letters(page) -> None:
    open_file(page, radiograph())
    assert letters(page) == ""


def test_a_lateral_stored_lying_is_shown_upright(page) -> None:
    stored, rest = stored_as(image(WIDTH, HEIGHT), bits=12)
    ds = dataset(stored, **rest, PatientOrientation=["F", "A"])
    show_file(page, encoded(ds), answer())
    assert letters(page)[2:] == "HF" and set(letters(page)[:2]) == {"A", "P"}


# Hands, keys, undo


def zoom(page: Any) -> float:
    return float(page.locator("#zoom").text_content().rstrip("%\u202f")) / 100


def test_the_mouse_does_what_reading_rooms_expect(page) -> None:
    open_file(page, radiograph())
    fit = zoom(page)
    draw(page, (100, 100), (100, 150), button="right")
    assert zoom(page) > fit * 1.2
    page.locator("#canvas").dblclick()
    assert zoom(page) == pytest.approx(fit, abs=0.011)
    before = canvas(page)
    draw(page, (100, 100), (130, 100), button="middle")
    assert zoom(page) == pytest.approx(fit, abs=0.011)
    assert (canvas(page) != before).any()
    expect(page.locator("#corner-window")).to_contain_text("W 4096", use_inner_text=False)
    draw(page, (100, 100), (130, 100))
    expect(page.locator("#corner-window")).not_to_contain_text("W 4096", use_inner_text=False)


def test_every_change_can_be_undone_in_order(page) -> None:
    open_file(page, radiograph(PatientOrientation=["L", "F"]))
    page.mouse.move(5, 5)
    seen = [canvas(page)]
    for key in ("r", "i", "+", "h", "2", "a"):
        page.keyboard.press(key)
        seen.append(canvas(page))
    draw(page, (100, 100), (140, 120))
    page.mouse.move(5, 5)
    for before in reversed(seen):
        page.keyboard.press("z")
        np.testing.assert_array_equal(canvas(page), before)
    page.keyboard.press("Control+z")
    expect(page.locator("#status")).to_have_text("There is nothing to undo.")
    page.keyboard.press("v")
    page.keyboard.press("0")
    np.testing.assert_array_equal(canvas(page), seen[0])


def test_keys_work_wherever_the_focus_is_but_in_a_field(page) -> None:
    open_file(page, radiograph())
    inverted = page.get_by_role("button", name="Invert")
    for place in ("#copy", ".word[data-index='2']", "#open-help", "#opacity"):
        page.locator(place).focus()
        page.keyboard.press("i")
        expect(inverted).to_have_attribute("aria-pressed", "true")
        page.keyboard.press("i")
        expect(inverted).to_have_attribute("aria-pressed", "false")
    page.get_by_label("Ask for a finding").focus()
    page.keyboard.type("iris")
    expect(inverted).to_have_attribute("aria-pressed", "false")
    expect(page.get_by_label("Ask for a finding")).to_have_value("iris")


def test_the_viewer_fills_the_screen_and_comes_back(page) -> None:
    open_file(page, radiograph())
    page.keyboard.press("e")
    page.wait_for_function("() => document.fullscreenElement?.id === 'viewer'")
    expect(page.get_by_role("button", name="Full screen")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("e")
    page.wait_for_function("() => document.fullscreenElement === null")


def test_a_sheet_lists_the_keys_and_switches_them_off(page) -> None:
    open_file(page, radiograph())
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keys and mouse")
    expect(sheet).to_contain_text("Turn right")
    sheet.get_by_label("Single keys work wherever the focus is").uncheck()
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    page.locator("#copy").focus()
    page.keyboard.press("i")
    inverted = page.get_by_role("button", name="Invert")
    expect(inverted).to_have_attribute("aria-pressed", "false")
    page.locator("#canvas").focus()
    page.keyboard.press("i")
    expect(inverted).to_have_attribute("aria-pressed", "true")


def test_the_lens_enlarges_what_is_under_the_pointer(page) -> None:
    open_file(page, radiograph())
    page.mouse.move(*on_screen(page, 120, 150))
    plain = canvas(page)
    page.keyboard.press("m")
    page.mouse.move(*on_screen(page, 121, 150))
    changed = np.argwhere((canvas(page) != plain).any(axis=2))
    span = changed.max(axis=0) - changed.min(axis=0)
    assert (span < 240).all() and (span > 120).all()
    page.keyboard.press("m")
    np.testing.assert_array_equal(canvas(page), plain)
