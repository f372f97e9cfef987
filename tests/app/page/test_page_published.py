"""Published checkpoints on the page: every word has a map, and whether it is a place is unknown."""

from collections.abc import Iterator

import pytest
from page_server import serving
from published import ARCHITECTURES, published, published_by_hand
from screen import canvas, colored, expect, in_one_piece, send, set_slider, word

from model.generator import ReportGenerator

BY_HAND = [("convnext", "gpt2"), ("cvt", "bert")]


@pytest.fixture(scope="module", params=[*ARCHITECTURES, *BY_HAND], ids="-".join)
def published_address(request, tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("-".join(request.param))
    if request.param in BY_HAND:
        published_by_hand(folder, request.param[0])
    else:
        published(folder, *request.param, talkative=True)
    with serving(ReportGenerator.load(folder)) as address:
        yield address


def test_a_word_is_drawn_and_said_to_be_of_unknown_state(
    open_page, published_address: str, make_png
) -> None:
    page = open_page(at=published_address)
    in_one_piece(page)
    with page.expect_response("**/v1/reports*") as response:
        send(page, ("chest.png", "image/png", make_png(1, 240, 200)))
    answer = response.value.json()
    assert {each["state"] for each in answer["words"]} == {"unknown"}
    expect(page.locator("#words .word")).to_have_count(len(answer["words"]))
    expect(page.locator("#notice")).to_contain_text("license mit")
    set_slider(page, "Opacity", 100)
    page.get_by_role("combobox", name="Scale").select_option("word")  # most is at the class token
    assert not colored(canvas(page)).any()
    word(page, 0).hover()
    assert colored(canvas(page)).any()
    expect(page.locator("body")).to_contain_text("Unknown: never measured for this model")
