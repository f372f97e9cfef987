"""The report is on the page while it is written, and its maps follow."""

import threading
from typing import Any

import pytest
from material import REPORT
from page_server import serving
from screen import CONTRASTS, expect

from model.generator import ReportGenerator
from model.report import Report

HALF = REPORT[: len(REPORT) // 2]


class Pausing(ReportGenerator):
    """Waits in the middle of its text until it may go on."""

    def __init__(self, generator: ReportGenerator) -> None:
        super().__init__(generator.model, generator.tokenizer, generator.identity)
        self.may_go_on = threading.Event()

    def reports(self, *arguments: Any, **options: Any) -> list[Report]:
        watch = options.pop("watch")

        def pausing(texts: list[str]) -> None:
            watch(texts)
            if len(texts[0]) > len(HALF):
                self.may_go_on.wait(60)

        return super().reports(*arguments, **options, watch=pausing)


@pytest.fixture
def pausing(tiny_generator: ReportGenerator) -> Pausing:
    return Pausing(tiny_generator)


def choose(page: Any, content: bytes) -> None:
    file = {"name": "chest.png", "mimeType": "image/png", "buffer": content}
    page.locator("#files").set_input_files(file)


def test_the_report_is_read_while_it_is_written(open_page, pausing: Pausing, make_png) -> None:
    with serving(pausing) as address:
        page = open_page(at=address)
        choose(page, make_png())
        writing = page.locator("#writing")
        expect(writing).to_contain_text(HALF.split(":", 1)[1].rsplit(" ", 1)[0].strip())
        expect(writing.locator("h2").first).to_have_text("Findings")
        assert page.locator(".word").count() == 0
        assert page.evaluate(CONTRASTS) == []
        pausing.may_go_on.set()
        expect(page.locator("body[data-state=report]")).to_have_count(1)
        expect(writing).to_be_hidden()
        plain = " ".join(page.locator("#plain-text").text_content().split())
        assert plain == " ".join(REPORT.split())
        assert page.locator("#words .word").count() > 5
        page.close()


def test_what_is_canceled_is_written_no_further(open_page, pausing: Pausing, make_png) -> None:
    with serving(pausing) as address:
        page = open_page(at=address)
        choose(page, make_png())
        expect(page.locator("#writing")).not_to_be_empty()
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("body[data-state=start]")).to_have_count(1)
        pausing.may_go_on.set()
        choose(page, make_png(1))  # the model is free again
        expect(page.locator("body[data-state=report]")).to_have_count(1)
        page.close()
