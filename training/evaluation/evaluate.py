"""A report generator and a prepared folder -> scores with intervals, beside baselines.

Texts are compared with the reports that people wrote; where the data has boxes, the findings that
the texts assert with those that are there, and the maps with the boxes.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
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
from training.calibration.reliability import Predictions, reliability
from training.evaluation.finding_scores import AttentionMaps, score_findings
from training.evaluation.label_scores import LabeledStudies, LabelEvaluation, evaluate_labels
from training.evaluation.label_table import label_table
from training.evaluation.model_card import write_card
from training.evaluation.plots import require_matplotlib
from training.evaluation.results import Evaluation, FindingEvaluation
from training.evaluation.table import report_table, write_json, write_predictions
from training.files import require_writable
from training.folds import Fold
from training.provenance import calibrated_on, data_record, learned_from, left_out, record_of
from training.report_scores.baselines import best_constant, nearest, thumbnail, train_studies
from training.report_scores.learned_scores import NO_LEARNED_METRICS, LearnedMetrics
from training.report_scores.normalization import protocol
from training.report_scores.report_files import References
from training.report_scores.score import score_texts
from training.study_inputs import exam_of, readable

__all__ = ["EvaluationOptions", "Outputs", "all_boxed", "evaluate", "run_evaluation"]


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


@dataclass(frozen=True)
class EvaluationOptions:
    """What is evaluated, and how."""

    split: str | None = None
    """One of SPLITS, or "all". None is the test split; for `run_evaluation` that only of a folder
    the checkpoint may have been trained on, and every study of any other one. `run_evaluation`
    also takes "fold": the patients that every run of the checkpoint's history left out."""
    fold: Fold | None = None
    """Evaluate this fold's patients and take the baselines from the others; `split` is then only a
    name."""
    train: Path | None = None
    """Prepared folder whose train split the baselines are chosen from. None takes that of the
    evaluated folder; where that is evaluated itself, the baselines come from the evaluated studies:
    the report that suits their findings best, and the nearest other one's."""
    limit: int | None = None
    """Only the first studies."""
    views: Collection[str] | None = None
    """Of those that the model reads, give it only these; the truth stays that of all images, so
    that the effect of a view can be measured. None gives all. Studies without such an image are
    left out."""
    protocol: str = "r2gen"
    """How texts are normalized, see training/report_scores/normalization.py."""
    demographics: Path | None = None
    """Of studies with labels: see label_scores.evaluate_labels."""
    compare_with: Sequence[Path] = ()
    """Of studies with labels: other checkpoint folders."""
    decoding: DecodingOptions = GREEDY
    batch_size: int = 16
    progress: bool = True


DEFAULTS = EvaluationOptions()


def run_evaluation(
    model_dir: Path,
    data: Path,
    outputs: Outputs = Outputs(),
    options: EvaluationOptions = DEFAULTS,
    learned_metrics: LearnedMetrics = NO_LEARNED_METRICS,
    device: str = "cpu",
) -> str:
    """Evaluate a checkpoint folder, write what is asked for, return the table to print.

    Args: as for `evaluate`.

    Raises:
        CheckpointError: the checkpoint cannot be loaded.
        DataError, ConfigError: see `evaluate`; a split that the checkpoint may have trained on.
    """
    outputs.check()
    protocol(options.protocol)  # a wrong name is reported before the work
    generator = ReportGenerator.load(model_dir, device=device)
    record = record_of(model_dir)
    learned = learned_from(record, data)
    fold = left_out(record, data) if options.split == "fold" else None
    if fold and calibrated_on(record, data):
        raise DataError(
            f"the checkpoint was calibrated on labels of {str(data)!r}, which its fold has too: "
            "evaluate the run's own checkpoint, or the test split"
        )
    if options.split == "fold" and fold is None:
        raise DataError(
            f"the checkpoint left out no fold of {str(data)!r}, or one of the runs before it did "
            "not: begin from weights that have not seen the folder and train with --set fold=0/5"
        )
    if learned and options.split not in (None, "test", "fold"):
        raise DataError(
            f"split {options.split!r} of {str(data)!r} may be what the checkpoint was trained or "
            "calibrated on: only its test split measures"
        )
    split = options.split or ("test" if learned else "all")
    evaluation = evaluate(
        generator, data, replace(options, split=split, fold=fold), learned_metrics
    )
    labels = _labels(generator, data, evaluation, replace(options, fold=fold))
    if outputs.json_file is not None:
        write_json(evaluation, outputs.json_file, labels)
    if outputs.predictions is not None:
        write_predictions(evaluation, outputs.predictions)
    if outputs.card is not None:
        write_card(evaluation, generator, record, outputs.card)
    table = report_table(evaluation)
    return table if labels is None else f"{table}\n\n{label_table(labels)}"


def _labels(
    generator: ReportGenerator, data: Path, evaluation: Evaluation, options: EvaluationOptions
) -> LabelEvaluation | None:
    """The reports, and the probabilities beside them, against labels; None without labels."""
    reports, train = evaluation.predictions, options.train or data
    studies = [study for study in read_studies(data) if study.id in reports]
    if any(study.labels is None for study in studies):
        return None
    return evaluate_labels(
        generator,
        LabeledStudies(data, list(readable(studies, evaluation.views))),
        [reports[study.id]["model_prediction"] for study in studies],
        LabeledStudies(train, train_studies(train, options.fold)),
        options.demographics,
        [ReportGenerator.load(folder) for folder in options.compare_with],
    )


def evaluate(
    generator: ReportGenerator,
    data: Path,
    options: EvaluationOptions = DEFAULTS,
    learned_metrics: LearnedMetrics = NO_LEARNED_METRICS,
) -> Evaluation:
    """Generate a report for every study of a split and score them.

    Args:
        data: prepared folder.
        learned_metrics: networks that score the words too.

    Raises:
        DataError: no such study, or no train studies for the baselines.
        ConfigError: a view that the model does not read, or no such protocol.
    """
    views = _views(generator, options.views)
    split = options.split or "test"
    studies, given = _given(data, options, views)
    itself = options.train is None and split in ("all", "train")
    train = options.train or data
    # Before the slow part, so that a missing train split is reported at once.
    known = studies if itself else train_studies(train, options.fold)
    maps, probabilities = AttentionMaps(len(studies)), _Probabilities()
    texts, thumbnails = [], []
    for row, (study, report, image) in enumerate(_reports(generator, data, given, options)):
        maps.add(row, study, report)
        probabilities.add(row, study, report)
        texts.append(report.text)
        thumbnails.append(image)
    retrieved = nearest(train, known, thumbnails, itself)
    findings = None
    # On other data than phantoms what has no box may be there: nothing could be called wrong.
    if all_boxed(data):
        constant = best_constant(known)
        findings = FindingEvaluation(
            scores=score_findings(studies, texts, maps),
            constant=score_findings(studies, [constant] * len(studies)),
            retrieval=score_findings(studies, retrieved),
            constant_report=constant,
            reliability=reliability(probabilities.predictions(), len(studies)),
        )
    references = _references(None if itself else train)
    way = protocol(options.protocol, references.train or None)
    reports = [study.report for study in studies]
    return Evaluation(
        model=generator.identity.name,
        sha256=generator.identity.sha256,
        data_sha256=manifest_hash(data),
        split=split,
        views=tuple(views),
        studies=len(studies),
        findings=findings,
        texts=score_texts(way, texts, reports, references, retrieved, learned_metrics),
        baselines_from="the other evaluated studies" if itself else f"{len(known)} train studies",
        predictions=dict(map(_prediction, studies, texts)),
    )


def all_boxed(data: Path) -> bool:
    """Whether all that is there to be found in a prepared folder has a box, as in phantoms."""
    imported = data_record(data).get("source") in IMPORTED
    return not imported and any(study.findings for study in read_studies(data))


def _references(train: Path | None) -> References:
    """The reports of a prepared folder that normalization and baselines are chosen on."""
    if train is None:
        return References({}, (), ())
    splits = ("train", "validate")
    return References(
        {}, *(tuple(s.report for s in read_studies(train, split)) for split in splits)
    )


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


class _Probabilities:
    """The probability of each finding that a report asserts, and whether it is there."""

    def __init__(self) -> None:
        self.cases: list[tuple[float, bool, int]] = []

    def add(self, row: int, study: Study, report: Report) -> None:
        present = {finding.name for finding in study.findings}
        first = {
            finding.name: finding.presence_probability for finding in reversed(report.findings)
        }
        self.cases += [
            (probability, name in present, row)
            for name, probability in first.items()
            if probability is not None
        ]

    def predictions(self) -> Predictions:
        columns = np.array(self.cases, np.float64).reshape(-1, 3).T
        return Predictions(columns[0], columns[1].astype(bool), columns[2].astype(int))


def _reports(
    generator: ReportGenerator, data: Path, studies: Sequence[Study], options: EvaluationOptions
) -> Iterator[tuple[Study, Report, np.ndarray]]:
    """Each study with the report of it and the thumbnail of its first image."""
    with tqdm(total=len(studies), unit="study", disable=not options.progress) as bar:
        for first in range(0, len(studies), options.batch_size):
            batch = studies[first : first + options.batch_size]
            exams = [
                exam_of(generator, study, [data / image.path for image in study.images])
                for study in batch
            ]
            reports = generator.reports(exams, options.decoding, input_check=False)
            yield from zip(
                batch, reports, [thumbnail(exam.images[0]) for exam in exams], strict=True
            )
            bar.update(len(batch))


def _views(generator: ReportGenerator, asked: Collection[str] | None) -> Collection[str]:
    known: Collection[str] = generator.model.config.views
    if asked is None:
        return known
    if not set(asked) or not set(asked) <= set(known):
        raise ConfigError(f"views {sorted(asked)}: this model reads {known}")
    return asked


def _given(
    data: Path, options: EvaluationOptions, views: Collection[str]
) -> tuple[list[Study], list[Study]]:
    """The studies that have an image of the views: whole, and with those images alone."""
    studies = _chosen(data, options)
    given = list(readable(studies, views))
    if not given:
        raise DataError(f"no study of {str(data)!r} has an image that is given: choose other views")
    seen = {study.id for study in given}
    return [study for study in studies if study.id in seen], given


def _chosen(data: Path, options: EvaluationOptions) -> list[Study]:
    split, limit = options.split or "test", options.limit
    if limit is not None and limit < 1:
        raise DataError(f"a limit of {limit} leaves no study to evaluate: give at least 1")
    read = options.fold.read(data, "validate") if options.fold else read_studies(data)
    studies = [each for each in read if options.fold or split in ("all", each.split)]
    if not studies:
        raise DataError(f"no studies of split {split!r} in {str(data)!r}: prepare some")
    return studies[:limit]
