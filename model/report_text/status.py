"""What a sentence says of each finding it names: present, possible, absent, or only mentioned."""

import itertools
import re
from collections.abc import Sequence
from enum import Enum

from model.report_text import vocabulary as terms
from model.report_text.term import Term, mask

__all__ = ["Status", "term_statuses"]


class Status(Enum):
    """What a sentence says of a term."""

    DEFINITE = "definite"
    POSSIBLE = "possible"
    ABSENT = "absent"
    ABSENT_IN_PART = "only one kind of it is absent: no large effusion"
    MENTIONED = "asked for, or history"


def term_statuses(
    sentence: str, found: Sequence[Term], regions: Sequence[tuple[int, int]]
) -> dict[Term, Status]:
    """The status of each term; one that is plainly asserted is left out.

    Args:
        found: the terms of the sentence, in order.
        regions: of each term the [start, end) of the sentence that describes it.
    """
    statuses = _negations(mask(sentence, terms.CHANGE_NOT_ABSENCE, terms.NOT_EXCLUDED), found)
    for term, region in zip(found, regions, strict=True):
        excluded = terms.NOT_EXCLUDED.search(sentence, *region)
        if excluded or (term not in statuses and _is_doubted(sentence, term, region)):
            statuses[term] = Status.POSSIBLE
    _spread_doubt(sentence, found, statuses)
    return statuses


def _negations(sentence: str, found: Sequence[Term]) -> dict[Term, Status]:
    """The terms that the sentence reports as absent, or only mentions."""
    negated: dict[Term, Status] = {}
    for trigger in terms.DENIAL_AFTER.finditer(sentence):
        for term in _denied_before(sentence, trigger, found):
            negated[term] = Status.ABSENT
    for trigger in terms.DENIAL_BEFORE.finditer(sentence):
        for term in _within_reach(sentence, trigger.end(), found):
            between = sentence[trigger.end() : term.start]
            if terms.IN_PART.search(between):
                negated.setdefault(term, Status.ABSENT_IN_PART)
            else:
                negated[term] = Status.ABSENT
    for term in found:  # "The heart is not enlarged" holds its own negation.
        if terms.NEGATION_INSIDE.search(sentence, term.start, term.end):
            negated[term] = Status.ABSENT
    for trigger in terms.SILENCE_BEFORE.finditer(sentence):
        for term in _within_reach(sentence, trigger.end(), found):
            negated[term] = Status.MENTIONED
    return negated


def _is_doubted(sentence: str, term: Term, region: tuple[int, int]) -> bool:
    onward = terms.POINTS_ONWARD.search(sentence, term.end, region[1])
    end = onward.start() if onward else region[1]
    return bool(
        terms.DOUBT.search(sentence, region[0], end) or terms.ALTERNATIVE.match(sentence, term.end)
    )


def _spread_doubt(sentence: str, found: Sequence[Term], statuses: dict[Term, Status]) -> None:
    """Of findings joined by "or" each is possible: "may represent edema, atelectasis or pneumonia".

    So is what a list or an adjoining "and" adds to a possible one.
    """
    pairs = list(itertools.pairwise(found))
    links = [sentence[before.end : after.start] for before, after in pairs]
    either = [
        bool(terms.EITHER.fullmatch(link)) and not terms.NEW_STATEMENT.search(link)
        for link in links
    ]
    for k, (before, after) in enumerate(pairs):
        states = {statuses.get(before), statuses.get(after)}
        if not states <= {None, Status.POSSIBLE}:
            continue
        listed = terms.LISTED.fullmatch(links[k]) and not terms.NEW_STATEMENT.search(links[k])
        closes = any(either[k + 1 :]) or "," not in links[k]
        if either[k]:
            statuses[after] = Status.POSSIBLE
            # "Airspace disease, worrisome for aspiration or pneumonia": the list starts in between.
            if not terms.POINTS_ONWARD.search(links[k]):
                statuses[before] = Status.POSSIBLE
        elif listed and closes and statuses.get(before) is Status.POSSIBLE:
            statuses[after] = Status.POSSIBLE


def _within_reach(sentence: str, start: int, found: Sequence[Term]) -> list[Term]:
    end = _reach(sentence, start)
    return [term for term in found if start <= term.start < end]


def _reach(sentence: str, start: int) -> int:
    """Where a "no" that ends at `start` stops denying."""
    always, outside_lists = terms.NEGATION_ENDS
    stop = always.search(sentence, start)
    end = stop.start() if stop else len(sentence)
    for stop in outside_lists.finditer(sentence, start, end):
        if not re.search(r"\b(?:or|nor)\b|/", sentence[stop.end() : end]):
            return stop.start()
    return end


def _denied_before(sentence: str, trigger: re.Match[str], found: Sequence[Term]) -> set[Term]:
    """The last term before "is not seen", and those listed with it."""
    denied: set[Term] = set()
    several = re.match(r"(?:are|have|were)\b|\W", trigger[0], re.IGNORECASE)
    following = trigger.start()
    for term in reversed([term for term in found if term.end <= trigger.start()]):
        between = sentence[term.end : following]
        # "was suspected but is not seen": a second predicate of the same subject.
        shared = not denied and re.search(r"(?:\b(?:but|and|which|that)|,)\s*$", between)
        joined = re.fullmatch(r"\s*(?:,|/|,?\s*\b(?P<link>or|and|nor)\b)?[\w\s-]*", between)
        if re.search(r"\b(?:there|with)\b", between):
            break
        if not shared:
            if not joined or terms.EVENT_BETWEEN.search(between):
                break
            if denied and joined["link"] == "and" and not several:
                break
        if terms.PART_OF.search(sentence, 0, term.start):
            break
        denied.add(term)
        following = term.start
    return denied
