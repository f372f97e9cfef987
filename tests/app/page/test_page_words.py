"""Moving through the words shows their maps: one, several, a sentence."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from known import DIM, GRID, TEXT, WORDS, hot, known, png_image
from screen import (
    canvas,
    center,
    colored,
    expect,
    gray_at_center,
    set_slider,
    show,
    shown,
    table,
    word,
)


def test_moving_through_the_words_changes_the_shown_map(page) -> None:
    patches = {index: hot((index % GRID, 2, 1.0)) for index in range(len(WORDS))}
    show(page, known(patches))
    page.get_by_role("checkbox", name="Smooth").uncheck()
    word(page, 0).focus()
    last = len(WORDS) - 1
    heights = []
    for key, index in [
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("End", last),
        ("Home", 0),
    ]:
        page.keyboard.press(key)
        expect(word(page, index)).to_be_focused()
        assert f"Word\n\n{WORDS[index]}" in shown(page)
        heights.append((center(colored(canvas(page)))[1], index % GRID))
    assert [row for _, row in sorted(heights)] == sorted(row for _, row in heights)
    assert page.locator(".word[tabindex='0']").count() == 1


def test_up_and_down_move_between_lines(page) -> None:
    show(page, known({}))
    first = word(page, 0)
    first.focus()
    lines = []
    for _ in range(4):
        lines.append(page.evaluate("document.activeElement.getBoundingClientRect().top"))
        page.keyboard.press("ArrowDown")
    assert lines == sorted(set(lines))
    for _ in range(4):
        page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") == lines[0]


def test_pinned_words_are_averaged(page) -> None:
    show(page, known({1: hot((1, 1, 0.5)), 2: hot((6, 3, 0.5))}))
    page.get_by_role("checkbox", name="Smooth").uncheck()
    page.get_by_role("combobox", name="Scale").select_option("linear")
    set_slider(page, "Opacity", 100)
    word(page, 1).hover()
    alone = colored(canvas(page))
    word(page, 1).click()
    word(page, 2).click()
    both = canvas(page)
    assert colored(both).sum() == pytest.approx(2 * alone.sum(), rel=0.05)
    colors = np.unique(both[colored(both)][:, :3], axis=0)
    half = table(page)[[127, 128]]
    assert min(np.abs(colors[:, None] - half).max(axis=2).min(axis=1)) <= 2
    assert "2 pinned words, average of their maps" in shown(page)
    assert "25\u202f%" in shown(page)
    assert word(page, 1).get_attribute("aria-pressed") == "true"
    word(page, 5).hover()
    assert f"Word\n\n{WORDS[5]}" in shown(page)
    page.mouse.move(5, 5)
    assert "2 pinned words, average of their maps" in shown(page)
    page.get_by_role("button", name="Clear pins").click()
    assert page.locator(".word[aria-pressed=true]").count() == 0


@pytest.mark.parametrize("how", ["double click", "Shift+Enter", "button"])
def test_a_sentence_is_the_average_of_its_words(page, how: str) -> None:
    sentence = [1, 2, 3, 4]  # Left effusion is seen
    show(page, known({index: hot((index, index, 1.0)) for index in sentence}))
    if how == "double click":
        word(page, 2).dblclick()
    else:
        word(page, 2).focus()
        page.keyboard.press("ArrowRight")
    if how == "Shift+Enter":
        page.keyboard.press("Shift+Enter")
    if how == "button":
        page.get_by_role("button", name="Whole sentence").click()
    pinned = page.locator(".word[aria-pressed=true]")
    assert pinned.all_text_contents() == ["Left", "effusion", "is", "seen"]
    assert "Sentence of 4 words, average of their maps" in shown(page)
    assert "25\u202f%" in shown(page)


def test_each_word_tells_its_probability(page) -> None:
    show(page, known({}))
    word(page, 2).hover()
    assert "Probability\n50\u202f%" in shown(page)
    assert "Evidence\nThe image made it 12 times as likely" in shown(page)
    described = word(page, 2).get_attribute("aria-description")
    assert described == "probability 50 percent, the image made it 12 times as likely"
    lines = [
        word(page, index).evaluate("w => getComputedStyle(w).textDecorationColor")
        for index in (1, 2)
    ]
    assert lines[0] != lines[1]


def test_the_scale_is_one_for_all_words_and_reports_until_asked(page) -> None:
    weak = np.full((1, GRID, GRID), 0.98 / 63)
    weak[0, 4, 4] = 0.02
    show(page, known({1: weak}))
    page.get_by_role("checkbox", name="Smooth").uncheck()
    legend = page.get_by_role("img", name="Color scale")
    word(page, 1).hover()
    expect(legend).to_have_attribute(
        "aria-label",
        "Color scale from 1.6\u202f% to 50\u202f% of the attention per patch, "
        "32\u00d7 an even spread, the same for every word and report",
    )
    assert not colored(canvas(page)).any()
    page.get_by_role("combobox", name="Scale").select_option("word")
    assert colored(canvas(page)).any()
    expect(page.locator("#ticks li b").last).to_have_text("\u2265 2.0\u202f%")
    expect(page.locator("#ticks li span").last).to_have_text("1.3\u00d7")
    expect(page.locator("#scale-caption")).to_contain_text("stretched")


def test_looking_everywhere_is_drawn_faintly(page) -> None:
    even = np.full((1, GRID, GRID), 1 / GRID**2)
    show(page, known(dict.fromkeys(range(len(WORDS)), even)))
    word(page, 1).hover()
    assert np.abs(gray_at_center(page) - DIM).max() < 24
    expect(page.locator("#ticks li span").last).to_have_text("32\u00d7")


def test_every_image_has_a_tab_with_its_share(page) -> None:
    looks = hot((2, 2, 0.75), images=2)
    looks[1, 6, 6] = 0.25
    bright = cv2.imencode(".png", np.full((90, 90), 200, np.uint8))[1].tobytes()
    show(page, known({1: looks}, (480, 480, png_image(48, 48)), (90, 90, bright)))
    word(page, 1).hover()
    tabs = page.get_by_role("tab")
    assert [tab.locator(".share").text_content() for tab in tabs.all()] == [
        "75\u202f%",
        "25\u202f%",
    ]
    assert "upper left of image 1" in shown(page)
    assert gray_at_center(page) == pytest.approx(DIM, abs=1)
    first = center(colored(canvas(page)))
    tabs.first.focus()
    page.keyboard.press("ArrowRight")
    expect(tabs.last).to_be_focused()
    expect(tabs.last).to_have_attribute("aria-selected", "true")
    assert gray_at_center(page) == pytest.approx(200, abs=1)
    assert (center(colored(canvas(page))) > first).all()


def test_the_pointer_reads_the_share_of_the_patch_below_it(page) -> None:
    show(page, known({1: hot((0, 0, 0.75), (7, 7, 0.25))}))
    word(page, 1).hover()
    box = page.locator("#canvas").bounding_box()
    edge = (box["height"] - 20) / 2
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(middle[0] - edge + 5, middle[1] - edge + 5)
    expect(page.locator("#corner-pointer")).to_contain_text("75\u202f%")
    page.mouse.move(middle[0] + edge - 5, middle[1] + edge - 5)
    expect(page.locator("#corner-pointer")).to_contain_text("25\u202f%")


def test_text_and_answer_can_be_taken_along(open_page) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    answer = known({})
    show(page, answer)
    page.get_by_role("button", name="Copy text").click()
    expect(page.locator("#status")).to_have_text("The report's text is copied.")
    assert page.evaluate("navigator.clipboard.readText()") == TEXT
    with page.expect_download() as download:
        page.get_by_role("button", name="JSON").click()
    saved = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    answer["images"][0]["png"] = None
    assert saved == answer
