"""The masking test: covering a finding must change its words, covering as much elsewhere must not.

A map that lies on a finding shows nothing of a model that would say it anyway; this asks the model.

A case is the first phrase of a reference report that speaks of a finding. The boxes of all
findings it speaks of are covered with the picture's mean (data_prep/cover.py), and the whole
report is forced again. The phrase has fallen where its probability (the product over its tokens,
each given the true text before it, at the model's temperature) is less than half of what it is on
the whole picture. The control covers boxes of the same sizes that touch none of the study's boxes.
All cases count, also where the phrase was not probable to begin with; what has no room for a
control counts without one.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from data_prep.cover import Box, cover, elsewhere
from data_prep.study import Finding, Study
from model.network import ReportModel
from training.forcing import Given, Text, log_probabilities, place, squares
from training.grounding_scores import Ground, size_of

__all__ = ["FALLEN", "MASKING", "first_phrases", "masked"]

FALLEN = 0.5
MASKING = ("fallen", "control_fallen", "without_control")
"""Shares of cases whose phrase fell under the cover and under the control; that have no control."""

Masks = list[tuple[int, Box]]
"""(picture, box) each."""


def masked(
    model: ReportModel,
    row: int,
    study: Study,
    pixels: Sequence[np.ndarray],
    given: Given,
    text: Text,
) -> Iterator[tuple[str, str, dict[str, float]]]:
    """The cases of one study.

    Args:
        row: number of the study; controls are drawn from it.
        pixels: of its pictures, float32 (height, width) in [0, 1].
        text: its report.

    Yields:
        (finding, size of its boxes, 0 or 1 for each of MASKING that applies).
    """
    rng = np.random.default_rng([0, row])
    size = model.config.image_size
    ground = Ground.of(place(pixels, size))
    cases = [(findings, span) for findings, span in first_phrases(study, text) if span.size]
    variants = [list(pixels)]
    controlled = []
    for findings, _ in cases:
        variants.append(_covered(pixels, [(f.picture, f.box) for f in findings]))
        control = _controls(study, findings, pixels, rng)
        controlled.append(control is not None)
        if control is not None:
            variants.append(_covered(pixels, control))
    if not cases:
        return
    seen = torch.stack([squares(variant, size) for variant in variants])
    scores = iter(log_probabilities(model, seen, given, text.tokens))
    whole = next(scores)
    for (findings, span), has_control in zip(cases, controlled, strict=True):
        values = {
            "fallen": _fell(whole, next(scores), span),
            "without_control": float(not has_control),
        }
        if has_control:
            values["control_fallen"] = _fell(whole, next(scores), span)
        places = [(finding.picture, finding.box) for finding in findings]
        yield findings[0].name, size_of(ground.inside(places)), values


def first_phrases(study: Study, text: Text) -> Iterator[tuple[list[Finding], np.ndarray]]:
    """Phrases that are the first to speak of a finding: (findings, positions of the tokens)."""
    spoken: set[int] = set()
    for phrase in study.phrases:
        if not set(phrase.findings) <= spoken:
            spoken |= set(phrase.findings)
            findings = [study.findings[k] for k in phrase.findings]
            yield findings, text.tokens_of(phrase.start, phrase.end)


def _controls(
    study: Study,
    findings: Sequence[Finding],
    pixels: Sequence[np.ndarray],
    rng: np.random.Generator,
) -> Masks | None:
    """For each finding's box one like it where the study has none; None where there is no room."""
    found: Masks = []
    for finding in findings:
        avoid = [other.box for other in study.findings if other.picture == finding.picture]
        height, width = pixels[finding.picture].shape
        box = elsewhere(finding.box, avoid, (height, width), rng)
        if box is None:
            return None
        found.append((finding.picture, box))
    return found


def _covered(pixels: Sequence[np.ndarray], masks: Masks) -> list[np.ndarray]:
    return [
        cover(picture, [box for where, box in masks if where == number])
        for number, picture in enumerate(pixels)
    ]


def _fell(before: np.ndarray, after: np.ndarray, span: np.ndarray) -> float:
    return float((after[span] - before[span]).sum() < np.log(FALLEN))
