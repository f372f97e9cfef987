"""The findings a report asserts, each with the attention of its words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from model.heatmap import Span, Word, span_of
from model.imaging.radiograph import ImageWarning
from model.interface import NetworkConfig
from model.questions import finding_probability
from model.report_text.parser import Assertion, read_findings
from model.report_text.statements import read_statements

__all__ = [
    "NamedDenial",
    "NamedFinding",
    "clause_log_probability",
    "confidence_withheld",
    "inside",
    "named_denials",
    "named_findings",
]


NOTHING_ASKED: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class NamedFinding(Span):
    """One finding that the report asserts, at one location.

    Its words are those that name it, "heart" and "enlarged" of "heart is mildly enlarged". A
    finding at two locations is two of these with the same words.
    """

    name: str
    """Such as "pleural_effusion": the names in reader_terms.TERMS."""
    sides: frozenset[str]
    """The patient's "right", "left" or both; empty where none is stated or none applies."""
    zone: str | None
    """"upper", "mid" or "lower" third; None where none is stated or none applies."""
    certainty: str
    """"definite" or "possible"."""
    clause: tuple[int, int]
    """[start, end) of the part of its sentence that speaks of it."""
    clause_evidence: float
    """In nats: sum over the words of the clause. The words before the name mostly carry what
    the image shows: after "a small right pleural", the text alone suggests "effusion"."""
    presence_probability: float | None
    """In [0, 1]: the calibrated probability that it is there, from the model's answer when asked
    about it, the same that `ask` gives, or of a model that does not answer questions from how sure
    it was of the clause that names it first. Not `probability`, that of naming it so. None where it
    was not calibrated (training/calibration/fit.py), and where confidence is withheld."""


@dataclass(frozen=True)
class NamedDenial(Span):
    """One finding that the report says is not there, in words or by calling something normal.

    Where its words are grounded, the decoder inspected the place before it denied the finding.
    """

    name: str
    sides: frozenset[str]
    """Where it is absent; empty where that is everywhere."""


def named_denials(
    text: str, text_words: Sequence[Word], shape: tuple[int, ...]
) -> tuple[NamedDenial, ...]:
    """What a report denies, in the order of the text; Args as `named_findings`."""
    found = []
    for each in read_statements(text):
        if not each.present:
            which = inside(text_words, each.start, each.end)
            span = span_of(text, each.start, each.end, text_words, which, shape)
            found.append(NamedDenial(**vars(span), name=each.name, sides=each.sides))
    return tuple(found)


def named_findings(
    text: str,
    text_words: Sequence[Word],
    shape: tuple[int, ...],
    config: NetworkConfig,
    log_odds: Mapping[str, float] = NOTHING_ASKED,
) -> tuple[NamedFinding, ...]:
    """What a report asserts, in the order of the text.

    Args:
        text_words: the text's.
        shape: of a word's heatmap.
        config: the model's.
        log_odds: by name, of the answers where the model was asked about what it asserts
            (model/questions.py); empty where it was not taught to answer.
    """
    assertions = read_findings(text)
    first: dict[str, float] = {}
    for assertion in assertions:
        # What is repeated in the impression is sure whatever the image shows.
        first.setdefault(assertion.name, clause_log_probability(assertion, text_words))
    found = []
    for assertion in assertions:
        which = {k for start, end in assertion.words for k in inside(text_words, start, end)}
        span = span_of(text, assertion.start, assertion.end, text_words, sorted(which), shape)
        found.append(
            NamedFinding(
                **vars(span),
                name=assertion.name,
                sides=assertion.sides,
                zone=assertion.zone,
                certainty=assertion.certainty,
                clause=assertion.clause,
                clause_evidence=math.fsum(
                    text_words[k].evidence for k in inside(text_words, *assertion.clause)
                ),
                presence_probability=finding_probability(
                    config, assertion.name, log_odds[assertion.name]
                )
                if assertion.name in log_odds
                else _presence_probability(first[assertion.name], config),
            )
        )
    return tuple(found)


def confidence_withheld(warnings: Sequence[Sequence[ImageWarning]]) -> str | None:
    """Why a report may show no probability and no map; None where nothing speaks against it.

    Calibration holds on images like those it was fitted on: on others a probability is a guess
    with decimals.

    Args:
        warnings: per image.
    """
    reasons = []
    for number, of_image in enumerate(warnings, 1):
        image = f"image {number}" if len(warnings) > 1 else "the image"
        if any(warning.refuses for warning in of_image):
            reasons.append(f"{image} was rejected by the input check")
        elif any(warning.code == "out_of_distribution" for warning in of_image):
            reasons.append(f"{image} is unlike the images this model was trained on")
    if not reasons:
        return None
    return (
        f"Do not rely on this draft: {'; '.join(reasons)}. Probabilities and attention maps are "
        "withheld."
    )


def clause_log_probability(assertion: Assertion, text_words: Sequence[Word]) -> float:
    """Log-probability of the clause that asserts a finding, given the text before it, at most 0."""
    return math.fsum(
        math.log(text_words[k].probability) for k in inside(text_words, *assertion.clause)
    )


def _presence_probability(log_probability: float, config: NetworkConfig) -> float | None:
    if config.finding_scale is None:
        return None
    score = config.finding_scale * log_probability + config.finding_offset
    return 0.5 * (1 + math.tanh(score / 2))  # exp would overflow


def inside(text_words: Sequence[Word], start: int, end: int) -> list[int]:
    """Which words share a character with [start, end) of their text."""
    return [k for k, word in enumerate(text_words) if word.start < end and word.end > start]
