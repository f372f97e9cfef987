"""An evaluation as JSON with stable names, and as lines to read."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from training import files as output
from training.bootstrap import Score
from training.calibration.reliability import reliability_table
from training.evaluation.label_scores import LabelEvaluation
from training.evaluation.results import ABSENT, Evaluation, Scores
from training.report_scores.score_table import score_table

__all__ = ["finding_lines", "report_table", "write_json", "write_predictions"]


def write_json(evaluation: Evaluation, path: Path, labels: LabelEvaluation | None = None) -> None:
    """Write every score as {"value", "low", "high", "n"} under stable names.

    Scores of findings and maps stand at the top, where the data has boxes, with their baselines
    under "baselines"; those of texts under "texts". A score that could not be measured, as a
    baseline's pointing game, has null values and n 0.
    """
    answer = {
        "model": {"name": evaluation.model, "sha256": evaluation.sha256},
        "data_sha256": evaluation.data_sha256,
        "split": evaluation.split,
        "views": list(evaluation.views),
        "studies": evaluation.studies,
    }
    if evaluation.findings is not None:
        answer |= asdict(evaluation.findings.scores)
        answer["baselines"] = {
            "constant": asdict(evaluation.findings.constant),
            "retrieval": asdict(evaluation.findings.retrieval),
        }
        answer["constant_report"] = evaluation.findings.constant_report
        answer["reliability"] = asdict(evaluation.findings.reliability)
    answer["baselines_from"] = evaluation.baselines_from
    answer["texts"] = asdict(evaluation.texts)
    if labels is not None:
        answer["labels"] = asdict(labels)
    output.write_json(path, answer)


def write_predictions(evaluation: Evaluation, path: Path) -> None:
    """Write the reports beside the true ones, in ReXrank's names; `crossray score` reads them."""
    output.write_json(path, evaluation.predictions)


def report_table(evaluation: Evaluation) -> str:
    """The scores with their intervals, the baselines beside them, one line a score."""
    lines = [f"{evaluation.model} on {evaluation.studies} studies of split {evaluation.split!r}"]
    if evaluation.findings is None:
        lines.append(
            "not all that is there has a box, as in phantoms: findings and maps are not scored"
        )
    else:
        head = f"{'score':<42}{'value [95 %]':<22}{'n':>6}  {'constant':>9} {'retrieval':>9}"
        lines.append(head)
        lines += [_line(name, scores) for name, scores in finding_lines(evaluation)]
        lines.append(f"constant and retrieval: reports of {evaluation.baselines_from}")
        reliability = evaluation.findings.reliability
        lines.append(
            reliability_table("probability of a reported finding", reliability)
            if reliability.bins
            else "no finding has a probability: none was named, or `crossray calibrate` has "
            "not been run on this checkpoint"
        )
    return "\n".join([*lines, "", score_table(evaluation.texts)])


def finding_lines(evaluation: Evaluation) -> list[tuple[str, list[Score]]]:
    """Each score of findings and maps by name: the model's, the constant's, retrieval's."""
    if evaluation.findings is None:
        return []
    parts = evaluation.findings
    columns = (parts.scores, parts.constant, parts.retrieval)
    lines: list[tuple[str, list[Score]]] = []
    for name in (f.name for f in fields(Scores)):
        of_columns = [getattr(scores, name) for scores in columns]
        if isinstance(of_columns[0], Score):
            lines.append((name, of_columns))
        else:
            lines += [
                (f"{name}.{key}", [column.get(key, ABSENT) for column in of_columns])
                for key in of_columns[0]
            ]
    return lines


def _line(name: str, scores: Sequence[Score]) -> str:
    own, *baselines = scores
    # Counts have no decimals, and no interval.
    digits = 0 if name == "distinct_reports" else 3
    text = _number(own.value, digits)
    if own.low != own.high or digits:
        text += f" [{_number(own.low, digits)}, {_number(own.high, digits)}]"
    beside = " ".join(f"{_number(baseline.value, digits):>9}" for baseline in baselines)
    return f"{name:<42}{text:<22}{own.n:>6}  {beside}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
