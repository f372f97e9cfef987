"""The findings a report asserts, each with where its words looked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from model.heatmap import Span, Word, span_of
from model.interface import NetworkConfig
from model.report_text.parser import Assertion, read_findings

__all__ = ["NamedFinding", "inside", "named_findings", "surety"]


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
    chance: float | None
    """In [0, 1]: the calibrated chance that it is there, from how sure the model was of the clause
    that names it first (training/calibration/fit.py). Not `probability`, that of naming it so.
    None of a checkpoint that was never calibrated."""


def named_findings(
    text: str, told: Sequence[Word], shape: tuple[int, ...], config: NetworkConfig
) -> tuple[NamedFinding, ...]:
    """What a report asserts, in the order of the text.

    Args:
        told: the text's words.
        shape: of a word's heatmap.
        config: the model's.
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
                chance=_chance(first[said.name], config),
            )
        )
    return tuple(found)


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
