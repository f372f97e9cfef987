"""Radiographs whose findings are known from labels: what a model answers about them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_prep.manifest import FINDINGS, Study, read_studies
from model.errors import DataError
from model.generator import ReportGenerator
from model.image_features import image_features
from model.query import asserting_sentence, log_odds
from model.questions import answer_log_odds
from model.sampled_reports import sampled
from training.calibration.presence import Answers
from training.calibration.reading import batches, spoken_name
from training.folds import Fold
from training.provenance import record_of, saw
from training.study_inputs import readable
from training.truth import truth_of

__all__ = [
    "FEWEST_STUDIES",
    "Labeled",
    "fold_checkpoints",
    "held_out_answers",
    "labeled_answers",
    "labeled_features",
    "labeled_studies",
    "novelty_distances",
]

FEWEST_STUDIES = 20


@dataclass(frozen=True)
class Labeled:
    """Radiographs with labels of a prepared folder."""

    folder: Path
    held_out: Sequence[Study]
    """On which the probabilities of findings are fitted: no weight has learned from them."""
    trained: Sequence[Study]
    """Others, which only show what such images look like."""


def labeled_studies(record: dict[str, Any], folder: Path, views: Collection[str]) -> Labeled:
    """The studies of a prepared folder with labels that a checkpoint can be calibrated on.

    Never those of the test split, which are measured on.

    Raises:
        DataError: too few that training has not seen.
    """
    studies = [s for s in readable(read_studies(folder), views) if s.labels is not None]
    held_out = [study for study in studies if study.split == "validate"]
    trained = [study for study in studies if study.split == "train"]
    if not saw(record, folder):
        held_out, trained = held_out + trained, []
    if len(held_out) < FEWEST_STUDIES:
        raise DataError(
            f"{len(held_out)} labeled studies of {str(folder)!r} can be calibrated on, at least "
            f"{FEWEST_STUDIES} are needed: prepare more"
        )
    return Labeled(folder, held_out, trained)


def held_out_answers(
    generator: ReportGenerator, labeled: Labeled, folds: Mapping[Fold, ReportGenerator]
) -> Answers:
    """What the model answers about studies that it has not learned from; and, with `folds`, what
    checkpoints trained in the same way answer about those that they have not learned from.

    The answers of folds are brought to the model's scale: on the studies that neither has learned
    from they get its mean and standard deviation, finding by finding.

    Args:
        folds: the checkpoint that did not learn from each fold; empty for none.

    Raises:
        DataError: the model was not taught to answer.
    """
    if not generator.model.config.answers:
        raise DataError(
            "this checkpoint was not taught to answer questions (losses.answers): calibrate it "
            "without labeled radiographs"
        )
    studies = list(labeled.held_out)
    odds = labeled_answers(generator, labeled.folder, studies)
    if folds:
        of_folds = {
            study.id: own
            for fold, model in folds.items()
            for study, own in _answers_of(model, labeled, fold)
        }
        there = np.array([of_folds[study.id] for study in studies])
        scale = odds.std(axis=0) / there.std(axis=0).clip(1e-6)
        more = np.array([of_folds[study.id] for study in labeled.trained])
        odds = np.concatenate((odds, (more - there.mean(axis=0)) * scale + odds.mean(axis=0)))
        studies += labeled.trained
    truths = [truth_of(study, complete=False) for study in studies]
    names = [study.patient or study.id for study in studies]
    return Answers(
        odds=odds,
        known=np.array([[k in truth.known for k in range(len(FINDINGS))] for truth in truths]),
        present=np.array([[k in truth.present for k in range(len(FINDINGS))] for truth in truths]),
        normal=np.array([not any(v == 1 for v in (s.labels or {}).values()) for s in studies]),
        patient=np.unique(names, return_inverse=True)[1],
    )


def _answers_of(
    model: ReportGenerator, labeled: Labeled, fold: Fold
) -> Iterator[tuple[Study, np.ndarray]]:
    studies = [s for s in (*labeled.held_out, *labeled.trained) if fold.holds(s)]
    return zip(studies, labeled_answers(model, labeled.folder, studies), strict=True)


def fold_checkpoints(checkpoints: Sequence[Path], folder: Path) -> dict[Fold, ReportGenerator]:
    """Checkpoints trained without a fold each, by the fold that their record names.

    Raises:
        CheckpointError: one cannot be loaded.
        DataError: one was trained without folds or on other data, or a fold is missing.
    """
    found: dict[Fold, ReportGenerator] = {}
    for checkpoint in checkpoints:
        record = record_of(checkpoint)
        name = record.get("settings", {}).get("fold")
        if not name or not saw(record, folder):
            raise DataError(
                f"{str(checkpoint)!r} did not leave out a fold of {str(folder)!r}: train it with "
                "--set fold=0/3"
            )
        found[Fold.parse(name)] = ReportGenerator.load(checkpoint)
    counts = {fold.count for fold in found}
    if found and (len(counts) != 1 or len(found) != max(counts)):
        raise DataError(
            f"folds {', '.join(map(str, found))}: one checkpoint of each fold of one count is "
            "needed"
        )
    return found


def labeled_answers(generator: ReportGenerator, data: Path, studies: Sequence[Study]) -> np.ndarray:
    """Log-odds of each of FINDINGS, before any calibration, (studies, findings).

    Of the answer where the model answers questions, otherwise of the share of samples.
    """
    model, tokenizer = generator.model, generator.tokenizer
    names = [spoken_name(name) for name in FINDINGS]
    odds: list[list[float]] = []
    for _, _, memory in batches(generator, data, studies, "asking about findings"):
        if model.config.answers:
            odds += answer_log_odds(model, memory, tokenizer, names).tolist()
            continue
        odds += [
            [
                log_odds(sum(bool(asserting_sentence(text, name)) for _, text in of_study))
                for name in names
            ]
            for of_study in sampled(model, memory, tokenizer)
        ]
    return np.array(odds)


def labeled_features(generator: ReportGenerator, data: Path, studies: Sequence[Study]) -> Tensor:
    """Features of their frontal images, float32 (images, encoder width)."""
    features = [
        image_features(memory, generator.model.prefix, generator.model.grid).flatten(0, 1).cpu()
        for _, _, memory in batches(generator, data, studies, "reading labeled images")
    ]
    joined = torch.cat(features)
    return joined[~joined.isnan().any(dim=1)]


def novelty_distances(
    generator: ReportGenerator, data: Path, studies: Sequence[Study]
) -> np.ndarray:
    """How far their frontal images are from those fitted on, float64 (images,)."""
    far = [
        generator.model.novelty_distances(memory).flatten()
        for _, _, memory in batches(generator, data, studies, "comparing images")
    ]
    joined = np.concatenate(far).astype(np.float64)
    result: np.ndarray = joined[~np.isnan(joined)]
    return result
