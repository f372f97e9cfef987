"""What disease and devices do to the layers of an Anatomy seen from the side, with their masks.

A finding lies at the height at which it shows on the frontal image; how far back is drawn. Every
function takes what those of data_prep/phantom/pathology.py take, and `like`: (x0, y0, x1, y1) in
cm around the finding on the frontal image. What is not in LATERAL_PATHOLOGIES does not show from
the side: the rim of a pneumothorax and a broken rib end lie flat before the rays.
"""

from collections.abc import Callable

import numpy as np

from data_prep.phantom.anatomy import LUNG_AIR, Anatomy
from data_prep.phantom.canvas import spline
from data_prep.phantom.lateral_anatomy import Profile, trachea
from data_prep.phantom.pathology import (
    Mask,
    aired_place,
    atelectasis,
    catheter,
    fill,
    grade_of,
    hyperinflation,
    nodule,
    opacity,
    pouch,
    tube,
    wet_lung,
)

__all__ = ["LATERAL_PATHOLOGIES", "Region", "trace_effusion"]

Region = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in cm on the frontal image."""
Said = str | None
Rng = np.random.Generator


def _at_height(a: Anatomy, side: str, like: Region, rng: Rng, margin: float) -> tuple[float, float]:
    """(x, y): the height of `like`, any depth at which that side's lung is well aired."""
    y = (like[1] + like[3]) / 2
    within = max(0.2, 0.6 / a.canvas.scale)  # one row of pixels at least
    found = aired_place(a, side, y - within, y + within, rng, margin)
    return (found[0] if found else 0.12 * a.patient.depth), y


def _opacity(a: Anatomy, severity: Said, side: str, zone: str, rng: Rng, like: Region) -> Mask:
    return opacity(a, severity, side, zone, rng, at=_at_height(a, side, like, rng, 1.2))


def _atelectasis(a: Anatomy, severity: Said, side: str, zone: str, rng: Rng, like: Region) -> Mask:
    return atelectasis(a, severity, side, zone, rng, at=_at_height(a, side, like, rng, 1.0))


def _nodule(a: Anatomy, severity: Said, side: str, zone: str, rng: Rng, like: Region) -> Mask:
    radius = (like[3] - like[1]) / 2
    at = _at_height(a, side, like, rng, radius + 0.4)
    return nodule(a, severity, side, zone, rng, at=at, reach=radius)


def _pleural_effusion(
    a: Anatomy, severity: Said, side: str, zone: Said, rng: Rng, like: Region
) -> Mask:
    """Fluid as high behind as at the chest wall's side: it fills the posterior angle first."""
    return _fluid(a, side, float(a.outlines[side][:, 1].max()) - like[1], rng)


def trace_effusion(a: Anatomy, side: str, rng: Rng) -> Mask:
    """Fluid below the lateral angles, which are blunted by 175 to 525 ml (Woodring, AJR 1984); the
    posterior one lies deeper, and by the textbooks about 75 ml blunt it."""
    p = a.patient
    hidden = float(a.outlines[side][:, 1].max()) - (p.base[side] + p.dome)
    return _fluid(a, side, rng.uniform(0.8, 1.0) * hidden, rng)


def _fluid(a: Anatomy, side: str, depth: float, rng: Rng) -> Mask:
    """Free fluid, `depth` cm at the back: a meniscus that climbs backwards."""
    outline = a.outlines[side]
    bottom, back = outline[np.argmax(outline[:, 1]), 1], float(outline[:, 0].max())
    middle = -0.06 * a.patient.depth
    behind = np.clip((a.canvas.x - middle) / (back - middle), 0, 1)
    surface = bottom - depth * (0.5 + 0.5 * behind**2.2) + 0.12 * a.canvas.clouds(rng, 3)
    below = np.clip((a.canvas.y - surface) / 1.2, 0, 1)
    # the other lung lies before or behind it and keeps its air
    of_this = a.lungs[side] / np.maximum(a.lungs["right"] + a.lungs["left"], 1)
    tissue = a.air / LUNG_AIR * of_this * below**0.7
    result: Mask = fill(a, tissue.astype(np.float32), 0.2) & (below > 0.15)
    return result


def _cardiomegaly(
    a: Anatomy, severity: Said, side: Said, zone: Said, rng: Rng, like: Region
) -> Mask:
    """The patient was drawn with a large heart; its silhouette is the mask."""
    return a.heart > 0.5


def _edema(a: Anatomy, severity: Said, side: Said, zone: Said, rng: Rng, like: Region) -> Mask:
    """Haze around the hila, with septal lines along the edges of the bases."""
    p, grade = a.patient, grade_of(severity)
    profile = Profile(p)
    u = (a.canvas.x - 0.03 * p.depth) / (0.30 * p.depth)
    v = (a.canvas.y - p.carina - 0.17 * p.lung_height) / (0.36 * p.lung_height)
    haze = np.exp(-((u * u + v * v) ** 1.3)) * np.maximum(a.lungs["right"], a.lungs["left"])
    lines = []
    for _ in range(2 * (5 + 2 * grade)):
        y = rng.uniform(p.base["right"] - 5.5, p.base["right"] + 0.3 * p.dome)
        front = rng.random() < 0.4
        x = profile.cage_front(y) + 0.5 if front else profile.cage_back(y) - 0.5
        inward = rng.uniform(1.3, 2.4) * (1 if front else -1)
        lines.append(np.array([(x, y), (x + inward, y + 0.15)]))
    return wet_lung(a, haze.astype(np.float32), lines, (4.2, 6.8, 10.0)[grade], rng)


def _hyperinflation(
    a: Anatomy, severity: Said, side: Said, zone: Said, rng: Rng, like: Region
) -> Mask:
    """The patient was drawn with flat domes and a deep chest; the lungs are the mask."""
    return hyperinflation(a, severity, side, zone, rng)


def _hiatal_hernia(
    a: Anatomy, severity: Said, side: Said, zone: Said, rng: Rng, like: Region
) -> Mask:
    """Stomach between the heart and the spine."""
    tall, y = (like[3] - like[1]) / 2, (like[1] + like[3]) / 2
    x = 0.5 * (Profile(a.patient).spine(y) - 1.6 + 0.06 * a.patient.depth) + rng.uniform(-0.7, 0.7)
    return pouch(a, (float(x), y), tall * np.array([rng.uniform(0.8, 1.05), 1.0]), rng)


def _endotracheal_tube(
    a: Anatomy, severity: Said, side: Said, zone: Said, rng: Rng, like: Region
) -> Mask:
    path, tip = trachea(a.patient), like[3] - 0.7  # the mask is 1.4 cm wide
    above = path[path[:, 1] < tip]
    end = (np.interp(tip, path[:, 1], path[:, 0]), tip)
    return tube(a, np.concatenate([above, [end]]))


def _central_line(
    a: Anatomy, severity: Said, side: str, zone: Said, rng: Rng, like: Region
) -> Mask:
    """Down the neck before the trachea, its tip in the superior vena cava."""
    p, tip = a.patient, like[3] - 0.5  # the mask is 1 cm wide
    d, x = p.depth, (-0.035 + rng.uniform(-0.01, 0.01)) * p.depth
    start = [(-0.01 * d, p.apex - 9), (-0.03 * d, p.apex - 4), (-0.065 * d, p.apex + 1)]
    return catheter(a, spline([*start, (x - 0.01 * d, tip - 2.5), (x, tip)]))


def _pacemaker(a: Anatomy, severity: Said, side: str, zone: Said, rng: Rng, like: Region) -> Mask:
    """The generator nearly edge on under the skin of the chest; it alone is the mask."""
    p, y, half = a.patient, (like[1] + like[3]) / 2, (like[3] - like[1]) / 2
    profile = Profile(p)
    slope = float(profile.front(y + half) - profile.front(y - half)) / (2 * half)
    x = float(profile.front(y)) + 1.3 + 0.1 * p.wall
    thick = rng.uniform(0.45, 0.75)
    v = (a.canvas.y - y) / half
    u = (a.canvas.x - x - slope * (a.canvas.y - y)) / thick
    can = np.clip((1 - u**4 - v**4) * 6, 0, 1)
    a.metal += (0.35 * can).astype(np.float32)
    d, rows = p.depth, np.flatnonzero((a.heart > 0.5).any(axis=1))
    low = float(a.canvas.y[rows[-1], 0]) - rng.uniform(1.5, 2.5)
    ends = [(float(profile.cage_front(low)) + rng.uniform(1.5, 3.0), low)]
    if rng.random() < 0.6:
        ends.append((-0.10 * d, p.carina + 6))
    vein = [(-0.10 * d, p.apex + 1.8), (-0.05 * d, p.apex + 3.5), (-0.035 * d, p.carina + 1.5)]
    leads = [spline([(x + 0.3, y - half), *vein, (-0.05 * d, p.carina + 4.5), end]) for end in ends]
    a.metal += 0.10 * a.canvas.strokes(leads, 0.22)
    return can > 0.5


LATERAL_PATHOLOGIES: dict[str, Callable[..., Mask]] = {
    "opacity": _opacity,
    "pleural_effusion": _pleural_effusion,
    "cardiomegaly": _cardiomegaly,
    "edema": _edema,
    "atelectasis": _atelectasis,
    "nodule": _nodule,
    "hyperinflation": _hyperinflation,
    "hiatal_hernia": _hiatal_hernia,
    "endotracheal_tube": _endotracheal_tube,
    "central_line": _central_line,
    "pacemaker": _pacemaker,
}
