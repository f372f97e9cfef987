"""What a reader is told to doubt, and the ways to ask back: a region, a finding."""

import math
from typing import Any

import numpy as np
import pytest
from known import GRID, TEXT, WORDS, carried, hot, known, png_image
from screen import canvas, colored, expect, send, show, shown, word


def test_a_word_without_a_place_has_no_map_and_says_why(page) -> None:
    answer = known({3: None, 4: None})
    answer["words"][4].update(text=WORDS[4], attention=0.3)
    show(page, answer)
    word(page, 1).click()
    assert colored(canvas(page)).any()
    word(page, 3).hover()
    assert not colored(canvas(page)).any()
    assert "None: a function word; 7.0\u202f% of its attention fell on the image" in shown(page)
    word(page, 4).hover()
    assert "30\u202f% of its attention" in shown(page)
    assert "no place on the image" in word(page, 3).get_attribute("aria-description")
    inks = [word(page, n).evaluate("w => getComputedStyle(w).color") for n in (1, 3)]
    assert inks[0] != inks[1]


def test_the_words_of_an_imported_model_have_maps_and_an_unknown_state(page) -> None:
    answer = known({})
    for part in (*answer["words"], *answer["sentences"]):
        part["state"] = "unknown"
    show(page, answer)
    word(page, 1).hover()
    assert colored(canvas(page)).any()
    assert "Unknown: never measured for this model" in shown(page)
    description = word(page, 1).get_attribute("aria-description")
    assert "whether it has a place on the image is unknown" in description
    assert "nowhere" not in word(page, 1).get_attribute("class")


def test_a_sentence_is_averaged_over_its_words_with_a_place(page) -> None:
    show(page, known({1: hot((1, 1, 0.5)), 2: None, 3: None, 4: None}))
    word(page, 1).dblclick()
    assert "Sentence of 4 words, average of the 1 with a place" in shown(page)
    assert "50\u202f%" in shown(page)


def test_a_sentence_of_words_without_a_place_has_no_map(page) -> None:
    show(page, known(dict.fromkeys([5, 6, 7, 8])))
    word(page, 8).dblclick()
    assert "Sentence of 4 words, no map" in shown(page)
    assert not colored(canvas(page)).any()
    word(page, 6).hover()
    assert "part of a normal statement" in shown(page)


@pytest.mark.parametrize(
    ("times", "told"),
    [
        (12, "The image made it 12 times as likely"),
        (1.8, "The image made it 1.8 times as likely"),
        (1.2, "The image hardly changed its probability"),
        (0.25, "The image made it 4 times less likely"),
        (1e9, "The image made it over 1000 times as likely"),
    ],
)
def test_evidence_is_told_in_words(page, times: float, told: str) -> None:
    answer = known({})
    answer["words"][2]["evidence"] = math.log(times)
    show(page, answer)
    word(page, 2).hover()
    assert told in shown(page)
    slanted = word(page, 2).evaluate("w => getComputedStyle(w).fontStyle") == "italic"
    assert slanted == (times < 1.5)


def test_a_flag_leads_to_its_words(page) -> None:
    answer = known({})
    start = TEXT.index("The heart")
    answer["review"] = [
        {"code": "side", "message": "Check the side.", "start": 10, "end": 23},
        {"code": "evidence", "message": "Check the heart.", "start": start, "end": start + 9},
    ]
    show(page, answer)
    flags = page.get_by_role("region", name="Check first")
    expect(flags.get_by_role("link")).to_have_count(2)
    flags.get_by_role("link", name="Check the heart.").click()
    pinned = page.locator(".word[aria-pressed=true]")
    assert pinned.all_text_contents() == ["The", "heart"]
    expect(word(page, 5)).to_be_focused()
    assert "To check, average of their maps" in shown(page)
    show(page, known({}))
    expect(flags).to_be_hidden()


def test_a_finding_named_twice_is_listed_once(page) -> None:
    answer = known({})
    place = {"name": "pleural_effusion", "sides": ["left"], "zone": None, "certainty": "definite"}
    answer["findings"] = [
        {**answer["sentences"][0], "words": [1, 2], **place, "presence_probability": 0.8},
        {**answer["sentences"][2], "words": [10, 11], **place, "presence_probability": 0.6},
    ]
    show(page, answer)
    named = page.get_by_role("region", name="Reported findings").get_by_role("button")
    expect(named).to_have_text("Pleural effusion, left 80\u202f%")
    named.click()
    pinned = page.locator(".word[aria-pressed=true]")
    assert pinned.all_text_contents() == ["Left", "effusion"] * 2


def test_a_concern_stands_over_its_own_image(page) -> None:
    views = [(480, 480, png_image(48, 48)), (90, 90, png_image(90, 90))]
    answer = known({}, *views)
    answer["images"][1]["warnings"] = [{"code": "rotated", "message": "It seems turned."}]
    show(page, answer)
    banner = page.get_by_role("note", name="Warnings about this image")
    expect(banner).to_be_hidden()
    page.get_by_role("tab").last.click()
    expect(banner).to_have_text("It seems turned.")


def test_a_refused_image_can_be_insisted_on(page, faults) -> None:
    asked: list[str] = []

    def answer(route: Any) -> None:
        asked.append(route.request.url)
        if "input_check=false" in asked[-1]:
            route.fulfill(status=201, json=known({}))
            return
        problem = {
            "type": "/problems/refused",
            "title": "No report on this image",
            "status": 422,
            "detail": "This does not look like a chest.",
        }
        route.fulfill(status=422, json=problem, content_type="application/problem+json")

    page.route("**/v1/reports*", answer)
    send(page, ("hand.png", "image/png", png_image(8, 8)))
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("This does not look like a chest.")
    alert.get_by_role("button", name="Write the report anyway").click()
    expect(page.get_by_role("heading", name="Draft report")).to_be_visible()
    assert ["input_check=false" in url for url in asked] == [False, True]
    faults.clear()


def test_both_checks_can_be_insisted_on_one_after_the_other(page, faults) -> None:
    asked: list[str] = []
    kinds = {"input_check": "refused", "identity_check": "identity-mismatch"}

    def answer(route: Any) -> None:
        asked.append(route.request.url)
        for check, kind in kinds.items():
            if f"{check}=false" not in asked[-1]:
                problem = {"type": f"/problems/{kind}", "title": kind, "detail": "no"}
                content_type = "application/problem+json"
                route.fulfill(status=422, json=problem, content_type=content_type)
                return
        route.fulfill(status=201, json=known({}))

    page.route("**/v1/reports*", answer)
    send(page, ("hand.png", "image/png", png_image(8, 8)))
    for kind in kinds.values():
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text(kind)
        alert.get_by_role("button", name="Write the report anyway").click()
    expect(page.get_by_role("heading", name="Draft report")).to_be_visible()
    assert len(asked) == 3
    faults.clear()


def test_what_is_withheld_is_not_shown(page) -> None:
    """A draft on an image that the model does not know: no number beside a word, and no map."""
    answer = known({})
    unknown = dict.fromkeys(("probability", "evidence", "attention", "heatmap"))
    for part in (*answer["words"], *answer["sentences"]):
        part |= {**unknown, "state": "withheld"}
    place = {"name": "pleural_effusion", "sides": ["left"], "zone": None, "certainty": "definite"}
    answer["findings"] = [
        {**answer["sentences"][0], "words": [1, 2], **place, "presence_probability": None}
    ]
    answer["probability_withheld"] = "Do not rely on this draft: the image is unlike."
    answer["warnings"] = [{"code": "identity_unchecked", "message": "Not checked."}]
    show(page, answer)
    note = page.get_by_role("note", name="Warnings about this study")
    expect(note).to_have_text("Do not rely on this draft: the image is unlike.Not checked.")
    plain = canvas(page)
    word(page, 2).click()
    assert "withheld" in shown(page) and "%" not in shown(page)
    assert word(page, 2).evaluate("w => w.style.getPropertyValue('--doubt')") == "0.000"
    np.testing.assert_array_equal(canvas(page), plain)
    named = page.get_by_role("region", name="Reported findings").get_by_role("button")
    expect(named).to_have_text("Pleural effusion, left")
    show(page, known({}))
    expect(note).to_be_hidden()


# A region of the image


def drag(page: Any, *corners: tuple[float, float]) -> None:
    """Between two places of the image, in shares of its side."""
    box = page.locator("#canvas").bounding_box()
    side = min(box["width"], box["height"]) - 20
    left, top = (box[k] + (box[s] - side) / 2 for k, s in (("x", "width"), ("y", "height")))
    (x0, y0), (x1, y1) = [(left + x * side, top + y * side) for x, y in corners]
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move((x0 + x1) / 2, (y0 + y1) / 2)
    page.mouse.move(x1, y1)
    page.mouse.up()


def regional() -> dict[str, Any]:
    """Left looks at the upper left quarter, effusion half of it, all others at the lower right."""
    return known({1: hot((1, 1, 1.0)), 2: hot((2, 2, 0.5), (7, 7, 0.5)), 3: None})


def lookers(page: Any) -> list[str]:
    region = page.get_by_role("region", name="Words that attended to the region")
    return [text.replace("\u202f", "") for text in region.get_by_role("listitem").all_inner_texts()]


@pytest.mark.parametrize("how", ["button", "modifier"])
def test_a_region_lists_the_words_that_looked_there(page, how: str) -> None:
    show(page, regional())
    if how == "button":
        page.get_by_role("button", name="Region", exact=True).click()
    else:
        page.keyboard.down("Control")
    drag(page, (0.02, 0.02), (0.5, 0.5))
    page.keyboard.up("Control")
    assert lookers(page) == ["Left 100%", "effusion 50%"]
    assert page.locator(".word.inside").all_text_contents() == ["Left", "effusion"]
    expect(page.locator("#status")).to_contain_text("2 words attended to it: Left")
    page.get_by_role("button", name="effusion 50").hover()
    assert "Word\n\neffusion" in shown(page)
    page.get_by_role("button", name="effusion 50").click()
    assert page.locator(".word[aria-pressed=true]").all_text_contents() == ["effusion"]
    page.locator("#canvas").focus()
    page.keyboard.press("Escape")
    expect(page.locator("#region")).to_be_hidden()
    assert page.locator(".word.inside").count() == 0


def test_half_a_patch_counts_half(page) -> None:
    show(page, regional())
    page.get_by_role("button", name="Region", exact=True).click()
    drag(page, (0.0, 0.0), (1.5 / GRID, 0.99))
    [first, *_] = lookers(page)
    assert first.startswith("Left ")
    assert float(first.split()[1].rstrip("%")) == pytest.approx(50, abs=2)


def test_a_region_is_drawn_moved_and_sized_by_keys(page) -> None:
    show(page, regional())
    page.locator("#canvas").focus()
    page.keyboard.press("b")
    region = page.get_by_role("button", name="Region", exact=True)
    expect(region).to_have_attribute("aria-pressed", "true")
    before = canvas(page)
    page.keyboard.press("ArrowUp")
    assert (canvas(page) != before).any()
    assert lookers(page) == ["effusion 50%"]
    for _ in range(8):
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowUp")
    assert lookers(page) == ["Left 100%", "effusion 50%"]
    for _ in range(40):
        page.keyboard.press("Shift+ArrowLeft")
    assert lookers(page) == []
    expect(page.locator("#region-none")).to_be_visible()
    page.keyboard.press("Escape")
    np.testing.assert_array_equal(canvas(page), before)


def test_a_region_belongs_to_its_image_and_leaves_the_window_alone(page) -> None:
    views = [(480, 480, png_image(48, 48)), (90, 90, png_image(90, 90))]
    looks = hot((1, 1, 0.25), images=2)
    looks[1, 1, 1] = 0.75
    show(page, known({1: looks}, *views))
    page.get_by_role("button", name="Region", exact=True).click()
    drag(page, (0.02, 0.02), (0.5, 0.5))
    assert lookers(page) == ["Left 25%"]
    expect(page.locator("#corner-window")).to_have_text("W 255  L 128", use_inner_text=False)
    page.get_by_role("tab").last.click()
    expect(page.locator("#region")).to_be_hidden()
    drag(page, (0.02, 0.02), (0.5, 0.5))
    assert lookers(page) == ["Left 75%"]


def test_a_finger_draws_a_region(open_page) -> None:
    page = open_page(width=390, height=844, has_touch=True)
    show(page, regional())
    page.get_by_role("button", name="Region", exact=True).tap()
    page.evaluate(
        """() => {
            const canvas = document.getElementById("canvas");
            const side = Math.min(canvas.clientWidth, canvas.clientHeight) - 20;
            const box = canvas.getBoundingClientRect();
            const left = box.left + (box.width - side) / 2, top = box.top + (box.height - side) / 2;
            canvas.setPointerCapture = () => {};
            [["pointerdown", 0.02], ["pointermove", 0.3], ["pointermove", 0.5], ["pointerup", 0.5]]
                .forEach(([type, at]) => canvas.dispatchEvent(new PointerEvent(type, {
                    pointerId: 5, pointerType: "touch", bubbles: true, button: 0, buttons: 1,
                    clientX: left + at * side, clientY: top + at * side})));
        }"""
    )
    assert lookers(page) == ["Left 100%", "effusion 50%"]


# Asking


def test_a_finding_is_asked_for_and_its_map_shown(page) -> None:
    show(page, known({}))
    bodies = []

    def answer(route: Any) -> None:
        bodies.append(route.request.post_data_buffer)
        there = b"effusion" in bodies[-1]
        worth = carried(hot((0, 0, 0.5)) if there else None, 0.9 if there else 0.04, 2.0)
        images = [{**image, "png": None} for image in known({})["images"]]
        phrase = "an effusion?" if there else "a fracture?"
        route.fulfill(status=201, json={"phrase": phrase, **worth, "images": images})

    page.route("**/v1/questions*", answer)
    word(page, 1).click()
    box = page.get_by_role("textbox", name="Ask for a finding")
    for phrase in ("an effusion?", "a fracture?"):
        box.fill(phrase)
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name=phrase)).to_have_attribute("aria-pressed", "true")
    assert b'name="files"' in bodies[0] and b"an effusion?" in bodies[0]
    assert page.locator(".word[aria-pressed=true]").count() == 0
    assert "4.0\u202f%" in shown(page) and "None: 7.0\u202f%" in shown(page)
    assert not colored(canvas(page)).any()
    page.get_by_role("button", name="an effusion?").click()
    assert "upper left of the image" in shown(page)
    assert colored(canvas(page)).any()
    word(page, 2).click()
    expect(page.get_by_role("button", name="an effusion?")).to_have_attribute(
        "aria-pressed", "false"
    )


def test_a_question_that_fails_says_so_and_leaves_the_report(page, faults) -> None:
    show(page, known({}))
    busy = {"type": "x", "title": "Busy", "status": 503, "detail": "Eight studies are waiting."}
    page.route(
        "**/v1/questions*",
        lambda route: route.fulfill(status=503, json=busy, content_type="application/problem+json"),
    )
    page.get_by_role("textbox", name="Ask for a finding").fill("a fracture")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Eight studies are waiting.")
    expect(page.get_by_role("heading", name="Draft report")).to_be_visible()
    faults.clear()


def test_the_service_answers_a_question(page, make_png) -> None:
    send(page, ("chest.png", "image/png", make_png()))
    page.get_by_role("textbox", name="Ask for a finding").fill("pleural effusion")
    with page.expect_response("**/v1/questions*") as response:
        page.keyboard.press("Enter")
    assert response.value.json()["phrase"] == "pleural effusion"
    answers = page.get_by_role("list", name="Answers, newest first").get_by_role("button")
    expect(answers).to_contain_text("pleural effusion")
    assert "Asked for" in shown(page)
