"""Where the findings of a vocabulary are named in a sentence."""

import re
from dataclasses import dataclass

__all__ = ["Term", "Vocabulary", "find_terms", "mask"]

Vocabulary = tuple[tuple[str, re.Pattern[str]], ...]
"""(name, how it is written), in order of priority: an earlier one keeps what it has matched."""


@dataclass(frozen=True)
class Term:
    name: str
    start: int
    end: int


def find_terms(sentence: str, vocabulary: Vocabulary) -> list[Term]:
    """Every term, in order; where two overlap, the pattern named earlier in the vocabulary wins."""
    found: list[Term] = []
    for name, pattern in vocabulary:
        for match in pattern.finditer(sentence):
            if all(match.end() <= term.start or term.end <= match.start() for term in found):
                found.append(Term(name, match.start(), match.end()))
    return sorted(found, key=lambda term: term.start)


def mask(sentence: str, *patterns: re.Pattern[str]) -> str:
    """Blank the matches out, every other character at its place."""
    for pattern in patterns:
        sentence = pattern.sub(lambda match: "~" * len(match[0]), sentence)
    return sentence
