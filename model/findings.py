"""The findings a report asserts, each with where its words looked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from model.config import ReportConfig
from model.heatmap import Span, Word, spanned
from model.reader import Assertion, read_findings

__all__ = ["NamedFinding", "inside", "named_findings"]


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
    """In nats: sum over the words of the clause. What a picture shows is mostly told by the words
    before the name: after "a small right pleural", the text alone suggests "effusion"."""
    chance: float
    """In [0, 1]: the calibrated chance that it is there, from the evidence of its best supported
    mention in the report (training/calibrate.py). Not `probability`, which is that of this
    wording: "a small" against "minimal" lowers it and says nothing of the picture."""


def named_findings(
    text: str, told: Sequence[Word], shape: tuple[int, ...], config: ReportConfig
) -> tuple[NamedFinding, ...]:
    """What a report asserts, in the order of the text.

    Args:
        told: the text's words.
        shape: of a word's heatmap.
        config: the model's.
    """
    assertions = read_findings(text)
    gains = [_gain(said, told) for said in assertions]
    best: dict[str, float] = {}
    for said, gain in zip(assertions, gains, strict=True):
        best[said.name] = max(gain, best.get(said.name, gain))
    found = []
    for said, gain in zip(assertions, gains, strict=True):
        which = [place for start, end in said.words for place in inside(told, start, end)]
        span = spanned(text, said.start, said.end, told, sorted(set(which)), shape)
        found.append(
            NamedFinding(
                **vars(span),
                name=said.name,
                sides=said.sides,
                zone=said.zone,
                certainty=said.certainty,
                clause=said.clause,
                clause_evidence=gain,
                chance=_sigmoid(config.finding_scale * best[said.name] + config.finding_offset),
            )
        )
    return tuple(found)


def _gain(said: Assertion, told: Sequence[Word]) -> float:
    return math.fsum(told[place].evidence for place in inside(told, *said.clause))


def _sigmoid(score: float) -> float:
    return 0.5 * (1 + math.tanh(score / 2))  # exp would overflow


def inside(told: Sequence[Word], start: int, end: int) -> list[int]:
    """Which words share a character with [start, end) of their text."""
    return [place for place, word in enumerate(told) if word.start < end and word.end > start]
