"""A study comes in, and what goes wrong is said in words."""

import pytest
from known import known, png_image
from screen import canvas, expect, in_one_piece, send


@pytest.mark.parametrize("kind", ["png", "dicom"])
def test_a_chosen_file_becomes_a_report(page, make_png, make_dicom, kind: str) -> None:
    data = make_png() if kind == "png" else make_dicom()
    in_one_piece(page)
    with page.expect_file_chooser() as chooser, page.expect_response("**/v1/reports*") as response:
        page.get_by_role("button", name="Choose files").click()
        chooser.value.set_files({"name": "a", "mimeType": "", "buffer": data})
    answer = response.value.json()
    expect(page.locator("#words .word")).to_have_count(len(answer["words"]))
    plain = " ".join(page.locator("#plain-text").text_content().split())
    assert plain == " ".join(answer["text"].split())
    expect(page.locator("#notice")).to_have_text(answer["notice"])
    expect(page.locator("#model-hash")).to_have_text(answer["model"]["sha256"])
    assert (canvas(page)[..., 3] == 255).mean() > 0.2


def test_dropped_files_are_the_views_of_one_study(page, make_png) -> None:
    files = [list(make_png(seed)) for seed in (1, 2)]
    transfer = page.evaluate_handle(
        """files => {
            const transfer = new DataTransfer();
            files.forEach((bytes, i) => transfer.items.add(
                new File([new Uint8Array(bytes)], `${i}.png`)));
            return transfer;
        }""",
        files,
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    expect(page.get_by_role("tab")).to_have_count(2)


def test_a_sample_becomes_a_report(page) -> None:
    page.get_by_role("button", name="Known chest").click()
    expect(page.get_by_role("heading", name="Draft report")).to_be_focused()


def test_a_file_that_is_no_image_is_answered_in_words(page, make_png, faults) -> None:
    send(page, ("page.dcm", "", b"<html>not a radiograph</html>"))
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("DICOM, PNG and JPEG")
    expect(alert.get_by_role("button", name="Choose other files")).to_be_focused()
    expect(page.locator("#study")).to_be_hidden()
    assert faults and all("415" in fault for fault in faults)
    faults.clear()
    send(page, ("chest.png", "image/png", make_png()))
    expect(page.get_by_role("heading", name="Draft report")).to_be_visible()
    expect(alert).to_be_hidden()


def test_a_busy_service_is_asked_again(page, make_png, faults) -> None:
    busy = {"type": "x", "title": "Busy", "status": 503, "detail": "Eight studies are waiting."}
    page.route(
        "**/v1/reports*",
        lambda route: route.fulfill(
            status=503,
            json=busy,
            content_type="application/problem+json",
            headers={"Retry-After": "7"},
        ),
    )
    send(page, ("chest.png", "image/png", make_png()))
    expect(page.get_by_role("alert")).to_contain_text("Eight studies are waiting.")
    expect(page.get_by_role("alert")).to_contain_text("in 7 seconds")
    page.unroute("**/v1/reports*")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name="Draft report")).to_be_visible()
    faults.clear()


def test_a_lost_connection_and_a_wrong_answer_say_so(page, faults) -> None:
    page.route("**/v1/reports*", lambda route: route.abort())
    send(page, ("chest.png", "image/png", png_image(8, 8)))
    expect(page.get_by_role("alert")).to_contain_text("The server did not answer")
    faults.clear()
    wrong = known({})
    wrong["images"][0]["rows"] += 1
    page.unroute("**/v1/reports*")
    page.route("**/v1/reports*", lambda route: route.fulfill(status=201, json=wrong))
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_contain_text("64 patches where the images have 72")


def test_waiting_can_be_cancelled(page, faults) -> None:
    page.route("**/v1/reports*", lambda route: None)
    page.locator("#files").set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": png_image(8, 8)}
    )
    expect(page.get_by_role("progressbar", name="Writing the report")).to_be_visible()
    expect(page.locator("main")).to_have_attribute("aria-busy", "true")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Choose files")).to_be_focused()
    expect(page.get_by_role("alert")).to_be_hidden()
