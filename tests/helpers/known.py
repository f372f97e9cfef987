"""Answers whose maps are known, in the form of the service's own."""

import base64
import math
from typing import Any

import cv2
import numpy as np

TEXT = "Findings: Left effusion is seen.\nThe heart is large. Impression: Left effusion."
WORDS = [w.strip(".:") for w in TEXT.split()]
SENTENCES = [(1, 4), (5, 8), (10, 11)]
"""First and last word of each."""
GRID = 8
DIM = 40
"""The known images' gray level; their dots are white."""


def png_image(height: int, width: int, dot: tuple[int, int] | None = None, side: int = 0) -> bytes:
    """A dim PNG with a white square dot of `side` pixels around dot = (x, y)."""
    pixels = np.full((height, width), DIM, np.uint8)
    if dot:
        x, y = dot
        pixels[y - side // 2 : y + side // 2, x - side // 2 : x + side // 2] = 255
    return cv2.imencode(".png", pixels)[1].tobytes()


def hot(*patches: tuple[int, int, float], images: int = 1) -> np.ndarray:
    """A map which is zero but for patches (row, column, share) of the first image."""
    heatmap = np.zeros((images, GRID, GRID))
    for row, column, share in patches:
        heatmap[0, row, column] = share
    return heatmap


def carried(
    heatmap: np.ndarray | None, probability: float = 0.99, evidence: float = math.log(12)
) -> dict[str, Any]:
    """What words and asked phrases carry; None: no place on the images, 7 % of the attention."""
    encoded = None
    if heatmap is not None:
        scale = heatmap.max() / 255
        data = np.rint(heatmap / scale).astype(np.uint8).tobytes()
        encoded = {"scale": scale, "data": base64.b64encode(data).decode()}
    return {
        "probability": probability,
        "evidence": evidence,
        "state": "not grounded" if heatmap is None else "grounded",
        "attention": 0.07 if heatmap is None else float(heatmap.sum()),
        "heatmap": encoded,
    }


def known(heatmaps: dict[int, np.ndarray | None], *pngs: tuple[int, int, bytes]) -> dict[str, Any]:
    """An answer of the contract over TEXT; words not given look at the lower right patch.

    Args:
        heatmaps: by place of the word; None for a word without a place.
        pngs: (height, width, PNG) per image, in pixels of the original.
    """
    pngs = pngs or ((480, 480, png_image(480, 480)),)
    place = 0
    words: list[dict[str, Any]] = []
    elsewhere = hot((GRID - 1, GRID - 1, 1.0), images=len(pngs))
    for index, text in enumerate(WORDS):
        place = TEXT.index(text, place)
        sure = 0.5 if text == "effusion" else 0.99
        words.append(
            {
                "text": text,
                "start": place,
                "end": place + len(text),
                **carried(heatmaps.get(index, elsewhere), sure),
            }
        )
        place += len(text)
    sentences = [span(words, first, last) for first, last in SENTENCES]
    half = TEXT.index("Impression")
    return {
        "text": TEXT,
        "sections": [
            {"name": "findings", "text": TEXT[10 : half - 1], "start": 10, "end": half - 1},
            {"name": "impression", "text": TEXT[half + 12 :], "start": half + 12, "end": len(TEXT)},
        ],
        "words": words,
        "sentences": sentences,
        "findings": [],
        "denials": [],
        "review": [],
        "indication": "",
        "images": [image_answer(*png) for png in pngs],
        "warnings": [],
        "probability_withheld": None,
        "model": {"name": "known", "sha256": "ab" * 32},
        "notice": "Research software, not for diagnosis. Known.",
    }


def span(words: list[dict[str, Any]], first: int, last: int) -> dict[str, Any]:
    """Several words of an answer as one span, such as a sentence."""
    inside = words[first : last + 1]
    start, end = inside[0]["start"], inside[-1]["end"]
    grounded = [word for word in inside if word["heatmap"]]
    return {
        "text": TEXT[start:end],
        "start": start,
        "end": end,
        "words": list(range(first, last + 1)),
        "probability": math.prod(word["probability"] for word in inside),
        "evidence": sum(word["evidence"] for word in inside),
        "state": "grounded" if grounded else "not grounded",
        "attention": grounded[0]["attention"] if grounded else 0.07,
        "heatmap": grounded[0]["heatmap"] if grounded else None,
    }


def image_answer(height: int, width: int, png: bytes) -> dict[str, Any]:
    side = max(height, width)
    return {
        "width": width,
        "height": height,
        "view": None,
        "prior": False,
        "rows": GRID,
        "columns": GRID,
        "extent": {
            "left": (width - side) / 2,
            "top": (height - side) / 2,
            "width": side,
            "height": side,
        },
        "stored": {"rows": height, "columns": width, "matrix": [1, 0, 0, 0, 1, 0]},
        "warnings": [],
        "png": base64.b64encode(png).decode(),
    }
