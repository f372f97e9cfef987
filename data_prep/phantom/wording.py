"""Findings of one sentence -> the words for them, their places and numbers filled in."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from data_prep.manifest import Finding
from data_prep.phantom import phrases as phrases

__all__ = [
    "SEVERITIES",
    "Group",
    "Marked",
    "capital",
    "choose",
    "fill",
    "groups_of",
    "severity_word",
]

T = TypeVar("T")
SEVERITIES = ("mild", "moderate", "severe")

Marked = tuple[str, tuple[tuple[int, ...], ...]]
"""A sentence whose k-th [bracket] speaks of the findings at the k-th positions."""


@dataclass(frozen=True)
class Group:
    """Findings that one sentence can assert together: "bilateral lower lung zone opacities"."""

    name: str
    side: str | None
    """"right", "left", "bilateral" or None."""
    zone: str | None
    members: tuple[tuple[int, Finding], ...]
    """With their positions in the study; one that shows on two images is there twice."""

    def indices(self, side: str | None = None) -> tuple[int, ...]:
        return tuple(i for i, finding in self.members if side in (None, finding.side))

    def severity(self, side: str | None = None) -> str | None:
        """The worst, of one side or of all."""
        known = [f.severity for _, f in self.members if f.severity and side in (None, f.side)]
        return max(known, key=SEVERITIES.index, default=None)


def fill(template: str, group: Group, rng: np.random.Generator, **fields: str) -> str:
    """A template of data_prep/phantom/phrases.py with its fields and articles put in."""
    plural = group.side == "bilateral"
    side = group.side or ""
    worst = group.severity()
    one, both = choose(rng, phrases.PLACE_AFTER[group.zone])
    rib = " ".join(word for word in (side, group.zone) if word)
    filled = template.format(
        **{name: forms[plural] for name, forms in phrases.NOUNS.items()},
        **fields,
        sev=severity_word(group, rng),
        adverb=phrases.ADVERBS[worst] if worst else "",
        side=side,
        zone=group.zone or "",
        adj=choose(rng, phrases.PLACE_BEFORE[group.zone]).format(side=side),
        at=both if side == "bilateral" else one.format(side=side),
        is_="are" if plural else "is",
        of_rib=f"{rib} ribs" if plural else f"a {rib} rib",
    )
    filled = re.sub(r"(?<!\w)-sided ", "", filled)
    filled = re.sub(r" +", " ", filled).replace("[ ", "[")
    return _articles(filled, plural)


def _articles(marked: str, plural: bool) -> str:
    """Put "a" or "an" for every @, or nothing before a plural."""
    if plural:
        return marked.replace("@ ", "")
    return re.sub(r"@ (?=\[?([a-z]))", lambda m: "an " if m[1] in "aeio" else "a ", marked)


def severity_word(group: Group, rng: np.random.Generator, side: str | None = None) -> str:
    """Such as "small"; empty for what has no severity."""
    severity = group.severity(side)
    return choose(rng, phrases.SEVERITY[group.name][severity]) if severity else ""


def capital(marked: str) -> str:
    """The first letter, which may stand in a bracket, made a capital."""
    return re.sub(r"^\[?[a-z]", lambda m: m[0].upper(), marked)


def choose(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of the options; each is chosen 1.6 times as often as the one after it."""
    weights = np.cumsum(1.6 ** -np.arange(len(options)))
    return options[int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))]


def groups_of(findings: Iterable[tuple[int, Finding]]) -> list[Group]:
    """Gather findings, with their positions, of one name and zone; both sides are "bilateral"."""
    places: dict[tuple[str, str | None], list[tuple[int, Finding]]] = {}
    for index, finding in findings:
        places.setdefault((finding.name, finding.zone), []).append((index, finding))
    groups = []
    for (name, zone), members in places.items():
        sides = {finding.side for _, finding in members}
        if sides == {"right", "left"}:
            groups.append(Group(name, "bilateral", zone, tuple(members)))
            continue
        for side in sorted(sides, key=str):
            of_side = tuple(m for m in members if m[1].side == side)
            groups.append(Group(name, side, zone, of_side))
    return groups
