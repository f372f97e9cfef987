"""What disease and devices do to the layers of an Anatomy, with the exact mask of each.

Every function takes the anatomy, what is asked for and a random generator, edits the layers in
place and returns the mask: bool (size, size), true where the finding changes the image visibly.
Tissue that fills a lung takes its air; the mask is where it took a fair share of the most it took.
Where a finding lies and how far it reaches is drawn, unless another image of the patient says it:
`at` (x, y) and `reach` in cm (data_prep/phantom/plan.py).
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.phantom.anatomy import LUNG_AIR, SIGNS, Anatomy, _shift
from data_prep.phantom.canvas import Plane, spline

__all__ = [
    "PATHOLOGIES",
    "Mask",
    "add_ribs",
    "aired_place",
    "atelectasis",
    "catheter",
    "fill",
    "grade_of",
    "hyperinflation",
    "nodule",
    "opacity",
    "posterior_ribs",
    "pouch",
    "tube",
    "wet_lung",
]

Mask = NDArray[np.bool_]
Pathology = Callable[..., Mask]
Said = str | None
"""A severity, side or zone, None for what has none."""
Point = tuple[float, float]
Rng = np.random.Generator

RIB_WIDTH = 1.15
"""Of a posterior rib, in cm."""

ZONE_SPANS = {"upper": (0.10, 0.31), "mid": (0.40, 0.60), "lower": (0.71, 0.90)}
"""Where a finding's center may lie, as a share of the lung's height (see Patient.zone)."""


def grade_of(severity: str | None) -> int:
    return {"mild": 0, "moderate": 1, "severe": 2}[severity or "moderate"]


def fill(anatomy: Anatomy, tissue: Plane, share: float = 0.3) -> Mask:
    """Put `tissue` cm of water density where the lung is, and say where that shows."""
    taken = np.minimum(anatomy.air, LUNG_AIR * tissue)
    anatomy.air -= taken
    return taken > max(share * float(taken.max()), 0.25)


def _place(
    anatomy: Anatomy, side: str, zone: str, rng: np.random.Generator, margin: float
) -> Point:
    """A point of the lung's zone that lies in well aired lung, `margin` cm from where it ends."""
    p = anatomy.patient
    height = p.lung_height + 0.5 * p.dome
    low, high = (p.apex + height * share for share in ZONE_SPANS[zone])
    found = aired_place(anatomy, side, low, high, rng, margin)
    return found or (SIGNS[side] * 0.6 * p.half_width, (low + high) / 2)


def aired_place(
    anatomy: Anatomy,
    side: str,
    low: float,
    high: float,
    rng: np.random.Generator,
    margin: float,
) -> Point | None:
    """(x, y) in cm in well aired lung, `margin` cm from where that ends, low <= y <= high.

    Where nothing is as far from its end, nearer; None where no lung of that side has air.
    """
    canvas = anatomy.canvas
    seen = anatomy.air > min(4.5, 0.55 * float(anatomy.air.max()))
    seen &= (anatomy.lungs[side] > 0.5) & (canvas.y >= low) & (canvas.y <= high)
    room = cv2.distanceTransform((seen).astype(np.uint8), cv2.DIST_L2, 3) / canvas.scale
    rows, columns = np.nonzero(room > min(margin, 0.7 * float(room.max())))
    if not len(rows):
        return None
    pick = rng.integers(len(rows))
    return float(canvas.x[0, columns[pick]]), float(canvas.y[rows[pick], 0])


def opacity(
    a: Anatomy, severity: Said, side: str, zone: str, rng: Rng, at: Point | None = None
) -> Mask:
    """Airspace consolidation: merged, ragged clouds of filled alveoli."""
    grade = grade_of(severity)
    x, y = at or _place(a, side, zone, rng, 1.2)
    radius = (1.7, 2.6, 3.6)[grade] * rng.uniform(0.9, 1.15)
    cloud = a.canvas.empty()
    for _ in range(4 + grade):
        at = (x + rng.normal(0, 0.5) * radius, y + rng.normal(0, 0.38) * radius)
        r = radius * rng.uniform(0.55, 0.9)
        u, v = (a.canvas.x - at[0]) / r, (a.canvas.y - at[1]) / (0.85 * r)
        cloud += np.exp(-((u * u + v * v) ** 1.4))
    ragged = 1 + 0.25 * a.canvas.clouds(rng, 0.9) + 0.2 * a.canvas.clouds(rng, 0.4)
    tissue = (3.2, 5.0, 7.5)[grade] * np.clip(cloud * ragged, 0, 1.3) * a.lungs[side]
    return fill(a, tissue.astype(np.float32))


def pleural_effusion(
    a: Anatomy, severity: Said, side: str, zone: Said, rng: Rng, reach: float | None = None
) -> Mask:
    """Free fluid: a meniscus that climbs towards the chest wall and hides the diaphragm."""
    p, sign = a.patient, SIGNS[side]
    depth = (rng.uniform(2.8, 4.2), rng.uniform(5.5, 8.5), rng.uniform(10, 15))[grade_of(severity)]
    depth = reach or depth
    bottom = p.base[side] + p.dome
    lateral = np.clip((sign * a.canvas.x - 2) / (p.half_width - 2), 0, 1)
    surface = bottom - depth * (0.52 + 0.48 * lateral**2.2) + 0.12 * a.canvas.clouds(rng, 3)
    below = np.clip((a.canvas.y - surface) / 1.6, 0, 1)
    return fill(a, (below**0.7 * a.lungs[side] * 16).astype(np.float32), 0.2) & (below > 0.15)


def pneumothorax(a: Anatomy, severity: Said, side: str, zone: Said, rng: Rng) -> Mask:
    """Air between lung and chest wall: a rim without vessels, and the pleural line."""
    p, sign = a.patient, SIGNS[side]
    gap = (rng.uniform(1.5, 2.1), rng.uniform(2.5, 3.6), rng.uniform(4.2, 6.0))[grade_of(severity)]
    outline = a.outlines[side].copy()
    middle = np.array([sign * 3.0, p.carina + 3.0])
    fade = np.clip((p.base[side] + 1 - outline[:, 1]) / (0.75 * p.lung_height), 0.18, 1)
    outward = np.clip((sign * outline[:, 0] - 2.0) / 2.5, 0, 1)
    away = outline - middle
    reach = np.linalg.norm(away, axis=1)
    pull = np.minimum(gap * fade * outward, 0.7 * reach)
    edge = outline - away * (pull / reach)[:, None]
    rim = a.lungs[side] * (1 - a.canvas.polygon(edge))
    mask: Mask = (rim > 0.5) & (a.canvas.y < p.base[side] - 0.5)
    chest = np.clip(a.soft * 0.5, 0, 9)
    a.vessels *= 1 - rim
    a.air += rim * chest * (1 - LUNG_AIR) * 0.9
    a.air *= 1 - 0.13 * a.lungs[side] * (1 - rim)
    pleura = a.canvas.strokes([edge[: len(edge) - 40]], 0.17) * a.lungs[side]
    a.air -= 1.3 * pleura
    return mask


def cardiomegaly(a: Anatomy, severity: Said, side: Said, zone: Said, rng: Rng) -> Mask:
    """The patient was drawn with a large heart; its silhouette is the mask."""
    return a.heart > 0.5


def edema(a: Anatomy, severity: Said, side: Said, zone: Said, rng: Rng) -> Mask:
    """Hazy wings around both hila, with thick vessels and septal lines at the bases."""
    p, grade = a.patient, grade_of(severity)
    haze, lines = a.canvas.empty(), []
    for side_, sign in SIGNS.items():
        center = (sign * 0.43 * p.half_width, p.carina + 0.17 * p.lung_height)
        u = (a.canvas.x - center[0]) / (0.42 * p.half_width)
        v = (a.canvas.y - center[1]) / (0.36 * p.lung_height)
        haze += np.exp(-((u * u + v * v) ** 1.3)) * a.lungs[side_]
        bottom = p.base[side_]
        for _ in range(5 + 2 * grade):
            y = rng.uniform(bottom - 5.5, bottom + 0.3 * p.dome)
            outer = sign * (p.half_width - 0.6 - 0.05 * (bottom - y))
            lines.append(np.array([(outer, y), (outer - sign * rng.uniform(1.3, 2.4), y + 0.15)]))
    return wet_lung(a, haze, lines, (2.4, 3.9, 6.0)[grade], rng)


def wet_lung(a: Anatomy, haze: Plane, lines: list[NDArray[Any]], tissue: float, rng: Rng) -> Mask:
    """Edema of the shape of `haze`, `tissue` cm where that is 1, with septal `lines`."""
    grain = 0.22 * a.canvas.clouds(rng, 0.45) + 0.18 * a.canvas.clouds(rng, 1.6)
    texture = np.clip(1 + grain, 0.2, 2)
    both = a.lungs["right"] + a.lungs["left"]
    a.air -= np.minimum(a.air, 0.55 * a.canvas.strokes(lines, 0.2) * both)
    a.vessels = a.canvas.blur(a.vessels, 0.12)
    return fill(a, (tissue * haze * texture).astype(np.float32), 0.35)


def atelectasis(
    a: Anatomy, severity: Said, side: str, zone: str, rng: Rng, at: Point | None = None
) -> Mask:
    """Plates of airless lung: one to three bands, nearly level."""
    grade = grade_of(severity)
    x, y = at or _place(a, side, zone, rng, 1.0)
    bands = []
    tilt = rng.uniform(-0.28, 0.28)
    for number in range(1 + grade):
        half = rng.uniform(1.9, 3.0) + 0.5 * grade
        t = np.linspace(-1, 1, 7)
        up = y + (number - grade / 2) * 1.25 + tilt * half * t + rng.uniform(-0.35, 0.35) * t * t
        bands.append(np.stack([x + half * t, up], 1))
    width = rng.uniform(0.42, 0.62) + 0.08 * grade
    plate = a.canvas.blur(a.canvas.strokes(bands, width), 0.10) * a.lungs[side]
    return fill(a, plate * rng.uniform(4.6, 6.2))


def nodule(
    a: Anatomy,
    severity: Said,
    side: str,
    zone: str,
    rng: Rng,
    at: Point | None = None,
    reach: float | None = None,
) -> Mask:
    """A round lesion, 1.1 to 6 cm across, slightly lobed."""
    radius = (rng.uniform(0.6, 0.9), rng.uniform(1.0, 1.4), rng.uniform(1.7, 2.8))[
        grade_of(severity)
    ]
    radius = reach or radius
    x, y = at or _place(a, side, zone, rng, radius + 0.4)
    u, v = a.canvas.x - x, a.canvas.y - y
    angle = np.arctan2(v, u)
    lobes = 1 + 0.07 * np.sin(3 * angle + rng.uniform(0, 6)) + 0.04 * np.sin(7 * angle)
    chord = 2 * np.sqrt(np.clip((radius * lobes) ** 2 - u * u - v * v, 0, None))
    return fill(a, (chord * 1.35 * a.lungs[side]).astype(np.float32), 0.2)


def rib_fracture(a: Anatomy, severity: Said, side: str, zone: str, rng: Rng) -> Mask:
    """One to three neighboring ribs broken at the same place along them, ends out of line."""
    p = a.patient
    ribs = a.ribs[side]
    where = rng.uniform(0.50, 0.78)
    height = p.lung_height + 0.5 * p.dome
    at = [(rib[round(where * 14), 1] - p.apex) / height for rib in ribs]
    wanted = np.mean(ZONE_SPANS[zone])
    count = int(rng.choice([1, 2, 3], p=[0.25, 0.4, 0.35]))
    first = max(int(np.argmin(np.abs(np.array(at) - wanted))) - count // 2, 0)
    mask = np.zeros_like(a.heart, bool)
    for number in range(first, min(first + count, len(ribs))):
        rib = ribs[number]
        cut = round(where * 14)
        along = rib[cut + 1] - rib[cut - 1]
        along /= np.linalg.norm(along)
        across = np.array([-along[1], along[0]]) * rng.choice([-1, 1])
        step = across * rng.uniform(0.9, 1.4)
        outer = rib[cut:] + step * np.linspace(1, 0.25, len(rib) - cut)[:, None]
        outer[0] += along * rng.uniform(0.3, 0.7)
        ribs[number] = np.concatenate([rib[: cut + 1], [[np.nan, np.nan]], outer])
        # the ends override and callus forms; blood lifts the pleura beside them
        a.bone += a.canvas.ellipsoid(rib[cut] + step / 2, (0.85, 0.7), 1.1)
        a.soft += a.canvas.ellipsoid(rib[cut] + step / 2, (1.3, 1.3), 1.2)
        u, v = a.canvas.x - rib[cut, 0], a.canvas.y - rib[cut, 1]
        mask |= u * u + v * v < 1.3**2
    return mask


def hyperinflation(a: Anatomy, severity: Said, side: Said, zone: Said, rng: Rng) -> Mask:
    """The patient was drawn with long lungs and flat domes; the lungs themselves are the mask."""
    a.air *= 1.05
    a.vessels *= 0.7
    return (a.lungs["right"] + a.lungs["left"]) > 0.5


def hiatal_hernia(a: Anatomy, severity: Said, side: Said, zone: Said, rng: Rng) -> Mask:
    """Stomach behind the heart: a round shadow with air above a level of fluid."""
    p = a.patient
    radii = np.array([rng.uniform(2.6, 4.0), rng.uniform(2.3, 3.4)])
    x = _shift(p, -3) + rng.uniform(0.2, 1.8)
    y = p.base["left"] + 0.35 * p.dome - 0.75 * radii[1]
    return pouch(a, (x, y), radii, rng)


def pouch(a: Anatomy, center: Point, radii: NDArray[Any], rng: Rng) -> Mask:
    """A stomach's upper end with half axes `radii` in cm, air above a level of fluid."""
    wall = a.canvas.ellipsoid(center, radii, 4.6)
    inside = a.canvas.ellipsoid(center, radii - 0.4, 4.6)
    level = center[1] + rng.uniform(-0.3, 0.5)
    gas = inside * np.clip((level - a.canvas.y) / 0.15, 0, 1)
    fill(a, wall)
    a.soft += 0.35 * wall - 1.15 * gas
    return wall > 0.8


def endotracheal_tube(a: Anatomy, severity: Said, side: Said, zone: Said, rng: Rng) -> Mask:
    p = a.patient
    bend = 0.35 + _shift(p, 1)
    tip = p.carina - rng.uniform(2.0, 5.0)
    path = spline([(_shift(p, 3), -6), (_shift(p, 2.5) - 0.1, p.apex - 1), (-bend, tip)])
    return tube(a, path)


def tube(a: Anatomy, path: NDArray[Any]) -> Mask:
    """A tube of 1 cm with a dense stripe along `path`, (n, 2) in cm."""
    walls = a.canvas.strokes([path], 1.0) - a.canvas.strokes([path], 0.62)
    a.metal += 0.030 * np.clip(walls, 0, 1) + 0.085 * a.canvas.strokes(
        [path + np.array((0.3, 0))], 0.2
    )
    return a.canvas.strokes([path], 1.4) > 0.5


def central_line(a: Anatomy, severity: Said, side: str, zone: Said, rng: Rng) -> Mask:
    """A catheter through the internal jugular vein with its tip in the superior vena cava."""
    p, sign = a.patient, SIGNS[side]
    cava = -2.1 + _shift(p, 2)
    tip = p.carina + rng.uniform(-0.8, 2.2)
    start = [(sign * rng.uniform(3.6, 4.6), p.apex - 9), (sign * 3.6, p.apex - 4)]
    if side == "right":
        way = [(-3.1, p.apex), (cava - 0.2, p.apex + 3.5)]
    else:
        way = [(3.2, p.apex + 0.2), (1.6, p.apex + 2.9), (-0.6, p.apex + 4.3)]
    return catheter(a, spline([*start, *way, (cava, tip - 1.5), (cava, tip)]))


def catheter(a: Anatomy, path: NDArray[Any]) -> Mask:
    """A thin line along `path`, (n, 2) in cm."""
    a.metal += 0.075 * a.canvas.strokes([path], 0.30)
    return a.canvas.strokes([path], 1.0) > 0.5


def pacemaker(a: Anatomy, severity: Said, side: str, zone: Said, rng: Rng) -> Mask:
    """A generator below the clavicle, leads to the right heart; the mask is the can."""
    p, sign = a.patient, SIGNS[side]
    center = np.array(
        [sign * (0.72 * p.half_width + rng.uniform(0, 2)), p.apex + rng.uniform(3, 5)]
    )
    w, h = rng.uniform(1.9, 2.5), rng.uniform(1.8, 2.4)
    u, v = (a.canvas.x - center[0]) / w, (a.canvas.y - center[1]) / h
    can = np.clip((1 - u**4 - v**4) * 6, 0, 1)
    a.metal += 0.35 * can * np.where(v > -0.55, 1, 0.5)
    heart = a.patient.base["left"] - 0.5
    ends = [(rng.uniform(1.5, 4.0), heart - rng.uniform(0, 1.5))]
    if rng.random() < 0.6:
        ends.append((-2.6, p.carina + 6))
    leads = [
        spline(
            [
                center + np.array((-sign * 0.5 * w, -h)),
                (sign * 5, p.apex + 1.6),
                (sign * 1.2, p.apex + 3.2),
                (-2.0, p.carina - 1),
                (-2.3, p.carina + 4),
                end,
            ]
        )
        for end in ends
    ]
    a.metal += 0.10 * a.canvas.strokes(leads, 0.22)
    return np.asarray(can > 0.5)


def add_ribs(a: Anatomy, rng: np.random.Generator) -> None:
    """Draw the ribs, broken or whole: posterior ones bright, anterior ones fainter and steeper."""
    p = a.patient
    back, front = posterior_ribs(a), []
    for side, sign in SIGNS.items():
        for rib in a.ribs[side][1:7]:
            end = rib[-1]
            drop = rng.uniform(2.6, 3.6)
            inner = sign * (0.40 * p.half_width + 0.4) + _shift(p, 7)
            middle = ((end[0] + 1.1 * inner) / 2.1, end[1] + 0.75 * drop)
            front.append(
                spline(
                    [
                        end,
                        (0.86 * end[0] + 0.14 * inner, end[1] + 0.3 * drop),
                        middle,
                        (inner, end[1] + 1.05 * drop),
                    ]
                )
            )
    posterior = a.canvas.strokes(back, RIB_WIDTH) - 0.42 * a.canvas.strokes(back, 0.65)
    anterior = a.canvas.strokes(front, 1.25) - 0.35 * a.canvas.strokes(front, 0.75)
    a.bone += a.canvas.blur(0.72 * posterior + 0.40 * anterior, 0.06)


def posterior_ribs(a: Anatomy) -> list[NDArray[Any]]:
    """Center lines in cm, two for a rib that is broken."""
    back = []
    for rib in (rib for side in SIGNS for rib in a.ribs[side]):
        gap = np.flatnonzero(np.isnan(rib[:, 0]))
        pieces = [rib] if not len(gap) else [rib[: gap[0]], rib[gap[0] + 1 :]]
        back += [spline(piece, 4) for piece in pieces]
    return back


PATHOLOGIES: dict[str, Pathology] = {
    pathology.__name__: pathology
    for pathology in (
        opacity,
        pleural_effusion,
        pneumothorax,
        cardiomegaly,
        edema,
        atelectasis,
        nodule,
        rib_fracture,
        hyperinflation,
        hiatal_hernia,
        endotracheal_tube,
        central_line,
        pacemaker,
    )
}
