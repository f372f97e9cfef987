"""Studies to put into a store."""

from typing import Any

import cv2
import numpy as np
from known import carried, known
from material import chest

from app.api.schemas import ReportAnswer
from app.store.records import ALL_ROLES, Actor, NewImage, NewStudy

READER = Actor("Ada Reader", frozenset({"reader"}))
OTHER = Actor("Ben Reader", frozenset({"reader"}))
CHIEF = Actor("Dr. Chief", frozenset({"reader", "radiologist"}))
EVERYBODY = Actor("local", ALL_ROLES)


def sentence(text: str, start: int, words: int) -> dict[str, Any]:
    """A sentence's JSON; its words are counted from `words`."""
    count = len(text.split())
    return {
        "text": text,
        "start": start,
        "end": start + len(text),
        "words": list(range(words, words + count)),
        **grounded(),
    }


def grounded() -> dict[str, Any]:
    """What a word has that attended to the first of two patches."""
    return carried(np.array([[[0.9, 0.0]]]), 0.9)


def written(*sentences: str, findings: dict[str, float] | None = None) -> ReportAnswer:
    """A draft of these sentences, all under "Findings:", on one image with two patches.

    Args:
        findings: probability by the word that names it; its name is the word.
    """
    text, at, words = "Findings:", len("Findings:") + 1, []
    spans = []
    for one in sentences:
        text += " " + one
        spans.append(sentence(one, at, len(words)))
        start = at
        for word in one.split():
            bare = word.rstrip(".,")
            words.append({"text": bare, "start": start, "end": start + len(bare), **grounded()})
            start += len(word) + 1
        at += len(one) + 1
    answer = known({})
    found = []
    for name, probability in (findings or {}).items():
        [(place, word)] = [(k, w) for k, w in enumerate(words) if w["text"] == name]
        found.append(
            {
                "name": name,
                "sides": [],
                "zone": None,
                "certainty": "definite",
                "presence_probability": probability,
                "clause_evidence": 2.0,
                **{key: word[key] for key in ("text", "start", "end")},
                "words": [place],
                **grounded(),
            }
        )
    image = {**answer["images"][0], "rows": 1, "columns": 2, "png": None, "warnings": []}
    section = text.removeprefix("Findings: ")
    return ReportAnswer.model_validate(
        answer
        | {
            "text": text,
            "sections": [
                {"name": "findings", "text": section, "start": 10, "end": len(text)},
            ],
            "words": words,
            "sentences": spans,
            "findings": found,
            "review": [],
            "images": [image],
        }
    )


DRAFT = written(
    "There is a left pneumothorax.",
    "The heart is normal in size.",
    findings={"pneumothorax": 0.8},
)


def new_study(
    seed: int = 0, name: str = "", answer: ReportAnswer = DRAFT, **fields: Any
) -> NewStudy:
    """A study of one PNG, each seed another."""
    pixels = chest(seed, 40, 32)
    content = cv2.imencode(".png", pixels)[1].tobytes()
    small = cv2.imencode(".png", np.ascontiguousarray(pixels[::2, ::2]))[1].tobytes()
    image = NewImage(content, "image/png", small)
    values: dict[str, Any] = {
        "name": name or f"study {seed}.png",
        "images": (image,),
        "answer": answer,
        "software": "0.2.0",
        "source": "upload",
    }
    return NewStudy(**{**values, **fields})
