"""A statement put in the network's own phrases, and weighed against what it could have been.

A reader's wording may be foreign to the network. So what a report states is said again in sentences
as its training reports have them, after those of the report's other findings, once as stated and
once for each alternative: the other side, another zone, another severity. By how much the images
raise the one over the other is the evidence; what the words alone suggest cancels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from model.heatmap import teacher_forced
from model.interface import Network, Tokenizer
from model.memory import Memory
from model.report_text.location import SIDED, ZONED
from model.report_text.statements import SEVERITIES, Statement

__all__ = [
    "SIDES",
    "ZONES",
    "Claim",
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
    "opacity": (
        "There is a {severity} {side} {zone} lung zone opacity.",
        ("faint", "patchy", "dense"),
    ),
    "pleural_effusion": ("There is a {severity} {side} pleural effusion.", _SMALL),
    "pneumothorax": ("There is a {severity} {side} pneumothorax.", _SMALL),
    "cardiomegaly": (
        "The heart is {severity} enlarged.",
        ("mildly", "moderately", "severely"),
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
    "rib_fracture": ("There is a {side} {zone} rib fracture.", ()),
    "hyperinflation": (
        "The lungs are {severity} hyperinflated.",
        ("mildly", "moderately", "severely"),
    ),
    "hiatal_hernia": ("There is a hiatal hernia.", ()),
    "endotracheal_tube": ("An endotracheal tube is in place.", ()),
    "central_line": ("A {side} central venous catheter is in place.", ()),
    "pacemaker": ("A {side} pacemaker is in place.", ()),
}
"""Sentence and words of severity of each finding, as phantoms' reports have them."""


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
    """Each claim said after what else there is: (text, first character of its sentence)."""
    before = " ".join(["Findings:", *(sentence(each) for each in others)])
    return [(f"{before} {sentence(claim)}", len(before) + 1) for claim in claims]


@torch.inference_mode()
def image_evidence(
    model: Network,
    memory: Memory,
    tokenizer: Tokenizer,
    texts: Sequence[tuple[str, int]],
    less_prior: bool = True,
) -> NDArray[np.float64]:
    """In nats, (texts,): by how much the images raise the end of each text after its beginning.

    Args:
        memory: of one study.
        texts: (text, first character of its end).
        less_prior: False: the log-probability of the end itself.
    """
    encodings = [tokenizer.encode(text) for text, _ in texts]
    most = model.config.max_tokens - 1
    tokens = [encoding.ids[:most] for encoding in encodings]
    _, seen = teacher_forced(model, memory, tokens, maps=False)
    raised = seen.double().numpy()
    if less_prior:
        blind = model.without_images(memory)
        raised -= teacher_forced(model, blind, tokens, maps=False)[1].double().numpy()
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
