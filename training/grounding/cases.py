"""What is asked of maps: stretches of a text that speak of a place, and the boxes of that place."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from data_prep.datasets.boxes import read_boxes
from data_prep.manifest import Finding, Study, read_studies
from model.errors import DataError
from model.imaging.letterbox import Placement
from model.imaging.read import read_image
from model.interface import NetworkConfig, Tokenizer
from training.grounding.map_scores import Place
from training.study_inputs import readable
from training.teacher_forcing import FRONTAL, Given, Text, given_of, text_of

__all__ = [
    "Case",
    "Subject",
    "of_boxes",
    "of_folder",
    "one_side",
    "patches_inside",
    "whole_phrases",
]

ASKED = "Findings: There is a "
"""What comes before the phrase of a box file."""
SLACK = 2
"""Pixels by which a box drawn by hand may end beyond its image."""


@dataclass(frozen=True)
class Case:
    """A word or a phrase that speaks of a place."""

    name: str
    """Of the finding."""
    start: int
    end: int
    """[start, end) characters of the text."""
    span: np.ndarray
    """Positions of its tokens."""
    places: tuple[Place, ...]
    """The boxes it speaks of."""
    side: str | None = None
    """Where it says it is, for the measure of laterality; None where that cannot be asked."""
    phrase: int = 0
    """Cases of one phrase of the text have one number."""
    drawn_on: tuple[int, int] | None = None
    """(width, height) of the image the boxes were drawn on; None for the image itself."""

    def on(self, pixels: Sequence[np.ndarray]) -> "Case":
        """The same with its boxes in pixels of the images that were read.

        Raises:
            DataError: a box beyond its image.
        """
        places = []
        for image, box in self.places:
            height, width = pixels[image].shape
            across, down = (width, height) if self.drawn_on is None else self.drawn_on
            if box[2] > across + SLACK or box[3] > down + SLACK:
                raise DataError(
                    f"a box of {self.name!r} ends at {box[2:]} on an image of {width} x {height} "
                    "pixels: give the images in the size the boxes were drawn on"
                )
            x0, y0, x1, y1 = box
            ratio_x, ratio_y = width / across, height / down
            places.append((image, (x0 * ratio_x, y0 * ratio_y, x1 * ratio_x, y1 * ratio_y)))
        return replace(self, places=tuple(places), drawn_on=None)


@dataclass(frozen=True)
class Subject:
    """One study as it is measured: images, the text it is made to say, and what is asked."""

    row: int
    """Number among all that are measured."""
    paths: tuple[Path, ...]
    """Of its images."""
    given: Given
    text: Text
    cases: tuple[Case, ...]

    def read(self) -> list[np.ndarray]:
        """The images: float32 (height, width) in [0, 1] each."""
        return [read_image(path).pixels for path in self.paths]


def of_folder(
    folder: Path,
    tokenizer: Tokenizer,
    config: NetworkConfig,
    split: str = "all",
    limit: int | None = None,
) -> tuple[list[Study], list[Subject]]:
    """Prepared studies, each made to say its own report: a case is a word of a finding's phrase.

    Args:
        config: the model's: of its views are the images it is given, and words cut off by its
            max_tokens are left out.
        split: one of SPLITS, or "all".
        limit: only the first studies.

    Raises:
        DataError: no such study, or none with a phrase of a finding.
    """
    chosen = (study for study in read_studies(folder) if split in ("all", study.split))
    studies = list(islice(readable(chosen, config.views), limit))
    if not any(study.phrases for study in studies):
        raise DataError(
            f"no study of split {split!r} in {str(folder)!r} has phrases with boxes: maps need the "
            "truth, as the phantom has it"
        )
    subjects = []
    for row, study in enumerate(studies):
        text = text_of(tokenizer, study.report, config.max_tokens)
        given = given_of(study, tokenizer, config.prompt_tokens)
        paths = tuple(folder / image.path for image in study.images)
        subjects.append(Subject(row, paths, given, text, tuple(_words_of_phrases(study, text))))
    return studies, subjects


def _words_of_phrases(study: Study, text: Text) -> Iterator[Case]:
    for number, phrase in enumerate(study.phrases):
        findings = [study.findings[k] for k in phrase.findings]
        if any(finding.weak for finding in findings):
            continue
        places = tuple((finding.image, finding.box) for finding in findings)
        for start, end in text.words():
            span = text.tokens_of(start, end)
            if start < phrase.end and phrase.start < end and span.size:
                side = one_side(study, findings)
                yield Case(findings[0].name, start, end, span, places, side, number)


def whole_phrases(subject: Subject) -> Subject:
    """The same with one case for each phrase, of all its words."""
    phrases: dict[int, list[Case]] = {}
    for case in subject.cases:
        phrases.setdefault(case.phrase, []).append(case)
    joined = [
        replace(
            words[0], end=words[-1].end, span=np.unique(np.concatenate([w.span for w in words]))
        )
        for words in phrases.values()
    ]
    return replace(subject, cases=tuple(joined))


def one_side(study: Study, findings: Sequence[Finding]) -> str | None:
    """The side that a perfect map of these findings has its center on.

    None where they have no side, or two, or where their boxes' own center lies on the other side of
    the image (a line from the left ends right of the middle): no map could agree there.
    """
    sides = {finding.side for finding in findings}
    if len(sides) != 1 or None in sides:
        return None
    side = sides.pop()
    # Twice the center, and the image's width is twice its middle.
    on_right = [f.box[0] + f.box[2] < study.images[f.image].width for f in findings]
    return side if all(right == (side == "right") for right in on_right) else None


def patches_inside(
    placements: Sequence[Placement], places: Sequence[Place], grid: tuple[int, int]
) -> np.ndarray:
    """bool (patches,): patches whose center lies in one of the boxes, at least the nearest one."""
    rows, columns = grid
    inside = np.zeros((len(placements), rows, columns), bool)
    for image, (x0, y0, x1, y1) in places:
        where = placements[image]
        left, top = where.to_model(x0, y0)
        right, bottom = where.to_model(x1, y1)
        down = (np.arange(rows) + 0.5) * where.size / rows
        across = (np.arange(columns) + 0.5) * where.size / columns
        own = np.outer((down >= top) & (down < bottom), (across >= left) & (across < right))
        if not own.any():
            nearest = (
                abs(down - (top + bottom) / 2).argmin(),
                abs(across - (left + right) / 2).argmin(),
            )
            own[nearest] = True
        inside[image] |= own
    return inside.ravel()


def of_boxes(
    file: Path, folder: Path, tokenizer: Tokenizer, config: NetworkConfig, limit: int | None = None
) -> tuple[list[Subject], list[str]]:
    """The phrases of a box file, each asked of its image: "Findings: There is a {phrase}.".

    Args:
        file: see data_prep/datasets/boxes.py.
        folder: of the images, at any depth below it, found by their names without ending.
        limit: only the first phrases.

    Returns:
        The subjects, one a phrase, their rows the number of the image; the images not found.

    Raises:
        DataError: a box file that cannot be read, no such folder, or none of its images there.
    """
    regions = read_boxes(file)[:limit]
    if not folder.is_dir():
        raise DataError(f"no folder {str(folder)!r}: name the one that holds the images")
    files = {path.stem: path for path in sorted(folder.rglob("*")) if path.is_file()}
    rows: dict[str, int] = {}
    subjects = []
    missing: dict[str, None] = {}
    for region in regions:
        path = files.get(region.image)
        if path is None:
            missing[region.image] = None
            continue
        row = rows.setdefault(region.image, len(rows))
        text = text_of(tokenizer, f"{ASKED}{region.phrase}.", config.max_tokens)
        start, end = len(ASKED), len(ASKED) + len(region.phrase)
        span = text.tokens_of(start, end)
        if span.size:
            places = tuple((0, box) for box in region.boxes)
            case = Case(region.label, start, end, span, places, drawn_on=region.size)
            subjects.append(Subject(row, (path,), FRONTAL, text, (case,)))
    if not subjects:
        raise DataError(
            f"none of the {len(missing)} images of {file.name} is in {str(folder)!r}, "
            f"{next(iter(missing), '')!r} for one: name the folder that holds them"
        )
    return subjects, list(missing)
