"""The occlusion test: an occluded finding must lose its words, one occluded beside must not.

A map that lies on a finding does not show that the model needs the finding to name it; this does.

A case is the first phrase of a reference report that names a finding. The boxes of all findings
that it names are filled with the image's mean (data_prep/occlusion.py), and the whole report is
forced again. The phrase has fallen where its probability (the product over its tokens, each given
the true text before it, at the model's temperature) is less than half of what it is on the whole
image. The control occludes boxes of the same sizes that touch none of the study's boxes. All cases
count, also where the phrase was not probable to begin with; where there is no room for a control
the case counts without one.

The text before a phrase ("There is a") already reveals that a finding follows. So the model also
writes its own report of each of these images: of the findings that it asserts on the whole one
and that are there, which does it no longer assert?
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from data_prep.manifest import Finding, Study
from data_prep.occlusion import Box, cover, elsewhere
from model.decoding import decode
from model.exam import encode_studies
from model.interface import Tokenizer
from model.report_text.parser import Assertion, read_findings
from model.torch_network import Network
from training.grounding.cases import Subject
from training.grounding.map_scores import Ground, size_of
from training.teacher_forcing import Text, placements_of, squares

__all__ = ["FALLEN", "OCCLUSION", "first_phrases", "occlude_findings"]

FALLEN = 0.5
OCCLUSION = ("fallen", "control_fallen", "without_control", "unsaid", "control_unsaid")
"""Shares of cases whose phrase fell with its findings occluded and with the control; that have no
control; and of cases that the model's own report asserts, those it no longer does under each."""

Regions = list[tuple[int, Box]]
"""(image, box) each."""


def occlude_findings(
    model: Network,
    tokenizer: Tokenizer,
    study: Study,
    pixels: Sequence[np.ndarray],
    subject: Subject,
) -> Iterator[tuple[str, str, dict[str, float]]]:
    """The cases of one study.

    Args:
        pixels: of its images, float32 (height, width) in [0, 1].
        subject: the study's; controls are drawn from its row.

    Yields:
        (finding, size of its boxes, 0 or 1 for each of OCCLUSION that applies).
    """
    rng = np.random.default_rng([0, subject.row])
    ground = Ground.of(placements_of(model, pixels))
    cases = [(findings, span) for findings, span in first_phrases(study, subject.text) if span.size]
    variants = [list(pixels)]
    controlled = []
    for findings, _ in cases:
        variants.append(_occluded(pixels, [(f.image, f.box) for f in findings]))
        control = _controls(study, findings, pixels, rng)
        controlled.append(control is not None)
        if control is not None:
            variants.append(_occluded(pixels, control))
    if not cases:
        return
    readings = _readings(model, tokenizer, variants, subject)
    whole = next(readings)
    for (findings, span), has_control in zip(cases, controlled, strict=True):
        unique = _unique(study, findings)
        values = {"without_control": float(not has_control)}
        for kind in ("", "control_") if has_control else ("",):
            occluded = next(readings)
            values[f"{kind}fallen"] = _fell(whole.scores, occluded.scores, span)
            if unique and whole.asserts(unique):
                values[f"{kind}unsaid"] = float(not occluded.asserts(unique))
        places = [(finding.image, finding.box) for finding in findings]
        yield findings[0].name, size_of(ground.inside(places)), values


def first_phrases(study: Study, text: Text) -> Iterator[tuple[list[Finding], np.ndarray]]:
    """Phrases that are the first to name a finding: (findings, positions of the tokens)."""
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
) -> Regions | None:
    """For each finding's box one like it where the study has none; None where there is no room."""
    found: Regions = []
    for finding in findings:
        avoid = [other.box for other in study.findings if other.image == finding.image]
        height, width = pixels[finding.image].shape
        box = elsewhere(finding.box, avoid, (height, width), rng)
        if box is None:
            return None
        found.append((finding.image, box))
    return found


def _occluded(pixels: Sequence[np.ndarray], regions: Regions) -> list[np.ndarray]:
    return [
        cover(image, [box for where, box in regions if where == number])
        for number, image in enumerate(pixels)
    ]


@dataclass(frozen=True)
class _Reading:
    """What a model makes of one image."""

    scores: np.ndarray
    """(tokens,) log-probabilities of the true report."""
    read: tuple[Assertion, ...]
    """What its own report asserts."""

    def asserts(self, findings: Sequence[Finding]) -> bool:
        """Whether it names one of these on its side; a name without a side means both."""
        return any(
            assertion.name == finding.name
            and (not assertion.sides or finding.side is None or finding.side in assertion.sides)
            for assertion in self.read
            for finding in findings
        )


@torch.inference_mode()
def _readings(
    model: Network,
    tokenizer: Tokenizer,
    variants: Sequence[Sequence[np.ndarray]],
    subject: Subject,
) -> Iterator[_Reading]:
    given, count = subject.given, len(variants)
    images = [squares(model, variant).numpy() for variant in variants]
    memory = encode_studies(model, images, [given.kinds] * count, [given.prompt] * count)
    scores = model.read_texts(memory, [subject.text.tokens] * count, False).log_probabilities
    for row, tokens in zip(scores, decode(model, memory), strict=True):
        yield _Reading(row, read_findings(tokenizer.decode(tokens)))


def _unique(study: Study, findings: Sequence[Finding]) -> list[Finding]:
    """Those of the findings whose name and side no other finding of the study has too."""
    others = [(f.name, f.side) for f in study.findings if f not in findings]
    return [finding for finding in findings if (finding.name, finding.side) not in others]


def _fell(before: np.ndarray, after: np.ndarray, span: np.ndarray) -> float:
    return float((after[span] - before[span]).sum() < np.log(FALLEN))
