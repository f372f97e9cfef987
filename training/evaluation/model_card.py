"""The model card that `crossray evaluate --card` writes: data, protocol, every number, images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model.errors import DataError
from model.generator import ReportGenerator
from training.bootstrap import Score, interval
from training.evaluation.plots import draw_calibration, draw_findings, draw_training
from training.evaluation.results import Evaluation
from training.evaluation.table import finding_lines
from training.provenance import FRONT_MATTER, data_text

__all__ = ["write_card"]


def write_card(
    evaluation: Evaluation, generator: ReportGenerator, record: Mapping[str, Any], folder: Path
) -> None:
    """Write README.md and its images into `folder`, which is made where it is missing.

    Args:
        record: the checkpoint's training.json.

    Raises:
        DataError: the folder cannot be written to.
        ConfigError: matplotlib is missing.
    """
    try:
        folder.mkdir(exist_ok=True)
        images = _draw(evaluation, record, folder)
        (folder / "README.md").write_text(
            _text(evaluation, generator, record, images), encoding="utf-8"
        )
    except OSError as error:
        raise DataError(f"cannot write the card to {str(folder)!r}: {error.strerror}") from error


def _draw(evaluation: Evaluation, record: Mapping[str, Any], folder: Path) -> list[tuple[str, str]]:
    """(file name, what it shows) of each image that there is something to draw for."""
    drawn = []
    parts = evaluation.findings
    if parts is not None:
        baselines = {"constant": parts.constant.finding_f1, "retrieval": parts.retrieval.finding_f1}
        draw_findings(parts.scores.finding_f1, baselines, folder / "findings.png")
        drawn.append(("findings.png", "F1 of each finding, beside the baselines"))
        if parts.reliability.bins:
            draw_calibration(parts.reliability, folder / "calibration.png")
            drawn.append(
                ("calibration.png", "Of findings reported with a probability, how many are there")
            )
    runs = [run["validation"] for run in _runs(record) if run.get("validation")]
    if runs:
        draw_training(runs, folder / "training.png")
        drawn.append(("training.png", "The validations of training"))
    return drawn


def _runs(record: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """The records of a checkpoint's runs, the first one first."""
    return [] if not record else [*_runs(record.get("initial")), record]


def _text(
    evaluation: Evaluation,
    generator: ReportGenerator,
    record: Mapping[str, Any],
    images: Sequence[tuple[str, str]],
) -> str:
    lines = [
        FRONT_MATTER,
        *(f"# {evaluation.model}", "", generator.model.config.notice, ""),
        "For research and teaching, not for diagnosis: what it says of a real radiograph is no "
        "finding. A map shows what the decoder attended to, not why.",
        *("", "## How it was made", ""),
        *map(_run_line, _runs(record)),
        *("", "## How it was measured", ""),
        f"On {evaluation.studies} studies (split `{evaluation.split}`) of a prepared folder whose "
        f"manifest has the SHA-256 `{evaluation.data_sha256}`. Views that were given: "
        f"{', '.join(evaluation.views)}. Weights: SHA-256 `{evaluation.sha256}`.",
        "",
        f"Words: protocol `{evaluation.texts.protocol}`. Baselines: {evaluation.baselines_from}. "
        "Brackets are 95 % bootstrap intervals over studies; n is what a score is counted over.",
    ]
    for file, shows in images:
        lines += ["", f"![{shows}]({file})"]
    if evaluation.findings is not None:
        lines += ["", "## Findings and maps", ""]
        lines += _table(("constant", "retrieval"), finding_lines(evaluation))
        error = evaluation.findings.reliability.error
        lines += [
            "",
            f"Expected calibration error of reported findings: {interval(error)}.",
        ]
    texts = evaluation.texts
    baselines = list(texts.baselines)
    rows = [
        (name, [score, *(texts.baselines[baseline].get(name) for baseline in baselines)])
        for name, score in texts.scores.items()
    ]
    lines += ["", "## Words, and observations read in them", "", *_table(baselines, rows)]
    lines += [f"\nNot computed: {name} ({why})." for name, why in texts.not_computed.items()]
    if texts.constant_report is not None:
        lines += ["", f"The constant report: {texts.constant_report}"]
    lines += [f"\n**Warning:** {alarm}." for alarm in texts.alarms]
    return "\n".join(lines) + "\n"


def _run_line(run: Mapping[str, Any]) -> str:
    if "settings" not in run:
        return "- weights trained elsewhere"
    minutes = round(run["seconds"] / 60)
    return (
        f"- {run['step']} steps of {run['settings']['batch']} studies, {minutes} minutes, "
        f"seed {run['settings']['seed']}. {data_text(run['data'])}"
    )


def _table(
    baselines: Sequence[str], rows: Sequence[tuple[str, Sequence[Score | None]]]
) -> list[str]:
    lines = [
        f"| score | value | n | {' | '.join(baselines)} |",
        f"|---|---|---|{'---|' * len(baselines)}",
    ]
    for name, (own, *beside) in rows:
        others = " | ".join(_value(score, alone=True) for score in beside)
        lines.append(f"| {name} | {_value(own)} | {own.n if own else 0} | {others} |")
    return lines


def _value(score: Score | None, alone: bool = False) -> str:
    """With its interval, unless alone or exact."""
    if score is None or score.value is None:
        return "-"
    exact = alone or score.low == score.high
    return f"{score.value:.4f}".rstrip("0").rstrip(".") if exact else interval(score)
