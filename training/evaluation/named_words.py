"""The words of a written report that name a finding which is there, and what they can mean."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from data_prep.manifest import Finding, Study
from model.heatmap import Word
from model.report_text.parser import read_findings

__all__ = ["NamedWord", "named_words"]


@dataclass(frozen=True)
class NamedWord:
    name: str
    """One of FINDINGS, which the study has."""
    word: int
    """Position among the report's words."""
    sides: frozenset[str]
    """What the report says of it: "right", "left", both, or nothing."""
    meant: tuple[Finding, ...]
    """The findings of that name on the reported sides; none where the reported side is wrong."""


def named_words(study: Study, text: str, words: Sequence[Word]) -> Iterator[NamedWord]:
    """Read a report by rules, and find those of its words that name true findings.

    Where a word was reported on one side, only that side's findings are meant.
    """
    sides_of: dict[tuple[str, int], set[str]] = {}
    there = {finding.name for finding in study.findings}
    for assertion in read_findings(text):
        if assertion.name not in there:
            continue
        for index, word in enumerate(words):
            if any(word.start < end and start < word.end for start, end in assertion.words):
                sides_of.setdefault((assertion.name, index), set()).update(assertion.sides)
    for (name, index), sides in sides_of.items():
        of_name = [finding for finding in study.findings if finding.name == name]
        meant = tuple(f for f in of_name if not sides or f.side is None or f.side in sides)
        yield NamedWord(name, index, frozenset(sides), meant)
