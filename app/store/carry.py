"""A draft carried over to a text that a reader has edited.

What is unchanged keeps its words, probabilities and maps; every other word is the reader's. A
finding or a flag is kept only where its whole sentence is: "no" before "effusion" makes it another.
"""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal, TypeVar

from app.api.schemas import (
    FindingAnswer,
    FlagAnswer,
    ReportAnswer,
    SectionAnswer,
    SpanAnswer,
    WordAnswer,
)
from app.store.records import Finding
from model.report import sections
from model.report_text.parser import read_findings

__all__ = ["Carried", "Change", "carry", "compared", "current_findings"]

Change = Literal["same", "removed", "added"]

TOKEN = re.compile(r"\w+|[^\w\s]")

SpanOf = TypeVar("SpanOf", WordAnswer, FlagAnswer, SpanAnswer, FindingAnswer)


@dataclass(frozen=True)
class Carried:
    report: ReportAnswer
    """The draft with the edited text; its words are those that are unchanged."""
    by_reader: tuple[tuple[int, int], ...]
    """[start, end) of what the reader wrote, in the edited text."""
    kept: tuple[int, ...]
    """Places in the draft's words of those that are unchanged, in the order of `report.words`."""


def carry(draft: ReportAnswer, text: str) -> Carried:
    """The draft's words and what hangs on them, where they are in an edited text."""
    moved, by_reader = _aligned(draft.text, text)

    def target(span: WordAnswer | SpanAnswer | FlagAnswer) -> tuple[int, int] | None:
        return _target(moved, draft.text, text, (span.start, span.end))

    kept = {index: word for index, word in enumerate(draft.words) if target(word)}
    places = {index: place for place, index in enumerate(kept)}
    whole = {
        (sentence.start, sentence.end)
        for sentence in draft.sentences
        if target(sentence) and all(word in places for word in sentence.words)
    }

    def stands(span: FlagAnswer | SpanAnswer) -> bool:
        """Whether all sentences that a span touches are unchanged."""
        touched = [s for s in draft.sentences if s.start < span.end and s.end > span.start]
        return bool(touched) and all((s.start, s.end) in whole for s in touched)

    def carried(span: SpanOf) -> SpanOf:
        start, end = target(span) or (0, 0)
        changes: dict[str, object] = {"start": start, "end": end}
        if (words := getattr(span, "words", None)) is not None:
            changes["words"] = [places[word] for word in words]
        return span.model_copy(update=changes)

    report = draft.model_copy(
        update={
            "text": text,
            "sections": [
                SectionAnswer(name=s.name, text=s.text, start=s.start, end=s.end)
                for s in sections(text)
            ],
            "words": [carried(word) for word in kept.values()],
            "sentences": [carried(s) for s in draft.sentences if (s.start, s.end) in whole],
            "findings": [carried(finding) for finding in draft.findings if stands(finding)],
            "review": [carried(flag) for flag in draft.review if stands(flag)],
        }
    )
    return Carried(report, tuple(by_reader), tuple(kept))


def current_findings(draft: ReportAnswer, text: str) -> tuple[Finding, ...]:
    """What a text asserts, each with the draft's probability where the draft asserts it too.

    What findings and impression both name is one.
    """
    known = {f.name: f.presence_probability for f in draft.findings}
    if text == draft.text:
        named = [
            Finding(f.name, tuple(f.sides), f.zone, f.certainty, f.presence_probability)
            for f in draft.findings
        ]
    else:
        named = [
            Finding(f.name, tuple(sorted(f.sides)), f.zone, f.certainty, known.get(f.name))
            for f in read_findings(text)
        ]
    return tuple(dict.fromkeys(named))


def compared(before: str, after: str) -> list[tuple[Change, str]]:
    """Two texts word by word: what stayed, what is gone and what is new, in their order."""
    old, new = (re.findall(r"\s*\S+", text) for text in (before, after))
    matcher = SequenceMatcher(
        None, [w.strip() for w in old], [w.strip() for w in new], autojunk=False
    )
    runs: list[tuple[Change, str]] = []
    for what, i0, i1, j0, j1 in matcher.get_opcodes():
        if what == "equal":
            runs.append(("same", "".join(new[j0:j1])))
            continue
        if i1 > i0:
            runs.append(("removed", "".join(old[i0:i1])))
        if j1 > j0:
            runs.append(("added", "".join(new[j0:j1])))
    return runs


def _aligned(old: str, new: str) -> tuple[dict[int, int], list[tuple[int, int]]]:
    """Where every character of an unchanged token went, and what is new."""
    before, after = list(TOKEN.finditer(old)), list(TOKEN.finditer(new))
    matcher = SequenceMatcher(None, [m[0] for m in before], [m[0] for m in after], autojunk=False)
    moved: dict[int, int] = {}
    fresh: list[tuple[int, int]] = []
    for what, i0, i1, j0, j1 in matcher.get_opcodes():
        if what == "equal":
            for one, other in zip(before[i0:i1], after[j0:j1], strict=True):
                for offset in range(len(one[0])):
                    moved[one.start() + offset] = other.start() + offset
        elif j1 > j0:
            fresh.append((after[j0].start(), after[j1 - 1].end()))
    return moved, fresh


def _target(
    moved: dict[int, int], old: str, new: str, span: tuple[int, int]
) -> tuple[int, int] | None:
    """[start, end) of an unchanged span in the new text; None where it is changed."""
    inked = [at for at in range(*span) if not old[at].isspace()]
    if not inked or not all(at in moved for at in inked):
        return None
    start, end = moved[inked[0]], moved[inked[-1]] + 1
    return (start, end) if new[start:end].split() == old[slice(*span)].split() else None
