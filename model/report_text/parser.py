"""A report's text -> the findings it asserts or denies, by rules: negation, uncertainty, location.

The rules know how radiologists write and nothing of the author, human or model. The unit is the
sentence. Each finding named in it is present, possible, absent, or merely mentioned (asked for, or
history), and takes its side and zone from the words of location nearest to it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from model.report_text import vocabulary as terms
from model.report_text.location import Location, term_locations, term_regions
from model.report_text.status import Status, term_statuses
from model.report_text.term import Term, Vocabulary, find_terms

__all__ = ["Assertion", "Denial", "read_denials", "read_findings", "sentences"]

NOWHERE: list[Location] = [(frozenset(), None)]


@dataclass(frozen=True)
class Assertion:
    """One finding that the text reports as present or possible, at one location."""

    name: str
    """Such as "pleural_effusion": the names in vocabulary.TERMS."""
    sides: frozenset[str]
    """The patient's "right", "left" or both; empty where none is given or none applies."""
    zone: str | None
    """"upper", "mid" or "lower" third; None where none is given or none applies."""
    start: int
    end: int
    """[start, end) characters of the term: "pleural effusion", "heart is mildly enlarged"."""
    certainty: str
    """"definite" or "possible"."""
    words: tuple[tuple[int, int], ...]
    """[start, end) of the words of the term that name the finding: "heart", "enlarged"."""
    clause: tuple[int, int]
    """[start, end) of the part of its sentence that describes it."""


@dataclass(frozen=True)
class Denial:
    """One finding that the text reports as absent: "no pleural effusion"."""

    name: str
    sides: frozenset[str]
    """Where it is absent; empty where that is everywhere."""
    zone: str | None
    start: int
    end: int
    """[start, end) characters of the term."""


def read_findings(text: str, vocabulary: Vocabulary = terms.TERMS) -> tuple[Assertion, ...]:
    """What a chest report asserts, in the order of the text: findings, or what a vocabulary names.

    What is denied ("no", "without", "has resolved"), asked for ("evaluate for") or past ("history
    of") is left out; what is uncertain ("possible", "cannot be excluded", "atelectasis or
    pneumonia", "pneumonia?") is "possible". A finding at two locations ("right upper and left lower
    opacities") gives two assertions with the same words.
    """
    return tuple(
        Assertion(
            name=term.name,
            sides=sides,
            zone=zone,
            start=offset + term.start,
            end=offset + term.end,
            certainty=status.value,
            words=tuple(_naming_words(sentence, term, offset)),
            clause=(offset + region[0], offset + region[1]),
        )
        for offset, sentence, answer in _statements(text)
        for term, region, status, locations in _read_sentence(sentence, answer, vocabulary)
        if status in (Status.DEFINITE, Status.POSSIBLE)
        for sides, zone in locations or NOWHERE
    )


def read_denials(
    text: str, vocabulary: Vocabulary = terms.TERMS, in_part: bool = False
) -> tuple[Denial, ...]:
    """The findings that a chest report denies, in the order of the text.

    Fewer than what `read_findings` leaves out: a finding that is asked for, past, or denied only in
    part ("no large effusion", "no acute fracture") is not among them.

    Args:
        in_part: what is denied in part counts too.
    """
    wanted = (Status.ABSENT, Status.ABSENT_IN_PART) if in_part else (Status.ABSENT,)
    return tuple(
        Denial(term.name, sides, zone, offset + term.start, offset + term.end)
        for offset, sentence, answer in _statements(text)
        for term, _, status, locations in _read_sentence(sentence, answer, vocabulary)
        if status in wanted
        for sides, zone in locations or NOWHERE
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


def _statements(text: str) -> Iterator[tuple[int, str, Status | None]]:
    """Offset, sentence, and the answer to it where it is a question.

    The sections that ask rather than report (indication, history) are left out.
    """
    parts = [(start, text[start:end]) for start, end, silent in _cut(text) if not silent]
    for k, (start, sentence) in enumerate(parts):
        after = parts[k + 1][1] if k + 1 < len(parts) else ""
        answer = None
        if sentence.rstrip().endswith("?"):
            answer = Status.POSSIBLE
            if terms.ANSWERED_NO.match(after) and not find_terms(after, terms.TERMS):
                answer = Status.ABSENT
            elif terms.ANSWERED_YES.match(after):
                answer = Status.DEFINITE
        yield start, sentence, answer


def _cut(text: str) -> Iterator[tuple[int, int, bool]]:
    """[start, end) of what stands between headings and sentence ends; True in a silent section."""
    silent = False
    start = 0
    for match in terms.SENTENCE_ENDS.finditer(text):
        before, heading = text[start : match.start()], match["heading"]
        if terms.ITEM_NUMBER.fullmatch(before) or (match[0] == "?" and not before.strip()):
            continue  # the "1." of a list, the "?" of "? pneumonia"
        end = match.start() if heading else match.end()
        if text[start:end].strip():
            yield start, end, silent
        start = match.end()
        if heading:
            silent = terms.SILENT_SECTIONS.search(heading) is not None
    if text[start:].strip():
        yield start, len(text), silent


@lru_cache(maxsize=4096)
def _read_sentence(
    sentence: str, answer: Status | None, vocabulary: Vocabulary
) -> tuple[tuple[Term, tuple[int, int], Status, list[Location]], ...]:
    """Every term with its part of the sentence, what is said of it, and where.

    Kept: a report is read for several purposes, and reports share sentences.
    """
    found = find_terms(sentence, vocabulary)
    if not found:
        return ()
    regions = term_regions(sentence, found)
    statuses = term_statuses(sentence, found, regions)
    return tuple(
        (term, region, statuses.get(term, Status.DEFINITE) if answer is None else answer, places)
        for term, region, places in zip(
            found, regions, term_locations(sentence, found), strict=True
        )
    )


def _naming_words(sentence: str, term: Term, offset: int) -> Iterator[tuple[int, int]]:
    for word in re.finditer(r"[\w-]+", sentence[term.start : term.end]):
        if word[0].lower() not in terms.FUNCTION_WORDS:
            yield offset + term.start + word.start(), offset + term.start + word.end()
