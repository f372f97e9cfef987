"""Radiographs whose findings are known from labels: what a model answers about them."""

from collections.abc import Collection, Sequence
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
from model.query import asserting_sentence, log_odds, sampled
from model.questions import answer_log_odds
from training.calibration.reading import batches, spoken_name
from training.provenance import saw
from training.study_inputs import readable
from training.truth import truth_of

__all__ = [
    "FEWEST_STUDIES",
    "Labeled",
    "fitted_answers",
    "labeled_answers",
    "labeled_features",
    "labeled_studies",
    "novelty_distances",
]

FEWEST_STUDIES = 20
FEWEST_CASES = 5
"""Labeled radiographs with a finding, and without it, from which its probability is fitted: of
fewer none is given."""


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


def fitted_answers(
    generator: ReportGenerator, labeled: Labeled
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Log-odds (questions,), truth bool (questions,), and the findings asked about."""
    if not generator.model.config.answers:
        raise DataError(
            "this checkpoint was not taught to answer questions (losses.answers): calibrate it "
            "without labeled radiographs"
        )
    odds = labeled_answers(generator, labeled.folder, labeled.held_out)
    truths = [truth_of(study, complete=False) for study in labeled.held_out]
    known = np.array([[k in truth.known for k in range(len(FINDINGS))] for truth in truths])
    present = np.array([[k in truth.present for k in range(len(FINDINGS))] for truth in truths])
    with_it, without = (known & present).sum(0), (known & ~present).sum(0)
    enough = np.minimum(with_it, without) >= FEWEST_CASES
    if not enough.any():
        raise DataError(
            f"no finding has {FEWEST_CASES} labeled studies with it and as many without: prepare "
            "more"
        )
    asked = known & enough
    return odds[asked], present[asked], [FINDINGS[k] for k in np.flatnonzero(enough)]


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
