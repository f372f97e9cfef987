"""A report's text -> the findings it asserts or denies, by rules: negation, doubt, place.

Knows how radiologists write, nothing of what wrote the text. A sentence is the unit: findings are
named, denied ones are dropped, and the words of place nearest to a finding are its own.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model.report_text import vocabulary as terms

__all__ = ["Assertion", "Denial", "Vocabulary", "read_denials", "read_findings", "sentences"]

SIDED = frozenset(
    {
        "opacity",
        "pleural_effusion",
        "pneumothorax",
        "atelectasis",
        "nodule",
        "rib_fracture",
        "central_line",
        "pacemaker",
    }
)
ZONED = frozenset({"opacity", "atelectasis", "nodule", "rib_fracture"})


@dataclass(frozen=True)
class Assertion:
    """One finding that the text says is there, at one place."""

    name: str
    """Such as "pleural_effusion": the names in reader_terms.TERMS."""
    sides: frozenset[str]
    """The patient's "right", "left" or both; empty where none is said or none applies."""
    zone: str | None
    """"upper", "mid" or "lower" third; None where none is said or none applies."""
    start: int
    end: int
    """[start, end) characters of the term: "pleural effusion", "heart is mildly enlarged"."""
    certainty: str
    """"definite" or "possible"."""
    words: tuple[tuple[int, int], ...]
    """[start, end) of the words of the term that name the finding: "heart", "enlarged"."""
    clause: tuple[int, int]
    """[start, end) of the part of its sentence that speaks of it."""


@dataclass(frozen=True)
class Denial:
    """One finding that the text plainly says is not there: "no pleural effusion"."""

    name: str
    sides: frozenset[str]
    """Where it is not; empty where that is everywhere."""
    zone: str | None
    start: int
    end: int
    """[start, end) characters of the term."""


@dataclass(frozen=True)
class _Term:
    name: str
    start: int
    end: int


_Place = tuple[frozenset[str], str | None]
NO_ZONE: list[str | None] = [None]
NOWHERE: list[_Place] = [(frozenset(), None)]


Vocabulary = Sequence[tuple[str, re.Pattern[str]]]
"""(name, how it is written), in order of priority: an earlier one keeps what it has matched."""


def read_findings(text: str, vocabulary: Vocabulary = terms.TERMS) -> tuple[Assertion, ...]:
    """What a chest report asserts, in the order of the text: findings, or what a vocabulary names.

    What is denied ("no", "without", "has resolved"), asked ("evaluate for") or past ("history of")
    is left out; what is doubted ("possible", "cannot be excluded") is asserted as "possible".
    A finding at two places ("right upper and left lower opacities") gives two assertions with the
    same words.
    """
    return tuple(
        assertion
        for start, sentence in _telling(text)
        for assertion in _read_sentence(sentence, start, vocabulary)
    )


def read_denials(
    text: str, vocabulary: Vocabulary = terms.TERMS, in_part: bool = False
) -> tuple[Denial, ...]:
    """The findings that a chest report plainly denies, in the order of the text.

    Fewer than what `read_findings` leaves out: a finding that is asked for, past, or denied only in
    part ("no large effusion", "no acute fracture") is not among them.

    Args:
        in_part: what is denied in part counts too.
    """
    return tuple(
        denial
        for start, sentence in _telling(text)
        for denial in _plain_denials(sentence, start, vocabulary, in_part)
    )


def sentences(text: str) -> list[tuple[int, int]]:
    """[start, end) of each sentence that has a word, without headings and the space around it."""
    trimmed = []
    for start, end, _ in _cut(text):
        sentence = text[start:end]
        if re.search(r"[^\W_]", sentence):
            start += len(sentence) - len(sentence.lstrip())
            trimmed.append((start, start + len(sentence.strip())))
    return trimmed


def _telling(text: str) -> Iterator[tuple[int, str]]:
    """Sentences with their offsets, without the sections that ask rather than answer."""
    for start, end, silent in _cut(text):
        if not silent:
            yield start, text[start:end]


def _cut(text: str) -> Iterator[tuple[int, int, bool]]:
    """[start, end) of what stands between headings and sentence ends; True in a silent section."""
    silent = False
    start = 0
    for match in terms.SENTENCE_ENDS.finditer(text):
        heading = match["heading"]
        end = match.start() if heading else match.end()
        if text[start:end].strip():
            yield start, end, silent
        start = match.end()
        if heading:
            silent = terms.SILENT_SECTIONS.search(heading) is not None
    if text[start:].strip():
        yield start, len(text), silent


def _read_sentence(sentence: str, offset: int, vocabulary: Vocabulary) -> Iterator[Assertion]:
    found = _find_terms(sentence, vocabulary)
    denied = _denied(_mask(sentence, terms.CHANGE_NOT_ABSENCE, terms.NOT_EXCLUDED), found)
    regions = _regions(sentence, found)
    for term, region, places in zip(found, regions, _all_places(sentence, found), strict=True):
        if term in denied:
            continue
        said = sentence[slice(*region)]
        doubt = (
            terms.DOUBT.search(said)
            or terms.NOT_EXCLUDED.search(said)
            or terms.ALTERNATIVE.match(sentence, term.end)
        )
        for sides, zone in places or NOWHERE:
            yield Assertion(
                name=term.name,
                sides=sides,
                zone=zone,
                start=offset + term.start,
                end=offset + term.end,
                certainty="possible" if doubt else "definite",
                words=tuple(_naming_words(sentence, term, offset)),
                clause=(offset + region[0], offset + region[1]),
            )


def _plain_denials(
    sentence: str, offset: int, vocabulary: Vocabulary, in_part: bool
) -> Iterator[Denial]:
    found = _find_terms(sentence, vocabulary)
    for trigger in terms.PLAIN_DENIAL.finditer(_mask(sentence, terms.CHANGE_NOT_ABSENCE)):
        end = _reach(sentence, trigger.end())
        for term, places in zip(found, _all_places(sentence, found), strict=True):
            between = sentence[trigger.end() : term.start]
            if not trigger.end() <= term.start < end:
                continue
            if not in_part and terms.IN_PART.search(between):
                continue
            for sides, zone in places or NOWHERE:
                yield Denial(term.name, sides, zone, offset + term.start, offset + term.end)


def _find_terms(sentence: str, vocabulary: Vocabulary) -> list[_Term]:
    """Every term, in order; where two overlap, the pattern named earlier in the vocabulary wins."""
    found: list[_Term] = []
    for name, pattern in vocabulary:
        for match in pattern.finditer(sentence):
            if all(match.end() <= term.start or term.end <= match.start() for term in found):
                found.append(_Term(name, match.start(), match.end()))
    return sorted(found, key=lambda term: term.start)


def _mask(sentence: str, *patterns: re.Pattern[str]) -> str:
    """Blank the matches out, every other character at its place."""
    for pattern in patterns:
        sentence = pattern.sub(lambda match: "~" * len(match[0]), sentence)
    return sentence


def _naming_words(sentence: str, term: _Term, offset: int) -> Iterator[tuple[int, int]]:
    for word in re.finditer(r"[\w-]+", sentence[term.start : term.end]):
        if word[0].lower() not in terms.FUNCTION_WORDS:
            yield offset + term.start + word.start(), offset + term.start + word.end()


def _denied(sentence: str, found: list[_Term]) -> set[_Term]:
    """The terms that the sentence says are not there."""
    denied = set()
    for trigger in terms.NEGATION_BEFORE.finditer(sentence):
        end = _reach(sentence, trigger.end())
        denied |= {term for term in found if trigger.end() <= term.start < end}
    for trigger in terms.NEGATION_AFTER.finditer(sentence):
        denied |= _denied_before(sentence, trigger, found)
    # "The heart is not enlarged" holds its own negation.
    return denied | {t for t in found if terms.NEGATION_INSIDE.search(sentence, t.start, t.end)}


def _reach(sentence: str, start: int) -> int:
    """Where a "no" that ends at `start` stops denying."""
    always, outside_lists = terms.NEGATION_ENDS
    stop = always.search(sentence, start)
    end = stop.start() if stop else len(sentence)
    for stop in outside_lists.finditer(sentence, start, end):
        if not re.search(r"\b(?:or|nor)\b|/", sentence[stop.end() : end]):
            return stop.start()
    return end


def _denied_before(sentence: str, trigger: re.Match[str], found: list[_Term]) -> set[_Term]:
    """The last term before "is not seen", and those listed with it."""
    denied: set[_Term] = set()
    several = re.match(r"(?:are|have|were)\b", trigger[0], re.IGNORECASE)
    following = trigger.start()
    for term in reversed([term for term in found if term.end <= trigger.start()]):
        between = sentence[term.end : following]
        joined = re.fullmatch(r"\s*(?:,|,?\s*\b(?P<link>or|and|nor)\b)?[\w\s-]*", between)
        if not joined or re.search(r"\b(?:is|are|has|have|there|with|but)\b", between):
            break
        if denied and joined["link"] == "and" and not several:
            break
        denied.add(term)
        following = term.start
    return denied


def _regions(sentence: str, found: list[_Term]) -> list[tuple[int, int]]:
    """For every term the [start, end) of the sentence whose words of place are its own."""
    borders = [0]
    for before, after in itertools.pairwise(found):
        borders.append(_border(sentence, before.end, after.start))
    borders.append(len(sentence))
    return list(itertools.pairwise(borders))[: len(found)]


def _border(sentence: str, start: int, end: int) -> int:
    """Where one finding's words stop and the next one's begin, between the two terms."""
    explained = terms.EXPLANATION.search(sentence, start, end)
    if explained:
        return explained.start()
    between = sentence[start:end]
    delimiters = [m.start() for m in terms.DELIMITERS.finditer(between)]
    return start + delimiters[-1] if delimiters else start


def _all_places(sentence: str, found: list[_Term]) -> list[list[_Place]]:
    """For every term the places it is said to be at.

    Of two terms of which one explains the other ("opacity in the left base, likely atelectasis"),
    the one without a place is where the other is.
    """
    regions = _regions(sentence, found)
    own = [
        _places(_mask(sentence[start:end], terms.NOT_A_PLACE), term.name)
        for term, (start, end) in zip(found, regions, strict=True)
    ]
    places = list(own)
    for k in range(1, len(found)):
        if _explains(sentence, found[k - 1], found[k]):
            if not own[k]:
                places[k] = _for_name(places[k - 1], found[k].name)
            elif not own[k - 1]:
                places[k - 1] = _for_name(own[k], found[k - 1].name)
    return places


def _explains(sentence: str, before: _Term, after: _Term) -> bool:
    link = terms.EXPLANATION.search(sentence, before.end, after.start)
    return link is not None and not sentence[: link.start()].endswith("and ")


def _places(region: str, name: str) -> list[_Place]:
    """The places that a region names: "right upper and left lower" are two."""
    groups: list[tuple[set[str], list[str | None]]] = [(set(), [])]
    after_side = False
    for match in terms.PLACES.finditer(region):
        sides, zone = _meaning(match[0])
        said_sides = groups[-1][0]
        if sides:
            # "right and left lower" is one place on both sides, "right upper and left lower" two.
            apart = len(said_sides) == 2 or (said_sides and not after_side)
            if apart:
                groups.append((set(), []))
            groups[-1][0].update(sides)
        if zone and zone not in groups[-1][1]:
            groups[-1][1].append(zone)
        after_side = bool(sides) and not zone
    everywhere: list[_Place] = [
        (frozenset(sides), zone) for sides, zones in groups for zone in zones or NO_ZONE
    ]
    return _for_name(everywhere, name)


def _meaning(word: str) -> tuple[frozenset[str], str | None]:
    """The sides and the zone that one word of place says: "bibasilar" says both."""
    sides = [sides for pattern, sides in terms.SIDES if pattern.match(word)]
    zones = [zone for pattern, zone in terms.ZONES if pattern.fullmatch(word)]
    return (sides[0] if sides else frozenset()), (zones[0] if zones else None)


def _for_name(places: list[_Place], name: str) -> list[_Place]:
    """What of the places applies to a finding: a pneumothorax has sides, edema has none."""
    if name not in SIDED:
        return []
    sides = frozenset[str]().union(*(sides for sides, _ in places))
    if name not in ZONED:
        return [(sides, None)] if sides else []
    # "bilateral opacities, in the right upper and left lower zones": the zones say it all.
    zoned = [place for place in places if place[1]]
    covered = frozenset[str]().union(*(sides for sides, _ in zoned))
    return zoned + [place for place in places if not place[1] and place[0] - covered]
