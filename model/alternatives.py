"""A statement put in the network's own phrases, and weighed against what it could have been.

A reader's wording may be foreign to the network. So what a report states is said again in sentences
as its training reports have them, after those of the report's other findings, once as stated and
once for each alternative: the other side, another zone, another severity. By how much the images
raise the one over the other is the evidence; what the words alone suggest cancels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from model.interface import Engine, M, Tokenizer
from model.report_text.location import SIDED, ZONED
from model.report_text.statements import SEVERITIES, Statement

__all__ = [
    "SIDES",
    "ZONES",
    "Claim",
    "EncodedStudy",
    "claim_of",
    "denial",
    "image_evidence",
    "places",
    "sentence",
    "texts_of",
    "variants",
]

SIDES = ("right", "left")
ZONES = ("upper", "mid", "lower")
_SMALL = ("small", "moderate", "large")
_MILD = ("mild", "moderate", "severe")
_PHRASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "endotracheal_tube": ("An endotracheal tube is in place.", ()),
    "central_line": ("A {side} central venous catheter is in place.", ()),
    "pacemaker": ("A {side} pacemaker is in place.", ()),
    "hyperinflation": (
        "The lungs are {severity} hyperinflated.",
        ("mildly", "moderately", "severely"),
    ),
    "opacity": (
        "There is a {severity} {side} {zone} lung zone opacity.",
        ("faint", "patchy", "dense"),
    ),
    "edema": ("There is {severity} pulmonary edema.", _MILD),
    "atelectasis": (
        "There is {severity} {side} {zone} lung zone atelectasis.",
        ("mild", "moderate", "marked"),
    ),
    "nodule": (
        "There is a {severity} {side} {zone} lung zone nodule.",
        ("small", "rounded", "large"),
    ),
    "pleural_effusion": ("There is a {severity} {side} pleural effusion.", _SMALL),
    "pneumothorax": ("There is a {severity} {side} pneumothorax.", _SMALL),
    "cardiomegaly": (
        "The heart is {severity} enlarged.",
        ("mildly", "moderately", "severely"),
    ),
    "hiatal_hernia": ("There is a hiatal hernia.", ()),
    "rib_fracture": ("There is a {side} {zone} rib fracture.", ()),
}
"""Sentence and words of severity of each finding, and the order they come in, as in phantoms'
reports."""
_ORDER = tuple(_PHRASES)


@dataclass(frozen=True, eq=False)
class EncodedStudy(Generic[M]):
    """One study as a network has read it."""

    engine: Engine[M]
    memory: M
    tokenizer: Tokenizer


@dataclass(frozen=True)
class Claim:
    """A finding at one place, as it is stated or could be."""

    name: str
    side: str | None = None
    """"right" or "left"; None for both, and where none is given."""
    zone: str | None = None
    severity: str | None = None


def claim_of(statement: Statement) -> Claim:
    """What a statement asserts."""
    side = next(iter(statement.sides)) if len(statement.sides) == 1 else None
    return Claim(statement.name, side, statement.zone, statement.severity)


def sentence(claim: Claim) -> str:
    """ "There is a small left pleural effusion."."""
    template, words = _PHRASES[claim.name]
    severity = words[SEVERITIES.index(claim.severity)] if claim.severity and words else ""
    zone = f"{claim.zone} lung zone" if claim.zone else ""
    filled = template.replace("{zone} lung zone", zone).format(
        severity=severity, side=claim.side or "", zone=claim.zone or ""
    )
    return " ".join(filled.split())


def denial(name: str) -> str:
    """ "No pleural effusion."."""
    return f"No {name.replace('_', ' ')}."


def variants(claim: Claim, field: str) -> list[Claim]:
    """The claim with each value that its side, zone or severity could have, its own first.

    Just the claim where it has no such value.
    """
    own = getattr(claim, field)
    values: dict[str, tuple[str, ...]] = {"side": SIDES, "zone": ZONES, "severity": SEVERITIES}
    if own is None or (field == "severity" and not _PHRASES[claim.name][1]):
        return [claim]
    others = [value for value in values[field] if value != own]
    return [replace(claim, **{field: value}) for value in (own, *others)]


def places(name: str) -> list[Claim]:
    """Everywhere a finding could be."""
    sides = SIDES if name in SIDED else (None,)
    zones = ZONES if name in ZONED else (None,)
    return [Claim(name, side, zone) for side in sides for zone in zones]


def texts_of(claims: Sequence[Claim], others: Sequence[Claim]) -> list[tuple[str, int]]:
    """Each claim said after the other findings that come before it: (text, first character of its
    sentence).

    Out of its place the network would not say it, whatever it sees.

    Args:
        claims: of one finding.
    """
    place = _ORDER.index(claims[0].name)
    earlier = sorted(
        (each for each in others if _ORDER.index(each.name) < place),
        key=lambda each: _ORDER.index(each.name),
    )
    before = " ".join(["Findings:", *map(sentence, earlier)])
    return [(f"{before} {sentence(claim)}", len(before) + 1) for claim in claims]


def image_evidence(
    study: EncodedStudy[M],
    texts: Sequence[tuple[str, int]],
    less_prior: bool = True,
) -> NDArray[np.float64]:
    """In nats, (texts,): by how much the images raise the end of each text after its beginning.

    Args:
        texts: (text, first character of its end).
        less_prior: False: the log-probability of the end itself.
    """
    engine, memory = study.engine, study.memory
    encodings = [study.tokenizer.encode(text) for text, _ in texts]
    most = engine.config.max_tokens - 1
    tokens = [encoding.ids[:most] for encoding in encodings]
    raised = engine.read_texts(memory, tokens, maps=False).log_probabilities.astype(np.float64)
    if less_prior:
        blind = engine.without_images(memory)
        raised -= engine.read_texts(blind, tokens, maps=False).log_probabilities
    return np.array(
        [
            sum(
                raised[row, place]
                for place, (_, end) in enumerate(encoding.offsets[:most])
                if end > start
            )
            for row, (encoding, (_, start)) in enumerate(zip(encodings, texts, strict=True))
        ]
    )
