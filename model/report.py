"""Radiographs of a study -> its draft report, every word with where it looked.

    generator = ReportGenerator.load()
    report = generator(read_image(path))

Service, batch and command line are thin callers of this.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from tokenizers import Tokenizer

from model.ask import Asked, ask
from model.checkpoint import ModelIdentity, load_checkpoint
from model.config import VIEWS
from model.decoding import GREEDY, DecodingOptions, decode
from model.errors import ConfigError, DataError, NotARadiograph, RefusedError
from model.exam import Exam, encode_studies, kind_of
from model.familiarity import unfamiliar
from model.findings import NamedFinding, inside, named_findings
from model.gate import Concern, examine
from model.geometry import Letterbox
from model.heatmap import Span, Word, spanned, words
from model.image import Radiograph
from model.network import Memory, ReportModel
from model.reader import sentences
from model.review import Flag, review

__all__ = [
    "EMBEDDED",
    "NOTICE",
    "Answer",
    "Exam",
    "Report",
    "ReportGenerator",
    "Section",
    "sections",
]

NOTICE = (
    "Research software, not for diagnosis. The embedded model was trained on simulated "
    "radiographs (phantoms) and has never seen a real patient."
)
"""Of the embedded model. Another checkpoint brings its own: ReportGenerator.notice."""

EMBEDDED = Path(__file__).parent / "default"
"""The checkpoint that comes with the package."""
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
    review: tuple[Flag, ...]
    """What to check first."""
    grid: tuple[int, int]
    """(rows, columns) of patches in every map."""
    placements: tuple[Letterbox, ...]
    """Per picture, how a word's map lies on its original pixels."""
    views: tuple[str | None, ...]
    """Per picture, "PA", "AP", "LATERAL" or None where unknown."""
    priors: tuple[bool, ...]
    """Per picture, True where it is of an earlier study."""
    indication: str
    concerns: tuple[tuple[Concern, ...], ...]
    """Per picture, what speaks against a report on it."""
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
        return spanned(self.text, start, end, self.words, which, shape)

    def looked_at(
        self, picture: int, box: tuple[float, float, float, float]
    ) -> list[tuple[int, float]]:
        """The grounded words, those first that looked most at a region.

        Args:
            picture: which of the study's pictures, from 0.
            box: (x0, y0, x1, y1) in its original pixels, x1 and y1 exclusive.

        Returns:
            (place of the word, share of its attention inside the box, in [0, 1]).

        Raises:
            DataError: no such picture, or a box without area.
        """
        if not 0 <= picture < len(self.placements):
            raise DataError(f"picture {picture} is not there: {len(self.placements)} are, from 0")
        x0, y0, x1, y1 = box
        if not (x0 < x1 and y0 < y1):
            raise DataError(f"the box {box} has no area: give (x0, y0, x1, y1)")
        placement = self.placements[picture]
        left, top = placement.to_model(x0, y0)
        right, bottom = placement.to_model(x1, y1)
        across = _covered(left, right, self.grid[1], placement.size)
        down = _covered(top, bottom, self.grid[0], placement.size)
        shares = [
            (place, float(down @ word.heatmap[picture] @ across))
            for place, word in enumerate(self.words)
            if word.state == "grounded"
        ]
        return sorted(shares, key=lambda share: share[1], reverse=True)


@dataclass(frozen=True)
class Answer(Asked):
    """What a phrase is worth on one study, and the pictures it was asked of, as in Report."""

    placements: tuple[Letterbox, ...]
    views: tuple[str | None, ...]
    priors: tuple[bool, ...]
    indication: str
    concerns: tuple[tuple[Concern, ...], ...]
    model: ModelIdentity


class ReportGenerator:
    """A loaded checkpoint, ready to write reports. Safe to share between threads."""

    def __init__(self, model: ReportModel, tokenizer: Tokenizer, identity: ModelIdentity) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.identity = identity

    @classmethod
    def load(cls, directory: Path | None = None, device: str = "cpu") -> "ReportGenerator":
        """Load a checkpoint folder, or the embedded one.

        Args:
            device: a torch device, such as "cpu" or "cuda".

        Raises:
            CheckpointError: the folder is incomplete, altered or of another kind.
            ConfigError: torch cannot use the device here.
        """
        model, tokenizer, identity = load_checkpoint(directory or EMBEDDED)
        try:
            model.to(torch.device(device))  # type: ignore[arg-type]
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(
                f"device {device!r} cannot be used here ({str(error)[:100]}): try 'cpu'"
            ) from error
        return cls(model, tokenizer, identity)

    @property
    def notice(self) -> str:
        """What every reader of this checkpoint's reports must be told."""
        return self.model.config.notice or NOTICE

    def why_unread(self, view: str | None, prior: bool = False) -> str | None:
        """Why the model cannot read a picture of this view; None where it was trained to.

        Args:
            view: "PA", "AP", "LATERAL" or None, which counts as frontal.
            prior: it is of an earlier study.
        """
        known = self.model.config.views
        kind = VIEWS[kind_of(view, prior)]
        if kind not in known:
            what = "picture of an earlier study" if prior else f"{kind} view"
            return f"{what}: this model reads {' and '.join(known)} views; send those"
        if prior and view == "LATERAL":
            return "lateral view of an earlier study: only frontal ones are read; send that one"
        return None

    def __call__(
        self,
        exam: Exam | Radiograph | Sequence[Radiograph],
        options: DecodingOptions = GREEDY,
        gate: bool = True,
    ) -> Report:
        """The report of one study, of one or more pictures; Args and Raises as for `reports`."""
        return self.reports([_exam(exam)], options, gate)[0]

    @torch.inference_mode()
    def reports(
        self,
        studies: Sequence[Exam | Sequence[Radiograph]],
        options: DecodingOptions = GREEDY,
        gate: bool = True,
    ) -> list[Report]:
        """The reports of several studies as one batch: the same as one by one, and faster.

        Args:
            gate: refuse pictures that no report should be written on. False: their reasons stand in
                Report.concerns all the same.

        Raises:
            RefusedError: a picture that the gate refuses, in any of the studies.
            NotARadiograph: a view that this model was not trained on.
            DataError: a study without pictures; an indication that is too long or that this model
                was not trained to read.
            ConfigError: options the model cannot follow.
        """
        if not studies:
            return []
        exams = [_exam(study) for study in studies]
        concerns = [_examined(row, exam, gate) for row, exam in enumerate(exams)]
        placements = [tuple(self._place(picture) for picture in exam.shown) for exam in exams]
        memory = self._read(exams, placements)
        texts = decode(self.model, memory, options)
        told = words(self.model, memory, texts, self.tokenizer)
        away = unfamiliar(self.model, memory)
        parts = zip(exams, placements, concerns, away, texts, told, strict=True)
        return [
            self._report(exam, places, _joined(seen, strange), text, spoken)
            for exam, places, seen, strange, text, spoken in parts
        ]

    @torch.inference_mode()
    def ask(
        self, exam: Exam | Radiograph | Sequence[Radiograph], phrase: str, gate: bool = True
    ) -> Answer:
        """What a phrase is worth on one study, whether or not its report holds it.

        Args:
            phrase: such as "right pleural effusion" or "is there a fracture?".
            gate: as for `reports`.

        Raises:
            RefusedError, NotARadiograph: as `reports`.
            DataError: as `reports`, and a phrase that cannot be asked.
        """
        exam = _exam(exam)
        concerns = _examined(0, exam, gate)
        placements = tuple(self._place(picture) for picture in exam.shown)
        memory = self._read([exam], [placements])
        [found] = ask(self.model, memory, self.tokenizer, phrase)
        return Answer(
            **vars(found),
            placements=placements,
            views=tuple(picture.view for picture in exam.shown),
            priors=exam.prior,
            indication=exam.indication,
            concerns=_joined(concerns, unfamiliar(self.model, memory)[0]),
            model=self.identity,
        )

    def _place(self, picture: Radiograph) -> Letterbox:
        height, width = picture.pixels.shape
        return Letterbox(height, width, self.model.config.image_size)

    def _read(
        self,
        exams: Sequence[Exam],
        placements: Sequence[Sequence[Letterbox]],
    ) -> Memory:
        """All pictures in one batch; studies with fewer than the longest end in absent ones."""
        kinds = [self._kinds(exam) for exam in exams]
        pixels = [
            [place.apply(picture.pixels) for picture, place in zip(exam.shown, places, strict=True)]
            for exam, places in zip(exams, placements, strict=True)
        ]
        prompts = [self.tokenizer.encode(" ".join(exam.indication.split())).ids for exam in exams]
        return encode_studies(self.model, pixels, kinds, prompts)

    def _kinds(self, exam: Exam) -> list[int]:
        """What each picture is, a place in VIEWS, if the model was trained to read such."""
        both = list(zip(exam.shown, exam.prior, strict=True))
        for number, (picture, prior) in enumerate(both, 1):
            if reason := self.why_unread(picture.view, prior):
                which = f"picture {number}: " if len(both) > 1 else ""
                raise NotARadiograph(f"{which}{reason}")
        return [kind_of(picture.view, prior) for picture, prior in both]

    def _report(
        self,
        exam: Exam,
        places: tuple[Letterbox, ...],
        concerns: tuple[tuple[Concern, ...], ...],
        tokens: list[int],
        told: list[Word],
    ) -> Report:
        text = self.tokenizer.decode(tokens)
        views = tuple(picture.view for picture in exam.shown)
        shape = (len(views), *self.model.grid)
        findings = named_findings(text, told, shape, self.model.config)
        ended = tokens[-1] == self.model.config.eos_token_id
        return Report(
            text=text,
            sections=sections(text),
            sentences=tuple(
                spanned(text, start, end, told, inside(told, start, end), shape)
                for start, end in sentences(text)
            ),
            words=tuple(told),
            findings=findings,
            review=review(text, told, findings, views, exam.prior, ended),
            grid=self.model.grid,
            placements=places,
            views=views,
            priors=exam.prior,
            indication=exam.indication,
            concerns=concerns,
            model=self.identity,
        )


def _exam(study: Exam | Radiograph | Sequence[Radiograph]) -> Exam:
    if isinstance(study, Exam):
        return study
    return Exam([study] if isinstance(study, Radiograph) else study)


def _examined(row: int, exam: Exam, gate: bool) -> tuple[tuple[Concern, ...], ...]:
    """Per picture of study number `row` what the gate says.

    Raises:
        RefusedError: it refuses one, and `gate` is True.
        DataError: there is none.
    """
    if not exam.pictures:
        raise DataError(f"study {row} has no picture: leave it out")
    concerns = tuple(examine(picture.pixels, picture.view) for picture in exam.shown)
    for number, of_picture in enumerate(concerns, 1):
        for concern in of_picture:
            if gate and concern.refuses:
                which = f"picture {number}: " if len(concerns) > 1 else ""
                raise RefusedError(f"{which}{concern.message}")
    return concerns


def _joined(
    seen: Sequence[tuple[Concern, ...]], strange: Sequence[Concern | None]
) -> tuple[tuple[Concern, ...], ...]:
    """The gate's concerns and, per picture, that of a picture unlike those trained on."""
    return tuple(
        of_picture if unlike is None else (*of_picture, unlike)
        for of_picture, unlike in zip(seen, strange, strict=True)
    )


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
