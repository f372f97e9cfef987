"""What a careful reader would check first: where a report and what it looked at do not agree.

Each check is a rule over the finished report; each flag says what was measured. Nothing here
changes the report.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from model.findings import NamedFinding
from model.heatmap import Word
from model.report_text import vocabulary as terms
from model.report_text.parser import Denial, read_denials

__all__ = ["LEAST_EVIDENCE", "LEAST_SHARE", "Code", "Flag", "review"]

Code = Literal["side", "prior", "evidence", "contradiction", "cut"]

LEAST_SHARE = 1 / 3
"""Of a finding's attention on the images, so much must lie on the side that is said. Half would
alarm at what ends at the midline, as central lines do."""
LEAST_EVIDENCE = 1.0
"""Nats that the images must add to the clause that asserts a finding: less than e times as likely
with them, it is what the text alone suggests."""


@dataclass(frozen=True)
class Flag:
    """One thing to check, at [start, end) of the report's text."""

    code: Code
    """"side": said of one side, looked at on the other. "prior": compared with an earlier image
    where none was given. "evidence": asserted without support from the images. "contradiction":
    asserted and denied. "cut": the text ends at the longest length."""
    message: str
    """One sentence with what was measured."""
    start: int
    end: int


def review(
    text: str,
    told: Sequence[Word],
    findings: Sequence[NamedFinding],
    views: Sequence[str | None],
    priors: Sequence[bool],
    ended: bool,
) -> tuple[Flag, ...]:
    """What to check in a report, in the order of its text.

    Args:
        told: the text's words.
        findings: what it asserts.
        views: per image, "PA", "AP", "LATERAL" or None. On a lateral view no side can be checked.
        priors: per image, True where it is of an earlier study.
        ended: the text ended by itself.
    """
    flags = [
        *_wrong_sides(findings, views),
        *([] if any(priors) else _comparisons(text)),
        *_unsupported(findings),
        *_contradictions(text, findings),
    ]
    if not ended:
        flags.append(_cut(text, told))
    return tuple(sorted(flags, key=lambda flag: (flag.start, flag.end)))


def _wrong_sides(findings: Sequence[NamedFinding], views: Sequence[str | None]) -> Iterator[Flag]:
    said: dict[tuple[int, int], set[str]] = {}
    for finding in findings:
        said.setdefault((finding.start, finding.end), set()).update(finding.sides)
    for finding in {(f.start, f.end): f for f in findings}.values():
        sides = said[finding.start, finding.end]
        if len(sides) != 1 or finding.state != "grounded":
            continue
        (side,) = sides
        share = _share_on(finding.heatmap, views, side)
        if share is not None and share < LEAST_SHARE:
            other = "left" if side == "right" else "right"
            yield Flag(
                "side",
                f"The report says {side}, but {1 - share:.0%} of what {finding.text!r} looked at "
                f"lies on the patient's {other}: check the side.",
                finding.start,
                finding.end,
            )


def _share_on(heatmap: np.ndarray, views: Sequence[str | None], side: str) -> float | None:
    """Of the attention on the frontal images, the share on one half; None where there is none.

    The image lies in the middle of the map, and the patient's right on its left.
    """
    frontal = heatmap[[view != "LATERAL" for view in views]]
    columns = frontal.sum(axis=(0, 1))
    if columns.sum() <= 0:
        return None
    # Of an odd number of columns, the middle one belongs to both halves.
    rightness = (np.sign(len(columns) - 1 - 2 * np.arange(len(columns))) + 1) / 2
    right = float(columns @ rightness / columns.sum())
    return right if side == "right" else 1 - right


def _comparisons(text: str) -> Iterator[Flag]:
    """One flag for each run of words, of a report that was given no earlier image."""
    for match in terms.PRIOR.finditer(text):
        yield Flag(
            "prior",
            f"{match.group()!r} compares with an earlier image, and none was given: the model "
            "cannot know.",
            match.start(),
            match.end(),
        )


def _unsupported(findings: Sequence[NamedFinding]) -> Iterator[Flag]:
    """Findings of which no mention has both a place on the images and evidence.

    Asked of all mentions together: once the findings have said it, the text alone suggests what
    the impression repeats.
    """
    mentions: dict[str, list[NamedFinding]] = {}
    for finding in findings:
        mentions.setdefault(finding.name, []).append(finding)
    for same in mentions.values():
        first, gain = same[0], max(finding.clause_evidence for finding in same)
        if gain < LEAST_EVIDENCE:
            why = (
                f"the images add only {gain:.1f} nats to its sentence (at least "
                f"{LEAST_EVIDENCE:.1f} expected): the words before suggest it as much"
            )
        elif all(finding.state == "not grounded" for finding in same):
            share = max(float(finding.heatmap.sum()) for finding in same)
            why = f"its words look at no place ({share:.0%} of their attention on the images)"
        else:
            continue
        yield Flag("evidence", f"{first.text!r} is said, but {why}.", first.start, first.end)


def _contradictions(text: str, findings: Sequence[NamedFinding]) -> Iterator[Flag]:
    denials = read_denials(text)
    flagged = set()
    for finding in findings:
        for denial in denials:
            if _contradict(text, finding, denial) and denial.start not in flagged:
                flagged.add(denial.start)
                clause = text[slice(*finding.clause)].strip(" ,.;")
                yield Flag(
                    "contradiction",
                    f"{text[denial.start : denial.end]!r} is denied here and asserted elsewhere: "
                    f"{clause!r}.",
                    denial.start,
                    denial.end,
                )


def _contradict(text: str, finding: NamedFinding, denial: Denial) -> bool:
    """Whether one word for a finding is asserted, without doubt, where it is denied."""
    return (
        finding.name == denial.name
        and finding.certainty == "definite"
        and (not denial.sides or bool(denial.sides & finding.sides))
        and denial.zone in (None, finding.zone)
        # Infiltrates are opacities, but not every opacity is an infiltrate.
        and _head(finding.text) == _head(text[denial.start : denial.end])
    )


def _head(term: str) -> str:
    """The last word, in the singular: "pleural effusions" -> "effusion"."""
    last = re.findall(r"\w+", term.lower())[-1]
    return re.sub(r"ies$", "y", last).removesuffix("s")


def _cut(text: str, told: Sequence[Word]) -> Flag:
    start = told[-1].start if told else 0
    return Flag(
        "cut",
        "The text was cut at its longest length: what follows is missing. Allow more tokens.",
        start,
        len(text),
    )
