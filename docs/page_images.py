"""Write the images of how-to/page.md: `python docs/page_images.py`. Needs Chromium and playwright.

What is shown are phantoms of the seed that the samples have, as DX files: real radiographs have
licenses of their own.
"""

import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import uvicorn
from playwright.sync_api import Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from app.main import create_app
from app.settings import Settings
from data_prep.phantom.dicom import Instance, write_dx
from data_prep.phantom.study import make_phantom
from model.generator import ReportGenerator

IMAGES = Path(__file__).parent / "images"
MODELS = Path(__file__).parents[1] / "model"
SEED, INDEX, SIDE = 4242, 99, 1536
"""A left pleural effusion."""
REPORT = """Findings: There is a moderate right pleural effusion, unchanged. The heart is enlarged.
No pneumothorax. Impression: Right pleural effusion. Cardiomegaly."""
"""Of the same study, with errors."""


@contextmanager
def served(model: Path) -> Iterator[str]:
    """The address of a service with this model."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = create_app(Settings(), ReportGenerator.load(model))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    server.should_exit = True
    thread.join()


def opened(page: Page, address: str, files: list[Path]) -> None:
    page.goto(address)
    page.locator("#files").set_input_files(files)
    report = page.get_by_role("heading", name="Draft report")
    write = page.get_by_role("button", name="Write the report")
    expect(report.or_(write)).to_be_visible(timeout=120_000)
    if write.is_visible():
        write.click()
    expect(report).to_be_visible(timeout=120_000)
    expect(page.locator("#corner-image")).not_to_contain_text("preview", timeout=60_000)
    expect(page.locator("#corner-image")).not_to_contain_text("loading", timeout=60_000)


def measured(page: Page) -> None:
    """The width of the heart, about."""
    page.get_by_role("button", name="Ruler").click()
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    y = box["y"] + 0.66 * box["height"]
    side = min(box["width"], box["height"])
    page.mouse.move(box["x"] + box["width"] / 2 - 0.12 * side, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 0.24 * side, y)
    page.mouse.up()


def checked(page: Page) -> None:
    """REPORT checked, and the region of its first error."""
    page.locator("#check summary").click()
    page.get_by_label("Somebody's report").fill(REPORT)
    page.get_by_role("button", name="Check", exact=True).click()
    wrong = page.get_by_role("region", name="To correct").get_by_role("button")
    expect(wrong.first).to_be_visible(timeout=120_000)
    wrong.first.click()
    page.locator(".reading").evaluate(
        "column => column.scrollTop += document.getElementById('checked-title')"
        ".getBoundingClientRect().top - column.getBoundingClientRect().top - 12"
    )


def main() -> None:
    study = make_phantom(SEED, INDEX, SIDE)
    other = make_phantom(SEED, 0, SIDE)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        files = [Path(folder) / "study.dcm", Path(folder) / "second.dcm"]
        shown = (study.images[0], other.images[0])
        for number, (file, image) in enumerate(zip(files, shown, strict=True), 1):
            rng = np.random.default_rng(SEED)
            write_dx(file, image.pixels, "PA", rng, Instance("2.25.4242", number))
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        with served(MODELS / "default") as address:
            for width, height in ((1024, 768), (1440, 900), (1080, 1920)):
                page = browser.new_page(viewport={"width": width, "height": height})
                opened(page, address, files[:1])
                measured(page)
                page.locator(".word", has_text="left").first.click()
                page.screenshot(path=IMAGES / f"page-{width}.png")
        with served(MODELS / "phantom") as address:
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            opened(page, address, files[:1])
            checked(page)
            page.screenshot(path=IMAGES / "page-check.png")
        with served(MODELS / "views") as address:
            page = browser.new_page(viewport={"width": 2560, "height": 1440})
            opened(page, address, files)
            page.get_by_role("button", name="Side by side").click()
            page.locator(".word", has_text="left").first.click()
            page.screenshot(path=IMAGES / "page-2560.png")
        browser.close()


if __name__ == "__main__":
    main()
