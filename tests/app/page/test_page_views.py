"""A study of several views, an earlier study and an indication: put together, sent, and shown."""

import re
from typing import Any

import numpy as np
import pytest
from known import DIM, hot, known, png_image
from screen import CONTRASTS, expect, in_one_piece, send, show, thumbnail, word

from app.api.forms import MAX_INDICATION


@pytest.fixture
def seeing(open_page, seeing_address: str) -> Any:
    """The page of a service whose model reads all there is."""
    return open_page(at=seeing_address)


def put(page: Any, *files: tuple[str, bytes], earlier: bool = False) -> None:
    payloads = [{"name": name, "mimeType": "image/png", "buffer": data} for name, data in files]
    page.locator("#earlier-files" if earlier else "#files").set_input_files(payloads)


def tabs(page: Any) -> list[str]:
    expect(page.get_by_role("heading", name="Draft report")).to_be_visible()
    return [tab.locator("b").text_content() for tab in page.get_by_role("tab").all()]


def test_what_is_put_together_is_what_is_sent(seeing, make_png) -> None:
    put(seeing, ("front.png", make_png(1)))
    expect(seeing.get_by_role("button", name="Write the report")).to_be_focused()
    put(seeing, ("side.png", make_png(2)))
    put(seeing, ("old.png", make_png(3)), earlier=True)
    seeing.get_by_role("combobox", name="View of side.png").select_option("Lateral")
    seeing.get_by_label("Indication").fill("  The\nlungs. ")
    in_one_piece(seeing)
    with seeing.expect_response("**/v1/reports*") as response:
        seeing.get_by_role("button", name="Write the report").click()
    answer = response.value.json()
    assert [(image["view"], image["prior"]) for image in answer["images"]] == [
        (None, False),
        ("LATERAL", False),
        (None, True),
    ]
    assert answer["indication"].split() == ["The", "lungs."]
    assert tabs(seeing) == ["1. View not stated", "2. Lateral", "3. Prior"]
    expect(seeing.locator("#given")).to_contain_text("Indication")
    expect(seeing.locator("#given-text")).to_have_text("The lungs.")
    with seeing.expect_response("**/v1/questions*") as response:
        seeing.get_by_label("Ask for a finding").fill("effusion")
        seeing.get_by_role("button", name="Ask", exact=True).click()
    asked = response.value.json()
    bare = [{**image, "png": None} for image in answer["images"]]
    assert (asked["images"], asked["indication"]) == (bare, answer["indication"])


def test_a_header_that_says_its_view_needs_no_word_of_the_sender(seeing, make_dicom) -> None:
    put(seeing, ("a", make_dicom()), ("b", make_dicom(ViewPosition="LL")))
    seeing.get_by_role("button", name="Write the report").click()
    assert tabs(seeing) == ["1. PA", "2. Lateral"]


def test_what_the_model_does_not_read_is_not_asked_for(page, make_png) -> None:
    """Then the report is written at once, of however many images."""
    for absent in ("Write the report", "Add prior images"):
        expect(page.get_by_role("button", name=absent)).to_have_count(0)
    put(page, ("a.png", make_png(1)), ("b.png", make_png(2)))
    assert len(tabs(page)) == 2
    expect(page.locator("#given")).to_be_hidden()


@pytest.mark.parametrize(
    ("reads", "there"),
    [
        ({"views": ["frontal", "lateral"], "prompt_tokens": 0}, {"View of"}),
        ({"views": ["frontal", "prior"], "prompt_tokens": 0}, {"Add prior images"}),
        ({"views": ["frontal"], "prompt_tokens": 9}, {"Indication"}),
    ],
)
def test_each_part_is_there_where_it_is_read(
    open_page, make_png, reads: dict[str, Any], there: set[str]
) -> None:
    page = open_page()
    page.route("**/v1/model", lambda route: route.fulfill(json={"notice": "Known.", **reads}))
    page.reload()
    put(page, ("a.png", make_png()))
    expect(page.get_by_role("form", name="Study details")).to_be_visible()
    parts = {
        "View of": page.get_by_role("combobox", name=re.compile("^View of")),
        "Add prior images": page.get_by_role("button", name="Add prior images"),
        "Indication": page.get_by_role("textbox", name=re.compile("^Indication")),
    }
    assert {name for name, part in parts.items() if part.count()} == there


def test_images_dropped_on_the_earlier_study_are_of_it(seeing, make_png) -> None:
    put(seeing, ("front.png", make_png(1)))
    transfer = seeing.evaluate_handle(
        """bytes => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "old.png"));
            return transfer;
        }""",
        list(make_png(2)),
    )
    seeing.dispatch_event("#earlier-title", "drop", {"dataTransfer": transfer})
    expect(seeing.locator("#earlier-list li")).to_have_count(1)
    seeing.dispatch_event("#compose-title", "drop", {"dataTransfer": transfer})
    expect(seeing.locator("#own-list li")).to_have_count(2)


def test_a_bad_file_can_be_taken_out_and_the_rest_stays(seeing, make_png, faults) -> None:
    put(seeing, ("front.png", make_png(1)), ("page.png", b"<html>"))
    seeing.get_by_label("Indication").fill("The lungs.")
    seeing.get_by_role("button", name="Write the report").click()
    alert = seeing.get_by_role("alert")
    expect(alert).to_contain_text("file 2: ")
    expect(alert.get_by_role("button", name="Dismiss")).to_be_focused()
    faults.clear()
    seeing.get_by_role("button", name="Remove page.png").click()
    expect(seeing.get_by_role("button", name="Remove front.png")).to_be_focused()
    seeing.get_by_role("button", name="Write the report").click()
    expect(seeing.locator("#given-text")).to_have_text("The lungs.")


def test_a_contradiction_says_what_to_change(seeing, make_dicom, faults) -> None:
    put(seeing, ("front.dcm", make_dicom()))
    seeing.get_by_role("combobox", name="View of front.dcm").select_option("Lateral")
    seeing.get_by_role("button", name="Write the report").click()
    alert = seeing.get_by_role("alert")
    expect(alert).to_contain_text("header says PA and its sender LATERAL")
    expect(alert).to_contain_text("Change what it names")
    faults.clear()


def test_nothing_of_one_patient_is_sent_with_the_next(seeing, make_png) -> None:
    put(seeing, ("front.png", make_png(1)))
    put(seeing, ("old.png", make_png(2)), earlier=True)
    seeing.get_by_label("Indication").fill("The lungs.")
    seeing.get_by_role("button", name="Write the report").click()
    assert len(tabs(seeing)) == 2
    put(seeing, ("next.png", make_png(3)))
    expect(seeing.get_by_label("Indication")).to_have_value("")
    in_one_piece(seeing)
    with seeing.expect_response("**/v1/reports*") as response:
        seeing.get_by_role("button", name="Write the report").click()
    answer = response.value.json()
    assert (len(answer["images"]), answer["indication"]) == (1, "")
    expect(seeing.locator("#given")).to_be_hidden()


def test_a_study_can_be_discarded_and_an_empty_one_is_not_sent(seeing, make_png) -> None:
    put(seeing, ("front.png", make_png(1)))
    seeing.get_by_role("button", name="Remove front.png").click()
    expect(seeing.get_by_role("button", name="Add images")).to_be_focused()
    write = seeing.get_by_role("button", name="Write the report")
    expect(write).to_have_attribute("aria-disabled", "true")
    write.click(force=True)
    expect(seeing.locator("body")).to_have_attribute("data-state", "start")
    seeing.get_by_role("button", name="Discard").click()
    expect(seeing.get_by_role("button", name="Choose files")).to_be_focused()


def test_a_sample_needs_no_putting_together(seeing) -> None:
    seeing.get_by_role("button", name="Known chest").click()
    expect(seeing.get_by_role("heading", name="Draft report")).to_be_focused()


def test_the_keyboard_alone_puts_a_study_together(seeing, make_png) -> None:
    press = seeing.keyboard.press
    put(seeing, ("a.png", make_png(1)))
    expect(seeing.get_by_role("button", name="Write the report")).to_be_focused()
    press("Shift+Tab")
    expect(seeing.get_by_label("Indication")).to_be_focused()
    seeing.keyboard.type("The lungs.")
    press("Shift+Tab")
    expect(seeing.get_by_role("button", name="Add prior images")).to_be_focused()
    for name in ("Add images", "Remove a.png"):
        press("Shift+Tab")
        expect(seeing.get_by_role("button", name=name)).to_be_focused()
    press("Shift+Tab")
    view = seeing.get_by_role("combobox", name="View of a.png")
    expect(view).to_be_focused()
    seeing.keyboard.type("L")
    expect(view).to_have_value("LATERAL")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_study_is_readable_at_any_width(
    open_page, seeing_address: str, make_png, theme: str, width: int
) -> None:
    page = open_page(at=seeing_address, width=width, color_scheme=theme)
    long = "a very long name of a file that nobody can read " * 3
    put(page, (f"{long}.png", make_png(1)), ("b.png", make_png(2)))
    put(page, ("old.png", make_png(3)), earlier=True)
    for state in ("together", "report"):
        if state == "report":
            page.get_by_label("Indication").fill("Cough. " * 2)
            page.get_by_role("button", name="Write the report").click()
            assert len(tabs(page)) == 3
        assert page.evaluate(CONTRASTS) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        controls = page.locator("button:visible, select:visible, textarea:visible")
        assert all(box["height"] >= 24 for box in (c.bounding_box() for c in controls.all()))


@pytest.mark.parametrize(("width", "height"), [(360, 640), (1280, 800)])
def test_no_word_is_covered_beside_several_images(open_page, width: int, height: int) -> None:
    page = open_page(width=width, height=height)
    show(page, known({}, *[(480, 480, png_image(48, 48))] * 3))
    word(page, 0).focus()
    for key in ("Home", "End", "Home", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
        assert page.evaluate(
            """() => {
                const word = document.activeElement, box = word.getBoundingClientRect();
                return word === document.elementFromPoint(
                    box.left + box.width / 2, box.top + box.height / 2);
            }"""
        ), key


def test_every_image_shows_its_part_of_the_map(page) -> None:
    """A word that looked at two of three images: the third stays as it is."""
    heatmap = hot((0, 0, 0.6), images=3)
    heatmap[2, 7, 7] = 0.4
    answer = known({1: heatmap}, *[(480, 480, png_image(48, 48))] * 3)
    answer["images"][1]["view"] = "LATERAL"
    answer["images"][2].update(view="PA", prior=True)
    show(page, answer)
    assert tabs(page) == ["1. View not stated", "2. Lateral", "3. Prior (PA)"]
    plain = [thumbnail(tab)[..., :3] for tab in page.get_by_role("tab").all()]
    assert all((one == DIM).all() for one in plain)
    word(page, 1).click()
    shown = [thumbnail(tab)[..., :3] for tab in page.get_by_role("tab").all()]
    changed = [np.argwhere((one != DIM).any(axis=2)) for one in shown]
    assert [len(places) > 0 for places in changed] == [True, False, True]
    side = len(shown[0])
    assert changed[0].max() < side / 3 and changed[2].min() > side * 2 / 3
    expect(page.get_by_role("group", name="Shown map")).to_contain_text("image 1 (view not")


def test_the_page_allows_as_long_an_indication_as_the_service(page) -> None:
    assert page.locator("#indication").get_attribute("maxlength") == str(MAX_INDICATION)


def test_an_indication_that_is_too_long_for_the_model_is_said(seeing, make_png, faults) -> None:
    send(seeing, ("a.png", "image/png", make_png()))
    seeing.get_by_label("Indication").fill("Q" * 50)
    seeing.get_by_role("button", name="Write the report").click()
    expect(seeing.get_by_role("alert")).to_contain_text("this model reads 20: shorten it")
    expect(seeing.get_by_label("Indication")).to_have_value("Q" * 50)
    faults.clear()
