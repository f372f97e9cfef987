"""A Report drawn over its images.

The scale is absolute, the share of the attention that lies in a patch. The bar beside the images
states it, and no map is stretched to fill its colors. What has no place on them has no map.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np

from app.api.answers import gray, png, shrunk
from app.views import image_name
from model.imaging.letterbox import Placement
from model.imaging.radiograph import Radiograph
from model.overlay import LINE_HEIGHT, blend, colors, tiled, write
from model.report import Report

__all__ = ["jpeg", "overlay", "sheet", "word_overlays"]

PANEL_HEIGHT = 448
PANEL_WIDTH = 896
"""A wider image is drawn lower: a strip of one row must not become an image of gigabytes."""
MARGIN = 8
BAR_WIDTH = 118
QUALITY = 90
"""Of JPEG, colors at full resolution: nine of ten values within 1 of 255."""


def overlay(
    radiographs: Sequence[Radiograph],
    placements: Sequence[Placement],
    heatmap: np.ndarray,
    top: float,
    caption: str,
    names: Sequence[str],
) -> np.ndarray:
    """A study's images side by side under one map.

    Args:
        heatmap: (images, rows, columns), shares of attention.
        names: of the images, each written above its own.
        top: the share in a patch where the color scale ends.
        caption: written above; what is not ASCII is drawn as a question mark.

    Returns:
        uint8 (height, width, 3), blue, green, red.
    """
    panels = [
        _panel(radiograph.pixels, placement, shares, top)
        for radiograph, placement, shares in zip(radiographs, placements, heatmap, strict=True)
    ]
    named = [_named(panel, name) for panel, name in zip(panels, names, strict=True)]
    gap = np.zeros((LINE_HEIGHT + PANEL_HEIGHT, MARGIN, 3), np.uint8)
    spaced = [part for panel in named for part in (panel, gap)]
    row = np.hstack([*spaced, _named(_color_bar(top), "")])
    return np.vstack([_caption(caption, row.shape[1]), row])


def word_overlays(report: Report, radiographs: Sequence[Radiograph]) -> Iterator[tuple[str, bytes]]:
    """(file name, PNG) of every word that has a map; one scale for all of them.

    No file where probabilities are withheld. The names count all words, so `003_heart.png` is the
    third, and lesser numbers may be missing.
    """
    if report.withheld is not None:
        return
    mapped = [(n, w) for n, w in enumerate(report.words, 1) if w.state != "not grounded"]
    top = max((float(word.heatmap.max()) for _, word in mapped), default=1.0)
    names, small = _names(report), _small(report, radiographs)
    for number, word in mapped:
        stem = re.sub(r"[^a-z0-9-]+", "_", word.text.lower()).strip("_")[:40]
        caption = f"{word.text}  (probability {word.probability:.2f}, evidence {word.evidence:.1f})"
        image = overlay(small, report.placements, word.heatmap, top, caption, names)
        yield f"{number:03d}_{stem or 'word'}.png", png(image)


def sheet(report: Report, radiographs: Sequence[Radiograph]) -> np.ndarray:
    """The mean map of the report and that of each sentence that has one; one scale.

    Returns:
        uint8 (height, width, 3), blue, green, red.
    """
    maps = _maps(report)
    top = max(float(heatmap.max()) for _, heatmap in maps) or 1.0
    names, small = _names(report), _small(report, radiographs)
    tiles = [overlay(small, report.placements, shares, top, text, names) for text, shares in maps]
    return tiled(tiles, across=3 if len(radiographs) == 1 else 1)


def jpeg(image: np.ndarray) -> bytes:
    """A drawing as a file: a fifth of the time of a PNG, and a quarter of the bytes."""
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    done, data = cv2.imencode(".jpg", image, options)
    if not done:
        raise ValueError(f"no JPEG could be made of an array of shape {image.shape}")
    return data.tobytes()


def _small(report: Report, radiographs: Sequence[Radiograph]) -> list[Radiograph]:
    """As large as their panels: shrunk once and not for every map."""
    both = zip(radiographs, report.placements, strict=True)
    return [
        replace(
            radiograph,
            pixels=shrunk(radiograph.pixels, *_panel_size(placement)),
            whole=radiograph.shape,
        )
        for radiograph, placement in both
    ]


def _maps(report: Report) -> list[tuple[str, np.ndarray]]:
    """Captions and maps (images, rows, columns) of a sheet; one of zeros where there is none."""
    nowhere = np.zeros((len(report.views), 1, 1), np.float32)
    if report.withheld is not None:
        return [(report.withheld, nowhere)]
    mapped = [word for word in report.words if word.state != "not grounded"]
    if not mapped:
        return [("No word of the report has a place on the image", nowhere)]
    which = "grounded words" if mapped[0].state == "grounded" else "words"
    mean = np.mean([word.heatmap for word in mapped], axis=0)
    of_sentences = [(s.text, s.heatmap) for s in report.sentences if s.state != "not grounded"]
    return [(f"Whole report (mean of its {which})", mean), *of_sentences]


def _names(report: Report) -> list[str]:
    return [image_name(*both) for both in zip(report.views, report.priors, strict=True)]


def _named(panel: np.ndarray, name: str) -> np.ndarray:
    """The panel below a line with its image's name."""
    strip = np.zeros((LINE_HEIGHT, panel.shape[1], 3), np.uint8)
    write(strip, name, 0, LINE_HEIGHT - 5)
    return np.vstack([strip, panel])


def _panel(pixels: np.ndarray, placement: Placement, shares: np.ndarray, top: float) -> np.ndarray:
    height, width = _panel_size(placement)
    small = replace(placement, height=height, width=width)
    _, _, covered_width, covered_height = small.extent()
    # A density in the panel's pixels, back to the share that a whole patch would hold.
    local = small.restore(shares) * (covered_width * covered_height / shares.size)
    level = (local / top).clip(0, 1)
    panel = np.zeros((PANEL_HEIGHT, width, 3), np.uint8)
    first = (PANEL_HEIGHT - height) // 2
    panel[first : first + height] = blend(gray(pixels, height, width), level)
    return panel


def _panel_size(placement: Placement) -> tuple[int, int]:
    """Height and width of an image on its panel."""
    scale = min(PANEL_HEIGHT / placement.height, PANEL_WIDTH / placement.width)
    return max(1, round(placement.height * scale)), max(1, round(placement.width * scale))


def _color_bar(top: float) -> np.ndarray:
    bar = np.zeros((PANEL_HEIGHT, BAR_WIDTH, 3), np.uint8)
    first, last = 4 * LINE_HEIGHT, PANEL_HEIGHT - LINE_HEIGHT
    levels = np.linspace(255, 0, last - first).astype(np.uint8)
    bar[first:last, :16] = colors(levels[:, None])
    write(bar, "share of the", 0, LINE_HEIGHT - 5)
    write(bar, "attention", 0, 2 * LINE_HEIGHT - 5)
    write(bar, "per patch", 0, 3 * LINE_HEIGHT - 7)
    for level in (1.0, 0.5, 0.0):
        write(bar, f"{level * top:.2%}", 22, round(first + (1 - level) * (last - first)) + 5)
    return bar


def _caption(text: str, width: int) -> np.ndarray:
    letters = max(10, (width - 2 * MARGIN) // 9)
    plain = text.encode("ascii", "replace").decode()
    lines = [plain[i : i + letters] for i in range(0, len(plain), letters)][:3] or [""]
    strip = np.zeros((3 * LINE_HEIGHT + MARGIN, width, 3), np.uint8)
    for number, line in enumerate(lines, 1):
        write(strip, line.strip(), MARGIN, number * LINE_HEIGHT - 3)
    return strip
