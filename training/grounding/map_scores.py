"""What a map says about a box, and many such cases -> scores with intervals. Knows no model.

A map and boxes meet on the image at no more than MEASURED_SIDE pixels: on the prepared phantoms
that is every pixel, and a box of a few patches still differs from its neighbors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from model.imaging.letterbox import Placement
from training.bootstrap import Bootstrap, Score, contrast, points_inside

__all__ = [
    "MEASURES",
    "SIZES",
    "THRESHOLDS",
    "Ground",
    "Measured",
    "Place",
    "grouped",
    "measure",
    "size_of",
]

MEASURED_SIDE = 256
FLAT = 1e-5
"""A map that varies by no more than this share of its maximum is flat."""
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Of a map's own maximum, where its area is cut off to be compared with the boxes."""
SIZES = {"small": 0.01, "middle": 0.05, "large": 1.0}
"""Share of the image up to which the boxes of a case count as of that size: a small nodule's box
has a tenth of the image's side."""
MEASURES = ("pointing_game", "cnr", "miou", "mass", "laterality", "deletion", "insertion")

Place = tuple[int, tuple[float, float, float, float]]
"""(image, box): which of the study's images, and (x0, y0, x1, y1) in its pixels."""


@dataclass(frozen=True)
class Ground:
    """The images of one study on which maps and boxes meet."""

    placements: tuple[Placement, ...]
    """Of the images at measured size."""
    scales: tuple[tuple[float, float], ...]
    """(across, down): measured pixels per original pixel."""

    @classmethod
    def of(cls, originals: Sequence[Placement]) -> "Ground":
        placements, scales = [], []
        for place in originals:
            shrink = min(1.0, MEASURED_SIDE / max(place.height, place.width))
            height = max(1, round(place.height * shrink))
            width = max(1, round(place.width * shrink))
            placements.append(replace(place, height=height, width=width))
            scales.append((width / place.width, height / place.height))
        return cls(tuple(placements), tuple(scales))

    def density(self, heatmap: np.ndarray) -> np.ndarray:
        """(images, rows, columns) -> float32 (pixels,), of all images one after another.

        A map that is nowhere above 0 says nothing of any place: it is flat. A flat map is exactly
        so: up to rounding, it would have a contrast.
        """
        parts = zip(self.placements, heatmap, strict=True)
        spread = np.concatenate([place.restore(part).ravel() for place, part in parts])
        return np.ones_like(spread) if np.ptp(spread) <= FLAT * spread.max() else spread

    def inside(self, places: Sequence[Place]) -> np.ndarray:
        """bool (pixels,): in one of the boxes, each at least a pixel large."""
        masks = [np.zeros((place.height, place.width), bool) for place in self.placements]
        for image, (x0, y0, x1, y1) in places:
            across, down = self.scales[image]
            left, top = int(x0 * across), int(y0 * down)
            right, bottom = round(x1 * across), round(y1 * down)
            masks[image][top : max(bottom, top + 1), left : max(right, left + 1)] = True
        return np.concatenate([mask.ravel() for mask in masks])

    def side(self, density: np.ndarray) -> str:
        """On which of the patient's sides the center of a map's mass lies.

        The patient's right is on the image's left; the middle is the image's.
        """
        start, balance = 0, 0.0
        for place in self.placements:
            part = density[start : start + place.height * place.width]
            start += len(part)
            across = (np.arange(place.width) + 0.5) / place.width - 0.5
            balance += float(part.reshape(place.height, place.width).sum(axis=0) @ across)
        return "right" if balance < 0 else "left"


def measure(density: np.ndarray, inside: np.ndarray) -> dict[str, float]:
    """How well a map lies on boxes.

    Args:
        density: float (pixels,), at least 0 and somewhere above.
        inside: bool (pixels,).

    Returns:
        "pointing_game": whether the map's maximum lies inside (where several pixels have it,
        the share of them). "cnr": see bootstrap.contrast. "miou": intersection over union of the
        boxes with the map above each of THRESHOLDS of its maximum, their mean. "mass": share of
        the map's mass on the images that lies inside.
    """
    within = density[inside]
    cuts = [share * density.max() for share in THRESHOLDS]
    above = [np.count_nonzero(density >= cut) for cut in cuts]
    shared = [np.count_nonzero(within >= cut) for cut in cuts]
    overlaps = [s / (a + len(within) - s) for a, s in zip(above, shared, strict=True)]
    return {
        "pointing_game": points_inside(density, inside),
        "cnr": contrast(density, inside),
        "miou": float(np.mean(overlaps)),
        "mass": float(within.sum(dtype=np.float64) / density.sum(dtype=np.float64)),
    }


def size_of(inside: np.ndarray) -> str:
    """One of SIZES, by the share of the images that the boxes cover."""
    share = inside.mean()
    return next(name for name, limit in SIZES.items() if share <= limit)


@dataclass
class Measured:
    """Cases as columns: of which study, of what finding and size, and every measure of it."""

    rows: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    sizes: list[str] = field(default_factory=list)
    values: list[Mapping[str, float]] = field(default_factory=list)

    def add(self, row: int, name: str, size: str, values: Mapping[str, float]) -> None:
        """One case of study number `row`; a measure that does not apply to it is left out."""
        self.rows.append(row)
        self.names.append(name)
        self.sizes.append(size)
        self.values.append(values)

    def scores(self, measures: Sequence[str], bootstrap: Bootstrap) -> dict[str, dict[str, Score]]:
        """Per group and measure the mean over the group's cases, studies resampled.

        Groups are "all", each finding's name, each size, and "small nodule".
        """
        rows = np.array(self.rows, np.int64)
        members = grouped(self.names, self.sizes)
        scored: dict[str, dict[str, Score]] = {group: {} for group in members}
        for name in measures:
            column = np.array([values.get(name, np.nan) for values in self.values], np.float64)
            for group, member in members.items():
                defined = member & np.isfinite(column)
                sums, counts = (
                    np.bincount(rows[defined], weights, minlength=bootstrap.studies)
                    for weights in (column[defined], None)
                )
                scored[group][name] = bootstrap.ratio(sums, counts)
        return scored


def grouped(names: Sequence[str], sizes: Sequence[str]) -> dict[str, np.ndarray]:
    """Group -> bool (cases,): "all", each name in alphabetical order, each size, small nodules."""
    name, size = np.array(names, object), np.array(sizes, object)
    groups = {"all": np.ones(len(names), bool)}
    groups |= {each: name == each for each in sorted(set(names))}
    groups |= {each: size == each for each in SIZES}
    return groups | {"small nodule": (name == "nodule") & (size == "small")}
