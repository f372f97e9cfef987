"""A report or an answer as the API's JSON, which `--json` and the batch write too."""

import base64
from collections.abc import Sequence
from typing import Any, Literal

import cv2
import numpy as np

from app.api.schemas import (
    AskAnswer,
    CheckAnswer,
    DenialAnswer,
    ExtentAnswer,
    FindingAnswer,
    FlagAnswer,
    HeatmapAnswer,
    ImageAnswer,
    IssueAnswer,
    ModelAnswer,
    PlaceAnswer,
    ReportAnswer,
    SectionAnswer,
    SpanAnswer,
    StatementAnswer,
    StoredAnswer,
    WarningAnswer,
    WordAnswer,
)
from model.check import Issue
from model.heatmap import Span, Word
from model.imaging.letterbox import Placement
from model.imaging.radiograph import Radiograph
from model.report import Answer, Check, Report

__all__ = [
    "Maps",
    "answer",
    "ask_answer",
    "check_answer",
    "encode_heatmap",
    "encode_image",
    "gray",
    "png",
    "section_text",
    "shrunk",
]

Maps = Literal["grounded", "all"]
"""Which words, spans and answers have their heatmap: those with a place on the images, or all."""
IMAGE_SIDE = 1024
"""Longest side of an image in an answer, in pixels."""


def answer(
    report: Report,
    notice: str,
    radiographs: Sequence[Radiograph] | None = None,
    maps: Maps = "grounded",
) -> ReportAnswer:
    """A report as the API's JSON.

    Args:
        notice: what the model's checkpoint says about its use.
        radiographs: the images the report was made from, in its order; they fill `images[].png`.
        maps: of which words and spans the answer has the heatmap.
    """
    shown = None if report.withheld else maps
    return ReportAnswer(
        **_text(report, shown),
        findings=[
            FindingAnswer(
                name=finding.name,
                sides=sorted(finding.sides),
                zone=finding.zone,
                certainty=finding.certainty,
                presence_probability=finding.presence_probability,
                clause_evidence=None if shown is None else finding.clause_evidence,
                **_span(finding, shown),
            )
            for finding in report.findings
        ],
        denials=[
            DenialAnswer(
                name=denial.name, sides=sorted(denial.sides), **_inspected(_span(denial, shown))
            )
            for denial in report.denials
        ],
        review=[
            FlagAnswer(code=flag.code, message=flag.message, start=flag.start, end=flag.end)
            for flag in report.review
        ],
        **_study(report, notice, radiographs),
    )


def ask_answer(
    found: Answer,
    notice: str,
    radiographs: Sequence[Radiograph] | None = None,
    maps: Maps = "grounded",
) -> AskAnswer:
    """The answer to a question as the API's JSON; Args as for `answer`."""
    shown = None if found.withheld else maps
    return AskAnswer(
        phrase=found.phrase,
        text=found.text,
        matches=None if shown is None else found.matches,
        samples=found.samples,
        **_carried(found, shown),
        **_study(found, notice, radiographs),
    )


def _inspected(span: dict[str, Any]) -> dict[str, Any]:
    """A denial's words are no finding: where they attended to a place, it was inspected."""
    states = {"grounded": "inspected", "not grounded": "not inspected"}
    return {**span, "state": states.get(span["state"], span["state"])}


def check_answer(
    found: Check, notice: str, radiographs: Sequence[Radiograph] | None = None
) -> CheckAnswer:
    """A checked report as the API's JSON; Args as for `answer`."""
    shown: Maps | None = None if found.withheld else "grounded"
    return CheckAnswer(
        **_text(found, shown),
        statements=[
            StatementAnswer(
                name=statement.name,
                present=statement.present,
                sides=sorted(statement.sides),
                zone=statement.zone,
                severity=statement.severity,
                presence_probability=statement.presence_probability,
                **_span(statement, shown),
            )
            for statement in found.statements
        ],
        issues=[_issue(issue, found.withheld is not None) for issue in found.issues],
        **_study(found, notice, radiographs),
    )


def _issue(issue: Issue, withheld: bool) -> IssueAnswer:
    seen = issue.heatmap is not None and issue.state != "not grounded"
    return IssueAnswer(
        code=issue.code,
        message=issue.message,
        name=issue.name,
        places=[PlaceAnswer(start=start, end=end) for start, end in issue.spans],
        probability=issue.probability,
        evidence=issue.evidence,
        suggestion=issue.suggestion,
        state="withheld" if withheld else issue.state,
        heatmap=encode_heatmap(issue.heatmap) if seen and issue.heatmap is not None else None,
    )


def _text(read: Report | Check, shown: Maps | None) -> dict[str, Any]:
    """What a report consists of, whoever wrote it."""
    return {
        "text": read.text,
        "sections": [
            SectionAnswer(name=s.name, text=s.text, start=s.start, end=s.end) for s in read.sections
        ],
        "words": [
            WordAnswer(text=w.text, start=w.start, end=w.end, **_carried(w, shown))
            for w in read.words
        ],
        "sentences": [SpanAnswer(**_span(sentence, shown)) for sentence in read.sentences],
    }


def section_text(report: Report, name: str) -> str:
    """One section's text, empty where the report has none of that name."""
    return " ".join(section.text for section in report.sections if section.name == name)


def encode_heatmap(heatmap: np.ndarray) -> HeatmapAnswer:
    """float (images, rows, columns), shares of attention -> one unsigned byte a patch."""
    scale = float(heatmap.max()) / 255
    # The nearest byte keeps the order of the patches. The sum of a map with one high peak and
    # shares below half a step elsewhere is then too small: docs/reference/rest-api.md has a bound.
    data = np.zeros(heatmap.shape) if scale == 0 else np.rint(heatmap / scale)
    return HeatmapAnswer(scale=scale, data=_base64(data.astype(np.uint8).tobytes()))


def encode_image(pixels: np.ndarray, longest: int = IMAGE_SIDE) -> bytes:
    """float32 (height, width) in [0, 1] -> 8 bit gray PNG, no side longer than `longest`."""
    scale = min(1.0, longest / max(pixels.shape))
    height, width = (max(1, round(side * scale)) for side in pixels.shape)
    return png(gray(pixels, height, width))


def shrunk(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """float32 -> float32 (height, width), averaged."""
    if pixels.shape == (height, width):
        return pixels
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))


def gray(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """float32 in [0, 1] -> uint8 (height, width)."""
    result: np.ndarray = np.rint(shrunk(pixels, height, width).clip(0, 1) * 255).astype(np.uint8)
    return result


def png(image: np.ndarray) -> bytes:
    """uint8 (height, width) or (height, width, 3) -> a PNG file."""
    # As fast as OpenCV's own choice, and a third smaller.
    options = [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
    options += [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT]
    done, data = cv2.imencode(".png", image, [*options, cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise ValueError(f"no PNG could be made of an array of shape {image.shape}")
    return data.tobytes()


def _span(span: Span, maps: Maps | None) -> dict[str, Any]:
    return {
        "text": span.text,
        "start": span.start,
        "end": span.end,
        "words": list(span.words),
        **_carried(span, maps),
    }


def _study(
    made: Report | Answer | Check, notice: str, radiographs: Sequence[Radiograph] | None
) -> dict[str, Any]:
    """What reports and answers say of the study they were made from."""
    return {
        "indication": made.indication,
        "images": _images(made, radiographs),
        "warnings": [WarningAnswer(code=w.code, message=w.message) for w in made.study_warnings],
        "probability_withheld": made.withheld,
        "model": ModelAnswer(name=made.model.name, sha256=made.model.sha256),
        "notice": notice,
    }


def _images(
    report: Report | Answer | Check, radiographs: Sequence[Radiograph] | None
) -> list[ImageAnswer]:
    rows, columns = report.heatmap.shape[1:] if isinstance(report, Answer) else report.grid
    images = [None] * len(report.placements) if radiographs is None else radiographs
    return [
        ImageAnswer(
            width=placement.width,
            height=placement.height,
            view=view,
            prior=prior,
            rows=rows,
            columns=columns,
            extent=_extent(placement),
            stored=StoredAnswer(
                rows=grid.rows,
                columns=grid.columns,
                matrix=grid.matrix(placement.height, placement.width),
            ),
            warnings=[WarningAnswer(code=c.code, message=c.message) for c in warnings],
            png=_base64(encode_image(image.pixels)) if image is not None else None,
        )
        for placement, grid, view, prior, warnings, image in zip(
            report.placements,
            report.stored,
            report.views,
            report.priors,
            report.warnings,
            images,
            strict=True,
        )
    ]


def _extent(placement: Placement) -> ExtentAnswer:
    left, top, width, height = placement.extent()
    return ExtentAnswer(left=left, top=top, width=width, height=height)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _carried(part: Word | Span | Answer, maps: Maps | None) -> dict[str, Any]:
    """What words, spans and answers have in common; `maps` is None where all is withheld."""
    if maps is None:
        unknown = dict.fromkeys(("probability", "evidence", "attention", "heatmap"))
        return {"state": "withheld", **unknown}
    has_map = maps == "all" or part.state != "not grounded"
    return {
        "probability": part.probability,
        "evidence": part.evidence,
        "state": part.state,
        "attention": min(1.0, float(part.heatmap.sum())),
        "heatmap": encode_heatmap(part.heatmap) if has_map else None,
    }
