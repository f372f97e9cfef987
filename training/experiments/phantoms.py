"""Phantoms forced to say their reports, for experiments with a checkpoint that is there."""

from collections.abc import Iterator, Sequence

import numpy as np

from data_prep.manifest import Study
from model.errors import ConfigError
from model.generator import ReportGenerator
from model.network import ReportModel, report_model
from training.experiments.results import Options
from training.grounding.cases import Subject, of_folder
from training.teacher_forcing import TeacherForced, force

__all__ = ["forced_phantoms", "loaded"]

BATCH = 4


def loaded(options: Options) -> tuple[ReportModel, list[Study], list[Subject]]:
    """The checkpoint, and the phantoms that it is measured on.

    Raises:
        ConfigError: no checkpoint or no phantoms were named, or the checkpoint is an imported one.
    """
    if options.model is None or options.data is None:
        raise ConfigError("this experiment needs --model and --data: a checkpoint and phantoms")
    generator = ReportGenerator.load(options.model)
    model = report_model(generator.model)
    studies, subjects = of_folder(
        options.data, generator.tokenizer, model.config, "all", options.studies
    )
    return model, studies, subjects


def forced_phantoms(
    model: ReportModel, subjects: Sequence[Subject], noise: float = 0.0
) -> Iterator[tuple[Sequence[Subject], TeacherForced]]:
    """Batches of studies with findings, their reports forced.

    Args:
        noise: standard deviation of what is added to the pixels, as a share of their range.
    """
    speaking = [subject for subject in subjects if subject.cases]
    for first in range(0, len(speaking), BATCH):
        batch = speaking[first : first + BATCH]
        pixels = [
            [_noisy(image, noise, subject.row) for image in subject.read()] for subject in batch
        ]
        spans = [[case.span for case in subject.cases] for subject in batch]
        rows, given = [s.row for s in batch], [s.given for s in batch]
        texts = [subject.text for subject in batch]
        yield batch, force(model, rows, pixels, given, texts, spans)


def _noisy(pixels: np.ndarray, noise: float, seed: int) -> np.ndarray:
    if not noise:
        return pixels
    drawn = np.random.default_rng([seed, 7]).normal(0, noise, pixels.shape)
    return np.clip(pixels + drawn, 0, 1).astype(np.float32)
