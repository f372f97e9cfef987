"""What the OpenAPI document says beyond the signatures: examples, raw bodies, binary parts."""

from typing import Any

from fastapi import FastAPI

from app.api.uploads import RAW_TYPES

__all__ = ["CHECK", "JOB", "QUESTION", "RAW_BODY", "REPORT", "answered", "openapi"]

_BINARY = {"type": "string", "format": "binary"}
RAW_BODY: dict[str, Any] = {
    "requestBody": {"content": {kind: {"schema": _BINARY} for kind in RAW_TYPES}}
}
"""A body that is one image."""

_GROUNDED: dict[str, Any] = {
    "probability": 0.93,
    "evidence": 2.48,
    "state": "grounded",
    "attention": 0.97,
    "heatmap": {"scale": 0.0038, "data": "AAAA/w=="},
}
_STUDY: dict[str, Any] = {
    "indication": "",
    "images": [
        {
            "width": 2021,
            "height": 2046,
            "view": "PA",
            "prior": False,
            "rows": 2,
            "columns": 2,
            "extent": {"left": -12.5, "top": 0.0, "width": 2046.0, "height": 2046.0},
            "stored": {"rows": 2046, "columns": 2021, "matrix": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)},
            "warnings": [],
            "png": None,
        }
    ],
    "warnings": [],
    "probability_withheld": None,
    "model": {"name": "crossray-phantom", "sha256": "3f0c" * 16},
    "notice": "Research software, not for diagnosis.",
}

REPORT: dict[str, Any] = {
    "text": "Findings: Left pleural effusion.",
    "sections": [
        {"name": "findings", "text": "Left pleural effusion.", "start": 10, "end": 32},
    ],
    "words": [
        {"text": "Left", "start": 10, "end": 14, **_GROUNDED},
        {"text": "pleural", "start": 15, "end": 22, **_GROUNDED},
        {"text": "effusion", "start": 23, "end": 31, **_GROUNDED},
    ],
    "sentences": [
        {
            "text": "Left pleural effusion.",
            "start": 10,
            "end": 32,
            "words": [0, 1, 2],
            **_GROUNDED,
        }
    ],
    "findings": [
        {
            "name": "pleural_effusion",
            "sides": ["left"],
            "zone": None,
            "certainty": "definite",
            "presence_probability": 0.97,
            "clause_evidence": 3.1,
            "text": "pleural effusion",
            "start": 15,
            "end": 31,
            "words": [1, 2],
            **_GROUNDED,
        }
    ],
    "denials": [],
    "review": [],
    **_STUDY,
}
QUESTION: dict[str, Any] = {
    "phrase": "pleural effusion",
    "text": "There is a left pleural effusion.",
    "matches": 41,
    "samples": 48,
    **_GROUNDED,
    **_STUDY,
}
CHECK: dict[str, Any] = {
    **{name: REPORT[name] for name in ("text", "sections", "words", "sentences")},
    "statements": [
        {
            "name": "pleural_effusion",
            "present": True,
            "sides": ["left"],
            "zone": None,
            "severity": None,
            "presence_probability": 0.97,
            "text": "pleural effusion",
            "start": 15,
            "end": 31,
            "words": [1, 2],
            **_GROUNDED,
        }
    ],
    "issues": [
        {
            "code": "side",
            "message": "pleural effusion is stated as left; the images rather show right.",
            "name": "pleural_effusion",
            "places": [{"start": 15, "end": 31}],
            "probability": 0.98,
            "evidence": 6.2,
            "suggestion": "There is a right pleural effusion.",
            "state": "grounded",
            "heatmap": {"scale": 0.0038, "data": "AAAA/w=="},
        }
    ],
    **_STUDY,
}


JOB: dict[str, Any] = {
    "id": "5b1c" * 8,
    "state": "queued",
    "created": "2026-11-27T12:00:00.000Z",
    "updated": "2026-11-27T12:00:00.000Z",
    "ended": None,
    "expires": None,
    "progress": {"studies": 1, "done": 0, "failed": 0},
    "studies": [
        {"number": 1, "name": "ward 3", "state": "queued", "report": None, "problem": None}
    ],
}


def answered(example: dict[str, Any], status: int = 201) -> dict[int | str, dict[str, Any]]:
    """The entry of an endpoint's `responses` for an answer like this one."""
    return {status: {"content": {"application/json": {"example": example}}}}


def openapi(app: FastAPI) -> dict[str, Any]:
    """The document, its file parts marked as most generators of clients know them.

    FastAPI writes contentMediaType, as JSON Schema does; they look for `format: binary`.
    """
    document = FastAPI.openapi(app)
    _mark_binary(document)
    return document


def _mark_binary(part: Any) -> None:
    if isinstance(part, dict):
        if part.get("contentMediaType") == "application/octet-stream":
            part["format"] = "binary"
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            _mark_binary(inner)
