"""What a careful reader would check first: where a report and its attention do not agree.

Each check is a rule over the finished report; each flag says what was measured. Nothing here
changes the report.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model.findings import NamedFinding
from model.heatmap import Word
from model.report_text import vocabulary as terms
from model.report_text.contradictions import contradictions

__all__ = ["LEAST_EVIDENCE", "LEAST_SHARE", "Code", "Flag", "comparisons", "review"]

Code = Literal["side", "prior", "evidence", "contradiction", "cut"]

LEAST_SHARE = 1 / 3
"""Of a finding's attention on the images, so much must lie on the reported side. Half would
alarm at what ends at the midline, as central lines do."""
LEAST_EVIDENCE = 1.0
"""Nats that the images must add to the clause that asserts a finding: less than e times as likely
with them, it is what the text alone suggests."""


@dataclass(frozen=True)
class Flag:
    """One thing to check, at [start, end) of the report's text."""

    code: Code
    """"side": reported on one side, attended to on the other. "prior": compared with an earlier
    image where none was given. "evidence": asserted without support from the images.
    "contradiction": asserted and denied or called normal, or of another size or side in the
    impression than in the findings. "cut": the text ends at the longest length."""
    message: str
    """One sentence with what was measured."""
    start: int
    end: int


def review(
    text: str,
    text_words: Sequence[Word],
    findings: Sequence[NamedFinding],
    sides: Sequence[NDArray[np.float32] | None],
    priors: Sequence[bool],
    ended: bool,
) -> tuple[Flag, ...]:
    """What to check in a report, in the order of its text.

    Args:
        text_words: the text's.
        findings: what it asserts.
        sides: per image float32 (rows, columns), how much of each patch lies on the patient's
            right; None where that is not defined, as on a lateral view.
        priors: per image, True where it is of an earlier study.
        ended: the text ended by itself.
    """
    flags = [
        *_wrong_sides(findings, sides),
        *([] if any(priors) else comparisons(text)),
        *_unsupported(findings),
        *(
            Flag("contradiction", each.message, each.start, each.end)
            for each in contradictions(text)
        ),
    ]
    if not ended:
        flags.append(_cut(text, text_words))
    return tuple(sorted(flags, key=lambda flag: (flag.start, flag.end)))


def _wrong_sides(
    findings: Sequence[NamedFinding], right: Sequence[NDArray[np.float32] | None]
) -> Iterator[Flag]:
    sides_of: dict[tuple[int, int], set[str]] = {}
    for finding in findings:
        sides_of.setdefault((finding.start, finding.end), set()).update(finding.sides)
    for finding in {(f.start, f.end): f for f in findings}.values():
        sides = sides_of[finding.start, finding.end]
        if len(sides) != 1 or finding.state != "grounded":
            continue
        (side,) = sides
        share = _share_on(finding.heatmap, right, side)
        if share is not None and share < LEAST_SHARE:
            other = "left" if side == "right" else "right"
            yield Flag(
                "side",
                f"The report says {side}, but {1 - share:.0%} of the attention of {finding.text!r} "
                f"lies on the patient's {other}: check the side.",
                finding.start,
                finding.end,
            )


def _share_on(
    heatmap: NDArray[np.float32], right: Sequence[NDArray[np.float32] | None], side: str
) -> float | None:
    """Of the attention where sides are known, the share on one; None where there is none."""
    known = [(plane, on) for plane, on in zip(heatmap, right, strict=True) if on is not None]
    total = sum(float(plane.sum()) for plane, _ in known)
    if total <= 0:
        return None
    share = sum(float((plane * on).sum()) for plane, on in known) / total
    return share if side == "right" else 1 - share


def comparisons(text: str) -> Iterator[Flag]:
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

    Asked of all mentions together: once the findings have stated it, the text alone suggests what
    the impression repeats.
    """
    mentions: dict[str, list[NamedFinding]] = {}
    for finding in findings:
        mentions.setdefault(finding.name, []).append(finding)
    for same in mentions.values():
        first, gain = same[0], max(finding.clause_evidence for finding in same)
        if gain < LEAST_EVIDENCE:
            why = (
                f"the images add only {gain:.2f} nats to its sentence (at least "
                f"{LEAST_EVIDENCE:.2f} expected): the words before suggest it as much"
            )
        elif all(finding.state == "not grounded" for finding in same):
            share = max(float(finding.heatmap.sum()) for finding in same)
            why = f"its words attend to no place ({share:.0%} of their attention on the images)"
        else:
            continue
        yield Flag("evidence", f"{first.text!r} is reported, but {why}.", first.start, first.end)


def _cut(text: str, text_words: Sequence[Word]) -> Flag:
    start = text_words[-1].start if text_words else 0
    return Flag(
        "cut",
        "The text was cut at its longest length: what follows is missing. Allow more tokens.",
        start,
        len(text),
    )
