"""Answers whose maps are known, in the form of the service's own."""

import base64
from typing import Any

import cv2
import numpy as np

TEXT = "Findings: Left effusion is seen.\nThe heart is large. Impression: Left effusion."
WORDS = [w.strip(".:") for w in TEXT.split()]
GRID = 8
DIM = 40
"""The known pictures' gray level; their dots are white."""


def picture(height: int, width: int, dot: tuple[int, int] | None = None, side: int = 0) -> bytes:
    """A dim PNG with a white square dot of `side` pixels around dot = (x, y)."""
    pixels = np.full((height, width), DIM, np.uint8)
    if dot:
        x, y = dot
        pixels[y - side // 2 : y + side // 2, x - side // 2 : x + side // 2] = 255
    return cv2.imencode(".png", pixels)[1].tobytes()


def hot(*patches: tuple[int, int, float], pictures: int = 1) -> np.ndarray:
    """A map which is zero but for patches (row, column, share) of the first picture."""
    heatmap = np.zeros((pictures, GRID, GRID))
    for row, column, share in patches:
        heatmap[0, row, column] = share
    return heatmap


def known(heatmaps: dict[int, np.ndarray], *pngs: tuple[int, int, bytes]) -> dict[str, Any]:
    """An answer of the contract over TEXT; words not given look at the lower right patch.

    Args:
        heatmaps: by place of the word.
        pngs: (height, width, PNG) per picture, in pixels of the original.
    """
    pngs = pngs or ((480, 480, picture(480, 480)),)
    place, words = 0, []
    for index, text in enumerate(WORDS):
        place = TEXT.index(text, place)
        shares = heatmaps.get(index)
        if shares is None:
            shares = hot((GRID - 1, GRID - 1, 1.0), pictures=len(pngs))
        scale = shares.max() / 255
        data = base64.b64encode(np.rint(shares / scale).astype(np.uint8).tobytes()).decode()
        words.append(
            {
                "text": text,
                "start": place,
                "end": place + len(text),
                "probability": 0.5 if text == "effusion" else 0.99,
                "heatmap": {"scale": scale, "data": data},
            }
        )
        place += len(text)
    half = TEXT.index("Impression")
    return {
        "text": TEXT,
        "sections": [
            {"name": "findings", "text": TEXT[10 : half - 1], "start": 10, "end": half - 1},
            {"name": "impression", "text": TEXT[half + 12 :], "start": half + 12, "end": len(TEXT)},
        ],
        "words": words,
        "images": [image(*png) for png in pngs],
        "model": {"name": "known", "sha256": "ab" * 32},
        "notice": "Research software, not for diagnosis. Known.",
    }


def image(height: int, width: int, png: bytes) -> dict[str, Any]:
    side = max(height, width)
    return {
        "width": width,
        "height": height,
        "view": None,
        "rows": GRID,
        "columns": GRID,
        "extent": {
            "left": (width - side) / 2,
            "top": (height - side) / 2,
            "width": side,
            "height": side,
        },
        "png": base64.b64encode(png).decode(),
    }
