"""Radiographs of a study -> its draft report, every word with the image regions it attended to.

    generator = ReportGenerator.load()
    report = generator(read_image(path))

Service, batch and command line are thin callers of this.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from model.checkpoint import ModelIdentity
from model.config import VIEWS
from model.decoding import GREEDY, DecodingOptions, decode
from model.errors import ConfigError, DataError, NotARadiograph, RefusedError
from model.exam import Exam, encode_studies, kind_of
from model.findings import inside, named_findings
from model.heatmap import Word, span_of, words
from model.imaging.letterbox import Placement
from model.imaging.radiograph import ImageWarning, Radiograph
from model.input_check import examine
from model.interface import Network, Tokenizer
from model.loading import load_network
from model.memory import Memory
from model.novelty import novelty_warnings
from model.query import ask
from model.report import Answer, Report, sections
from model.report_text.parser import sentences
from model.review import review
from model.verification import verified

__all__ = ["EMBEDDED", "NOTICE", "ReportGenerator"]

NOTICE = (
    "Research software, not for diagnosis. The embedded model was trained on simulated "
    "radiographs (phantoms) and has never seen a real patient."
)
"""Of the embedded model. Another checkpoint brings its own: ReportGenerator.notice."""

EMBEDDED = Path(__file__).parent / "default"
"""The checkpoint that comes with the package."""


class ReportGenerator:
    """A loaded checkpoint, ready to write reports. Safe to share between threads."""

    def __init__(self, model: Network, tokenizer: Tokenizer, identity: ModelIdentity) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.identity = identity

    @classmethod
    def load(cls, source: Path | str | None = None, device: str = "cpu") -> "ReportGenerator":
        """Load a checkpoint, or the embedded one.

        Args:
            source: a checkpoint folder, CrossRay's or a published one of Hugging Face, or
                "hf:owner/name[@revision]"; see model/loading.py.
            device: a torch device, such as "cpu" or "cuda".

        Raises:
            CheckpointError: the folder is incomplete, altered or of another kind.
            ConfigError: torch cannot use the device here.
        """
        model, tokenizer, identity = load_network(source or EMBEDDED)
        try:
            model.to(torch.device(device))  # type: ignore[arg-type]
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(
                f"device {device!r} cannot be used here ({str(error)[:100]}): try 'cpu'"
            ) from error
        return cls(model, tokenizer, identity)

    @property
    def notice(self) -> str:
        """What every reader of this checkpoint's reports must know."""
        return self.model.config.notice or NOTICE

    def why_unread(self, view: str | None, prior: bool = False) -> str | None:
        """Why the model cannot read an image of this view; None where it was trained to.

        Args:
            view: "PA", "AP", "LATERAL" or None, which counts as frontal.
            prior: it is of an earlier study.
        """
        known = self.model.config.views
        kind = VIEWS[kind_of(view, prior)]
        if kind not in known:
            what = "image of an earlier study" if prior else f"{kind} view"
            return f"{what}: this model reads {' and '.join(known)} views; send those"
        if prior and view == "LATERAL":
            return "lateral view of an earlier study: only frontal ones are read; send that one"
        return None

    def __call__(
        self,
        exam: Exam | Radiograph | Sequence[Radiograph],
        options: DecodingOptions = GREEDY,
        input_check: bool = True,
    ) -> Report:
        """The report of one study, of one or more images; Args and Raises as for `reports`."""
        return self.reports([_exam(exam)], options, input_check)[0]

    @torch.inference_mode()
    def reports(
        self,
        studies: Sequence[Exam | Sequence[Radiograph]],
        options: DecodingOptions = GREEDY,
        input_check: bool = True,
    ) -> list[Report]:
        """The reports of several studies as one batch: the same as one by one, and faster.

        Args:
            input_check: reject images that no report should be written on. False: the reasons
                are among Report.warnings all the same.

        Raises:
            RefusedError: an image that the input check rejects, in any of the studies.
            NotARadiograph: a view that this model was not trained on.
            DataError: a study without images; an indication that is too long or that this model
                was not trained to read.
            ConfigError: options the model cannot follow.
        """
        if not studies:
            return []
        exams = [_exam(study) for study in studies]
        warnings = [_examined(row, exam, input_check) for row, exam in enumerate(exams)]
        placements = [tuple(self._place(image) for image in exam.shown) for exam in exams]
        memory = self._read(exams, placements)
        written = decode(self.model, memory, options)
        texts, odds = verified(self.model, memory, self.tokenizer, written)
        words_of = words(self.model, memory, texts, self.tokenizer)
        novelty = novelty_warnings(self.model, memory)
        parts = zip(exams, placements, warnings, novelty, texts, words_of, odds, strict=True)
        return [
            self._report(exam, placed, _joined(checked, unlike), text, written, of_findings)
            for exam, placed, checked, unlike, text, written, of_findings in parts
        ]

    @torch.inference_mode()
    def ask(
        self, exam: Exam | Radiograph | Sequence[Radiograph], phrase: str, input_check: bool = True
    ) -> Answer:
        """How probable a phrase is on one study, whether or not its report holds it.

        Args:
            phrase: such as "right pleural effusion" or "is there a fracture?".
            input_check: as for `reports`.

        Raises:
            RefusedError, NotARadiograph: as `reports`.
            DataError: as `reports`, and a phrase that cannot be asked.
        """
        exam = _exam(exam)
        warnings = _examined(0, exam, input_check)
        placements = tuple(self._place(image) for image in exam.shown)
        memory = self._read([exam], [placements])
        [found] = ask(self.model, memory, self.tokenizer, phrase)
        return Answer(
            **vars(found),
            placements=placements,
            views=tuple(image.view for image in exam.shown),
            priors=exam.prior,
            indication=exam.indication,
            warnings=_joined(warnings, novelty_warnings(self.model, memory)[0]),
            model=self.identity,
        )

    def _place(self, image: Radiograph) -> Placement:
        height, width = image.pixels.shape
        return self.model.place(height, width)

    def _read(
        self,
        exams: Sequence[Exam],
        placements: Sequence[Sequence[Placement]],
    ) -> Memory:
        """All images in one batch; studies with fewer than the longest end in absent ones."""
        kinds = [self._kinds(exam) for exam in exams]
        pixels = [
            [
                placement.apply(image.pixels)
                for image, placement in zip(exam.shown, row, strict=True)
            ]
            for exam, row in zip(exams, placements, strict=True)
        ]
        prompts = [self.tokenizer.encode(" ".join(exam.indication.split())).ids for exam in exams]
        return encode_studies(self.model, pixels, kinds, prompts)

    def _kinds(self, exam: Exam) -> list[int]:
        """What each image is, an index into VIEWS, if the model was trained to read such."""
        images = list(zip(exam.shown, exam.prior, strict=True))
        for number, (image, prior) in enumerate(images, 1):
            if reason := self.why_unread(image.view, prior):
                which = f"image {number}: " if len(images) > 1 else ""
                raise NotARadiograph(f"{which}{reason}")
        return [kind_of(image.view, prior) for image, prior in images]

    def _report(
        self,
        exam: Exam,
        placements: tuple[Placement, ...],
        warnings: tuple[tuple[ImageWarning, ...], ...],
        tokens: list[int],
        written: list[Word],
        log_odds: Mapping[str, float],
    ) -> Report:
        text = self.tokenizer.decode(tokens)
        views = tuple(image.view for image in exam.shown)
        shape = (len(views), *self.model.grid)
        findings = named_findings(text, written, shape, self.model.config, log_odds)
        ended = tokens[-1] == self.model.config.eos_token_id
        return Report(
            text=text,
            sections=sections(text),
            sentences=tuple(
                span_of(text, start, end, written, inside(written, start, end), shape)
                for start, end in sentences(text)
            ),
            words=tuple(written),
            findings=findings,
            review=review(text, written, findings, views, exam.prior, ended),
            grid=self.model.grid,
            placements=placements,
            views=views,
            priors=exam.prior,
            indication=exam.indication,
            warnings=warnings,
            model=self.identity,
        )


def _exam(study: Exam | Radiograph | Sequence[Radiograph]) -> Exam:
    if isinstance(study, Exam):
        return study
    return Exam([study] if isinstance(study, Radiograph) else study)


def _examined(row: int, exam: Exam, input_check: bool) -> tuple[tuple[ImageWarning, ...], ...]:
    """Per image of study number `row` what reading it repaired and what the input check says.

    Raises:
        RefusedError: it rejects one, and `input_check` is True.
        DataError: there is none.
    """
    if not exam.images:
        raise DataError(f"study {row} has no image: leave it out")
    warnings = tuple((*image.warnings, *examine(image.pixels, image.view)) for image in exam.shown)
    for number, of_image in enumerate(warnings, 1):
        for warning in of_image:
            if input_check and warning.refuses:
                which = f"image {number}: " if len(warnings) > 1 else ""
                raise RefusedError(f"{which}{warning.message}")
    return warnings


def _joined(
    checked: Sequence[tuple[ImageWarning, ...]], novelty: Sequence[ImageWarning | None]
) -> tuple[tuple[ImageWarning, ...], ...]:
    """The input check's warnings and, per image, that of an image unlike those trained on."""
    return tuple(
        of_image if unlike is None else (*of_image, unlike)
        for of_image, unlike in zip(checked, novelty, strict=True)
    )
