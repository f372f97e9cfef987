"""A kept study on the study page: edited, signed, and never lost."""

import re
from typing import Any

import pytest
from axe import violations
from kept_studies import DRAFT, EVERYBODY, READER, grounded, new_study
from material import REPORT
from page_server import serving
from screen import expect, send, word

from app.store import edits
from app.store.store import Store
from app.store.studies import add_study, open_study
from app.store.worklist import list_studies


@pytest.fixture
def page(keeping: tuple[str, Store], open_page, make_png: Any) -> Any:
    """A study that was just sent."""
    address, _ = keeping
    page = open_page(at=address)
    send(page, ("ward 3.png", "image/png", make_png()))
    expect(page.locator("#room-status")).to_have_text("Draft")
    return page


def only(store: Store) -> str:
    [study] = list_studies(store).studies
    return study.id


def field(page: Any, name: str = "Findings") -> Any:
    return page.get_by_role("textbox", name=name)


def press_save(page: Any) -> None:
    page.get_by_role("button", name="Save", exact=True).click()


def begin(page: Any, text: str) -> None:
    """Edit the findings so that they say this."""
    page.get_by_role("button", name="Edit", exact=True).click()
    field(page).fill(text)


def test_a_reload_keeps_the_study(page: Any, keeping: tuple[str, Store]) -> None:
    assert only(keeping[1]) in page.url
    page.reload()
    expect(page.locator("#room-name")).to_have_text("ward 3.png")
    expect(page.locator("#words")).to_contain_text("The heart is normal in size.")
    word(page, 1).click()
    expect(page.get_by_role("group", name="Shown map")).to_contain_text("Pinned word")


def test_an_edit_keeps_the_drafts_words_and_marks_the_readers(
    page: Any, keeping: tuple[str, Store]
) -> None:
    drafted = page.locator("#words .word").count()
    begin(page, "The heart is mildly enlarged in size. The lungs are clear.")
    expect(page.locator("#edit-state")).to_have_text("Typed text is kept, not saved as a version")
    assert page.evaluate("CSS.highlights.get('by-reader').size") == 1
    press_save(page)
    expect(page.locator("#room-by")).to_contain_text("version 2, local")
    expect(page.locator("mark.by-reader")).to_have_text(["mildly enlarged"])
    assert 0 < page.locator("#words .word").count() < drafted
    kept = open_study(keeping[1], only(keeping[1]), EVERYBODY)
    assert "mildly enlarged" in kept.text and kept.versions[0].text == REPORT


def test_signed_amended_and_there_after_a_restart(
    page: Any, keeping: tuple[str, Store], tiny_generator: Any, tmp_path: Any, open_page: Any
) -> None:
    page.get_by_role("button", name="Mark as reviewed").click()
    expect(page.locator("#room-status")).to_have_text("Reviewed")
    page.get_by_role("button", name="Sign", exact=True).click()
    page.get_by_label("Name").fill("Dr. Chief")
    page.get_by_role("dialog").get_by_role("button", name="Sign").click()
    expect(page.locator("#room-signature")).to_contain_text("Signed by Dr. Chief")
    expect(page.locator("#room-signature")).to_contain_text("SHA-256")
    expect(page.get_by_role("button", name="Edit", exact=True)).to_be_hidden()
    page.get_by_role("button", name="Add addendum").click()
    page.get_by_label("Addendum").fill("Compared with the study of May.")
    page.get_by_label("Name").fill("Dr. Chief")
    page.get_by_role("dialog").get_by_role("button", name="Sign the addendum").click()
    expect(page.locator("#room-addenda")).to_contain_text("Compared with the study of May.")

    study = only(keeping[1])
    with serving(tiny_generator, store=tmp_path / "store") as address:
        again = open_page(at=f"{address}?study={study}")
        expect(again.locator("#room-signature")).to_contain_text("Signed by Dr. Chief")
        expect(again.locator("#room-addenda")).to_contain_text("Compared with the study of May.")


def test_two_readers_conflict_and_both_texts_stay(
    page: Any, keeping: tuple[str, Store], faults: list[str]
) -> None:
    store = keeping[1]
    begin(page, "The heart is small.")
    edits.edit(store, only(store), 1, "Findings: The heart is large.", READER)
    press_save(page)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Two people edited this draft")
    expect(dialog).to_contain_text("Findings: The heart is large.")
    expect(dialog.locator("ins")).to_contain_text("small.")
    dialog.get_by_role("button", name="Go on with my text").click()
    expect(field(page)).to_have_text("The heart is small.")
    press_save(page)
    expect(page.locator("#room-by")).to_contain_text("version 3, local")
    versions = open_study(store, only(store), EVERYBODY).versions
    assert [v.text.split("Impression")[0].strip() for v in versions[1:]] == [
        "Findings: The heart is large.",
        "Findings: The heart is small.",
    ]
    faults[:] = [fault for fault in faults if "409" not in fault]


def test_what_was_typed_survives_a_crash(page: Any, open_page: Any) -> None:
    begin(page, "The heart is half typed")
    expect(page.locator("#edit-state")).to_have_text("Typed text is kept, not saved as a version")
    address = page.url
    again = page.context.new_page()
    page.close()
    again.goto(address)
    dialog = again.get_by_role("dialog")
    expect(dialog).to_contain_text("Unsaved text")
    dialog.get_by_role("button", name="Go on with it").click()
    expect(field(again)).to_have_text("The heart is half typed")


def test_what_was_typed_is_in_the_browser_when_the_service_is_gone(
    page: Any, faults: list[str]
) -> None:
    page.route("**/autosave*", lambda route: route.abort())
    begin(page, "The heart is half typed")
    expect(page.locator("#room-problem")).to_contain_text("What you typed is still here")
    assert page.evaluate("Object.values(localStorage).some((text) => text.includes('half typed'))")
    faults.clear()


def test_undo_and_normal_sentences(page: Any) -> None:
    page.get_by_role("button", name="Edit", exact=True).click()
    before = field(page).inner_text()
    page.get_by_label("Insert").select_option(label="Bones normal (findings)")
    expect(field(page)).to_have_text(f"{before} No acute osseous abnormality.")
    page.get_by_role("button", name="Undo typing").click()
    expect(field(page)).to_have_text(before)
    page.get_by_role("button", name="Redo").click()
    expect(field(page)).to_contain_text("No acute osseous abnormality.")


def missing(suggestion: str) -> dict[str, Any]:
    """A check of `new_study`: the model sees this, and the text does not mention it."""
    issue = {"code": "missing", "message": "", "name": "nodule", "places": [], "evidence": 2.0}
    answer = DRAFT.model_dump(mode="json")
    parts = ("words", "sections", "sentences", "images", "text", "probability_withheld")
    return {
        **{name: answer[name] for name in parts},
        "statements": [],
        "issues": [{**issue, **grounded(), "probability": None, "suggestion": suggestion}],
    }


def test_a_click_on_the_image_offers_sentences_about_that_place(page: Any) -> None:
    """The patient's right lies on the left: "right upper" at the image's upper left."""
    page.locator("#canvas").click(position={"x": 200, "y": 200})
    expect(page.locator("#region")).to_be_hidden()  # nothing is edited yet
    page.get_by_role("button", name="Edit", exact=True).click()
    stage = page.locator("#canvas").bounding_box()
    upper_left = {"x": stage["width"] / 2 - 60, "y": stage["height"] / 2 - 80}
    page.locator("#canvas").click(position=upper_left)
    suggested = page.get_by_role("list", name="Sentences about this region")
    template = suggested.get_by_role(
        "button", name="There is a nodule in the right upper lung zone."
    )
    expect(template).to_contain_text("template")
    template.click()
    expect(field(page)).to_contain_text("There is a nodule in the right upper lung zone.")
    expect(template).to_have_attribute("aria-disabled", "true")
    page.wait_for_function(
        "() => CSS.highlights.get('by-reader')?.size === 1"
    )  # it is the reader's
    page.get_by_role("button", name="Undo typing").click()
    expect(field(page)).not_to_contain_text("nodule")


def test_the_drafts_sentences_at_a_region_are_called_the_models(
    keeping: tuple[str, Store], open_page: Any
) -> None:
    checked = missing("There is a nodule.")
    study = add_study(keeping[1], new_study(1, "a.png", DRAFT), EVERYBODY)
    page = open_page(at=f"{keeping[0]}?study={study}")
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_role("button", name="Region", exact=True).click()
    page.locator("#canvas").focus()
    for key in ("ArrowRight", *["Shift+ArrowRight"] * 32, *["Shift+ArrowDown"] * 32):
        page.keyboard.press(key)
    suggested = page.get_by_role("list", name="Sentences about this region").get_by_role("button")
    expect(suggested.first).to_contain_text("the model's draft")
    expect(suggested.first).to_contain_text("in the text")
    expect(suggested.first).to_be_disabled()
    # What the model sees and the text does not mention is the model's too.
    page.route("**/v1/checks*", lambda route: route.fulfill(status=201, json=checked))
    page.get_by_role("button", name="Ask the model what else it sees here").click()
    expect(suggested.first).to_contain_text(
        "There is a nodule. the model sees this, not in the text"
    )
    suggested.first.click()
    expect(field(page)).to_contain_text("There is a nodule.")


def test_closing_asks_before_anything_is_lost(page: Any) -> None:
    begin(page, "The heart is half typed")
    page.get_by_role("button", name="Close").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(field(page)).to_have_text("The heart is half typed")
    page.get_by_role("button", name="Close").click()
    page.get_by_role("dialog").get_by_role("button", name="Discard it").click()
    expect(page.locator("#words")).to_contain_text("The heart is normal in size.")


def test_the_map_of_the_word_at_the_caret(
    open_page: Any, seeing_generator: Any, tmp_path: Any, make_png: Any
) -> None:
    with serving(seeing_generator, store=tmp_path / "store") as address:
        page = open_page(at=address)
        send(page, ("a.png", "image/png", make_png()))
        page.locator("#write").click()  # the model asks for views first
        expect(page.locator("#room-status")).to_have_text("Draft")
        page.get_by_role("button", name="Edit", exact=True).click()
        field(page).click()
        page.keyboard.press("Control+Home")
        page.keyboard.press("ArrowRight")
        expect(page.locator("#shown-words")).to_have_text("The")
        page.keyboard.type("x")
        expect(page.locator("#shown-words")).not_to_have_text("The")  # it is the reader's now
        page.close()  # before the service that it asks for progress


def test_versions_are_compared(page: Any, keeping: tuple[str, Store]) -> None:
    begin(page, "The heart is large.")
    press_save(page)
    expect(page.locator("#room-by")).to_contain_text("version 2")
    page.get_by_role("button", name="Versions").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".versions li")).to_have_count(2)
    expect(dialog.locator("ins")).to_contain_text(["large."])
    expect(dialog.locator("del").first).to_contain_text("normal")
    assert violations(page) == []


def test_the_paper_of_the_pdf_is_the_regions_until_another_is_chosen(
    keeping: tuple[str, Store], open_page: Any
) -> None:
    study = add_study(keeping[1], new_study(1, "a.png", DRAFT), EVERYBODY)
    for locale, paper in (("en-US", "letter"), ("de-DE", "a4")):
        page = open_page(at=f"{keeping[0]}?study={study}", locale=locale)
        page.get_by_text("Export", exact=True).click()
        link = page.get_by_role("link", name="PDF")
        expect(link).to_have_attribute("href", re.compile(rf"format=pdf&paper={paper}$"))
    page.get_by_label("Paper of the PDF").select_option(label="Letter")
    expect(link).to_have_attribute("href", re.compile(r"paper=letter$"))
    page.reload()
    expect(page.get_by_label("Paper of the PDF")).to_have_value("letter")


def test_rejected_with_a_reason(page: Any, keeping: tuple[str, Store]) -> None:
    page.get_by_role("button", name="Reject").click()
    page.get_by_label("Reason").fill("Another patient.")
    page.get_by_role("dialog").get_by_role("button", name="Reject").click()
    expect(page.locator("#room-status")).to_have_text("Rejected")
    assert open_study(keeping[1], only(keeping[1]), EVERYBODY).current.comment == "Another patient."


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everybody_can_edit(page: Any, theme: str) -> None:
    page.emulate_media(color_scheme=theme)
    assert [v for v in violations(page) if "room" in v or "edit" in v] == []
    begin(page, "The heart is enlarged.")
    expect(page.locator("#edit-state")).to_have_text("Typed text is kept, not saved as a version")
    assert [v for v in violations(page) if "room" in v or "edit" in v] == []
