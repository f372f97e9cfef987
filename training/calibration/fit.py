"""Fits a trained checkpoint's probabilities and thresholds on studies its weights never saw.

Five things are fitted: the temperature of its probabilities (Guo et al. 2017, On Calibration of
Modern Neural Networks), the share of attention from which a word counts as grounded, the
probabilities of a reported finding and of one that is asked for (Platt 1999), and which images are
in distribution (Lee et al. 2018). None of them changes a word of any report, but for the
probability from which a finding is asserted, which labeled radiographs give (presence.py);
training/calibration/command.py measures the result.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_prep.manifest import FINDINGS, Study, read_studies
from model.decoding import decode
from model.errors import DataError
from model.findings import clause_log_probability
from model.generator import ReportGenerator
from model.heatmap import words
from model.image_features import image_features
from model.imported.network import ImportedNetwork
from model.loading import AnyNetwork
from model.memory import Memory
from model.query import asserting_sentence, log_odds
from model.questions import answer_log_odds
from model.report_text.parser import read_findings
from model.sampled_reports import sampled
from model.torch_network import Network, torch_network
from training.calibration.estimators import fit_novelty, fit_platt, fit_share, fit_temperature
from training.calibration.labeled import (
    FEWEST_STUDIES,
    Labeled,
    held_out_answers,
    labeled_features,
)
from training.calibration.presence import PresenceFit, fit_presence
from training.calibration.reading import batches, spoken_name
from training.denied_places import with_denied_places
from training.export import save
from training.folds import Fold
from training.provenance import data_record, saw
from training.study_inputs import readable

__all__ = [
    "Fit",
    "Observed",
    "Tokens",
    "calibrate",
    "force",
    "observe",
    "save_fit",
    "unseen",
]

NO_FOLDS: Mapping[Fold, ReportGenerator] = MappingProxyType({})
ASKED_STUDIES = 208
"""Studies that are asked for every finding: their samples are most of the time this takes."""


@dataclass(frozen=True)
class Tokens:
    """The true reports of studies, forced. Studies are numbered from 0."""

    logits: Tensor
    """float32 (tokens, vocabulary), what each token would have been chosen from."""
    labels: Tensor
    """int64 (tokens,), the token that is there."""
    study: np.ndarray
    """int (tokens,)"""


@dataclass(frozen=True)
class Observed:
    """What a model makes of studies whose truth is known. Studies are numbered from 0."""

    shares: np.ndarray
    """(words,), share of attention of each word of the true reports that fell on images."""
    spoken: np.ndarray
    """bool (words,), whether it speaks of a finding that is there."""
    word_study: np.ndarray
    """int (words,)"""
    asked: tuple[str, ...]
    """The findings asked for: those of FINDINGS that occur."""
    asked_odds: np.ndarray
    """(asked studies, asked), log-odds of the answer, or of the share of samples that name the
    finding."""
    truth: np.ndarray
    """bool (asked studies, asked), which of them each study has."""
    reported_log_probability: np.ndarray
    """(findings,), of each finding that the model's own reports assert, once a report: the
    log-probability of the clause that names it first."""
    reported_right: np.ndarray
    """bool (findings,), whether the study has it."""
    reported_study: np.ndarray
    """int (findings,)"""
    features: np.ndarray
    """(images, encoder width)"""


@dataclass(frozen=True)
class Fit:
    """What was fitted, and on how much."""

    temperature: float
    grounded_share: float
    grounded_f1: float
    """Of "this word speaks of a finding that is there", on the studies fitted on."""
    ask_scale: float
    ask_offset: float
    calibrated: list[str] | None
    """Of labeled radiographs, the findings whose probability held; None of phantoms alone."""
    presence: PresenceFit | None
    """Of labeled radiographs, finding by finding."""
    finding_scale: float | None
    finding_offset: float
    novelty_threshold: float
    studies: int
    tokens: int
    words: int
    questions: int
    reported: int
    images: int
    labeled_studies: int
    """Radiographs with labels that the answers were fitted on, of all folders."""


def unseen(record: dict[str, Any], folder: Path, views: Collection[str]) -> list[Study]:
    """The studies of a prepared folder that a checkpoint's weights were not trained on.

    Of a folder that training may have seen these are the validate split's, of any other one all.

    Args:
        record: the checkpoint's training.json.
        views: those that the model reads; the studies have only such images.

    Raises:
        DataError: too few, or none has findings.
    """
    split = "validate" if saw(record, folder) else None
    studies = list(readable(read_studies(folder, split), views))
    if len(studies) < FEWEST_STUDIES:
        raise DataError(
            f"{len(studies)} studies of {str(folder)!r} can be calibrated on, at least "
            f"{FEWEST_STUDIES} are needed: prepare more"
        )
    if not any(study.findings for study in studies):
        raise DataError(
            f"no study in {str(folder)!r} has findings: calibration needs the truth, as the "
            "phantom has it"
        )
    return studies


def calibrate(
    generator: ReportGenerator,
    data: Path,
    studies: Sequence[Study],
    labeled: Sequence[Labeled] = (),
    folds: Mapping[Fold, ReportGenerator] = NO_FOLDS,
) -> Fit:
    """Fit everything on these studies and set it in the generator's model.

    Args:
        labeled: radiographs, folder by folder, on which the probability of findings is fitted
            instead, of those that enough of them have; and that are familiar too.
        folds: see training.calibration.labeled.held_out_answers.

    Raises:
        DataError: studies without findings, or without words that speak of none.
    """
    model = generator.model
    assert isinstance(model, AnyNetwork)
    config = model.config
    tokens = force(generator, data, studies)
    # First: the evidence is given at this temperature.
    config.temperature = fit_temperature(tokens.logits, tokens.labels)
    observed = observe(generator, data, studies)
    config.grounded_share, f1 = fit_share(observed.shares, observed.spoken)
    config.calibrated, config.answer_scales, config.assert_from = None, {}, {}
    features, presence, questions = observed.features, None, observed.asked_odds.size
    answered = 0
    if not labeled:
        config.ask_scale, config.ask_offset = fit_platt(observed.asked_odds, observed.truth)
    else:
        answers = held_out_answers(generator, labeled, folds)
        answered = len(answers.odds)
        presence, questions = fit_presence(answers), int(answers.known.sum())
        config.ask_scale, config.ask_offset = presence.scale, presence.offset
        config.calibrated, config.answer_scales = presence.shown, presence.scales
        config.assert_from = presence.assert_from
        more = [labeled_features(generator, each).double().numpy() for each in labeled]
        features = np.concatenate((features, *more))
    config.finding_scale, config.finding_offset = None, 0.0
    if len(observed.reported_log_probability):  # a model that reports no finding has none to fit
        fitted = fit_platt(observed.reported_log_probability, observed.reported_right)
        config.finding_scale, config.finding_offset = fitted
    novelty = fit_novelty(np.random.default_rng(0).permutation(features))
    config.novelty_threshold = novelty.limit
    model.feature_mean.copy_(torch.from_numpy(novelty.mean))
    model.feature_precision.copy_(torch.from_numpy(novelty.precision))
    return Fit(
        temperature=config.temperature,
        grounded_share=config.grounded_share,
        grounded_f1=f1,
        ask_scale=config.ask_scale,
        ask_offset=config.ask_offset,
        calibrated=config.calibrated,
        presence=presence,
        finding_scale=config.finding_scale,
        finding_offset=config.finding_offset,
        novelty_threshold=config.novelty_threshold,
        studies=len(studies),
        tokens=len(tokens.labels),
        words=len(observed.shares),
        questions=questions,
        reported=len(observed.reported_log_probability),
        images=len(features),
        labeled_studies=answered,
    )


def save_fit(
    generator: ReportGenerator, folder: Path, data: Path, fit: Fit, labeled: Sequence[Path] = ()
) -> None:
    """Write the calibrated model over its checkpoint folder, with new sums.

    training.json gets "calibration": what was fitted, on how much, and the data's manifests.

    Args:
        labeled: the prepared folders of labeled radiographs.
    """
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    record["calibration"] = {**asdict(fit), "data": data_record(data)}
    if labeled:
        record["calibration"]["labeled"] = data_record(labeled[0], labeled[1:])
    card = (folder / "README.md").read_text(encoding="utf-8")
    model = generator.model
    assert isinstance(model, AnyNetwork)
    if isinstance(model, ImportedNetwork):
        model.config.say_calibrated()
    save(folder, model, generator.tokenizer, record, card)


def force(generator: ReportGenerator, data: Path, studies: Sequence[Study]) -> Tokens:
    """Teacher forcing of the true reports."""
    logits, labels, of_study = [], [], []
    for first, batch, memory in batches(generator, data, studies, "forcing reports"):
        texts = [_tokens(generator, study) for study in batch]
        for row, of_text in enumerate(_logits(torch_network(generator.model), memory, texts)):
            logits.append(of_text.cpu())
            labels += texts[row]
            of_study += [first + row] * len(texts[row])
    return Tokens(torch.cat(logits), torch.tensor(labels), np.array(of_study))


def observe(generator: ReportGenerator, data: Path, studies: Sequence[Study]) -> Observed:
    """The attention of true reports' words, the reported findings, and those asked for."""
    model, tokenizer = generator.model, generator.tokenizer
    shares, spoken, of_word, odds, features = [], [], [], [], []
    reported: list[tuple[float, bool, int]] = []
    present = [{finding.name for finding in study.findings} for study in studies]
    asked = tuple(name for name in FINDINGS if any(name in names for names in present))
    for first, batch, memory in batches(generator, data, studies, "asking for findings"):
        texts = [_tokens(generator, study) for study in batch]
        forced_words = words(model, memory, texts, tokenizer)
        for row, (study, of_text) in enumerate(zip(batch, forced_words, strict=True), first):
            shares += [float(word.heatmap.sum()) for word in of_text]
            spoken += [_speaks(study, word.start, word.end) for word in of_text]
            of_word += [row] * len(of_text)
        for row, sure in enumerate(_reported(generator, memory, decode(model, memory)), first):
            reported += [(log, name in present[row], row) for name, log in sure.items()]
        if model.config.answers:
            names = [spoken_name(name) for name in asked]
            odds += answer_log_odds(model, memory, tokenizer, names).tolist()
        elif first < ASKED_STUDIES:
            for of_study in sampled(model, memory, tokenizer):
                counts = [
                    sum(bool(asserting_sentence(text, spoken_name(name))) for _, text in of_study)
                    for name in asked
                ]
                odds.append([log_odds(count) for count in counts])
        of_images = image_features(memory, model.prefix, model.grid).flatten(0, 1).cpu().numpy()
        features.append(of_images[~np.isnan(of_images).any(axis=1)])
    return Observed(
        shares=np.array(shares),
        spoken=np.array(spoken),
        word_study=np.array(of_word),
        asked=asked,
        asked_odds=np.array(odds),
        truth=np.array([[name in names for name in asked] for names in present[: len(odds)]]),
        reported_log_probability=np.array([log for log, _, _ in reported]),
        reported_right=np.array([right for _, right, _ in reported], bool),
        reported_study=np.array([row for _, _, row in reported], int),
        features=np.concatenate(features).astype(np.float64),
    )


def _reported(
    generator: ReportGenerator, memory: Memory, texts: list[list[int]]
) -> Iterator[dict[str, float]]:
    """Per text the findings it asserts, with the log-probability of the first clause of each."""
    model, tokenizer = generator.model, generator.tokenizer
    for text, spoken in zip(texts, words(model, memory, texts, tokenizer), strict=True):
        sure: dict[str, float] = {}
        for assertion in read_findings(tokenizer.decode(text)):
            sure.setdefault(assertion.name, clause_log_probability(assertion, spoken))
        yield sure


def _tokens(generator: ReportGenerator, study: Study) -> list[int]:
    """A report as the model would write it: with its end, cut where it writes no more."""
    config = generator.model.config
    tokens = [*generator.tokenizer.encode(study.report).ids, config.eos_token_id]
    return tokens[: config.max_tokens]


def _logits(model: Network, memory: Memory, texts: Sequence[list[int]]) -> Iterator[Tensor]:
    """Per text the logits (tokens, vocabulary) its tokens would be chosen from."""
    config = model.config
    before = torch.full((len(texts), max(map(len, texts))), config.pad_token_id)
    before[:, 0] = config.bos_token_id
    for row, text in enumerate(texts):
        before[row, 1 : len(text)] = torch.tensor(text[:-1])
    logits, _ = model.teacher_forced(memory, before.to(model.device), None)
    for row, text in enumerate(texts):
        yield logits[row, : len(text)].float()


def _speaks(study: Study, start: int, end: int) -> bool:
    """Of a finding, or of what is denied where the study knows its place."""
    phrases = with_denied_places(study).phrases
    return any(start < phrase.end and phrase.start < end for phrase in phrases)
