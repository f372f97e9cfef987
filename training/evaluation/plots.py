"""Images of an evaluation, as PNG files: F1 of each finding, calibration, the course of training.

Drawn without a screen; matplotlib comes with the extra `score`.
"""

import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from model.errors import ConfigError
from training.bootstrap import Score
from training.calibration.reliability import Reliability
from training.evaluation.results import Robustness

__all__ = [
    "draw_calibration",
    "draw_findings",
    "draw_robustness",
    "draw_training",
    "require_matplotlib",
]

INK, OURS, BASELINES = "#1f2933", "#0b6e99", ("#b0b7c0", "#d9a441")
DPI = 120


def draw_findings(
    model: Mapping[str, Score], baselines: Mapping[str, Mapping[str, Score]], path: Path
) -> None:
    """A bar for the F1 of each finding with its 95 % interval, and dots for the baselines'.

    Args:
        model: by finding; those without a value are left out.
        baselines: by name of the baseline, then by finding.
    """
    names = [name for name, score in model.items() if score.value is not None]
    figure, axes = _figure(7, 1.2 + 0.3 * len(names))
    places = list(range(len(names)))[::-1]
    values = [model[name].value or 0 for name in names]
    reach = [
        [value - (model[name].low or 0) for name, value in zip(names, values, strict=True)],
        [(model[name].high or 0) - value for name, value in zip(names, values, strict=True)],
    ]
    axes.barh(places, values, xerr=reach, color=OURS, ecolor=INK, height=0.6, label="model")
    for color, (baseline, scores) in zip(BASELINES, baselines.items(), strict=False):
        at = [(scores[name].value or 0) if name in scores else 0 for name in names]
        axes.plot(at, places, "o", color=color, markeredgecolor=INK, markersize=5, label=baseline)
    axes.set_yticks(places, [name.replace("_", " ") for name in names])
    axes.set(xlim=(0, 1), xlabel="F1, with 95 % intervals")
    _save(figure, axes, path, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)


def draw_calibration(measured: Reliability, path: Path) -> None:
    """Of findings reported with a probability, how many were there; the diagonal is perfect."""
    figure, axes = _figure(4.6, 4.4)
    axes.plot((0, 1), (0, 1), "--", color=BASELINES[0], label="perfect")
    predicted = [each.predicted for each in measured.bins]
    right = [each.right.value or 0 for each in measured.bins]
    reach = [
        [(each.right.value or 0) - (each.right.low or 0) for each in measured.bins],
        [(each.right.high or 0) - (each.right.value or 0) for each in measured.bins],
    ]
    axes.errorbar(predicted, right, yerr=reach, fmt="o-", color=OURS, ecolor=INK, label="model")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="probability", ylabel="share present")
    _save(figure, axes, path)


def draw_training(runs: Sequence[Sequence[Mapping[str, Any]]], path: Path) -> None:
    """Loss and pointing of every validation, run after run, over the steps of all of them.

    Args:
        runs: for each run, the first one first, its validations as training.json has them.
    """
    figure, axes = _figure(7, 3.4)
    other = axes.twinx()
    before = 0.0
    for number, validations in enumerate(runs):
        steps = [before + each["step"] for each in validations]
        label = {} if number else {"label": "loss a token"}
        axes.plot(steps, [each["loss"] for each in validations], "o-", color=OURS, **label)
        label = {} if number else {"label": "pointing"}
        pointing = [each.get("pointing") for each in validations]
        other.plot(steps, pointing, "s--", color=BASELINES[1], **label)
        before = steps[-1] if steps else before
        if number < len(runs) - 1:
            axes.axvline(before, color=BASELINES[0], linewidth=1)
    axes.set(xlabel="step; a line where another run goes on", ylabel="loss a token")
    axes.set_ylim(bottom=0)
    other.set(ylabel="pointing", ylim=(0, 1))
    other.legend(loc="lower right", frameon=False)
    _save(figure, axes, path)


def draw_robustness(measured: Robustness, units: Mapping[str, str], path: Path) -> None:
    """For each corruption the scores over its amounts, with intervals, and where they break."""
    figure, _ = _figure(3.1 * len(measured.levels), 3.2)
    figure.clear()
    all_axes = figure.subplots(1, len(measured.levels), sharey=True)
    for axes, (name, levels) in zip(all_axes, measured.levels.items(), strict=True):
        places = range(len(levels))
        for score, label, color in CURVES:
            values = [getattr(level, score) for level in levels]
            value, low, high = (
                # A gap where nothing could be measured.
                [math.nan if getattr(v, end) is None else getattr(v, end) for v in values]
                for end in ("value", "low", "high")
            )
            axes.plot(places, value, "o-", color=color, label=label)
            axes.fill_between(places, low, high, color=color, alpha=0.15)
            broken = measured.breaks[name].get(score)
            if broken is not None:
                at = [level.amount for level in levels].index(broken)
                axes.plot(at, value[at], "x", color=INK, markersize=10)
        axes.set_xticks(places, [f"{level.amount:g}" for level in levels])
        axes.set(title=name, xlabel=units[name], ylim=(0, 1.02))
        axes.xaxis.label.set_fontsize(8)
        axes.spines[["top", "right"]].set_visible(False)
    _save(figure, all_axes[0], path)


CURVES = (
    ("finding_f1", "macro F1", OURS),
    ("pointing_game", "pointing", BASELINES[1]),
    ("normal_recall", "normal called normal", BASELINES[0]),
)
"""Crosses mark where each breaks."""


def require_matplotlib() -> None:
    """Raises: ConfigError: it is not installed."""
    if find_spec("matplotlib") is None:
        raise ConfigError("matplotlib is missing: install the extra `score`")


def _figure(width: float, height: float) -> tuple[Any, Any]:
    require_matplotlib()
    # Not pyplot: it keeps every figure, and asks for a screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, axes: Any, path: Path, **legend: Any) -> None:
    axes.legend(**{"loc": "best", "frameon": False, **legend})
    figure.savefig(path, metadata={"Software": None})
