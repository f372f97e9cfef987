"""Scores against labels as text."""

from training.bootstrap import Score, interval
from training.calibration.reliability import reliability_table
from training.evaluation.label_scores import LabelEvaluation

__all__ = ["label_table"]


def label_table(scores: LabelEvaluation) -> str:
    """A line per finding and number, with 95 % intervals over patients."""
    lines = [
        f"against labels: {scores.studies} studies of {scores.patients} patients; each finding "
        "against the normal radiographs"
    ]
    for row in scores.rows:
        lines.append(f"{row.finding.replace('_', ' ')} ({row.present} against {row.absent})")
        lines += [_line(f"    AUC, {who}", score) for who, score in row.auc.items()]
        lines.append(_line("    sensitivity of the report", row.sensitivity))
        lines.append(_line("    specificity of the report", row.specificity))
        if row.calibration is not None:
            state = "withheld" if row.withheld else "shown"
            chance = f"{row.calibration.by_chance or 0:.3f} by chance; {state}"
            name = "    calibration error in bins"
            lines.append(f"{_line(name, row.calibration.error)}  {chance}")
    lines.append(_line("normal, no finding asserted", scores.normal_clear))
    lines.append(_line("precision of asserted findings", scores.precision))
    lines.append(_line("in distribution", scores.in_distribution))
    for coverage, error in scores.risk.items():
        lines.append(_line(f"error among the surest {coverage:.0%}", error))
    lines.append(
        reliability_table("probabilities of findings, shown or withheld", scores.reliability)
    )
    return "\n".join(lines)


def _line(name: str, score: Score) -> str:
    return f"{name:<36}{interval(score, 3):<24}{score.n:>6}"
