"""Values that a report generator returns: Report, Section, Answer, Check."""

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from model.check import Issue
from model.checkpoint_folder import ModelIdentity
from model.errors import DataError
from model.findings import NamedDenial, NamedFinding, inside
from model.heatmap import Span, Word, span_of
from model.identity import StudyWarning
from model.imaging.geometry import StoredGrid
from model.imaging.letterbox import Placement
from model.imaging.radiograph import ImageWarning
from model.query import Asked
from model.review import Flag

__all__ = ["Answer", "Check", "CheckedStatement", "Report", "Section", "sections"]

_HEADING = re.compile(r"\b(findings|impression)\s*:", re.IGNORECASE)


@dataclass(frozen=True)
class Section:
    name: Literal["findings", "impression"]
    text: str
    """Without its heading."""
    start: int
    """First character in the report's text."""
    end: int
    """Character after the last: text == report.text[start:end]."""


@dataclass(frozen=True)
class Report:
    text: str
    sections: tuple[Section, ...]
    sentences: tuple[Span, ...]
    words: tuple[Word, ...]
    findings: tuple[NamedFinding, ...]
    """What it asserts, in its order."""
    denials: tuple[NamedDenial, ...]
    """What it says is not there, in its order."""
    review: tuple[Flag, ...]
    """What to check first."""
    grid: tuple[int, int]
    """(rows, columns) of patches in every map."""
    placements: tuple[Placement, ...]
    """Per image, how a word's map lies on its pixels as they are shown."""
    stored: tuple[StoredGrid, ...]
    """Per image, the rows and columns of its file, and the way there from the pixels as shown."""
    views: tuple[str | None, ...]
    """Per image, "PA", "AP", "LATERAL" or None where unknown."""
    priors: tuple[bool, ...]
    """Per image, True where it is of an earlier study."""
    indication: str
    warnings: tuple[tuple[ImageWarning, ...], ...]
    """Per image, what speaks against a report on it."""
    study_warnings: tuple[StudyWarning, ...]
    """What speaks against reading the images as one study."""
    withheld: str | None
    """Why no probability, evidence or map may be shown; None where they may. Findings then have no
    probability of presence; words and spans keep their values, for measurements."""
    model: ModelIdentity

    def span(self, start: int, end: int) -> Span:
        """The words that share a character with [start, end) of the text, as one.

        Raises:
            DataError: a range that is not inside the text.
        """
        if not 0 <= start <= end <= len(self.text):
            raise DataError(f"[{start}, {end}) is not inside a text of {len(self.text)} characters")
        shape = (len(self.placements), *self.grid)
        which = inside(self.words, start, end)
        return span_of(self.text, start, end, self.words, which, shape)

    def on_stored_pixels(self, heatmap: np.ndarray, image: int = 0) -> np.ndarray:
        """A map on the rows and columns of an image's file: not upright, not square, as there.

        Args:
            heatmap: (images, rows, columns) of a word, a span or a finding.
            image: which of the study's images, from 0.

        Returns:
            float32 (rows, columns) of the file, share of attention a pixel; see
            `Placement.restore` and `StoredGrid.to_stored`.

        Raises:
            DataError: no such image.
        """
        self._check_image(image)
        return self.stored[image].to_stored(self.placements[image].restore(heatmap[image]))

    def _check_image(self, image: int) -> None:
        if not 0 <= image < len(self.placements):
            raise DataError(
                f"no image {image}: the report has {len(self.placements)}, counted from 0"
            )

    def words_in_region(
        self, image: int, box: tuple[float, float, float, float]
    ) -> list[tuple[int, float]]:
        """The words whose attention lies in a region, those with the largest share first.

        Words that are not grounded have no place and are left out.

        Args:
            image: which of the study's images, from 0.
            box: (x0, y0, x1, y1) in its pixels as they are shown, x1 and y1 exclusive.

        Returns:
            (index of the word, share of its attention inside the box, in [0, 1]).

        Raises:
            DataError: no such image, or a box without area.
        """
        self._check_image(image)
        x0, y0, x1, y1 = box
        if not (x0 < x1 and y0 < y1):
            raise DataError(f"the box {box} has no area: give (x0, y0, x1, y1)")
        placement = self.placements[image]
        left, top = placement.to_model(x0, y0)
        right, bottom = placement.to_model(x1, y1)
        across = _covered(left, right, self.grid[1], placement.size)
        down = _covered(top, bottom, self.grid[0], placement.size)
        shares = [
            (index, float(down @ word.heatmap[image] @ across))
            for index, word in enumerate(self.words)
            if word.state != "not grounded"
        ]
        return sorted(shares, key=lambda share: share[1], reverse=True)


@dataclass(frozen=True)
class Answer(Asked):
    """What a phrase is worth on one study, and the images it was asked of, as in Report."""

    placements: tuple[Placement, ...]
    stored: tuple[StoredGrid, ...]
    views: tuple[str | None, ...]
    priors: tuple[bool, ...]
    indication: str
    warnings: tuple[tuple[ImageWarning, ...], ...]
    study_warnings: tuple[StudyWarning, ...]
    withheld: str | None
    model: ModelIdentity


@dataclass(frozen=True)
class CheckedStatement(Span):
    """One thing that somebody's report states, as the decoder reads it with these images."""

    name: str
    present: bool
    """False where it is denied."""
    sides: frozenset[str]
    zone: str | None
    severity: str | None
    """"mild", "moderate" or "severe"; None where none is given, and of what is denied."""
    presence_probability: float | None
    """In (0, 1), calibrated: that there is such a finding, whatever the report says of it. None
    where it was not calibrated, and where it is withheld."""


@dataclass(frozen=True)
class Check:
    """Somebody's report checked against its images, and the images, as in Report."""

    text: str
    """As the network reads it: spaces for line breaks."""
    sections: tuple[Section, ...]
    sentences: tuple[Span, ...]
    words: tuple[Word, ...]
    """Each with the evidence of the images for it, its state and its map."""
    statements: tuple[CheckedStatement, ...]
    issues: tuple[Issue, ...]
    """What the images contradict, and last what is seen and not mentioned."""
    grid: tuple[int, int]
    placements: tuple[Placement, ...]
    stored: tuple[StoredGrid, ...]
    views: tuple[str | None, ...]
    priors: tuple[bool, ...]
    indication: str
    warnings: tuple[tuple[ImageWarning, ...], ...]
    study_warnings: tuple[StudyWarning, ...]
    withheld: str | None
    """Why no probability, evidence or map may be shown; then only issues that need no image are
    listed."""
    model: ModelIdentity


def _covered(start: float, stop: float, patches: int, size: int) -> np.ndarray:
    """(patches,): the share of each patch, along one side of the square, in [start, stop)."""
    edges = np.arange(patches + 1) * size / patches
    inner = np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start)
    return inner.clip(0) * patches / size


def sections(text: str) -> tuple[Section, ...]:
    """Cut a text at its headings "Findings:" and "Impression:", in any case.

    What stands before the first heading, or all of a text without one, is findings. Sections
    without words are left out.
    """
    headings = list(_HEADING.finditer(text))
    cuts: list[tuple[str, int]] = [("findings", 0)]
    cuts += [(heading.group(1).lower(), heading.end()) for heading in headings]
    stops = [heading.start() for heading in headings] + [len(text)]
    found = []
    for (name, start), stop in zip(cuts, stops, strict=True):
        inner = text[start:stop]
        start += len(inner) - len(inner.lstrip())
        if inner.strip():
            end = start + len(inner.strip())
            kind: Literal["findings", "impression"] = (
                "impression" if name == "impression" else "findings"
            )
            found.append(Section(kind, text[start:end], start, end))
    return tuple(found)
