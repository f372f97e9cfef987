"""What a report states of each finding: there or not there, where, and how severe.

Assertions and denials of the parser, and what a normal statement denies without naming it: "the
heart is normal in size" denies cardiomegaly.
"""

import re
from dataclasses import dataclass

from model.report_text.parser import read_denials, read_findings, sentences

__all__ = ["SEVERITIES", "Statement", "read_statements"]

LONGEST_QUALIFIER = 40
"""Characters."""
SEVERITIES = ("mild", "moderate", "severe")
_SEVERITY_WORDS = (
    r"tiny|trace|minimal(?:ly)?|minor|slight(?:ly)?|small|mild(?:ly)?|subtle|faint",
    r"moderate(?:ly)?(?:-sized)?",
    r"large|massive|marked(?:ly)?|severe(?:ly)?|extensive|dense",
)
_SEVERITY = tuple(re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for words in _SEVERITY_WORDS)

_ONLY_SOME = re.compile(
    r"\b(?:large|big|sizable|sizeable|moderate|significant|substantial|acute|displaced|new|other|"
    r"additional|further|increas\w*|worsen\w*|tension|superimposed|recurrent|residual|enlarging|"
    r"developing)\b[^,]*$",
    re.IGNORECASE,
)
"""Before a term: only some of it is denied. "No focal consolidation" denies all that counts."""

_NORMAL_STATE = (
    r"(?:is|are|appears?|remains?)? ?(?:\w+ly )?(?:normal|unremarkable|within normal limits)"
)
_HEART = r"(?:heart|cardiac|cardiomediastinal)(?: size| silhouette)?"
_NORMAL = tuple(
    (names, re.compile(pattern, re.IGNORECASE))
    for names, pattern in (
        (
            ("cardiomegaly",),
            rf"\b{_HEART}(?: and (?:the )?mediastin\w+(?: \w+)?)? {_NORMAL_STATE}\b"
            rf"|\bnormal {_HEART}",
        ),
        (
            ("opacity", "edema", "atelectasis", "nodule"),
            r"\blungs? (?:(?:is|are|appears?|remains?) )?(?:well \w+ and )?(?:\w+ly )?clear\b"
            r"(?! of)",
        ),
        (
            ("edema",),
            rf"\bpulmonary vascul(?:arity|ature) {_NORMAL_STATE}\b",
        ),
        (
            ("pleural_effusion",),
            r"\bcostophrenic (?:angles?|sulc(?:us|i)) (?:is|are) (?:sharp|clear)\b",
        ),
        (
            ("rib_fracture",),
            rf"\b(?:bones|osseous structures|ribs) (?:are intact|{_NORMAL_STATE})\b",
        ),
    )
)


@dataclass(frozen=True)
class Statement:
    """One finding that a report says is there, or is not, at one location."""

    name: str
    """The names in vocabulary.TERMS."""
    present: bool
    sides: frozenset[str]
    """The patient's "right", "left" or both; empty where none is given or none applies."""
    zone: str | None
    """"upper", "mid" or "lower" third; None where none is given or none applies."""
    severity: str | None
    """One of SEVERITIES; None where none is given, and of what is absent."""
    start: int
    end: int
    """[start, end) characters of the words that state it."""
    implied: bool = False
    """A normal statement that denies it without naming it."""


def read_statements(text: str) -> tuple[Statement, ...]:
    """What a report states, in the order of its text."""
    asserted = [
        Statement(
            found.name,
            True,
            found.sides,
            found.zone,
            _severity(text[slice(*found.clause)]),
            found.start,
            found.end,
        )
        for found in read_findings(text)
    ]
    denied = [
        Statement(each.name, False, each.sides, each.zone, None, each.start, each.end)
        for each in read_denials(text, in_part=True)
        if not _ONLY_SOME.search(text, max(0, each.start - LONGEST_QUALIFIER), each.start)
    ]
    every = sorted((*asserted, *denied, *_implied(text)), key=lambda each: each.start)
    return tuple(every)


def _severity(clause: str) -> str | None:
    """The one that its words name; None where they name none or several."""
    named = [
        severity
        for severity, words in zip(SEVERITIES, _SEVERITY, strict=True)
        if words.search(clause)
    ]
    return named[0] if len(named) == 1 else None


def _implied(text: str) -> list[Statement]:
    return [
        Statement(name, False, frozenset(), None, None, match.start(), match.end(), implied=True)
        for start, end in sentences(text)
        for names, pattern in _NORMAL
        for match in pattern.finditer(text, start, end)
        for name in names
    ]
