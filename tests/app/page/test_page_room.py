"""The page as a place to work: two images, every word's map, drafts that stay, paper, sizes."""

import re
from typing import Any

import numpy as np
import pytest
from dicom_files import dataset, encoded, image, stored_as
from known import TEXT, carried, hot, known, png_image
from screen import canvas, colored, expect, in_one_piece, send, show, show_file, shown, word

try:
    from axe_playwright_python.sync_playwright import Axe
except ImportError:
    Axe = None  # everything that would call it is skipped

SIZES = [(1024, 768), (1440, 900), (2560, 1440), (1080, 1920), (640, 400)]
"""Also an upright screen, and 1280 x 800 at 200 %."""


def two_images() -> dict[str, Any]:
    answer = known({1: hot((2, 2, 0.6), images=2)}, *[(480, 480, png_image(480, 480))] * 2)
    answer["images"][1].update(view="PA", prior=True)
    return answer


def test_two_images_stand_side_by_side_and_move_together(page) -> None:
    show(page, two_images())
    page.keyboard.press("s")
    second = page.locator("#canvas-2")
    expect(second).to_be_visible()
    expect(page.locator("#corner-image-2")).to_contain_text("2. Prior (PA)")
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.4)
    before = pixels_of(second)
    page.mouse.wheel(0, -400)
    moved = pixels_of(second)
    assert moved != before
    page.keyboard.press("f")
    assert pixels_of(second) == before
    page.keyboard.press("s")
    expect(second).to_be_hidden()


def test_a_window_moves_both_images_and_the_pointer_marks_both(page) -> None:
    show(page, two_images())
    page.keyboard.press("s")
    second = page.locator("#canvas-2")
    first = page.locator("#canvas").bounding_box()
    page.mouse.move(first["x"] + first["width"] / 2, first["y"] + first["height"] / 2)
    expect(page.locator("#corner-pointer-2")).to_contain_text(
        re.compile(r"x (239|240)\s+y (239|240)")
    )
    before = pixels_of(second)
    page.mouse.down()
    page.mouse.move(first["x"] + first["width"] / 2 + 60, first["y"] + first["height"] / 2)
    page.mouse.up()
    window = page.locator("#corner-window").text_content()
    assert "W 255" not in window
    expect(page.locator("#corner-window-2")).to_have_text(window)
    assert pixels_of(second) != before
    page.keyboard.press("0")
    expect(page.locator("#corner-window-2")).to_contain_text("W 255  L 12", use_inner_text=False)


def test_rulers_and_angles_are_drawn_on_the_second_image_too(page) -> None:
    show(page, two_images())
    for key in ("s", "d"):
        page.keyboard.press(key)
    box = page.locator("#canvas-2").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 50, box["y"] + box["height"] / 2)
    page.mouse.up()
    measures = page.get_by_role("list", name="Measurements on the second image")
    expect(measures.get_by_role("listitem")).to_have_count(1)
    expect(page.locator("#measures")).to_be_hidden()
    page.keyboard.press("Delete")
    expect(measures).to_be_hidden()


def pixels_of(locator: Any) -> str:
    return locator.evaluate(
        """canvas => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(
            () => done(canvas.toDataURL()))))"""
    )


# Maps


def test_one_key_takes_the_map_away(page) -> None:
    show(page, known({1: hot((3, 3, 0.9))}))
    plain = canvas(page)
    word(page, 1).click()
    assert colored(canvas(page)).any()
    page.keyboard.press("o")
    np.testing.assert_array_equal(canvas(page), plain)
    expect(page.get_by_role("button", name="Attention map")).to_have_attribute(
        "aria-pressed", "false"
    )
    page.keyboard.press("o")
    assert colored(canvas(page)).any()


def test_contours_leave_what_they_surround_as_it_is(page) -> None:
    show(page, known({1: hot((3, 3, 0.5), (3, 4, 0.4), (4, 3, 0.4), (4, 4, 0.5))}))
    plain = canvas(page)
    page.get_by_role("combobox", name="Show as").select_option("contours")
    word(page, 1).click()
    lines = canvas(page)
    changed = (lines != plain).any(axis=2)
    rows, columns = np.nonzero(changed)
    middle = changed.shape[0] // 2, changed.shape[1] // 2
    assert rows.min() < middle[0] < rows.max() and columns.min() < middle[1] < columns.max()
    assert not changed[middle[0] - 10 : middle[0] + 10, middle[1] - 10 : middle[1] + 10].any()
    assert 0 < changed.mean() < 0.1


def test_what_is_diffuse_is_seen_and_an_even_spread_is_not(page) -> None:
    """Four times an even spread over a quarter of the image: a large, faint finding."""
    quarter = np.zeros((1, 8, 8))
    quarter[0, :4, :4] = 4 / 64
    show(page, known({1: quarter}))
    page.get_by_role("checkbox", name="Smooth").uncheck()
    word(page, 1).click()
    assert colored(canvas(page)).mean() > 0.1
    page.get_by_role("combobox", name="Scale").select_option("linear")
    assert colored(canvas(page)).mean() < 0.01


def test_a_word_without_a_place_shows_its_raw_attention_when_asked(page) -> None:
    answer = known({3: None})
    raw = carried(hot((6, 1, 0.05)))
    answer["words"][3].update(heatmap=raw["heatmap"], attention=0.05)
    show(page, answer)
    plain = canvas(page)
    word(page, 3).click()
    np.testing.assert_array_equal(canvas(page), plain)
    assert "None: a function word; 5.0\u202f% of its attention fell on the image" in shown(page)
    page.get_by_role("button", name="Raw attention").click()
    assert (canvas(page) != plain).any()
    assert "raw attention, not grounded" in shown(page)
    assert "95\u202f% on the sink" in shown(page)
    word(page, 1).hover()
    assert "raw" not in shown(page).replace("Raw attention", "")
    assert page.locator(".word.inside").count() == 0


def test_the_service_gives_every_map_to_the_page(page, make_png) -> None:
    in_one_piece(page)
    with page.expect_response("**/v1/reports*") as response:
        send(page, ("chest.png", "image/png", make_png()))
    assert "maps=all" in response.value.url
    assert all(one["heatmap"] for one in response.value.json()["words"])


# Reading before, drafts that stay, paper


def radiograph() -> bytes:
    stored, rest = stored_as(image(480, 480), bits=12)
    return encoded(dataset(stored, **rest))


def test_the_image_is_there_before_its_report(page) -> None:
    waiting: list[Any] = []
    page.route("**/v1/reports*", lambda route: waiting.append(route))
    page.locator("#files").set_input_files(
        {"name": "a.dcm", "mimeType": "", "buffer": radiograph()}
    )
    expect(page.locator("#corner-image")).to_contain_text("480, 12 bit")
    expect(page.get_by_role("heading", name="Writing the report")).to_be_visible()
    page.locator("#canvas").focus()
    page.keyboard.press("i")
    inverted = canvas(page)
    waiting[0].fulfill(status=201, json=known({}))
    expect(page.get_by_role("heading", name="Draft report")).to_be_visible()
    expect(page.get_by_role("button", name="Invert")).to_have_attribute("aria-pressed", "true")
    assert (inverted[..., 3] == 255).any()


def test_a_reload_does_not_lose_the_draft(page) -> None:
    show_file(page, radiograph(), known({}))
    expect(page.locator("#open-name")).to_have_text("image.dcm")
    page.wait_for_function(
        "() => import('./drafts.js').then(({Drafts}) => new Drafts().restore()).then(Boolean)"
    )
    page.reload()
    expect(page.get_by_role("heading", name="Draft report")).to_be_visible()
    assert "".join(page.locator("#plain-text").text_content().split()) == "".join(TEXT.split())
    expect(page.locator("#corner-image")).to_contain_text("12 bit")
    expect(page.locator("#open-name")).to_have_text("image.dcm")


def test_another_tab_does_not_see_the_draft(page) -> None:
    show_file(page, radiograph(), known({}))
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.get_by_role("button", name="Choose files")).to_be_visible()


def test_a_wrong_drop_does_not_lose_the_draft(page, faults) -> None:
    show_file(page, radiograph(), known({}))
    page.unroute("**/v1/reports*")
    send(page, ("letter.pdf", "application/pdf", b"%PDF-1.4"))
    expect(page.get_by_role("alert")).to_contain_text("a PDF")
    page.get_by_role("button", name="Previous draft").click()
    expect(page.get_by_role("heading", name="Draft report")).to_be_visible()
    expect(page.locator("#corner-image")).to_contain_text("12 bit")
    page.get_by_role("link", name="CrossRay, start again").click()
    expect(page.get_by_role("button", name="Choose files")).to_be_visible()
    page.get_by_role("button", name="Previous draft").click()
    expect(page.get_by_role("heading", name="Draft report")).to_be_visible()
    faults.clear()


def test_paper_has_report_image_and_notice_but_no_tools(page) -> None:
    show(page, known({1: hot((3, 3, 0.9))}))
    word(page, 1).click()
    page.emulate_media(media="print")
    for there in ("#canvas", "#words", "#notice", "#legend", "#open-name"):
        expect(page.locator(there)).to_be_visible()
    for away in (".tools", ".bar nav", "#settings", "#ask", "#copy", "#sentence", "#hint"):
        expect(page.locator(away).first).to_be_hidden()
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_paper_has_more_pixels_than_the_screen(page) -> None:
    """Some 300 to the inch."""
    show(page, known({1: hot((3, 3, 0.9))}))
    width = "canvas => canvas.width"
    screen = page.locator("#canvas").evaluate(width)
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert 2000 <= page.locator("#canvas").evaluate(width) <= 2400 and screen < 1500
    page.evaluate("() => dispatchEvent(new Event('afterprint'))")
    assert page.locator("#canvas").evaluate(width) == screen


# Size and access


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_nothing_is_covered_or_cut_off(open_page, size: tuple[int, int]) -> None:
    page = open_page(width=size[0], height=size[1])
    answer = known({})
    place = {"sides": ["left"], "zone": None, "certainty": "definite", "presence_probability": 0.8}
    answer["findings"] = [
        {**answer["sentences"][0], "words": [n], "name": f"finding_{n}", **place} for n in range(4)
    ]
    show(page, answer)
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    expect(page.locator("#stage")).to_be_visible()
    stage = page.locator("#stage").bounding_box()
    assert stage["height"] >= 0.3 * size[1] and stage["width"] >= 0.45 * size[0]
    for part in ("#finding-list button >> nth=3", "#shown-kind", "#ask-send"):
        page.locator(part).scroll_into_view_if_needed()
        assert page.locator(part).evaluate(
            """part => {
                const box = part.getBoundingClientRect();
                const top = document.elementFromPoint(box.left + 4, box.top + box.height / 2);
                return part.contains(top);
            }"""
        ), part
    if size == (1440, 900):
        page.locator("#report-title").scroll_into_view_if_needed()
        chips = page.locator("#finding-list button").last.bounding_box()
        assert chips["y"] + chips["height"] <= page.locator(".choice").bounding_box()["y"]


@pytest.mark.skipif(Axe is None, reason="axe-playwright-python is not installed")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_nothing(open_page, theme: str, width: int) -> None:
    """WCAG 2.2 A and AA, as far as a program can tell."""
    # The page's policy forbids scripts of others, axe's too.
    page = open_page(width=width, height=900, color_scheme=theme, bypass_csp=True)
    assert violations(page) == []
    show(page, two_images())
    word(page, 1).click()
    assert violations(page) == []
    page.keyboard.press("s")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys and mouse")).to_be_visible()
    assert violations(page) == []


def violations(page: Any) -> list[str]:
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = Axe().run(page, options={"runOnly": tags}).response["violations"]
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found
        for node in one["nodes"]
    ]
