"""What a report denies, as places on the image: where each finding that is absent would show.

The words of "no pleural effusion" then name places as the words of a finding do, and the losses of
attention and of occlusion apply to them as they are.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from data_prep.manifest import Finding, Phrase, Study
from model.imaging.letterbox import Letterbox
from model.report_text.statements import Statement, read_statements

__all__ = ["MOST_FINDINGS", "add_areas", "with_denied_places"]

MOST_FINDINGS = 16
"""On one image: a pixel's findings are the bits of 16."""


def with_denied_places(study: Study) -> Study:
    """The study, its denials phrases that name the places of what they deny.

    A statement that denies several findings at once, as "the lungs are clear", names those of the
    first. Places come after the findings that are there, as many as an image has room for.
    """
    if not study.places or study.images[0].prior:
        return study
    room = MOST_FINDINGS - sum(finding.image == 0 for finding in study.findings)
    findings, phrases = list(study.findings), list(study.phrases)
    numbers: dict[Finding, int] = {}
    spoken: set[tuple[int, int]] = {(phrase.start, phrase.end) for phrase in phrases}
    for statement in _denials(study.report):
        meant = _places(study, statement)
        new = [place for place in meant if place not in numbers]
        span = statement.start, statement.end
        if not meant or span in spoken or len(numbers) + len(new) > room:
            continue
        for place in new:
            numbers[place] = len(findings)
            findings.append(place)
        spoken.add(span)
        phrases.append(Phrase(*span, tuple(numbers[place] for place in meant)))
    return replace(study, findings=tuple(findings), phrases=tuple(phrases))


@lru_cache(maxsize=100_000)
def _denials(report: str) -> tuple[Statement, ...]:
    return tuple(statement for statement in read_statements(report) if not statement.present)


def _places(study: Study, statement: Statement) -> list[Finding]:
    return [
        place
        for place in study.places
        if place.name == statement.name and (not statement.sides or place.side in statement.sides)
    ]


def add_areas(study: Study, areas: Sequence[NDArray[np.uint16]]) -> None:
    """Draw the places of `with_denied_places` into what findings cover.

    Args:
        areas: (size, size) for each image, bits as in ImageStore.areas; changed in place.
    """
    here = [finding for finding in study.findings if finding.image == 0]
    image, size = study.images[0], len(areas[0])
    letterbox = Letterbox(image.height, image.width, size)
    for bit, finding in enumerate(here):
        if finding.absent:
            x0, y0, x1, y1 = finding.box
            left, top = map(round, letterbox.to_model(x0, y0))
            right, bottom = map(round, letterbox.to_model(x1, y1))
            areas[0][top:bottom, left:right] |= np.uint16(1 << bit)
