"""A Report in the forms that leave CrossRay: the API's JSON, and overlays as PNG.

Overlays are drawn on an absolute scale, the share of the attention that lies in a patch. The bar
beside the pictures states it, and no map is stretched to fill its colours.
"""

import base64
import re
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from app.schemas import (
    ExtentAnswer,
    HeatmapAnswer,
    ImageAnswer,
    ModelAnswer,
    ReportAnswer,
    SectionAnswer,
    WordAnswer,
)
from model.geometry import Letterbox
from model.image import Radiograph
from model.report import Report

__all__ = [
    "answer",
    "encode_heatmap",
    "encode_picture",
    "overlay",
    "section_text",
    "sheet",
    "word_overlays",
]

PICTURE_SIDE = 1024
"""Longest side of a picture in an answer, in pixels."""
PANEL_HEIGHT = 448
PANEL_WIDTH = 896
"""A wider picture is drawn lower: a strip of one row must not become a picture of gigabytes."""
OPACITY = 0.65
"""How much of the picture a patch at the top of the scale hides."""
COLOURS = cv2.COLORMAP_INFERNO
MARGIN = 8
BAR_WIDTH = 118
LINE_HEIGHT = 20
FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_SCALE = 0.45
WHITE = (235, 235, 235)
SENTENCE = re.compile(r"\S.*?(?:[.!?](?=\s|$)|$)", re.DOTALL)


def answer(
    report: Report, notice: str, radiographs: Sequence[Radiograph] | None = None
) -> ReportAnswer:
    """A report as the API tells it.

    Args:
        notice: what the model's checkpoint says about its use.
        radiographs: the pictures the report was made from, in its order; they fill `images[].png`.
    """
    rows, columns = _grid(report)
    pictures = [None] * len(report.placements) if radiographs is None else radiographs
    return ReportAnswer(
        text=report.text,
        sections=[
            SectionAnswer(name=s.name, text=s.text, start=s.start, end=s.end)
            for s in report.sections
        ],
        words=[
            WordAnswer(
                text=word.text,
                start=word.start,
                end=word.end,
                probability=word.probability,
                heatmap=encode_heatmap(word.heatmap),
            )
            for word in report.words
        ],
        images=[
            _image_answer(placement, view, rows, columns, picture)
            for placement, view, picture in zip(
                report.placements, report.views, pictures, strict=True
            )
        ],
        model=ModelAnswer(name=report.model.name, sha256=report.model.sha256),
        notice=notice,
    )


def encode_heatmap(heatmap: np.ndarray) -> HeatmapAnswer:
    """float (pictures, rows, columns), shares of attention -> one unsigned byte a patch."""
    scale = float(heatmap.max()) / 255
    # The nearest byte keeps the order of the patches. The sum of a map with one high peak and
    # shares below half a step elsewhere is then less than 1: docs/api.md says by how much.
    data = np.zeros(heatmap.shape) if scale == 0 else np.rint(heatmap / scale)
    return HeatmapAnswer(
        scale=scale, data=base64.b64encode(data.astype(np.uint8).tobytes()).decode()
    )


def encode_picture(pixels: np.ndarray, longest: int = PICTURE_SIDE) -> bytes:
    """float32 (height, width) in [0, 1] -> 8 bit gray PNG, no side longer than `longest`."""
    scale = min(1.0, longest / max(pixels.shape))
    height, width = (max(1, round(side * scale)) for side in pixels.shape)
    return _png(_gray(pixels, height, width))


def section_text(report: Report, name: str) -> str:
    """One section's text, empty where the report has none of that name."""
    return " ".join(section.text for section in report.sections if section.name == name)


def overlay(
    radiographs: Sequence[Radiograph],
    placements: Sequence[Letterbox],
    heatmap: np.ndarray,
    top: float,
    caption: str,
) -> np.ndarray:
    """A study's pictures side by side under one map.

    Args:
        heatmap: (pictures, rows, columns), shares of attention.
        top: the share in a patch where the colour scale ends.
        caption: written above; what is not ASCII is drawn as a question mark.

    Returns:
        uint8 (height, width, 3), blue, green, red.
    """
    panels = [
        _panel(radiograph.pixels, placement, shares, top)
        for radiograph, placement, shares in zip(radiographs, placements, heatmap, strict=True)
    ]
    gap = np.zeros((PANEL_HEIGHT, MARGIN, 3), np.uint8)
    spaced = [part for panel in panels for part in (panel, gap)]
    row = np.hstack([*spaced, _colour_bar(top)])
    return np.vstack([_caption(caption, row.shape[1]), row])


def word_overlays(report: Report, radiographs: Sequence[Radiograph]) -> Iterator[tuple[str, bytes]]:
    """(file name, PNG) of every word, `001_heart.png` the first; one scale for all of them."""
    top = max((float(word.heatmap.max()) for word in report.words), default=1.0)
    for number, word in enumerate(report.words, 1):
        stem = re.sub(r"[^a-z0-9-]+", "_", word.text.lower()).strip("_")[:40]
        caption = f"{word.text}  (probability {word.probability:.2f})"
        picture = overlay(radiographs, report.placements, word.heatmap, top, caption)
        yield f"{number:03d}_{stem or 'word'}.png", _png(picture)


def sheet(report: Report, radiographs: Sequence[Radiograph]) -> bytes:
    """One PNG of the mean map of the report and of each of its sentences; one scale for all."""
    maps = [("Whole report (mean of its words)", [w.heatmap for w in report.words])]
    maps += [(text, heatmaps) for text, heatmaps in _sentences(report) if heatmaps]
    means = [(text, np.mean(heatmaps, axis=0)) for text, heatmaps in maps if heatmaps]
    if not means:
        rows, columns = _grid(report)
        means = [("The report has no words", np.zeros((len(radiographs), rows, columns)))]
    top = max(float(mean.max()) for _, mean in means) or 1.0
    tiles = [overlay(radiographs, report.placements, mean, top, text) for text, mean in means]
    return _png(_tiled(tiles, across=3 if len(radiographs) == 1 else 1))


def _image_answer(
    placement: Letterbox, view: str | None, rows: int, columns: int, picture: Radiograph | None
) -> ImageAnswer:
    left, top, width, height = placement.extent()
    png = None if picture is None else base64.b64encode(encode_picture(picture.pixels)).decode()
    return ImageAnswer(
        width=placement.width,
        height=placement.height,
        view=view,
        rows=rows,
        columns=columns,
        extent=ExtentAnswer(left=left, top=top, width=width, height=height),
        png=png,
    )


def _grid(report: Report) -> tuple[int, int]:
    """(rows, columns) of patches; a report without a word has no map to lie on one."""
    return report.words[0].heatmap.shape[1:] if report.words else (1, 1)


def _sentences(report: Report) -> Iterator[tuple[str, list[np.ndarray]]]:
    for section in report.sections:
        for match in SENTENCE.finditer(section.text):
            start, end = section.start + match.start(), section.start + match.end()
            inside = [word.heatmap for word in report.words if start <= word.start < end]
            yield match.group(), inside


def _gray(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    if pixels.shape != (height, width):
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)


def _panel(pixels: np.ndarray, placement: Letterbox, shares: np.ndarray, top: float) -> np.ndarray:
    scale = min(PANEL_HEIGHT / placement.height, PANEL_WIDTH / placement.width)
    height = max(1, round(placement.height * scale))
    width = max(1, round(placement.width * scale))
    small = Letterbox(height, width, placement.size)
    _, _, covered_width, covered_height = small.extent()
    # A density in the panel's pixels, back to the share that a whole patch would hold.
    local = small.restore(shares) * (covered_width * covered_height / shares.size)
    level = (local / top).clip(0, 1)
    colour = cv2.applyColorMap(np.rint(level * 255).astype(np.uint8), COLOURS).astype(np.float32)
    gray = _gray(pixels, height, width).astype(np.float32)[..., None]
    opacity = OPACITY * level[..., None]
    panel = np.zeros((PANEL_HEIGHT, width, 3), np.uint8)
    first = (PANEL_HEIGHT - height) // 2
    panel[first : first + height] = np.rint(gray * (1 - opacity) + colour * opacity)
    return panel


def _colour_bar(top: float) -> np.ndarray:
    bar = np.zeros((PANEL_HEIGHT, BAR_WIDTH, 3), np.uint8)
    first, last = 4 * LINE_HEIGHT, PANEL_HEIGHT - LINE_HEIGHT
    levels = np.linspace(255, 0, last - first).astype(np.uint8)
    bar[first:last, :16] = cv2.applyColorMap(levels[:, None], COLOURS)
    _write(bar, "share of the", 0, LINE_HEIGHT - 5)
    _write(bar, "attention", 0, 2 * LINE_HEIGHT - 5)
    _write(bar, "per patch", 0, 3 * LINE_HEIGHT - 7)
    for level in (1.0, 0.5, 0.0):
        _write(bar, f"{level * top:.2%}", 22, round(first + (1 - level) * (last - first)) + 5)
    return bar


def _caption(text: str, width: int) -> np.ndarray:
    letters = max(10, (width - 2 * MARGIN) // 9)
    plain = text.encode("ascii", "replace").decode()
    lines = [plain[i : i + letters] for i in range(0, len(plain), letters)][:3] or [""]
    strip = np.zeros((3 * LINE_HEIGHT + MARGIN, width, 3), np.uint8)
    for number, line in enumerate(lines, 1):
        _write(strip, line.strip(), MARGIN, number * LINE_HEIGHT - 3)
    return strip


def _write(image: np.ndarray, text: str, x: int, y: int) -> None:
    cv2.putText(image, text, (x, y), FONT, FONT_SCALE, WHITE, 1, cv2.LINE_AA)


def _tiled(tiles: Sequence[np.ndarray], across: int) -> np.ndarray:
    width = max(tile.shape[1] for tile in tiles)
    padded = [np.pad(t, ((0, MARGIN), (0, width - t.shape[1]), (0, 0))) for t in tiles]
    across = min(across, len(padded))
    padded += [np.zeros_like(padded[0])] * (-len(padded) % across)
    rows = [np.hstack(padded[i : i + across]) for i in range(0, len(padded), across)]
    return np.vstack(rows)


def _png(image: np.ndarray) -> bytes:
    done, data = cv2.imencode(".png", image)
    if not done:
        raise ValueError(f"no PNG could be made of an array of shape {image.shape}")
    return data.tobytes()
