"""The findings a report asserts, each with where its words looked."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from model.heatmap import Span, Word, span_of
from model.imaging.radiograph import ImageWarning
from model.interface import NetworkConfig
from model.questions import finding_probability
from model.report_text.parser import Assertion, read_findings

__all__ = ["NamedFinding", "confidence_withheld", "inside", "named_findings", "surety"]


NOTHING_ASKED: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class NamedFinding(Span):
    """One finding that the report says is there, at one place.

    Its words are those that name it, "heart" and "enlarged" of "heart is mildly enlarged". A
    finding at two places is two of these with the same words.
    """

    name: str
    """Such as "pleural_effusion": the names in reader_terms.TERMS."""
    sides: frozenset[str]
    """The patient's "right", "left" or both; empty where none is said or none applies."""
    zone: str | None
    """"upper", "mid" or "lower" third; None where none is said or none applies."""
    certainty: str
    """"definite" or "possible"."""
    clause: tuple[int, int]
    """[start, end) of the part of its sentence that speaks of it."""
    clause_evidence: float
    """In nats: sum over the words of the clause. What an image shows is mostly told by the words
    before the name: after "a small right pleural", the text alone suggests "effusion"."""
    presence_probability: float | None
    """In [0, 1]: the calibrated probability that it is there, from the model's answer when asked
    about it, the same that `ask` gives, or of a model that does not answer questions from how sure
    it was of the clause that names it first. Not `probability`, that of naming it so. None where it
    was not calibrated (training/calibration/fit.py), and where confidence is withheld."""


def named_findings(
    text: str,
    told: Sequence[Word],
    shape: tuple[int, ...],
    config: NetworkConfig,
    log_odds: Mapping[str, float] = NOTHING_ASKED,
) -> tuple[NamedFinding, ...]:
    """What a report asserts, in the order of the text.

    Args:
        told: the text's words.
        shape: of a word's heatmap.
        config: the model's.
        log_odds: by name, of the answers where the model was asked about what it asserts
            (model/questions.py); empty where it was not taught to answer.
    """
    assertions = read_findings(text)
    first: dict[str, float] = {}
    for said in assertions:
        # What is repeated in the impression is sure whatever the image shows.
        first.setdefault(said.name, surety(said, told))
    found = []
    for said in assertions:
        which = [place for start, end in said.words for place in inside(told, start, end)]
        span = span_of(text, said.start, said.end, told, sorted(set(which)), shape)
        found.append(
            NamedFinding(
                **vars(span),
                name=said.name,
                sides=said.sides,
                zone=said.zone,
                certainty=said.certainty,
                clause=said.clause,
                clause_evidence=math.fsum(told[k].evidence for k in inside(told, *said.clause)),
                presence_probability=finding_probability(config, said.name, log_odds[said.name])
                if said.name in log_odds
                else _chance(first[said.name], config),
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


def surety(said: Assertion, told: Sequence[Word]) -> float:
    """Log-probability of the clause that asserts a finding, given the text before it, at most 0."""
    return math.fsum(math.log(told[k].probability) for k in inside(told, *said.clause))


def _chance(sure: float, config: NetworkConfig) -> float | None:
    if config.finding_scale is None:
        return None
    score = config.finding_scale * sure + config.finding_offset
    return 0.5 * (1 + math.tanh(score / 2))  # exp would overflow


def inside(told: Sequence[Word], start: int, end: int) -> list[int]:
    """Which words share a character with [start, end) of their text."""
    return [place for place, word in enumerate(told) if word.start < end and word.end > start]
