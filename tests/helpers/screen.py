"""What a person does on the page, and what is then on the screen."""

import base64
import re
from typing import Any

import cv2
import numpy as np
from known import png_image

try:
    from playwright.sync_api import expect
except ImportError:
    expect = None  # everything that would call it is skipped


def show(page: Any, answer: dict[str, Any]) -> None:
    """Let the service's answer be this one, and ask for it."""
    page.unroute("**/v1/reports*")
    page.route("**/v1/reports*", lambda route: route.fulfill(status=201, json=answer))
    # Before the request the page is not busy yet: it still asks for the model.
    with page.expect_response("**/v1/reports*"):
        send(page, ("chest.png", "image/png", png_image(8, 8)))
    expect(page.locator("body[data-state=report]")).to_have_count(1)


def send(page: Any, *files: tuple[str, str, bytes]) -> None:
    payloads = [{"name": name, "mimeType": mime, "buffer": data} for name, mime, data in files]
    page.locator("#files").set_input_files(payloads)
    expect(page.locator("body[data-state=busy]")).to_have_count(0)


def in_one_piece(page: Any) -> None:
    """Let the service answer as JSON: the browser keeps no events for whoever looks on."""

    def ask(route: Any) -> None:
        route.continue_(headers={**route.request.headers, "accept": "application/json"})

    page.route("**/v1/reports*", ask)


def show_file(page: Any, file: bytes, answer: dict[str, Any]) -> None:
    """Show a file's stored values beside an answer for an image of its size."""
    page.unroute("**/v1/reports*")
    page.route("**/v1/reports*", lambda route: route.fulfill(status=201, json=answer))
    with page.expect_response("**/v1/reports*"):
        send(page, ("image.dcm", "application/dicom", file))
    expect(page.locator("body[data-state=report]")).to_have_count(1)
    expect(page.locator("#corner-image")).to_have_text(re.compile(r"\d+ bit$"))


def canvas(page: Any) -> np.ndarray:
    """The viewer's pixels, once it has drawn: uint8 (height, width, 4), RGBA."""
    page.wait_for_function("() => document.getElementById('canvas').width > 1")
    address = page.evaluate(
        """() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(
            () => done(document.getElementById("canvas").toDataURL()))))"""
    )
    return _decoded(address)


def thumbnail(tab: Any) -> np.ndarray:
    """An image's tab: its small image's pixels, in the form of `canvas`."""
    return _decoded(tab.locator("canvas").evaluate("canvas => canvas.toDataURL()"))


def _decoded(address: str) -> np.ndarray:
    png = np.frombuffer(base64.b64decode(address.split(",")[1]), np.uint8)
    return cv2.cvtColor(cv2.imdecode(png, cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)


def center(mask: np.ndarray) -> np.ndarray:
    """(x, y) of the center of what is true."""
    assert mask.any()
    return np.argwhere(mask).mean(axis=0)[::-1] + 0.5


def colored(pixels: np.ndarray) -> np.ndarray:
    rgb = pixels[..., :3].astype(int)
    return rgb.max(axis=2) - rgb.min(axis=2) > 24


def set_slider(page: Any, label: str, value: int) -> None:
    page.get_by_role("slider", name=label).fill(str(value))


def word(page: Any, index: int) -> Any:
    return page.locator(f".word[data-index='{index}']")


def shown(page: Any) -> str:
    return page.get_by_role("group", name="Shown map").inner_text()


def table(page: Any, name: str = "inferno") -> np.ndarray:
    """uint8 (256, 3)"""
    values = page.evaluate(
        "name => import('./colormaps.js').then((m) => Array.from(m.colorTable(name)))", name
    )
    return np.array(values).reshape(256, 3)


def gray_at_center(page: Any) -> np.ndarray:
    pixels = canvas(page)
    return pixels[pixels.shape[0] // 2, pixels.shape[1] // 2, :3].astype(int)


CONTRASTS = """() => {
  const parse = (text) => {
    const parts = text.match(/[\\d.e-]+/g).map(Number);
    const scale = text.startsWith("color(") ? 255 : 1;
    return [...parts.slice(0, 3).map((v) => v * scale), parts[3] ?? 1];
  };
  const over = (top, below) => below.map((v, k) => v + (top[k] - v) * top[3]);
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const color = parse(getComputedStyle(element).backgroundColor);
    return color[3] === 1 ? color.slice(0, 3) : over(color, behind(element.parentElement));
  };
  const light = (rgb) => rgb.map((v) => v / 255)
    .map((v) => (v > 0.04045 ? ((v + 0.055) / 1.055) ** 2.4 : v / 12.92))
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const poor = [];
  for (const element of document.body.querySelectorAll("*")) {
    const text = [...element.childNodes].filter((n) => n.nodeType === 3 && n.data.trim());
    if (!text.length || !element.checkVisibility({visibilityProperty: true})) continue;
    const below = behind(element);
    const [a, b] = [light(over(parse(getComputedStyle(element).color), below)), light(below)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${element.tagName} ${text[0].data.trim()} ${ratio.toFixed(2)}`);
  }
  return poor;
}"""
