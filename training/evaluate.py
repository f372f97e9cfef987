"""A report generator and a prepared folder with truth -> scores with intervals, beside two floors.

The generated text is read by rules (model/reader.py) and held against the findings that are
there; the words that name a true finding have their maps held against its boxes.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from data_prep.study import FINDINGS, Finding, Study, manifest_hash, read_studies
from model.decoding import GREEDY, DecodingOptions
from model.errors import ConfigError, DataError
from model.reader import Assertion, read_findings
from model.report import Report, ReportGenerator
from training.exams import exam_of
from training.floors import best_constant, nearest, thumbnail, train_studies
from training.named_words import named_words
from training.record import saw
from training.scores import Bootstrap, Score, contrast, exact, points_inside
from training.targets import readable

__all__ = [
    "Evaluation",
    "Looks",
    "Scores",
    "evaluate",
    "report_table",
    "run_evaluation",
    "score_texts",
    "write_json",
]

ABSENT = Score(None, None, None, 0)


@dataclass(frozen=True)
class Scores:
    """What one source of reports scores. Mappings have a key per finding, and "macro"."""

    finding_precision: Mapping[str, Score]
    finding_recall: Mapping[str, Score]
    finding_f1: Mapping[str, Score]
    side_accuracy: Score
    """Of true positives that have a side: exactly the right sides named."""
    zone_accuracy: Score
    normal_recall: Score
    """Share of studies without findings in whose report the reader finds none."""
    distinct_reports: Score
    """How many different texts; n is how many reports. Exact, so low and high are the value."""
    pointing_game: Score = ABSENT
    """Of words that name a true finding: the map's maximum lies in one of its boxes."""
    cnr: Score = ABSENT
    finding_pointing_game: Mapping[str, Score] = field(default_factory=dict)
    finding_cnr: Mapping[str, Score] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    model: str
    sha256: str
    """Of the weights."""
    data_sha256: str
    """Of the prepared folder's manifest."""
    split: str
    studies: int
    scores: Scores
    constant: Scores
    """Floor: one train report for every study. It has no maps."""
    retrieval: Scores
    """Floor: the report of the nearest train picture. It has no maps."""
    constant_report: str
    floors_from: str
    """Where the floors' reports were taken from."""


def run_evaluation(
    model_dir: Path,
    data: Path,
    json_file: Path | None = None,
    train: Path | None = None,
    limit: int | None = None,
    device: str = "cpu",
    views: Collection[str] | None = None,
) -> str:
    """Evaluate a checkpoint folder, write its JSON where asked, return the table to print.

    Of a folder the checkpoint may have been trained on only the test split is evaluated, of any
    other one every study.

    Args: as for `evaluate`.

    Raises:
        CheckpointError: the checkpoint cannot be loaded.
        DataError, ConfigError: see `evaluate`.
    """
    if json_file is not None and not json_file.parent.is_dir():
        raise DataError(f"no folder {str(json_file.parent)!r} to write {json_file.name!r} in")
    generator = ReportGenerator.load(model_dir, device=device)
    record = json.loads((model_dir / "training.json").read_text(encoding="utf-8"))
    split = "test" if saw(record, data) else "all"
    evaluation = evaluate(generator, data, split, train=train, limit=limit, views=views)
    if json_file is not None:
        write_json(evaluation, json_file)
    return report_table(evaluation)


def evaluate(
    generator: ReportGenerator,
    data: Path,
    split: str = "test",
    train: Path | None = None,
    limit: int | None = None,
    views: Collection[str] | None = None,
    batch_size: int = 16,
    progress: bool = True,
    options: DecodingOptions = GREEDY,
) -> Evaluation:
    """Generate a report for every study of a split and score them.

    Args:
        data: prepared folder whose studies have findings with boxes.
        split: one of SPLITS, or "all".
        train: prepared folder whose train split the floors are chosen from. None takes that of
            `data`; where that is evaluated itself, the floors come from the evaluated studies:
            the report that suits them best, and the nearest other one's.
        limit: only the first studies.
        views: of those that the model reads, give it only these; the truth stays that of all
            pictures, so that what a view adds can be told. None gives all. Studies without such
            a picture are left out.

    Raises:
        DataError: no such study, no truth, or no train studies for the floors.
        ConfigError: a view that the model does not read.
    """
    studies = _chosen(data, split, limit)
    given = list(readable(studies, _views(generator, views)))
    if not given:
        raise DataError(
            f"no study of {str(data)!r} has a picture that is given: choose other views"
        )
    readable_ids = {study.id for study in given}
    studies = [study for study in studies if study.id in readable_ids]
    train_folder, itself = train or data, train is None and split in ("all", "train")
    # Before the slow part, so that a missing train split is told at once.
    known = studies if itself else train_studies(train_folder)
    looks = Looks(len(studies))
    reports = _reports(generator, data, given, batch_size, options, progress)
    texts, thumbnails = [], []
    for row, (study, report, picture) in enumerate(reports):
        looks.add(row, study, report)
        texts.append(report.text)
        thumbnails.append(picture)
    constant = best_constant(known)
    return Evaluation(
        model=generator.identity.name,
        sha256=generator.identity.sha256,
        data_sha256=manifest_hash(data),
        split=split,
        studies=len(studies),
        scores=score_texts(studies, texts, looks),
        constant=score_texts(studies, [constant] * len(studies)),
        retrieval=score_texts(studies, nearest(train_folder, known, thumbnails, itself)),
        constant_report=constant,
        floors_from="the other evaluated studies" if itself else f"{len(known)} train studies",
    )


def _reports(
    generator: ReportGenerator,
    data: Path,
    studies: Sequence[Study],
    batch_size: int,
    options: DecodingOptions,
    progress: bool,
) -> Iterator[tuple[Study, Report, np.ndarray]]:
    """Each study with the report of it and the thumbnail of its first picture."""
    with tqdm(total=len(studies), unit="study", disable=not progress) as bar:
        for first in range(0, len(studies), batch_size):
            batch = studies[first : first + batch_size]
            exams = [
                exam_of(generator, study, [data / picture.path for picture in study.pictures])
                for study in batch
            ]
            pictures = [thumbnail(exam.pictures[0]) for exam in exams]
            yield from zip(
                batch, generator.reports(exams, options, gate=False), pictures, strict=True
            )
            bar.update(len(batch))


def _views(generator: ReportGenerator, asked: Collection[str] | None) -> Collection[str]:
    known = generator.model.config.views
    if asked is None:
        return known
    if not set(asked) or not set(asked) <= set(known):
        raise ConfigError(f"views {sorted(asked)}: this model reads {known}")
    return asked


def _chosen(data: Path, split: str, limit: int | None) -> list[Study]:
    if limit is not None and limit < 1:
        raise DataError(f"a limit of {limit} leaves no study to evaluate: give at least 1")
    every = list(read_studies(data))
    if not any(study.findings for study in every):
        raise DataError(
            f"no study in {str(data)!r} has findings: scores need the truth, as the phantom has it"
        )
    studies = [study for study in every if split in ("all", study.split)]
    if not studies:
        raise DataError(f"no studies of split {split!r} in {str(data)!r}: prepare some")
    return studies[:limit]


class Looks:
    """Where the words that name true findings looked, summed per study and finding."""

    def __init__(self, studies: int) -> None:
        shape = (studies, len(FINDINGS))
        self.hits, self.words = np.zeros(shape), np.zeros(shape)
        self.contrasts, self.contrasted = np.zeros(shape), np.zeros(shape)

    def add(self, row: int, study: Study, report: Report) -> None:
        """Hold the report of study number `row` against its boxes."""
        for named in named_words(study, report.text, report.words):
            column = FINDINGS.index(named.name)
            inside = _inside(named.meant, report)
            maps = zip(report.placements, report.words[named.word].heatmap, strict=True)
            heatmap = np.concatenate([place.restore(part).ravel() for place, part in maps])
            self.words[row, column] += 1
            self.hits[row, column] += points_inside(heatmap, inside)
            ratio = contrast(heatmap, inside)
            if not np.isnan(ratio):
                self.contrasts[row, column] += ratio
                self.contrasted[row, column] += 1


def _inside(findings: Sequence[Finding], report: Report) -> np.ndarray:
    """bool, the pixels of all pictures one after another: whether they lie in a finding's box."""
    inside = [np.zeros((place.height, place.width), bool) for place in report.placements]
    for finding in findings:
        x0, y0, x1, y1 = finding.box
        inside[finding.picture][y0:y1, x0:x1] = True
    return np.concatenate([picture.ravel() for picture in inside])


def score_texts(
    studies: Sequence[Study], texts: Sequence[str], looks: Looks | None = None
) -> Scores:
    bootstrap = Bootstrap(len(studies))
    readings = {text: read_findings(text) for text in set(texts)}
    read = [readings[text] for text in texts]
    truth = _named(study.findings for study in studies)
    called = _named(read)
    findings = bootstrap.findings(FINDINGS, truth, called)
    sides = np.array([_places_right(s, r, "side") for s, r in zip(studies, read, strict=True)])
    zones = np.array([_places_right(s, r, "zone") for s, r in zip(studies, read, strict=True)])
    normal = np.logical_not(truth.any(axis=1))
    scores = Scores(
        finding_precision=findings.precision,
        finding_recall=findings.recall,
        finding_f1=findings.f1,
        side_accuracy=bootstrap.ratio(sides[:, 0], sides[:, 1]),
        zone_accuracy=bootstrap.ratio(zones[:, 0], zones[:, 1]),
        normal_recall=bootstrap.ratio(normal & np.logical_not(called.any(axis=1)), normal),
        distinct_reports=exact(len(readings), len(texts)),
    )
    return scores if looks is None else _with_looks(scores, looks, bootstrap)


def _named(named: Iterable[Sequence[Finding | Assertion]]) -> np.ndarray:
    """bool (studies, findings): which findings each study's list names."""
    names = ({each.name for each in of_study} for of_study in named)
    return np.array([[name in of_study for name in FINDINGS] for of_study in names])


def _places_right(
    study: Study, found: Sequence[Assertion], what: Literal["side", "zone"]
) -> tuple[int, int]:
    """(right, all) true positives that have a side or zone: exactly the true ones named."""
    right = total = 0
    for name in {assertion.name for assertion in found}:
        of_name = [finding for finding in study.findings if finding.name == name]
        there = {getattr(finding, what) for finding in of_name} - {None}
        if there:
            said: set[str | None] = set()
            for assertion in found:
                if assertion.name == name:
                    said |= assertion.sides if what == "side" else {assertion.zone}
            total += 1
            right += said - {None} == there
    return right, total


def _with_looks(scores: Scores, looks: Looks, bootstrap: Bootstrap) -> Scores:
    columns = range(len(FINDINGS))
    return replace(
        scores,
        pointing_game=bootstrap.ratio(looks.hits.sum(axis=1), looks.words.sum(axis=1)),
        cnr=bootstrap.ratio(looks.contrasts.sum(axis=1), looks.contrasted.sum(axis=1)),
        finding_pointing_game={
            FINDINGS[k]: bootstrap.ratio(looks.hits[:, k], looks.words[:, k]) for k in columns
        },
        finding_cnr={
            FINDINGS[k]: bootstrap.ratio(looks.contrasts[:, k], looks.contrasted[:, k])
            for k in columns
        },
    )


def write_json(evaluation: Evaluation, path: Path) -> None:
    """Write every score as {"value", "low", "high", "n"} under stable names, floors under "floors".

    A score that could not be measured, as a floor's pointing game, has null values and n 0.
    """
    answer = {
        "model": {"name": evaluation.model, "sha256": evaluation.sha256},
        "data_sha256": evaluation.data_sha256,
        "split": evaluation.split,
        "studies": evaluation.studies,
        **asdict(evaluation.scores),
        "floors": {
            "constant": asdict(evaluation.constant),
            "retrieval": asdict(evaluation.retrieval),
        },
        "constant_report": evaluation.constant_report,
        "floors_from": evaluation.floors_from,
    }
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(answer, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def report_table(evaluation: Evaluation) -> str:
    """The scores with their intervals, the floors beside them, one line a score."""
    columns = (evaluation.scores, evaluation.constant, evaluation.retrieval)
    lines = [
        f"{evaluation.model} on {evaluation.studies} studies of split {evaluation.split!r}",
        f"{'score':<42}{'value [95 %]':<22}{'n':>6}  {'constant':>9} {'retrieval':>9}",
    ]
    for name in (f.name for f in fields(Scores)):
        of_columns = [getattr(scores, name) for scores in columns]
        if isinstance(of_columns[0], Score):
            lines.append(_line(name, of_columns))
            continue
        for key in of_columns[0]:
            lines.append(_line(f"{name}.{key}", [c.get(key, ABSENT) for c in of_columns]))
    lines.append(f"constant and retrieval: reports of {evaluation.floors_from}")
    return "\n".join(lines)


def _line(name: str, scores: Sequence[Score]) -> str:
    own, *floors = scores
    # Counts have no decimals, and no interval.
    digits = 0 if name == "distinct_reports" else 3
    text = _number(own.value, digits)
    if own.low != own.high or digits:
        text += f" [{_number(own.low, digits)}, {_number(own.high, digits)}]"
    beside = " ".join(f"{_number(floor.value, digits):>9}" for floor in floors)
    return f"{name:<42}{text:<22}{own.n:>6}  {beside}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
