"""A report generator and a prepared folder -> scores with intervals, beside baselines.

Words are held against the reports that people wrote; where the data has boxes, what the words say
against the findings that are there, and their maps against the boxes.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data_prep.manifest import Study, manifest_hash, read_studies
from data_prep.report_text import sections
from data_prep.source import IMPORTED
from model.decoding import GREEDY, DecodingOptions
from model.errors import ConfigError, DataError
from model.generator import ReportGenerator
from model.report import Report
from training.calibration.reliability import Reliability, Told, reliability
from training.dataset.targets import readable
from training.evaluation.finding_scores import AttentionMaps, Scores, score_findings
from training.evaluation.label_scores import LabelEvaluation, evaluate_labels
from training.evaluation.label_table import label_table
from training.evaluation.model_card import write_card
from training.evaluation.plots import require_matplotlib
from training.evaluation.table import report_table, write_json, write_predictions
from training.files import require_writable
from training.provenance import data_record, record_of, saw
from training.report_scores.baselines import best_constant, nearest, thumbnail, train_studies
from training.report_scores.learned_scores import NO_LEARNED_METRICS, LearnedMetrics
from training.report_scores.normalization import Protocol, protocol
from training.report_scores.report_files import References
from training.report_scores.score import Scored, score_texts
from training.study_inputs import exam_of

__all__ = ["Evaluation", "FindingEvaluation", "Outputs", "evaluate", "run_evaluation"]


@dataclass(frozen=True)
class FindingEvaluation:
    """What the reports say, against what is there."""

    scores: Scores
    constant: Scores
    """Floor: one train report for every study. It has no maps."""
    retrieval: Scores
    """Floor: the report of the nearest train image. It has no maps."""
    constant_report: str
    """The one that is best for findings."""
    reliability: Reliability
    """Of the chance told with each finding that the reports assert."""


@dataclass(frozen=True)
class Evaluation:
    model: str
    sha256: str
    """Of the weights."""
    data_sha256: str
    """Of the prepared folder's manifest."""
    split: str
    views: tuple[str, ...]
    """Those that the model was given."""
    studies: int
    findings: FindingEvaluation | None
    """None where not all that is there has a box."""
    texts: Scored
    """The words, against those of the true reports."""
    baselines_from: str
    """Where the baselines' reports were taken from."""
    predictions: dict[str, dict[str, Any]]
    """By study, in ReXrank's names: the true report, its images, and "model_prediction"."""


@dataclass(frozen=True)
class Outputs:
    """What `run_evaluation` writes; None writes nothing."""

    json_file: Path | None = None
    predictions: Path | None = None
    """The reports, see Evaluation.predictions."""
    card: Path | None = None
    """Folder for a model card with images."""

    def check(self) -> None:
        """
        Raises:
            DataError: what cannot be written to, before hours of work.
            ConfigError: a card is wanted and matplotlib is missing.
        """
        require_writable(self.json_file, self.predictions)
        if self.card is None:
            return
        require_matplotlib()
        if not self.card.is_dir():
            require_writable(self.card)
        elif (self.card / "SHA256SUMS").is_file():
            raise DataError(
                f"{str(self.card)!r} is a checkpoint, which another README.md would damage: write "
                "the card to a folder of its own"
            )


def run_evaluation(
    model_dir: Path,
    data: Path,
    outputs: Outputs = Outputs(),
    train: Path | None = None,
    limit: int | None = None,
    device: str = "cpu",
    views: Collection[str] | None = None,
    protocol_name: str = "r2gen",
    chexbert: Path | None = None,
    radgraph: Path | None = None,
    split: str | None = None,
    demographics: Path | None = None,
    compare_with: Sequence[Path] = (),
) -> str:
    """Evaluate a checkpoint folder, write what is asked for, return the table to print.

    Args: as for `evaluate` and `run_score`, but
        split: None is the test split of a folder the checkpoint may have been trained on, and every
            study of any other one.
        demographics, compare_with: for studies with labels, see
            training.evaluation.label_scores.evaluate_labels; the latter are checkpoint folders.

    Raises:
        CheckpointError: the checkpoint cannot be loaded.
        DataError, ConfigError: see `evaluate`; a split that the checkpoint may have trained on.
    """
    outputs.check()
    protocol(protocol_name)  # a wrong name is told before the work
    learned_metrics = LearnedMetrics.load(chexbert, radgraph)
    generator = ReportGenerator.load(model_dir, device=device)
    record = record_of(model_dir)
    trained = saw(record, data)
    if trained and split not in (None, "test"):
        raise DataError(
            f"split {split!r} of {str(data)!r} may be what the checkpoint was trained on: only its "
            "test split measures"
        )
    split = split or ("test" if trained else "all")
    evaluation = evaluate(
        generator,
        data,
        split,
        train=train,
        limit=limit,
        views=views,
        protocol_name=protocol_name,
        learned_metrics=learned_metrics,
    )
    labels = _labels(generator, data, evaluation, train or data, demographics, compare_with)
    if outputs.json_file is not None:
        write_json(evaluation, outputs.json_file, labels)
    if outputs.predictions is not None:
        write_predictions(evaluation, outputs.predictions)
    if outputs.card is not None:
        write_card(evaluation, generator, record, outputs.card)
    table = report_table(evaluation)
    return table if labels is None else f"{table}\n\n{label_table(labels)}"


def _labels(
    generator: ReportGenerator,
    data: Path,
    evaluation: Evaluation,
    train: Path,
    demographics: Path | None,
    compare_with: Sequence[Path],
) -> LabelEvaluation | None:
    """The reports, and the probabilities beside them, against labels; None without labels."""
    reports = evaluation.predictions
    studies = [study for study in read_studies(data) if study.id in reports]
    if any(study.labels is None for study in studies):
        return None
    return evaluate_labels(
        generator,
        data,
        list(readable(studies, evaluation.views)),
        [reports[study.id]["model_prediction"] for study in studies],
        train_studies(train),
        train,
        demographics,
        [ReportGenerator.load(folder) for folder in compare_with],
    )


def evaluate(
    generator: ReportGenerator,
    data: Path,
    split: str = "test",
    train: Path | None = None,
    limit: int | None = None,
    views: Collection[str] | None = None,
    protocol_name: str = "r2gen",
    learned_metrics: LearnedMetrics = NO_LEARNED_METRICS,
    batch_size: int = 16,
    progress: bool = True,
    options: DecodingOptions = GREEDY,
) -> Evaluation:
    """Generate a report for every study of a split and score them.

    Args:
        data: prepared folder.
        split: one of SPLITS, or "all".
        train: prepared folder whose train split the baselines are chosen from. None takes that of
            `data`; where that is evaluated itself, the baselines come from the evaluated studies:
            the report that suits their findings best, and the nearest other one's.
        limit: only the first studies.
        views: of those that the model reads, give it only these; the truth stays that of all
            images, so that what a view adds can be told. None gives all. Studies without such
            an image are left out.
        protocol_name: how texts are normalized, see training/report_scores/normalization.py.
        learned_metrics: networks that score the words too.

    Raises:
        DataError: no such study, or no train studies for the baselines.
        ConfigError: a view that the model does not read, or no such protocol.
    """
    read = _views(generator, views)
    studies, given = _given(data, split, limit, read)
    train_folder, itself = train or data, train is None and split in ("all", "train")
    # Before the slow part, so that a missing train split is told at once.
    known = studies if itself else train_studies(train_folder)
    looks, chances = AttentionMaps(len(studies)), _Chances()
    reports = _reports(generator, data, given, batch_size, options, progress)
    texts, thumbnails = [], []
    for row, (study, report, image) in enumerate(reports):
        looks.add(row, study, report)
        chances.add(row, study, report)
        texts.append(report.text)
        thumbnails.append(image)
    retrieved = nearest(train_folder, known, thumbnails, itself)
    return Evaluation(
        model=generator.identity.name,
        sha256=generator.identity.sha256,
        data_sha256=manifest_hash(data),
        split=split,
        views=tuple(read),
        studies=len(studies),
        findings=_findings(studies, texts, known, retrieved, looks, chances, all_boxed(data)),
        texts=_texts(
            protocol_name,
            studies,
            texts,
            retrieved,
            None if itself else train_folder,
            learned_metrics,
        ),
        baselines_from="the other evaluated studies" if itself else f"{len(known)} train studies",
        predictions=dict(map(_prediction, studies, texts)),
    )


def all_boxed(data: Path) -> bool:
    """Whether all that is there to be found in a prepared folder has a box, as in phantoms."""
    imported = data_record(data).get("source") in IMPORTED
    return not imported and any(study.findings for study in read_studies(data))


def _findings(
    studies: Sequence[Study],
    texts: Sequence[str],
    known: Sequence[Study],
    retrieved: Sequence[str],
    looks: AttentionMaps,
    chances: "_Chances",
    boxed: bool,
) -> FindingEvaluation | None:
    # On other data than phantoms what has no box may be there: nothing could be called wrong.
    if not boxed:
        return None
    constant = best_constant(known)
    return FindingEvaluation(
        scores=score_findings(studies, texts, looks),
        constant=score_findings(studies, [constant] * len(studies)),
        retrieval=score_findings(studies, retrieved),
        constant_report=constant,
        reliability=reliability(chances.told(), len(studies)),
    )


def _texts(
    protocol_name: str,
    studies: Sequence[Study],
    texts: Sequence[str],
    retrieved: Sequence[str],
    train: Path | None,
    learned_metrics: LearnedMetrics,
) -> Scored:
    train_reports: tuple[str, ...] = ()
    validate: tuple[str, ...] = ()
    if train is not None:
        train_reports = tuple(study.report for study in read_studies(train, "train"))
        validate = tuple(study.report for study in read_studies(train, "validate"))
    way: Protocol = protocol(protocol_name, train_reports or None)
    reports = [study.report for study in studies]
    known = References({}, train_reports, validate)
    return score_texts(way, texts, reports, known, retrieved, learned_metrics)


def _prediction(study: Study, text: str) -> tuple[str, dict[str, Any]]:
    parts = sections(study.report)
    return study.id, {
        "study_id": study.id,
        "context": study.indication,
        "section_findings": parts.findings,
        "section_impression": parts.impression,
        "image_path": [image.path for image in study.images],
        "report": study.report,
        "model_prediction": text,
    }


class _Chances:
    """The chance told with each finding that a report asserts, and whether it is there."""

    def __init__(self) -> None:
        self.cases: list[tuple[float, bool, int]] = []

    def add(self, row: int, study: Study, report: Report) -> None:
        there = {finding.name for finding in study.findings}
        first = {
            finding.name: finding.presence_probability for finding in reversed(report.findings)
        }
        self.cases += [
            (chance, name in there, row) for name, chance in first.items() if chance is not None
        ]

    def told(self) -> Told:
        columns = np.array(self.cases, np.float64).reshape(-1, 3).T
        return Told(columns[0], columns[1].astype(bool), columns[2].astype(int))


def _reports(
    generator: ReportGenerator,
    data: Path,
    studies: Sequence[Study],
    batch_size: int,
    options: DecodingOptions,
    progress: bool,
) -> Iterator[tuple[Study, Report, np.ndarray]]:
    """Each study with the report of it and the thumbnail of its first image."""
    with tqdm(total=len(studies), unit="study", disable=not progress) as bar:
        for first in range(0, len(studies), batch_size):
            batch = studies[first : first + batch_size]
            exams = [
                exam_of(generator, study, [data / image.path for image in study.images])
                for study in batch
            ]
            images = [thumbnail(exam.images[0]) for exam in exams]
            yield from zip(
                batch, generator.reports(exams, options, input_check=False), images, strict=True
            )
            bar.update(len(batch))


def _views(generator: ReportGenerator, asked: Collection[str] | None) -> Collection[str]:
    known = generator.model.config.views
    if asked is None:
        return known
    if not set(asked) or not set(asked) <= set(known):
        raise ConfigError(f"views {sorted(asked)}: this model reads {known}")
    return asked


def _given(
    data: Path, split: str, limit: int | None, views: Collection[str]
) -> tuple[list[Study], list[Study]]:
    """The studies that have an image of the views: whole, and with those images alone."""
    studies = _chosen(data, split, limit)
    given = list(readable(studies, views))
    if not given:
        raise DataError(f"no study of {str(data)!r} has an image that is given: choose other views")
    seen = {study.id for study in given}
    return [study for study in studies if study.id in seen], given


def _chosen(data: Path, split: str, limit: int | None) -> list[Study]:
    if limit is not None and limit < 1:
        raise DataError(f"a limit of {limit} leaves no study to evaluate: give at least 1")
    studies = [study for study in read_studies(data) if split in ("all", study.split)]
    if not studies:
        raise DataError(f"no studies of split {split!r} in {str(data)!r}: prepare some")
    return studies[:limit]
