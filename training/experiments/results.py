"""What an experiment found: tables to print and curves to draw, as values."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from training import files
from training.bootstrap import Score, interval
from training.evaluation.plots import require_matplotlib

__all__ = ["Curve", "Options", "Outcome", "Panel", "Table", "draw", "over_seeds", "text", "write"]

COLORS = ("#0b6e99", "#d9a441", "#7a4f9a", "#3b8f5a", "#b0483c", "#6b7280")


@dataclass(frozen=True)
class Options:
    """How large an experiment is."""

    model: Path | None = None
    """Checkpoint folder, where one is measured that is there."""
    data: Path | None = None
    """Prepared phantoms it was not trained on."""
    studies: int = 100
    """Of `data`, or test images of the toy."""
    steps: int = 600
    """Of each training on the toy."""
    seeds: int = 3
    """Trainings of each network."""


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Score | float | str, ...]], ...]
    """(name, cells)."""


@dataclass(frozen=True)
class Curve:
    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Panel:
    title: str
    x: str
    y: str
    curves: tuple[Curve, ...]
    marks: tuple[tuple[str, float], ...] = ()
    """Vertical lines, (label, x)."""
    names: tuple[str, ...] = ()
    """What x = 0, 1, ... stand for, where x is no number."""


@dataclass(frozen=True)
class Outcome:
    title: str
    tables: tuple[Table, ...]
    panels: tuple[Panel, ...] = ()
    images: dict[str, np.ndarray] = field(default_factory=dict)
    """uint8 (height, width, 3), by file name without ending."""


def over_seeds(values: Sequence[float]) -> Score:
    """Mean of a number's values over seeds, with their range: three seeds have no percentiles."""
    return Score(float(np.mean(values)), float(np.min(values)), float(np.max(values)), len(values))


def text(outcome: Outcome) -> str:
    """The tables, one line a row."""
    parts = [outcome.title]
    for table in outcome.tables:
        wide = max(len(name) for name, _ in table.rows)
        cells = [[_shown(cell) for cell in row] for _, row in table.rows]
        widths = [
            max(len(title), *(len(row[k]) for row in cells))
            for k, title in enumerate(table.columns)
        ]
        head = [f"{title:<{width}}" for title, width in zip(table.columns, widths, strict=True)]
        lines = [table.title, "  ".join([" " * wide, *head])]
        for (name, _), row in zip(table.rows, cells, strict=True):
            padded = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
            lines.append("  ".join([f"{name:<{wide}}", *padded]))
        parts.append("\n".join(line.rstrip() for line in lines))
    return "\n\n".join(parts)


def _shown(cell: Score | float | str) -> str:
    if isinstance(cell, Score):
        return interval(cell, 3)
    return cell if isinstance(cell, str) else f"{cell:.3g}"


def write(outcome: Outcome, name: str, folder: Path) -> None:
    """NAME.json with all numbers, NAME.png with the curves, and the images.

    Raises:
        ConfigError: matplotlib is not installed.
        DataError: it cannot be written.
    """
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    numbers: dict[str, Any] = {
        "title": outcome.title,
        "tables": [asdict(t) for t in outcome.tables],
    }
    numbers["panels"] = [asdict(panel) for panel in outcome.panels]
    files.write_json(folder / f"{name}.json", numbers)
    if outcome.panels:
        draw(outcome.panels, folder / f"{name}.png")
    for title, image in outcome.images.items():
        cv2.imwrite(str(folder / f"{title}.png"), image)


def draw(panels: Sequence[Panel], path: Path) -> None:
    """Panels side by side."""
    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * len(panels), 3.6), layout="constrained")
    for place, panel in enumerate(panels, 1):
        axes = figure.add_subplot(1, len(panels), place)
        for color, curve in zip(COLORS * 4, panel.curves, strict=False):
            axes.plot(curve.x, curve.y, "o-", color=color, markersize=3, label=curve.label)
        for color, (label, where) in zip(COLORS * 4, panel.marks, strict=False):
            axes.axvline(where, color=color, linestyle=":", label=label)
        axes.set(title=panel.title, xlabel=panel.x, ylabel=panel.y)
        if panel.names:
            axes.set_xticks(range(len(panel.names)), panel.names, rotation=25, ha="right", size=8)
        axes.legend(fontsize=7)
        axes.grid(alpha=0.25)
    figure.savefig(path, dpi=110)
