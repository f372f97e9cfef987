"""The noise at which attention breaks, beside the level that its scores predict.

A token finds its patch while the patch's score stands out from the largest of the others. Of N
scores that scatter with a deviation s about their mean, the largest lies about s sqrt(2 ln N) above
it (extreme value of N Gaussian numbers). So attention should break where the margin of the
finding's patches over that mean, divided by s, falls below sqrt(2 ln N).
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from model.network import ReportModel
from model.torch_network import SKIPPED_SHARE
from training.experiments.phantoms import forced_phantoms, loaded
from training.experiments.results import Curve, Options, Outcome, Panel, Table
from training.grounding.cases import Subject, patches_inside
from training.grounding.map_scores import SIZES, Ground, size_of

__all__ = ["noise"]

LEVELS = (0.0, 0.02, 0.04, 0.06, 0.09, 0.13, 0.18, 0.25, 0.35)
"""Standard deviations, as shares of the pixels' range."""
BROKEN = 0.5
"""Of the pointing on clean images."""


def noise(options: Options) -> Outcome:
    """Pointing and the scores' signal-to-noise ratio over noise, by the size of the finding."""
    model, _, subjects = loaded(options)
    limit = math.sqrt(2 * math.log(math.prod(model.grid)))
    pointing: dict[str, list[float]] = {size: [] for size in SIZES}
    ratio: dict[str, list[float]] = {size: [] for size in SIZES}
    counts: dict[str, int] = {}
    for level in LEVELS:
        found = _at(model, subjects, level)
        for size in SIZES:
            hits, ratios = found.get(size, ([], []))
            pointing[size].append(float(np.mean(hits)) if hits else math.nan)
            ratio[size].append(float(np.mean(ratios)) if ratios else math.nan)
            counts[size] = len(hits)
    sizes = [size for size in SIZES if counts[size]]
    rows = []
    for size in sizes:
        measured = _crossing(pointing[size], BROKEN * pointing[size][0])
        predicted = _crossing(ratio[size], limit)
        breaks = ("-" if level is None else level for level in (measured, predicted))
        cells = (float(counts[size]), pointing[size][0], ratio[size][0], *breaks)
        rows.append((size, cells))
    levels = Table(
        "pointing, then signal-to-noise ratio, at each level of noise",
        tuple(f"{level:g}" for level in LEVELS),
        tuple(
            (f"{size}, {what}", tuple(values[size]))
            for what, values in (("pointing", pointing), ("ratio", ratio))
            for size in sizes
        ),
    )
    columns = ("words", "clean pointing", "clean ratio", "measured break", "predicted break")
    title = f"noise at which pointing halves, and at which the ratio falls below {limit:.2f}"
    return Outcome(
        f"{model.config.name}: critical noise on {len(subjects)} phantoms",
        (Table(title, columns, tuple(rows)), levels),
        (
            _panel("pointing", pointing, sizes),
            _panel("signal-to-noise ratio of scores", ratio, sizes, limit),
        ),
    )


def _at(
    model: ReportModel, subjects: Sequence[Subject], level: float
) -> Mapping[str, tuple[list[float], list[float]]]:
    """By size of the finding: whether each word's map points into it, and its score's ratio."""
    first = int(model.config.layers * SKIPPED_SHARE)
    found: dict[str, tuple[list[float], list[float]]] = {}
    for batch, forced in forced_phantoms(model, subjects, level):
        late = forced.attentions[first:].numpy()  # (layers, batch, heads, tokens, 1 + patches)
        for number, subject in enumerate(batch):
            ground = Ground.of(forced.placements[number])
            for case in subject.cases:
                inside = patches_inside(forced.placements[number], case.places, model.grid)
                rows = late[:, number][:, :, case.span, 1:]
                heatmap = rows.mean(axis=(0, 1, 2))
                hits, ratios = found.setdefault(size_of(ground.inside(case.places)), ([], []))
                hits.append(float(inside[heatmap.argmax()]))
                ratios.append(_ratio(rows.reshape(-1, rows.shape[-1]), inside))
    return found


def _ratio(rows: NDArray[np.float32], inside: NDArray[np.bool_]) -> float:
    """Margin of the finding's best patch over the others' mean score, in their deviations.

    Args:
        rows: (layers x heads x tokens, patches) attention: its logarithm is the score, but for a
            constant of the row.
    """
    scores = np.log(np.maximum(rows, 1e-30))
    others = scores[:, ~inside]
    margin = scores[:, inside].max(axis=1) - others.mean(axis=1)
    return float(np.median(margin / np.maximum(others.std(axis=1), 1e-6)))


def _crossing(values: Sequence[float], limit: float) -> float | None:
    """The first level at which the values have fallen to a limit, between two levels; None where
    they do not."""
    for place in range(1, len(values)):
        above, below = values[place - 1], values[place]
        if above >= limit > below:
            part = (above - limit) / (above - below)
            return LEVELS[place - 1] + part * (LEVELS[place] - LEVELS[place - 1])
    return None


def _panel(
    title: str, values: Mapping[str, Sequence[float]], sizes: Sequence[str], limit: float = 0
) -> Panel:
    curves = [Curve(size, LEVELS, tuple(values[size])) for size in sizes]
    if limit:
        curves.append(Curve("sqrt(2 ln N)", LEVELS, (limit,) * len(LEVELS)))
    return Panel(f"{title} by size", "noise, share of range", title, tuple(curves))
