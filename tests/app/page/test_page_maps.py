"""A map lies where it belongs, and pixels are drawn as the controls say."""

import matplotlib
import numpy as np
import pytest
from known import DIM, GRID, WORDS, hot, known, png_image
from screen import canvas, center, colored, expect, gray_at_center, set_slider, show, table, word


@pytest.mark.parametrize(("height", "width"), [(480, 480), (480, 720), (720, 480)])
def test_a_hot_patch_is_drawn_over_its_place(page, height: int, width: int) -> None:
    side = max(height, width)
    patch = side // GRID
    row, column = 3, 5
    x = int((width - side) / 2 + (column + 0.5) * patch)
    y = int((height - side) / 2 + (row + 0.5) * patch)
    # The PNG is half as large as the original, as for large radiographs.
    png = png_image(height // 2, width // 2, (x // 2, y // 2), patch // 4)
    show(page, known({1: hot((row, column, 1.0))}, (height, width, png)))
    page.get_by_role("checkbox", name="Smooth").uncheck()
    assert_drawn_over_the_dot(page, patch)
    before = page.locator("#zoom").text_content()
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.4 * box["height"])
    page.mouse.wheel(0, -300)
    page.get_by_role("button", name="Pan").click()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 163, box["y"] + 238)
    page.mouse.up()
    expect(page.locator("#zoom")).not_to_have_text(before)
    assert_drawn_over_the_dot(page, patch)


def assert_drawn_over_the_dot(page, patch: int) -> None:
    """Word 1's only hot patch lies on the dot and is `patch` original pixels wide."""
    set_slider(page, "Opacity", 0)
    dot = center(canvas(page)[..., 0] > 160)
    set_slider(page, "Opacity", 100)
    word(page, 1).hover()
    heat = colored(canvas(page))
    rows, columns = np.where(heat)
    drawn = columns.max() - columns.min() + 1
    assert np.abs(center(heat) - dot).max() < drawn / 4
    assert rows.max() - rows.min() + 1 == pytest.approx(drawn, abs=2)
    scale = int(page.locator("#zoom").text_content().rstrip("%\u202f")) / 100
    assert drawn == pytest.approx(patch * scale, rel=0.03, abs=2)


def test_panning_moves_by_the_drag_and_reset_goes_back(page) -> None:
    show(page, known({}, (480, 480, png_image(480, 480, (240, 240), 20))))
    before = canvas(page)
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.keyboard.down("Shift")
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 70)
    page.mouse.up()
    page.keyboard.up("Shift")
    moved = center(canvas(page)[..., 0] > 160) - center(before[..., 0] > 160)
    assert moved == pytest.approx([50, -30], abs=1)
    page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="Invert").click()
    page.get_by_role("button", name="Reset").click()
    np.testing.assert_array_equal(canvas(page), before)


def test_zoom_keeps_the_point_under_the_pointer(page) -> None:
    show(page, known({}, (480, 480, png_image(480, 480, (360, 120), 16))))
    dot = center(canvas(page)[..., 0] > 160)
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + dot[0], box["y"] + dot[1])
    page.mouse.wheel(0, -400)
    page.mouse.wheel(0, -400)
    assert center(canvas(page)[..., 0] > 160) == pytest.approx(dot, abs=2.5)


def test_smoothing_is_exact_in_the_middle_of_a_patch(page) -> None:
    show(page, known({1: hot((3, 3, 0.3), (3, 4, 0.2))}))
    set_slider(page, "Opacity", 100)
    word(page, 1).hover()
    smooth = canvas(page)
    page.get_by_role("checkbox", name="Smooth").uncheck()
    patches = canvas(page)
    height, width = patches.shape[:2]
    patch = (height - 20) / GRID
    top = int(height / 2 - 0.5 * patch)
    left = int(width / 2 - 0.5 * patch)
    assert np.abs(smooth[top, left].astype(int) - patches[top, left]).max() < 14
    inside = patches[top, left - int(0.4 * patch) : left + int(0.4 * patch)]
    assert len(np.unique(inside, axis=0)) == 1
    assert len(np.unique(smooth[top, left : left + int(patch)], axis=0)) > 8


# How pixels are drawn


def windowed(gray: float, width: float, level: float) -> float:
    return float(np.clip((gray - (level - width / 2)) / width, 0, 1)) * 255


def test_dragging_changes_window_and_level_and_says_so(page) -> None:
    show(page, known({}))
    assert gray_at_center(page) == pytest.approx(DIM, abs=1)
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 140)
    page.mouse.up()
    expect(page.locator("#corner-window")).to_have_text("W 175  L 68", use_inner_text=False)
    assert gray_at_center(page) == pytest.approx(windowed(DIM, 175, 67.5), abs=1)
    expect(page.get_by_label("Window", exact=False).and_(page.locator("input"))).to_have_value(
        "175"
    )


def test_window_sliders_and_inversion_change_the_pixels(page) -> None:
    show(page, known({}))
    page.locator("#window-width").fill("100")
    page.locator("#window-level").fill("60")
    assert gray_at_center(page) == pytest.approx(windowed(DIM, 100, 60), abs=1)
    page.get_by_role("button", name="Invert").click()
    assert gray_at_center(page) == pytest.approx(255 - windowed(DIM, 100, 60), abs=1)
    expect(page.get_by_role("button", name="Invert")).to_have_attribute("aria-pressed", "true")


def test_opacity_mixes_map_and_radiograph(page) -> None:
    whole = np.full((1, GRID, GRID), 1 / GRID**2)
    show(page, known(dict.fromkeys(range(len(WORDS)), whole)))
    page.get_by_role("checkbox", name="Smooth").uncheck()
    word(page, 1).hover()
    page.get_by_role("combobox", name="Scale").select_option("word")
    top = table(page)[round(255 * (1 / 64) / 0.016)]
    for opacity in (0, 25, 50, 100):
        set_slider(page, "Opacity", opacity)
        mixed = DIM + (top - DIM) * opacity / 100
        assert gray_at_center(page) == pytest.approx(mixed, abs=4)


def test_color_maps_are_matplotlibs_and_grow_lighter(page) -> None:
    """matplotlib's are even in CAM02-UCS; here the browser has them to the byte."""
    luminance = np.array([0.2126, 0.7152, 0.0722])
    names = page.evaluate("import('./colormaps.js').then((m) => m.COLOR_MAPS.map((c) => c.name))")
    assert len(names) >= 4
    for name in names:
        encoded = table(page, name)
        levels = np.arange(256)
        gray = np.repeat(levels[:, None], 3, axis=1)
        colors = gray if name == "gray" else matplotlib.colormaps[name](levels, bytes=True)[:, :3]
        np.testing.assert_array_equal(encoded, colors)
        scaled = encoded / 255
        linear = np.where(scaled > 0.04045, ((scaled + 0.055) / 1.055) ** 2.4, scaled / 12.92)
        assert (np.diff((linear @ luminance)[::4]) > 0).all()
