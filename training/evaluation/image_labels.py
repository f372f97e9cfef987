"""Images that a reader labeled -> how well a checkpoint's answers tell what is on them.

For what no data set labels, such as the devices of a collection. The form of the labels is in
data_prep/reader_labels.py; images on which a finding is uncertain do not count for it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data_prep.reader_labels import ReaderLabels, read_reader_labels
from model.errors import DataError
from model.exam import encode_studies
from model.generator import ReportGenerator
from model.imaging.read import read_image
from model.questions import answer_log_odds, estimated_probability, finding_phrase
from model.verification import EVEN
from training.bootstrap import Bootstrap, Score, divide, draw, interval, percentiles
from training.evaluation.label_scores import weighted_auc
from training.files import require_writable, write_json

__all__ = ["run_answers"]

BATCH = 16


@dataclass(frozen=True)
class AnswerScores:
    """One finding; intervals are over images."""

    finding: str
    present: int
    absent: int
    auc: Score
    f1: Score
    """Of what a report asserts by its probability."""
    precision: Score
    sensitivity: Score


def run_answers(
    model_dir: Path | None, images: Path, labels_file: Path, json_file: Path | None = None
) -> str:
    """`crossray answers`: ask about every labeled image, return the table to print.

    Raises:
        CheckpointError: the model cannot be loaded.
        DataError: see read_reader_labels; an image that is missing; a model that does not answer.
        ImageError: an image that cannot be read.
    """
    require_writable(json_file)
    labels = read_reader_labels(labels_file)
    generator = ReportGenerator.load(model_dir)
    if not generator.model.config.answers:
        raise DataError(f"{generator.identity.name} was not taught to answer questions")
    odds, near = _answers(generator, images, labels)
    truth = np.array([list(labels.of(path).values()) for path in labels.images])
    rows = [
        _scores(generator, name, own[known >= 0], known[known >= 0] > 0)
        for name, own, known in zip(labels.findings, odds.T, truth.T, strict=True)
    ]
    if json_file is not None:
        numbers = {"findings": [asdict(row) for row in rows], "in_distribution": asdict(near)}
        write_json(json_file, numbers)
    return _table(generator.identity.name, rows, near)


def _answers(
    generator: ReportGenerator, folder: Path, labels: ReaderLabels
) -> tuple[np.ndarray, Score]:
    """Log-odds (images, findings), and the share of images in distribution."""
    paths = [folder / name for name in labels.images]
    if missing := [path.name for path in paths if not path.is_file()]:
        raise DataError(f"no {missing[0]!r} in {str(folder)!r}, and {len(missing) - 1} more")
    model, odds, near = generator.model, [], []
    phrases = [finding_phrase(name) for name in labels.findings]
    for first in tqdm(range(0, len(paths), BATCH), "asking", unit="batch", mininterval=2):
        pixels = [read_image(path).pixels for path in paths[first : first + BATCH]]
        squares = [[model.place(*each.shape).apply(each)] for each in pixels]
        memory = encode_studies(model, squares, [[0]] * len(squares), [[]] * len(squares))
        odds += answer_log_odds(model, memory, generator.tokenizer, phrases).tolist()
        limit = model.config.novelty_threshold
        far = model.novelty_distances(memory)[:, 0]
        near += (np.asarray(far <= limit) | (limit == 0)).tolist()
    shares = Bootstrap(len(near)).ratio(np.array(near, float), np.ones(len(near)))
    return np.array(odds), shares


def _scores(
    generator: ReportGenerator, name: str, odds: np.ndarray, present: np.ndarray
) -> AnswerScores:
    config = generator.model.config
    limit = config.assert_from.get(name, EVEN)
    called = np.array([estimated_probability(config, name, own) >= limit for own in odds])
    weights = draw(len(odds))

    def ratio(part: np.ndarray, whole: np.ndarray) -> Score:
        return percentiles(divide(weights @ part, weights @ whole), int(whole.sum()))

    right = (called & present).astype(float)
    return AnswerScores(
        finding=name,
        present=int(present.sum()),
        absent=int((~present).sum()),
        auc=percentiles(weighted_auc(odds, present, weights), int(present.sum())),
        f1=ratio(2 * right, called.astype(float) + present),
        precision=ratio(right, called.astype(float)),
        sensitivity=ratio(right, present.astype(float)),
    )


def _table(model: str, rows: Sequence[AnswerScores], near: Score) -> str:
    lines = [f"{model} on {near.n} labeled images, in distribution {interval(near, 3)}"]
    for row in rows:
        lines.append(f"{row.finding.replace('_', ' ')} ({row.present} against {row.absent})")
        for what, score in (("AUC", row.auc), ("F1", row.f1), ("precision", row.precision),
                            ("sensitivity", row.sensitivity)):  # fmt: skip
            lines.append(f"    {what:<16}{interval(score, 3)}")
    return "\n".join(lines)
