"""The commands `crossray score` and `crossray compare`: files of reports -> scores to be trusted.

Beside a system's scores stand those of reports that nobody wrote for these studies; without them a
score says little. Two systems are compared study by study.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from data_prep.manifest import Study, read_studies
from model.imaging.read import read_image
from training.bootstrap import Score, exact
from training.corpus_scores import Measure, differences, intervals, mean
from training.files import require_writable, sha256_of, write_json
from training.report_scores.baselines import nearest, thumbnail, train_studies
from training.report_scores.learned_scores import NO_LEARNED_METRICS, LearnedMetrics
from training.report_scores.meteor import meteor_or_why
from training.report_scores.ngram_scores import text_measures
from training.report_scores.normalization import Protocol, protocol
from training.report_scores.observations import clinical_measures
from training.report_scores.report_files import References, match, read_predictions, read_references
from training.report_scores.results import Comparison, Scored
from training.report_scores.score_table import compare_table, score_table
from training.report_scores.text_baselines import best_constant_text, random_texts

__all__ = ["ScoreOptions", "compare_texts", "run_compare", "run_score", "score_texts"]

FEW = 0.05
"""Fewer different reports than this share of the studies raise an alarm."""


@dataclass(frozen=True)
class ScoreOptions:
    """What is scored of a file of references, and with what."""

    protocol: str = "r2gen"
    """How texts are normalized, see training/report_scores/normalization.py."""
    split: str = "test"
    """Of a prepared folder or an annotation file; "all" is every one."""
    chexbert: Path | None = None
    """Folder with the weights, see training/report_scores/learned_scores.py; None leaves it out."""
    radgraph: Path | None = None
    """As `chexbert`."""


DEFAULTS = ScoreOptions()


def run_score(
    predictions: Path,
    references: Path,
    options: ScoreOptions = DEFAULTS,
    json_file: Path | None = None,
) -> str:
    """Score a file of generated reports; write JSON where asked; return what is printed.

    Raises:
        DataError, ConfigError: a file that cannot be read, studies that only one of both has, no
            such protocol.
    """
    require_writable(json_file)
    learned_metrics = LearnedMetrics.load(options.chexbert, options.radgraph)
    written = read_references(references, options.split)
    studies, generated, reports = match(read_predictions(predictions), written)
    way = protocol(options.protocol, written.train or None)
    retrieved = _retrieved(references, studies) if references.is_dir() and written.train else None
    scored = score_texts(way, generated, reports, written, retrieved, learned_metrics)
    if json_file is not None:
        write_json(json_file, {**_sources(predictions, references), **asdict(scored)})
    return score_table(scored)


def score_texts(
    way: Protocol,
    generated: Sequence[str],
    reports: Sequence[str],
    known: References,
    retrieved: Sequence[str] | None = None,
    learned_metrics: LearnedMetrics = NO_LEARNED_METRICS,
) -> Scored:
    """Score generated reports, and the baselines beside them.

    Args:
        generated, reports: as written, of the same studies in the same order.
        known: where the baselines' reports come from.
        retrieved: for each study the report of the nearest train image; None where there are no
            images.
        learned_metrics: networks that score too.
    """
    not_computed = learned_metrics.missing()
    if way.name == "r2gen" and not known.train:
        not_computed["<unk>"] = "rare words stay: no train reports beside those scored"
    scores = _scores(way, generated, reports, learned_metrics, not_computed)
    baselines: dict[str, Sequence[str]] = {}
    constant = None
    if known.train:
        constant = _constant(way, known)
        baselines = {
            "constant": [constant] * len(reports),
            "random": random_texts(known.train, len(reports)),
        }
    else:
        not_computed["constant, random"] = "the references have no train reports beside these"
    if retrieved is not None:
        baselines["retrieval"] = retrieved
    else:
        not_computed["retrieval"] = (
            "needs images of train studies that are not scored: a prepared folder as references"
        )
    return Scored(
        protocol=way.name,
        studies=len(reports),
        scores=scores,
        baselines={
            name: _scores(way, texts, reports, learned_metrics, not_computed)
            for name, texts in baselines.items()
        },
        not_computed=not_computed,
        constant_report=constant,
        learned_metrics=learned_metrics.identities(),
        alarms=tuple(_alarms(scores, generated)),
    )


def _constant(way: Protocol, known: References) -> str:
    """The train report that is best for every study of the validate split."""
    train = [way.select(text) for text in known.train]
    chosen_on = [way.apply(text) for text in known.validate or known.train]
    normalized = {way.apply(text): text for text in reversed(train)}
    return normalized[best_constant_text(list(map(way.apply, train)), chosen_on)]


def _scores(
    way: Protocol,
    generated: Sequence[str],
    reports: Sequence[str],
    learned_metrics: LearnedMetrics,
    not_computed: dict[str, str],
) -> dict[str, Score]:
    measures = _measures(way, generated, reports, learned_metrics, not_computed)
    scores = intervals(measures, len(reports))
    distinct = len({way.apply(text) for text in generated})
    return {"distinct_reports": exact(distinct, len(generated)), **scores}


def _measures(
    way: Protocol,
    generated: Sequence[str],
    reports: Sequence[str],
    learned_metrics: LearnedMetrics,
    not_computed: dict[str, str],
) -> list[Measure]:
    """All scores that can be had.

    Args:
        not_computed: METEOR is put here with the reason where it fails, and is not tried again.
    """
    predicted, true = ([way.apply(text) for text in texts] for texts in (generated, reports))
    measures = [mean("words", np.array([len(text.split()) for text in predicted], np.float64))]
    measures += text_measures(predicted, true)
    if "meteor" not in not_computed:
        meteor = meteor_or_why(predicted, true)
        if isinstance(meteor, str):
            not_computed["meteor"] = meteor
        else:
            measures.append(meteor)
    read, written = ([way.select(text) for text in texts] for texts in (generated, reports))
    return measures + learned_metrics.measures(read, written) + clinical_measures(read, written)


def _alarms(scores: dict[str, Score], generated: Sequence[str]) -> list[str]:
    alarms = []
    distinct = scores["distinct_reports"].value or 0
    if len(generated) > 1 and distinct <= max(1, FEW * len(generated)):
        alarms.append(
            f"{distinct:.0f} different reports for {len(generated)} studies: the images seem to "
            "make no difference"
        )
    empty = sum(not text.strip() for text in generated)
    if empty:
        alarms.append(f"{empty} generated reports are empty: they say nothing, and pass for normal")
    return alarms


def _retrieved(folder: Path, ids: Sequence[str]) -> list[str]:
    """For each study the report of the train study whose first image is the nearest."""
    studies: dict[str, Study] = {study.id: study for study in read_studies(folder)}
    images = [folder / studies[name].images[0].path for name in ids]
    thumbnails = [thumbnail(read_image(image)) for image in images]
    scored = set(ids)
    return nearest(folder, [s for s in train_studies(folder) if s.id not in scored], thumbnails)


def run_compare(
    first: Path,
    second: Path,
    references: Path,
    options: ScoreOptions = DEFAULTS,
    json_file: Path | None = None,
) -> str:
    """Compare two files of generated reports of the same studies; return what is printed.

    Raises: as `run_score`.
    """
    require_writable(json_file)
    learned_metrics = LearnedMetrics.load(options.chexbert, options.radgraph)
    written = read_references(references, options.split)
    one, other = (match(read_predictions(path), written)[1] for path in (first, second))
    way = protocol(options.protocol, written.train or None)
    comparison = compare_texts(way, one, other, list(written.reports.values()), learned_metrics)
    if json_file is not None:
        write_json(json_file, {**_sources(first, references, second), **asdict(comparison)})
    return compare_table(comparison, first.name, second.name)


def compare_texts(
    way: Protocol,
    first: Sequence[str],
    second: Sequence[str],
    reports: Sequence[str],
    learned_metrics: LearnedMetrics = NO_LEARNED_METRICS,
) -> Comparison:
    """Two systems' reports of the same studies, score by score."""
    skipped = learned_metrics.missing()
    one = _measures(way, first, reports, learned_metrics, skipped)
    other = _measures(way, second, reports, learned_metrics, skipped)
    # Where METEOR fails at the second only, the first has it.
    one, other = ([each for each in every if each.name not in skipped] for every in (one, other))
    compared = differences(one, other, len(reports))
    return Comparison(way.name, len(reports), compared, skipped, learned_metrics.identities())


def _sources(predictions: Path, references: Path, second: Path | None = None) -> dict[str, object]:
    named = {"predictions": predictions, "second": second, "references": references}
    return {name: _identity(path) for name, path in named.items() if path is not None}


def _identity(path: Path) -> dict[str, str]:
    file = path / "studies.jsonl" if path.is_dir() else path
    return {"name": path.name, "sha256": sha256_of(file)}
