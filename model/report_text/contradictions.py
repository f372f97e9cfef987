"""Statements of one report that cannot both be true.

Compared are what is asserted without doubt and what is denied or called normal, anywhere in the
report; and the size and side of a finding, between the findings and the impression.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model.report_text.parser import Assertion, Denial, read_denials, read_findings

__all__ = ["Contradiction", "contradictions"]

_IMPRESSION = re.compile(r"\b(?:impression|conclusion)s?\s*:", re.IGNORECASE)
_SIZES = (
    re.compile(r"\b(?:tiny|trace|minimal(?:ly)?|slight(?:ly)?|small|mild(?:ly)?)\b", re.IGNORECASE),
    re.compile(r"\bmoderate(?:ly)?\b", re.IGNORECASE),
    re.compile(r"\b(?:large|massive|marked(?:ly)?|severe(?:ly)?)\b", re.IGNORECASE),
)
_AIRSPACE = frozenset({"consolidation", "opacity", "infiltrate", "disease", "process", "pneumonia"})
"""Last words of what "no focal consolidation" denies."""
_OTHER_OPACITY = re.compile(
    r"\b(?:linear|streaky|bandlike|band-like|strandy|plate-?like|atelecta\w+|scar\w*|interstitial|"
    r"reticul\w+|nodular|calcifi\w+|chronic|granulom\w+|fibro\w+|pleural|vascular|edema|overl\w+|"
    r"old|shadow\w*|bibasilar|bases|effusion\w*|mass|nodule)\b",
    re.IGNORECASE,
)
"""What radiologists call an opacity and no consolidation."""


_MINOR = re.compile(
    r"\b(?:linear|streaky|band-?like|strandy|plate-?like|atelecta\w+|scar\w*|calcifi\w+|granulom\w+|"
    r"fibro\w+|overl\w+|shadow\w*|nipple|interstitial|emphysem\w+|crowding|soft tissues?|fat|"
    r"artifact\w*|hernia|nodular|chronic|old)\b",
    re.IGNORECASE,
)
"""Opacities and nodules that do not keep radiologists from calling lungs clear."""
_LASTING = re.compile(
    r"\b(?:stable|unchanged|persist\w*|similar|chronic|old|remote|heal(?:ed|ing)|"
    r"age-indeterminate)\b",
    re.IGNORECASE,
)
"""What radiologists do not count as acute."""
_WHOLE = r"(?<!upper )(?<!lower )(?<!remaining )(?<!otherwise )"
_REST = re.compile(
    r"\b(?:other\w*|aside|apart|except\w*|besides|addition\w*|further|superimposed|new|change)\b",
    re.IGNORECASE,
)
"""In the sentence of a normal summary: it is about what the report has not named."""
_ELSEWHERE = re.compile(
    r"\b(?:bon[ey]s?|osseous|skelet\w+|spin\w+|rib\w*|soft tissues?|mediastin\w+|abdom\w+|heart|"
    r"cardiac silhouette|diaphragm\w*)\b",
    re.IGNORECASE,
)
"""In its sentence: it is about a part without lungs and pleura."""
_ACUTE = r"(?:acute|active)(?:(?:/| or )(?:acute|active))?"
_BODY = (
    r"(?: (?:radiographic|cardio\w+|cardiac|pulmonary|intrathoracic|thoracic|chest|lung|pleural|"
    r"preoperative|disease),?| or| and)*"
)


@dataclass(frozen=True)
class _Normal:
    """What calls the chest or a part of it normal."""

    words: re.Pattern[str]
    excludes: frozenset[str]
    """Findings that it then cannot have."""
    is_acute: bool = False
    """Only of acute findings."""
    voids: re.Pattern[str] = _REST
    """In its own sentence: it does not say this of the whole chest."""

    def stated(self, text: str) -> Iterator[re.Match[str]]:
        for match in self.words.finditer(text):
            if not self.voids.search(_sentence_of(text, *match.span())):
                yield match

    def is_denial_of(self, text: str, found: Assertion) -> bool:
        sentence = _sentence_of(text, found.start, found.end)
        return (
            found.name in self.excludes
            and not (self.is_acute and _LASTING.search(sentence))
            and not (found.name in ("opacity", "nodule") and _MINOR.search(sentence))
        )


def _normal(
    words: str, excludes: str, is_acute: bool = False, voids: re.Pattern[str] = _REST
) -> _Normal:
    compiled = re.compile(words, re.IGNORECASE)
    return _Normal(compiled, frozenset(excludes.split()), is_acute, voids)


_NORMAL = (
    _normal(
        r"\b(?:heart|cardiac)(?: size| silhouette)?(?: (?:is|remains|appears))?"
        r"(?: (?:within|stable|grossly|at))* normal\b(?! limits?,? upper)|"
        r"\bnormal (?:heart|cardiac) (?:size|silhouette)\b|\bheart size is (?:\w+ )?normal\b",
        "cardiomegaly",
    ),
    _normal(
        rf"\b{_WHOLE}lungs (?:are|remain|appear) (?:well (?:\w+ )?and )?clear\b(?! of)|"
        rf"\b{_WHOLE}clear lungs\b",
        "opacity edema nodule",
    ),
    _normal(
        rf"\b(?:no|without|negative for)(?: (?:\w+ )?(?:evidence|signs?) (?:of|for))?"
        rf"(?: (?:definite|visible|convincing|radiographic))? {_ACUTE}{_BODY}"
        r" (?:abnormalit(?:y|ies)|disease|process(?:es)?|findings?|pathology)\b",
        "opacity edema pneumothorax pleural_effusion",
        is_acute=True,
        voids=re.compile(f"{_REST.pattern}|{_ELSEWHERE.pattern}", re.IGNORECASE),
    ),
    _normal(
        rf"\bno (?:evidence of )?{_ACUTE} (?:osseous|bony|skeletal|rib) "
        r"(?:abnormalit(?:y|ies)|findings?|pathology|injury)\b",
        "rib_fracture",
        is_acute=True,
    ),
    _normal(
        r"\b(?:normal|unremarkable|negative) (?:\w+ )?"
        r"(?:chest\b(?! wall| tube)(?: (?:x-?rays?|radiographs?|films?|exam\w*|study)\b)?|"
        r"(?:exam(?:ination)?|study|radiographs?)\b)|"
        r"\bchest (?:is|appears) (?:normal|unremarkable)\b",
        "opacity edema pneumothorax pleural_effusion cardiomegaly nodule rib_fracture",
    ),
)


@dataclass(frozen=True)
class Contradiction:
    """Where the second of two statements stands, and what is wrong with it."""

    message: str
    start: int
    end: int


def contradictions(text: str) -> tuple[Contradiction, ...]:
    """The contradictions of a report, at most one for each statement, in the order of the text."""
    asserted = [found for found in read_findings(text) if found.certainty == "definite"]
    found: dict[int, Contradiction] = {}
    for each in (
        *_denied(text, asserted),
        *_called_normal(text, asserted),
        *_between_sections(text, asserted),
    ):
        found.setdefault(each.start, each)
    return tuple(sorted(found.values(), key=lambda each: each.start))


def _denied(text: str, asserted: Sequence[Assertion]) -> Iterator[Contradiction]:
    plain = set(read_denials(text))
    for denial in read_denials(text, in_part=True):
        for found in asserted:
            same = denial in plain and _is_same(text, found, denial)
            if same or _is_airspace(text, found, denial):
                clause = text[slice(*found.clause)].strip(" ,.;")
                yield Contradiction(
                    f"{text[denial.start : denial.end]!r} is denied here and asserted elsewhere: "
                    f"{clause!r}.",
                    denial.start,
                    denial.end,
                )


def _called_normal(text: str, asserted: Sequence[Assertion]) -> Iterator[Contradiction]:
    """Clear lungs with an opacity, an enlarged heart of normal size, "no acute disease"."""
    for normal in _NORMAL:
        for match in normal.stated(text):
            sentence = _sentence_of(text, *match.span())
            for found in asserted:
                clause = text[slice(*found.clause)].strip(" ,.;")
                if normal.is_denial_of(text, found) and clause not in sentence:
                    yield Contradiction(
                        f"{match[0]!r} is stated here, and elsewhere: {clause!r}.", *match.span()
                    )
                    break


def _is_same(text: str, found: Assertion, denial: Denial) -> bool:
    """Whether one word for a finding is asserted where it is denied."""
    return (
        found.name == denial.name
        and (not denial.sides or bool(denial.sides & found.sides))
        and denial.zone in (None, found.zone)
        # Infiltrates are opacities, but not every opacity is an infiltrate.
        and _head(text[found.start : found.end]) == _head(text[denial.start : denial.end])
    )


def _is_airspace(text: str, found: Assertion, denial: Denial) -> bool:
    """Whether "no focal consolidation" is said beside an opacity that is nothing else."""
    before = text[max(0, denial.start - 60) : denial.start]
    return (
        found.name == denial.name == "opacity"
        and not denial.sides
        and denial.zone is None
        and _head(text[found.start : found.end]) in _AIRSPACE
        and _head(text[denial.start : denial.end]) in _AIRSPACE
        and re.search(r"\b(?:new|acute|other|additional|further|large)\b", before) is None
        and _OTHER_OPACITY.search(_sentence_of(text, found.start, found.end)) is None
    )


def _between_sections(text: str, asserted: Sequence[Assertion]) -> Iterator[Contradiction]:
    """Size and side of a finding, in the findings and in the impression."""
    heading = _IMPRESSION.search(text)
    if heading is None:
        return
    before = [found for found in asserted if found.end <= heading.start()]
    after = [found for found in asserted if found.start >= heading.end()]
    for last in after:
        same = [found for found in before if found.name == last.name]
        first_sides = frozenset[str]().union(*(found.sides for found in same))
        if last.sides and first_sides and not last.sides & first_sides:
            yield Contradiction(
                f"{text[last.start : last.end]!r} is on the {_listed(last.sides)} here and on the "
                f"{_listed(first_sides)} in the findings.",
                last.start,
                last.end,
            )
            continue
        sizes = _sizes(text, last)
        facing = [found for found in same if not (last.sides and found.sides - last.sides)]
        first_sizes = frozenset[int]().union(*(_sizes(text, found) for found in facing))
        if sizes and first_sizes and not sizes & first_sizes:
            clause = text[slice(*facing[0].clause)].strip(" ,.;")
            yield Contradiction(
                f"{text[last.start : last.end]!r} has another size or severity here than in the "
                f"findings: {clause!r}.",
                last.start,
                last.end,
            )


def _sizes(text: str, found: Assertion) -> frozenset[int]:
    clause = text[slice(*found.clause)]
    return frozenset(number for number, words in enumerate(_SIZES) if words.search(clause))


def _listed(sides: frozenset[str]) -> str:
    return " and ".join(sorted(sides))


def _sentence_of(text: str, start: int, end: int) -> str:
    """The sentence around [start, end)."""
    first = max(text.rfind(mark, 0, start) for mark in ".:\n")
    last = min((stop for mark in ".\n" if (stop := text.find(mark, end)) >= 0), default=len(text))
    return text[first + 1 : last]


def _head(term: str) -> str:
    """The last word, in the singular: "pleural effusions" -> "effusion"."""
    last = re.findall(r"\w+", term.lower())[-1]
    return re.sub(r"ies$", "y", last).removesuffix("s")
