"""Radiographs whose findings are known from labels: what a model answers about them."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_prep.labels import is_normal
from data_prep.manifest import FINDINGS, Study, manifest_hash, read_studies
from model.errors import DataError
from model.generator import ReportGenerator
from model.image_features import image_features
from model.query import asserting_sentence, log_odds
from model.questions import answer_log_odds
from model.sampled_reports import sampled
from training.calibration.presence import Answers
from training.calibration.reading import batches, spoken_name
from training.folds import Fold
from training.provenance import left_out, record_of, saw
from training.study_inputs import readable
from training.truth import Truth, truth_of

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

log = logging.getLogger(__name__)

FEWEST_STUDIES = 20
"""Held-out studies of all folders together."""


@dataclass(frozen=True)
class Labeled:
    """Radiographs with labels of a prepared folder."""

    folder: Path
    held_out: Sequence[Study]
    """On which the probabilities of findings are fitted: no weight has learned their labels."""
    trained: Sequence[Study]
    """Others, which only show what such images look like."""


def labeled_studies(
    record: dict[str, Any], folders: Sequence[Path], views: Collection[str]
) -> list[Labeled]:
    """By prepared folder, the studies with labels that a checkpoint can be calibrated on.

    Never those of a test split, which are measured on.

    Raises:
        DataError: a folder without a study that training has not seen, too few of them in all
            folders together, or one folder twice.
    """
    names = ", ".join(repr(str(each)) for each in folders)
    if len({manifest_hash(each) for each in folders}) < len(folders):
        raise DataError(f"of {names} two hold the same studies: name each folder once")
    labeled = [_labeled(record, folder, views) for folder in folders]
    count = sum(len(each.held_out) for each in labeled)
    if labeled and count < FEWEST_STUDIES:
        raise DataError(
            f"{count} labeled studies of {names} can be calibrated on, at least {FEWEST_STUDIES} "
            "are needed: prepare more"
        )
    return labeled


def _labeled(record: dict[str, Any], folder: Path, views: Collection[str]) -> Labeled:
    studies = [s for s in readable(read_studies(folder), views) if s.labels is not None]
    held_out = [study for study in studies if study.split == "validate"]
    trained = [study for study in studies if study.split == "train"]
    if not saw(record, folder):
        held_out, trained = held_out + trained, []
    if not held_out:
        raise DataError(
            f"no labeled study of {str(folder)!r} can be calibrated on: neither training may have "
            "seen it nor the test split hold it; prepare more, or leave the folder out"
        )
    return Labeled(folder, held_out, trained)


def held_out_answers(
    generator: ReportGenerator, labeled: Sequence[Labeled], folds: Mapping[Fold, ReportGenerator]
) -> Answers:
    """What the model answers about studies that it has not learned from; and, with `folds`, what
    checkpoints trained in the same way answer about those that they have not learned from.

    A finding is known of a study where its own folder's labels tell. Where the same image is among
    another folder's train studies and the finding is known there too, training learned it: then it
    counts as not known. Patients of one name are one patient, whichever folder they are in.

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
    answered = [_folder_answers(generator, each, folds) for each in labeled]
    learned = [_learned(each) for each in labeled]
    studies, truths = [], []
    for number, (own, _) in enumerate(answered):
        others = [*learned[:number], *learned[number + 1 :]]
        _warn_of_seen(labeled[number], others)
        studies += own
        truths += [_held_out_truth(study, others) for study in own]
    names = [study.patient or study.id for study in studies]
    return Answers(
        odds=np.concatenate([odds for _, odds in answered]),
        known=np.array([[k in truth.known for k in range(len(FINDINGS))] for truth in truths]),
        present=np.array([[k in truth.present for k in range(len(FINDINGS))] for truth in truths]),
        normal=np.array([is_normal(study.labels) for study in studies]),
        patient=np.unique(names, return_inverse=True)[1],
    )


def _folder_answers(
    generator: ReportGenerator, labeled: Labeled, folds: Mapping[Fold, ReportGenerator]
) -> tuple[list[Study], np.ndarray]:
    """The studies of a folder that are fitted on, and log-odds (studies, FINDINGS).

    The answers of folds are brought to the model's scale: on the studies that neither has learned
    from they get its mean and standard deviation, finding by finding.
    """
    studies = list(labeled.held_out)
    odds = labeled_answers(generator, labeled.folder, studies)
    if not folds or not labeled.trained:
        return studies, odds
    of_folds = {
        study.id: own
        for fold, model in folds.items()
        for study, own in _answers_of(model, labeled, fold)
    }
    there = np.array([of_folds[study.id] for study in studies])
    scale = odds.std(axis=0) / there.std(axis=0).clip(1e-6)
    more = np.array([of_folds[study.id] for study in labeled.trained])
    moved = (more - there.mean(axis=0)) * scale + odds.mean(axis=0)
    return [*studies, *labeled.trained], np.concatenate((odds, moved))


def _answers_of(
    model: ReportGenerator, labeled: Labeled, fold: Fold
) -> Iterator[tuple[Study, np.ndarray]]:
    studies = [s for s in (*labeled.held_out, *labeled.trained) if fold.holds(s)]
    return zip(studies, labeled_answers(model, labeled.folder, studies), strict=True)


def _learned(labeled: Labeled) -> dict[str, frozenset[int]]:
    """By SHA-256 of the image, the findings that training has learned from its labels."""
    return {
        image.pixels: truth_of(study, complete=False).known
        for study in labeled.trained
        for image in study.images
        if image.pixels is not None
    }


def _held_out_truth(study: Study, others: Sequence[Mapping[str, frozenset[int]]]) -> Truth:
    truth = truth_of(study, complete=False)
    told: set[int] = set()
    for image in study.images:
        told.update(*(other.get(image.pixels or "", ()) for other in others))
    return Truth(truth.present - told, truth.known - told)


def _warn_of_seen(labeled: Labeled, others: Sequence[Mapping[str, frozenset[int]]]) -> None:
    seen = sum(
        any(image.pixels in other for image in study.images for other in others)
        for study in labeled.held_out
    )
    if seen:
        log.warning(
            "%d of %d held-out studies of %s show images that training has seen in another of the "
            "labeled folders: they count for findings that are not labeled there",
            *(seen, len(labeled.held_out), labeled.folder),
        )


def fold_checkpoints(
    checkpoints: Sequence[Path], labeled: Sequence[Labeled]
) -> dict[Fold, ReportGenerator]:
    """Checkpoints trained without a fold each, by the fold that their record names.

    Each must have left out its fold of every labeled folder that the calibrated checkpoint was
    trained on, in every run of its history that read the folder.

    Raises:
        CheckpointError: one cannot be loaded.
        DataError: one did not, a fold is missing, or there is no train split to fit on.
    """
    seen = [each.folder for each in labeled if each.trained]
    if checkpoints and not seen:
        raise DataError(
            "--fold: the checkpoint was trained on none of the labeled folders, and all of their "
            "studies are fitted on without; leave --fold out"
        )
    found: dict[Fold, ReportGenerator] = {}
    for checkpoint in checkpoints:
        record = record_of(checkpoint)
        fold = left_out(record, seen[0])
        for folder in seen:
            if fold is None or left_out(record, folder) != fold:
                raise DataError(
                    f"{str(checkpoint)!r} did not leave out a fold of {str(folder)!r}, or one of "
                    "the runs before it did not: begin from weights that have not seen the folder "
                    "and train with --set fold=0/3"
                )
        assert fold is not None
        found[fold] = ReportGenerator.load(checkpoint)
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


def labeled_features(generator: ReportGenerator, labeled: Labeled) -> Tensor:
    """Features of the frontal images of a folder, float32 (images, encoder width)."""
    studies = [*labeled.held_out, *labeled.trained]
    features = [
        image_features(memory, generator.model.prefix, generator.model.grid).flatten(0, 1).cpu()
        for _, _, memory in batches(generator, labeled.folder, studies, "reading labeled images")
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
