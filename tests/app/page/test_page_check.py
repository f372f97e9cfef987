"""Somebody's report checked on the page: its words, what to correct, what was inspected."""

import re
from typing import Any

from known import TEXT, carried, hot, known, span
from screen import canvas, colored, expect, show, shown

CORNER = hot((0, 0, 0.5))
"""Where the images show what is suggested."""


def a_check() -> dict[str, Any]:
    """A check of TEXT: one error with a region, one that needs no image, one finding left out."""
    report = known({1: hot((1, 1, 0.5)), 6: hot((4, 4, 0.5))})
    words = report["words"]
    effusion = {"name": "pleural_effusion", "zone": None, "severity": None}
    heart = {"name": "cardiomegaly", "sides": [], "zone": None, "severity": None}
    side = {
        "code": "side",
        "message": "pleural effusion is stated as left; the images rather show right.",
        "name": "pleural_effusion",
        "places": [{"start": 10, "end": 23}],
        "probability": 0.97,
        "evidence": 4.0,
        "suggestion": "There is a right pleural effusion.",
    } | {key: carried(CORNER)[key] for key in ("state", "heatmap")}
    return {
        **report,
        "statements": [
            {**span(words, 1, 2), **effusion, "present": True, "sides": ["left"]}
            | {"presence_probability": 0.9},
            {**span(words, 5, 8), **heart, "present": False, "presence_probability": 0.1},
        ],
        "issues": [
            side,
            side | {"code": "prior", "message": "'seen' compares.", "suggestion": ""}
            | {"probability": None, "evidence": None, "state": "not grounded", "heatmap": None},
            side | {"code": "missing", "message": "nodule is seen and not mentioned."}
            | {"places": [], "probability": None, "suggestion": "There is a nodule."},
        ],
    }  # fmt: skip


def check(page: Any, report: str, answer: dict[str, Any]) -> Any:
    page.route("**/v1/checks*", lambda route: route.fulfill(status=201, json=answer))
    page.locator("#check summary").click()
    page.get_by_label("Somebody's report").fill(report)
    with page.expect_request("**/v1/checks*") as sent:
        page.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_role("heading", name="Checked report")).to_be_focused()
    return sent.value


def test_what_is_to_correct_shows_its_region_and_its_suggestion(page) -> None:
    show(page, known({}))
    request = check(page, TEXT, a_check())
    assert TEXT.split("\n")[1] in request.post_data_buffer.decode("latin-1")
    wrong = page.get_by_role("region", name="To correct").get_by_role("button")
    expect(wrong).to_have_count(2)
    expect(wrong.first).to_have_text(
        re.compile("Left effusion.*Suggestion: There is a right pleural effusion.*97")
    )
    expect(wrong.last).to_contain_text("needs no image")
    wrong.first.click()
    expect(wrong.first).to_have_attribute("aria-pressed", "true")
    assert "upper left of the image" in shown(page)
    assert colored(canvas(page)).any()
    wrong.last.click()
    expect(wrong.first).to_have_attribute("aria-pressed", "false")
    assert not colored(canvas(page)).any()
    missing = page.get_by_role("region", name="Seen and not mentioned").get_by_role("button")
    expect(missing).to_have_text(re.compile("nodule.*no probability: not calibrated"))


def test_the_words_of_a_checked_report_have_evidence_and_maps_of_their_own(page) -> None:
    answer = known({1: None})
    show(page, answer)
    check(page, TEXT, a_check())
    words = page.get_by_role("group", name="Words of the checked report").locator(".word")
    assert words.all_text_contents() == [word["text"] for word in answer["words"]]
    words.nth(1).click()
    assert "upper left of the image" in shown(page)
    assert "The image made it 12 times as likely" in shown(page)
    drafted = page.get_by_role("group", name="Words of the report", exact=True).locator(".word")
    drafted.nth(1).click()  # the draft's own word has no place, and the checked one lets go
    assert not colored(canvas(page)).any()
    expect(words.nth(1)).to_have_attribute("aria-pressed", "false")


def test_a_denial_is_inspected_and_an_assertion_found(page) -> None:
    answer = known({6: hot((4, 4, 0.5))})
    heart = {**span(answer["words"], 5, 8), "name": "cardiomegaly", "sides": []}
    answer["denials"] = [
        {**heart, "state": "inspected"},
        {**heart, "name": "edema", "state": "not inspected", "heatmap": None},
    ]
    show(page, answer)
    denied = page.get_by_role("region", name="Denied findings").get_by_role("button")
    expect(denied).to_have_text(["Cardiomegaly inspected", "Edema not inspected"])
    dashed = denied.first.evaluate("chip => getComputedStyle(chip).borderStyle")
    assert dashed == "dashed"
    denied.first.click()
    assert "Denied, average of their maps" in shown(page)
    check(page, TEXT, a_check())
    asserted = page.get_by_role("region", name="Asserts").get_by_role("button")
    expect(asserted).to_have_text("Pleural effusion, left found, its place is shown")
    inspected = page.get_by_role("region", name="Denies").get_by_role("button")
    expect(inspected).to_have_text("Cardiomegaly inspected")
    inspected.click()
    assert "Checked report: inspected" in shown(page)
    assert "10\u202f% probable" in shown(page)


def test_a_report_from_a_text_file_is_checked_by_the_service(page) -> None:
    with page.expect_response("**/v1/reports*"):
        page.get_by_role("button", name="Known chest").click()
    expect(page.locator("body[data-state=report]")).to_have_count(1)
    page.locator("#check summary").click()
    text = b"Findings: The heart is normal in size.\nLeft effusion, unchanged."
    file = {"name": "report.txt", "mimeType": "text/plain", "buffer": text}
    page.locator("#check-file").set_input_files(file)
    expect(page.get_by_label("Somebody's report")).to_have_value(text.decode())
    page.get_by_role("button", name="Check", exact=True).click()
    wrong = page.get_by_role("region", name="To correct").get_by_role("button")
    expect(wrong.filter(has_text="unchanged")).to_have_count(1)
    words = page.get_by_role("group", name="Words of the checked report").locator(".word")
    assert words.all_text_contents() == re.findall(r"\w+", text.decode())
