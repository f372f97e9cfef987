"""Scores of texts as lines to read."""

from collections.abc import Mapping

from training.bootstrap import Score
from training.report_scores.results import Comparison, Scored

__all__ = ["compare_table", "score_table"]

COUNTS = {"distinct_reports": 0, "words": 1}
"""Scores that are no shares, with their decimals."""
WIDTH = 38
DIGITS = 4


def score_table(scored: Scored) -> str:
    """One line a score: its interval, how many cases, the baselines; then what is missing and
    why."""
    baselines = list(scored.baselines)
    lines = [
        f"{scored.studies} studies, protocol {scored.protocol}",
        f"{'score':<{WIDTH}}{'value [95 %]':<26}{'n':>6}" + "".join(f"{n:>11}" for n in baselines),
    ]
    for name, score in scored.scores.items():
        beside = "".join(
            f"{_number(scored.baselines[baseline].get(name), name):>11}" for baseline in baselines
        )
        lines.append(f"{name:<{WIDTH}}{_interval(score, name):<26}{score.n:>6}{beside}")
    if scored.constant_report is not None:
        lines.append(f"constant: {scored.constant_report}")
    lines += [f"judge: {identity}" for identity in scored.learned_metrics]
    lines += [f"not computed: {name} ({why})" for name, why in scored.not_computed.items()]
    if below := _below(scored.scores, scored.baselines.get("constant", {})):
        lines.append(f"no better than the constant report: {', '.join(below)}")
    return "\n".join(lines + [f"warning: {alarm}" for alarm in scored.alarms])


def compare_table(comparison: Comparison, first: str, second: str) -> str:
    """One line a score: both values, the difference with its interval, and how likely by chance."""
    lines = [
        f"{comparison.studies} studies, protocol {comparison.protocol}: {first}, then {second}",
        f"{'score':<{WIDTH}}{'first':>9}{'second':>9}  {'difference [95 %]':<28}{'p':>8}",
    ]
    for name, each in comparison.differences.items():
        both = "".join(
            f"{_number(Score(value, None, None, 0), name):>9}"
            for value in (each.first, each.second)
        )
        p = "-" if each.p is None else f"{each.p:.4f}"
        lines.append(f"{name:<{WIDTH}}{both}  {_interval(each.difference, name):<28}{p:>8}")
    lines += [f"judge: {identity}" for identity in comparison.learned_metrics]
    lines += [f"not compared: {name} ({why})" for name, why in comparison.not_computed.items()]
    return "\n".join(lines)


def _below(own: Mapping[str, Score], baseline: Mapping[str, Score]) -> list[str]:
    """Scores whose value is not above the baseline's."""
    return [
        name
        for name, score in own.items()
        if name not in COUNTS and "." not in name and name in baseline
        and (score.value or 0) <= (baseline[name].value or 0)
    ]  # fmt: skip


def _interval(score: Score, name: str) -> str:
    if score.value is None or score.low == score.high:
        return _number(score, name)
    low, high = (Score(bound, None, None, 0) for bound in (score.low, score.high))
    return f"{_number(score, name)} [{_number(low, name)}, {_number(high, name)}]"


def _number(score: Score | None, name: str) -> str:
    if score is None or score.value is None:
        return "-"
    return f"{score.value:.{COUNTS.get(name, DIGITS)}f}"
