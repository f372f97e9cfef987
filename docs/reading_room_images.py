"""Draw docs/images/worklist-*.png and editor-*.png: `python docs/reading_room_images.py`.

A batch of the samples goes into a store, one draft is edited and one signed, and Chromium looks.
"""

import shutil
import socket
import sys
import threading
import time
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import uvicorn
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from app.batch.run import BatchOptions, run_batch
from app.main import STATIC, create_app
from app.settings import Settings
from app.store import edits
from app.store.records import ALL_ROLES, Actor
from app.store.store import open_store
from app.store.worklist import Query, list_studies
from app.store_options import StoreOptions
from model.generator import ReportGenerator

IMAGES = Path(__file__).parent / "images"
SIZES = [(1024, 768), (1440, 900), (2560, 1440)]
CHIEF = Actor("Dr. Chief", ALL_ROLES)
ADDED = " Right clavicle intact."
WORD = "pneumothorax"
CARET = """(field, word) => {
    const at = field.textContent.indexOf(word) + 2;
    getSelection().setPosition(field.firstChild, at);
}"""


def main() -> None:
    """Draw all of them."""
    with TemporaryDirectory() as folder:
        options = StoreOptions(Path(folder) / "store")
        generator = ReportGenerator.load()
        batch = BatchOptions(store=options)
        run_batch(generator, STATIC / "samples", Path(folder) / "out", batch)
        store = open_store(options)
        found = list_studies(store, Query(sort="name")).studies
        edits.sign(store, found[0].id, 1, CHIEF, CHIEF.name)
        edits.review(store, found[1].id, 1, CHIEF)
        store.close()
        listening = socket.create_server(("127.0.0.1", 0))
        app = create_app(Settings(store=options.folder), generator)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not app.state.service.is_ready:
            time.sleep(0.05)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            for width, height in SIZES:
                _draw(chromium, address, width, height)
            chromium.close()
        server.should_exit = True
        thread.join()


def _draw(chromium: Browser, address: str, width: int, height: int) -> None:
    page: Page = chromium.new_page(viewport={"width": width, "height": height})
    page.goto(f"{address}worklist.html")
    expect(page.locator("#row-0")).to_be_visible()
    _take(page, f"worklist-{width}.png")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Edit", exact=True).click()
    field = page.get_by_role("textbox", name="Findings")
    field.click()
    page.keyboard.press("Control+End")
    page.keyboard.type(ADDED)
    expect(page.locator("#edit-state")).to_contain_text("Typed text is kept")
    field.evaluate(CARET, WORD)
    expect(page.locator("#shown-words")).to_have_text(WORD)
    _take(page, f"editor-{width}.png")
    page.get_by_role("button", name="Close").click()
    page.get_by_role("dialog").get_by_role("button", name="Discard it").click()
    page.close()


def _take(page: Page, name: str) -> None:
    """A picture in 256 colors, which is a third of the bytes."""
    taken = Image.open(BytesIO(page.screenshot()))
    taken.convert("RGB").quantize(256).save(IMAGES / name, optimize=True)


if __name__ == "__main__":
    main()
