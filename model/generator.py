"""Radiographs of a study -> its draft report, every word with the image regions it attended to.

    generator = ReportGenerator.load()
    report = generator(read_image(path))

Service, batch and command line are thin callers of this.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.alternatives import EncodedStudy
from model.anatomy import RememberedSegmenter, Segmenter, right_of_spine
from model.check import Measured, issues_of, measure
from model.checkpoint_folder import EMBEDDED, ModelIdentity
from model.decoding import GREEDY, DecodingOptions, decode
from model.engine.config import Precision
from model.engine.load import EngineName, EngineOptions, Loaded, load_engine
from model.errors import DataError, NotARadiograph
from model.exam import Exam, encode_studies, kind_of, why_unread
from model.findings import (
    NamedFinding,
    confidence_withheld,
    inside,
    named_denials,
    named_findings,
)
from model.heatmap import Word, span_of, words
from model.identity import StudyWarning, check_identity
from model.image_checks import examined
from model.imaging.letterbox import Placement
from model.imaging.radiograph import ImageWarning, Radiograph
from model.input_check import load_input_check
from model.interface import NOTICE, Engine, StudyMemory, Tokenizer
from model.novelty import novelty_warnings
from model.presence import Presence, presence_of
from model.query import ask
from model.read_report import checked_statements, report_tokens
from model.report import Answer, Check, Report, sections
from model.report_text.parser import sentences
from model.report_text.statements import read_statements
from model.review import review
from model.sampled_reports import LanguagePrior
from model.verification import verified

__all__ = ["EMBEDDED", "ReportGenerator"]


class ReportGenerator:
    """A loaded checkpoint, ready to write reports. Safe to share between threads."""

    def __init__(
        self,
        model: Engine[Any],
        tokenizer: Tokenizer,
        identity: ModelIdentity,
        segmenter: Segmenter | None = None,
    ) -> None:
        """
        Args:
            segmenter: what finds the spine; None: the anatomy network in PyTorch.
        """
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.identity = identity
        self.segmenter = segmenter
        self._prior = LanguagePrior()

    @classmethod
    def load(
        cls,
        source: Path | str | None = None,
        device: str = "cpu",
        engine: EngineName = "torch",
        threads: int | None = None,
        precision: Precision = "f32",
    ) -> "ReportGenerator":
        """Load a checkpoint, or the embedded one.

        Args:
            source: a checkpoint folder, CrossRay's or a published one of Hugging Face, or
                "hf:owner/name[@revision]"; see model/loading.py.
            device: a torch device, such as "cpu" or "cuda".
            engine: what computes: "torch", "openvino" (some times faster, on the processor only),
                or "auto", OpenVINO where it is installed and runs the checkpoint.
            threads: of OpenVINO; None: its own choice. PyTorch's are the process's.
            precision: "f32"; or "bf16", faster with large networks, with some reports that differ.

        Raises:
            CheckpointError: the folder is incomplete, altered or of another kind, or the input
                check's weights are.
            ConfigError: the engine cannot run this checkpoint, or the device cannot be used here.
        """
        options = EngineOptions(engine, device, threads, precision)
        return cls.of(load_engine(source or EMBEDDED, options))

    @classmethod
    def of(cls, loaded: Loaded) -> "ReportGenerator":
        """Of a checkpoint that an engine has loaded.

        Raises:
            CheckpointError: the input check's weights are damaged.
        """
        load_input_check()  # kept: an error now, not at the first report
        return cls(loaded.engine, loaded.tokenizer, loaded.identity, loaded.segmenter)

    @property
    def notice(self) -> str:
        """What every reader of this checkpoint's reports must know."""
        return self.model.config.notice or NOTICE

    def why_unread(self, view: str | None, prior: bool = False) -> str | None:
        """Why the model cannot read an image of this view: see `why_unread` of model/exam.py."""
        return why_unread(self.model.config.views, view, prior)

    def __call__(
        self,
        exam: Exam | Radiograph | Sequence[Radiograph],
        options: DecodingOptions = GREEDY,
        input_check: bool = True,
        identity_check: bool = True,
        watch: Callable[[str], None] | None = None,
    ) -> Report:
        """The report of one study, of one or more images; Args and Raises as for `reports`.

        Args:
            watch: given the text so far after every token, and the whole text before its words are
                read for their maps. It need not begin as the text before did: sentences that the
                answers do not support are taken back. What it raises ends the writing.
        """
        given = None if watch is None else lambda texts: watch(texts[0])
        [report] = self.reports([_exam(exam)], options, input_check, identity_check, watch=given)
        return report

    def reports(
        self,
        studies: Sequence[Exam | Sequence[Radiograph]],
        options: DecodingOptions = GREEDY,
        input_check: bool = True,
        identity_check: bool = True,
        watch: Callable[[list[str]], None] | None = None,
    ) -> list[Report]:
        """The reports of several studies as one batch: the same as one by one, and faster.

        Args:
            input_check: refuse images that the input check rejects. False: its reasons are in
                Report.warnings.
            identity_check: refuse images of different patients or studies, and priors that are
                not earlier. False: what does not agree is in Report.study_warnings.
            watch: as for one study, given the texts of all.

        Raises:
            RefusedError: an image that the input check rejects, in any of the studies.
            IdentityMismatch: see `identity_check`.
            NotARadiograph: a view that this model was not trained on.
            DataError: a study without images; an indication that is too long or that this model
                was not trained to read.
            ConfigError: options the model cannot follow.
        """
        if not studies:
            return []
        inputs = [
            self._input(row, _exam(study), input_check, identity_check)
            for row, study in enumerate(studies)
        ]
        memory = self._encode(inputs)
        given = None if watch is None else lambda texts: watch(self._decoded(texts))
        written = decode(self.model, memory, options, given)
        texts, odds = verified(self.model, memory, self.tokenizer, written)
        if given is not None:
            given(texts)
        words_of_texts = words(self.model, memory, texts, self.tokenizer)
        novelty = novelty_warnings(self.model, memory)
        parts = zip(inputs, novelty, texts, words_of_texts, odds, strict=True)
        return [
            self._report(study.with_novelty(novel), tokens, words_of, of_findings)
            for study, novel, tokens, words_of, of_findings in parts
        ]

    def ask(
        self,
        exam: Exam | Radiograph | Sequence[Radiograph],
        phrase: str,
        input_check: bool = True,
        identity_check: bool = True,
    ) -> Answer:
        """How probable a phrase is on one study, whether or not its report holds it.

        Args:
            phrase: such as "right pleural effusion" or "is there a fracture?".
            input_check, identity_check: as for `reports`.

        Raises:
            RefusedError, IdentityMismatch, NotARadiograph: as `reports`.
            DataError: as `reports`, and a phrase that cannot be asked.
        """
        given = self._input(0, _exam(exam), input_check, identity_check)
        memory = self._encode([given])
        indication = " ".join(given.exam.indication.split())
        prior = self._prior.of(self.model, memory, self.tokenizer, indication)
        [found] = ask(self.model, memory, self.tokenizer, phrase, prior)
        study = given.with_novelty(novelty_warnings(self.model, memory)[0])
        return Answer(**vars(found), **study.described, model=self.identity)

    def check(
        self,
        exam: Exam | Radiograph | Sequence[Radiograph],
        text: str,
        input_check: bool = True,
        identity_check: bool = True,
    ) -> Check:
        """Hold somebody's report against its images.

        Args:
            text: in any words; what it states of findings is read by rules.
            input_check, identity_check: as for `reports`.

        Raises:
            RefusedError, IdentityMismatch, NotARadiograph: as `reports`.
            DataError: as `reports`, and a text without words, or longer than the model reads.
        """
        given = self._input(0, _exam(exam), input_check, identity_check)
        tokens, read = report_tokens(self.model, self.tokenizer, text)
        memory = self._encode([given])
        [spoken] = words(self.model, memory, [tokens], self.tokenizer)
        study = given.with_novelty(novelty_warnings(self.model, memory)[0])
        statements = read_statements(read)
        presence: Presence | None = None
        measured: list[Measured] = []
        encoded = EncodedStudy(self.model, memory, self.tokenizer)
        if study.withheld is None:
            [presence] = presence_of(self.model, memory, self.tokenizer)
            measured = measure(encoded, presence, statements)
        shape = (len(study.placements), *self.model.grid)
        return Check(
            text=read,
            sections=sections(read),
            sentences=tuple(
                span_of(read, start, end, spoken, inside(spoken, start, end), shape)
                for start, end in sentences(read)
            ),
            words=tuple(spoken),
            statements=checked_statements(read, spoken, statements, shape, presence),
            issues=issues_of(encoded, read, spoken, measured, study.exam.prior),
            grid=self.model.grid,
            **study.described,
            model=self.identity,
        )

    def _input(self, row: int, exam: Exam, input_check: bool, identity_check: bool) -> "_Input":
        """Study number `row` with what its checks say.

        Raises:
            DataError: it has no image.
            IdentityMismatch, RefusedError: a check that is on rejects it.
        """
        if not exam.images:
            raise DataError(f"study {row} has no image: leave it out")
        segmenter = RememberedSegmenter(self.segmenter)
        return _Input(
            exam,
            segmenter,
            placements=tuple(self._place(image) for image in exam.shown),
            warnings=examined(exam, input_check, segmenter),
            study_warnings=check_identity(exam, insist=not identity_check),
        )

    def _decoded(self, texts: Sequence[list[int]]) -> list[str]:
        return [self.tokenizer.decode(tokens) for tokens in texts]

    def _place(self, image: Radiograph) -> Placement:
        return self.model.place(*image.shape)

    def _encode(self, inputs: Sequence["_Input"]) -> StudyMemory:
        """All images in one batch; studies with fewer than the longest end in absent ones."""
        kinds = [self._kinds(study.exam) for study in inputs]
        pixels = [
            [
                placement.apply(image.pixels)
                for image, placement in zip(study.exam.shown, study.placements, strict=True)
            ]
            for study in inputs
        ]
        indications = [" ".join(study.exam.indication.split()) for study in inputs]
        prompts = [self.tokenizer.encode(indication).ids for indication in indications]
        memory: StudyMemory = encode_studies(self.model, pixels, kinds, prompts)
        return memory

    def _kinds(self, exam: Exam) -> list[int]:
        """What each image is, an index into VIEWS, if the model was trained to read such."""
        images = list(zip(exam.shown, exam.prior, strict=True))
        for number, (image, prior) in enumerate(images, 1):
            if reason := self.why_unread(image.view, prior):
                which = f"image {number}: " if len(images) > 1 else ""
                raise NotARadiograph(f"{which}{reason}")
        return [kind_of(image.view, prior) for image, prior in images]

    def _sides(
        self, study: "_Input", findings: Sequence[NamedFinding]
    ) -> list[NDArray[np.float32] | None]:
        """See `review`; the spine is only looked for where a finding has a side to be checked."""
        asked = any(finding.sides and finding.state == "grounded" for finding in findings)
        images = zip(study.exam.shown, study.placements, study.described["views"], strict=True)
        return [
            right_of_spine(image.pixels, placement, self.model.grid, study.segmenter)
            if asked and view != "LATERAL"
            else None
            for image, placement, view in images
        ]

    def _report(
        self,
        study: "_Input",
        tokens: list[int],
        written: list[Word],
        log_odds: Mapping[str, float],
    ) -> Report:
        text = self.tokenizer.decode(tokens)
        views, priors = study.described["views"], study.described["priors"]
        shape = (len(views), *self.model.grid)
        findings = named_findings(text, written, shape, self.model.config, log_odds)
        if study.withheld is not None:
            findings = tuple(replace(finding, presence_probability=None) for finding in findings)
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
            denials=named_denials(text, written, shape),
            review=review(text, written, findings, self._sides(study, findings), priors, ended),
            grid=self.model.grid,
            **study.described,
            model=self.identity,
        )


@dataclass(frozen=True)
class _Input:
    """One study on its way to a report."""

    exam: Exam
    segmenter: Segmenter
    placements: tuple[Placement, ...]
    """Per image, as are the warnings."""
    warnings: tuple[tuple[ImageWarning, ...], ...]
    study_warnings: tuple[StudyWarning, ...]

    def with_novelty(self, novelty: Sequence[ImageWarning | None]) -> "_Input":
        """With, per image, the warning of one unlike those trained on."""
        joined = tuple(
            of_image if novel is None else (*of_image, novel)
            for of_image, novel in zip(self.warnings, novelty, strict=True)
        )
        return replace(self, warnings=joined)

    @property
    def withheld(self) -> str | None:
        return confidence_withheld(self.warnings)

    @property
    def described(self) -> dict[str, Any]:
        """What Report and Answer say of the study they were made from."""
        return {
            "placements": self.placements,
            "stored": tuple(image.grid for image in self.exam.shown),
            "views": tuple(image.view for image in self.exam.shown),
            "priors": self.exam.prior,
            "indication": self.exam.indication,
            "warnings": self.warnings,
            "study_warnings": self.study_warnings,
            "withheld": self.withheld,
        }


def _exam(study: Exam | Radiograph | Sequence[Radiograph]) -> Exam:
    if isinstance(study, Exam):
        return study
    return Exam([study] if isinstance(study, Radiograph) else study)
