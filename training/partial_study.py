"""A study with some of its images only, and what its report may still say.

A report is written with all images at hand. Where one is left out, what only that one shows cannot
be seen: its sentences are removed, or the model would learn to invent them.
"""

from collections.abc import Sequence
from dataclasses import replace

from data_prep.manifest import Phrase, Study
from model.report_text import vocabulary as terms
from model.report_text.parser import read_findings, sentences

__all__ = ["with_images"]

HEADING = "Impression:"
EMPTY = f"Findings: {HEADING}"


def with_images(study: Study, kept: Sequence[bool]) -> Study:
    """The study with some of its images only.

    Left out are the findings on the other images; sentences with a phrase that speaks of none
    but those; and, where no prior is kept, sentences that compare with one, unless they assert a
    finding that no other sentence does. A report of which nothing would be left stays whole.

    Args:
        kept: for each image of the study, whether it is given.
    """
    numbers = {old: new for new, old in enumerate(k for k, keep in enumerate(kept) if keep)}
    images = tuple(study.images[old] for old in numbers)
    places = {
        old: new
        for new, old in enumerate(
            j for j, finding in enumerate(study.findings) if finding.image in numbers
        )
    }
    findings = tuple(
        replace(study.findings[old], image=numbers[study.findings[old].image]) for old in places
    )
    phrases = [
        replace(phrase, findings=tuple(places[j] for j in phrase.findings if j in places))
        for phrase in study.phrases
    ]
    every = sentences(study.report)
    unseen = {
        (start, end)
        for start, end in every
        if any(start <= phrase.start < end and not phrase.findings for phrase in phrases)
    }
    if not any(image.prior for image in images):
        unseen |= _comparisons(study.report, [span for span in every if span not in unseen])
    if len(unseen) == len(every):
        unseen = set()  # a report of nothing teaches to write nothing
    report, phrases = _without(study.report, phrases, sorted(unseen))
    return replace(study, images=images, findings=findings, phrases=tuple(phrases), report=report)


def _comparisons(text: str, there: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """Sentences that compare with an earlier study and assert nothing that no other one does.

    Args:
        there: [start, end) of the sentences that are kept, in order.
    """
    if not terms.PRIOR.search(text):
        return set()
    stated = {
        span: {
            (f.name, f.sides, f.zone) for f in read_findings(text) if span[0] <= f.start < span[1]
        }
        for span in there
    }
    cut: set[tuple[int, int]] = set()
    for span in there:
        if terms.PRIOR.search(text, *span):
            # Of two that say the same, and both compare, one stays.
            rest = set().union(*(stated[s] for s in there if s != span and s not in cut))
            if stated[span] <= rest:
                cut.add(span)
    return cut


def _without(
    text: str, phrases: Sequence[Phrase], cuts: Sequence[tuple[int, int]]
) -> tuple[str, list[Phrase]]:
    """Text and phrases without the [start, end) of `cuts`, which are in order."""
    pieces: list[str] = []
    moved: list[Phrase] = []
    begin = 0
    left = [phrase for phrase in phrases if phrase.findings]
    for start, end in (*cuts, (len(text), len(text))):
        shift = begin - sum(map(len, pieces))
        pieces.append(text[begin:start])
        moved += [
            replace(phrase, start=phrase.start - shift, end=phrase.end - shift)
            for phrase in left
            if begin <= phrase.start < start
        ]
        begin = end + len(text[end:]) - len(text[end:].lstrip())
    cut = "".join(pieces).rstrip().removesuffix(HEADING).rstrip()
    if cut.startswith(EMPTY):
        # No finding is left that the impression would not say.
        gone = len(EMPTY) - len(HEADING)
        moved = [replace(p, start=p.start - gone, end=p.end - gone) for p in moved]
        cut = cut[gone:]
    return cut, moved
