"""The page in a real browser, against the real service with a tiny real model."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
from material import chest
from page_server import serving

from app.store.store import Store, open_store
from app.store_options import StoreOptions
from model.generator import ReportGenerator

try:
    from playwright import sync_api
except ImportError:
    sync_api = None

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what drives a browser, and skip it, saying so, where there is none."""
    reason = "playwright is not installed" if sync_api is None else "no Chromium here"
    for item in items:
        if Path(__file__).parent not in item.path.parents or "browser" not in item.fixturenames:
            continue
        item.add_marker(pytest.mark.browser)
        if sync_api is None or CHROMIUM is None:
            item.add_marker(pytest.mark.skip(reason=f"{reason}: see docs/how-to/page.md"))


@pytest.fixture(scope="module")
def address(tiny_generator) -> Iterator[str]:
    with serving(tiny_generator) as address:
        yield address


@pytest.fixture(scope="module")
def seeing_address(seeing_generator) -> Iterator[str]:
    """Where the model reads every view, earlier images, and indications."""
    with serving(seeing_generator) as address:
        yield address


@pytest.fixture
def keeping(tiny_generator: ReportGenerator, tmp_path: Path) -> Iterator[tuple[str, Store]]:
    """A service that keeps studies, and its store, opened a second time."""
    with serving(tiny_generator, store=tmp_path / "store") as address:
        while not (tmp_path / "store" / "crossray.db").exists():
            time.sleep(0.05)
        store = open_store(StoreOptions(tmp_path / "store"))
        yield address, store
        store.close()


# Module scope: playwright's event loop, while it lives, forbids other tests their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api.expect.set_options(timeout=60_000)  # a busy machine is late, not wrong
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def faults() -> list[str]:
    """What the browser complained about; a test that provokes a complaint takes it out."""
    return []


@pytest.fixture
def open_page(browser, address: str, faults: list[str]) -> Iterator[Callable[..., Any]]:
    contexts = []
    sample = cv2.imencode(".png", chest())[1].tobytes()

    def open_page(width: int = 1280, height: int = 800, at: str = address, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: faults.append(m.text) if m.type in {"error", "warning"} else 0)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.route(
            "**/samples/index.json",
            lambda route: route.fulfill(json=[{"file": "samples/one.png", "title": "Known chest"}]),
        )
        page.route("**/samples/one.png", lambda route: route.fulfill(body=sample))
        page.goto(at)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def page(open_page) -> Any:
    return open_page()
