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

import torch
from tokenizers import Tokenizer

from model.checkpoint import ModelIdentity, load_checkpoint
from model.decoding import GREEDY, DecodingOptions, decode
from model.errors import ConfigError, DataError
from model.geometry import Letterbox
from model.heatmap import Word, words
from model.image import Radiograph
from model.network import Memory, ReportModel

__all__ = ["EMBEDDED", "NOTICE", "Report", "ReportGenerator", "Section", "sections"]

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
    words: tuple[Word, ...]
    placements: tuple[Letterbox, ...]
    """Per picture, how a word's map lies on its original pixels."""
    views: tuple[str | None, ...]
    """Per picture, "PA", "AP", "LATERAL" or None where unknown."""
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

    def __call__(
        self, images: Radiograph | Sequence[Radiograph], options: DecodingOptions = GREEDY
    ) -> Report:
        """The report of one study, of one or more pictures."""
        study = [images] if isinstance(images, Radiograph) else images
        return self.reports([study], options)[0]

    @torch.inference_mode()
    def reports(
        self, studies: Sequence[Sequence[Radiograph]], options: DecodingOptions = GREEDY
    ) -> list[Report]:
        """The reports of several studies as one batch: the same as one by one, and faster.

        Raises:
            DataError: a study without pictures.
            ConfigError: options the model cannot follow.
        """
        if not studies:
            return []
        placements = [tuple(self._place(picture) for picture in study) for study in studies]
        memory = self._read(studies, placements)
        texts = decode(self.model, memory, options)
        told = words(self.model, memory, texts, self.tokenizer)
        return [
            self._report(text, spoken, places, study)
            for text, spoken, places, study in zip(texts, told, placements, studies, strict=True)
        ]

    def _place(self, picture: Radiograph) -> Letterbox:
        height, width = picture.pixels.shape
        return Letterbox(height, width, self.model.config.image_size)

    def _read(
        self,
        studies: Sequence[Sequence[Radiograph]],
        placements: Sequence[Sequence[Letterbox]],
    ) -> Memory:
        """All pictures in one batch; studies with fewer than the longest end in absent ones."""
        size = self.model.config.image_size
        most = max(map(len, studies))
        pictures = torch.zeros(len(studies), most, 1, size, size)
        mask = torch.zeros(len(studies), most, dtype=torch.bool)
        for row, (study, places) in enumerate(zip(studies, placements, strict=True)):
            if not study:
                raise DataError(f"study {row} has no picture: leave it out")
            for column, (picture, place) in enumerate(zip(study, places, strict=True)):
                pictures[row, column] = place.apply(picture.pixels)
                mask[row, column] = True
        device = self.model.device
        return self.model.encode(pictures.to(device), None if mask.all() else mask.to(device))

    def _report(
        self,
        tokens: list[int],
        told: list[Word],
        places: tuple[Letterbox, ...],
        study: Sequence[Radiograph],
    ) -> Report:
        text = self.tokenizer.decode(tokens)
        return Report(
            text=text,
            sections=sections(text),
            words=tuple(told),
            placements=places,
            views=tuple(picture.view for picture in study),
            model=self.identity,
        )


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
