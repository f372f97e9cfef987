"""A simulated patient, and the centimetres of lung, soft tissue and bone along each ray.

Seen from the front; data_prep/phantom/lateral_anatomy.py lays the same patient out from the side.
Lengths are centimetres. x grows to the patient's left (the right of the image), y downwards from
the top of the field. Side signs: right is -1, left is +1.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from data_prep.phantom.canvas import Canvas, Plane, spline
from data_prep.phantom.patient import Patient

__all__ = [
    "LUNG_AIR",
    "SIGNS",
    "Anatomy",
    "build",
    "stomach_bubble",
    "vessel_tree",
]

SIGNS = {"right": -1, "left": 1}
LUNG_AIR = 0.74
"""Share of a lung's thickness that is air, at a lung density of 0.26 g/cm3."""


@dataclass
class Anatomy:
    """The layers a ray crosses. Planes are cm, of shape (size, size); pathology edits them."""

    canvas: Canvas
    patient: Patient
    soft: Plane
    """Skin to skin, lungs included."""
    air: Plane
    """Lung air; what fills or crushes a lung takes from this."""
    vessels: Plane
    bone: Plane
    metal: Plane
    lungs: dict[str, Plane]
    """Cover of each lung in [0, 1]."""
    outlines: dict[str, NDArray[Any]]
    heart: Plane
    """Cover of the heart's silhouette in [0, 1]."""
    ribs: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    """Center lines by side, posterior ones from the second downwards."""
    silhouettes: dict[str, Plane] = field(default_factory=dict)
    """Cover in [0, 1] of mediastinum, spine and clavicles; none of them seen from the side."""


def build(patient: Patient, canvas: Canvas, rng: np.random.Generator) -> Anatomy:
    """Lay out the organs and add up what each ray crosses."""
    outlines = {side: _lung_outline(patient, side) for side in SIGNS}
    lungs = {side: canvas.polygon(outlines[side]) for side in SIGNS}
    heart = canvas.polygon(_heart_outline(patient))
    soft = _body(patient, canvas)
    thickness = sum(canvas.slab(lungs[s], 0.78 * patient.depth, 4.8) for s in SIGNS)
    solid, mediastinum = _mediastinum(patient, canvas, rng)
    solid += canvas.slab(heart, 0.55 * patient.depth, 3.2 + 4 * patient.cardiothoracic)
    air = LUNG_AIR * np.clip(np.minimum(thickness, 0.86 * soft) - solid, 0, None)
    vessels = canvas.empty()
    for side in SIGNS:
        vessels += _vessels(patient, canvas, side, rng) * lungs[side]
    airway = _airway(patient, canvas)
    anatomy = Anatomy(
        canvas=canvas,
        patient=patient,
        soft=soft - airway - _bowel_gas(patient, canvas, rng),
        air=air.astype(np.float32),
        vessels=vessels,
        bone=canvas.empty(),
        metal=canvas.empty(),
        lungs=lungs,
        outlines=outlines,
        heart=heart,
    )
    anatomy.ribs = {side: _posterior_ribs(patient, side, rng) for side in SIGNS}
    shoulders, clavicles = _shoulders(patient, canvas, rng)
    anatomy.bone += _spine(patient, canvas) + shoulders
    spine = np.repeat((_across_spine(patient, canvas) > 0).astype(np.float32), canvas.size, 0)
    anatomy.silhouettes = {"mediastinum": mediastinum, "spine": spine, "clavicles": clavicles}
    if patient.breasts:
        anatomy.soft += _breasts(patient, canvas, rng)
    return anatomy


def _shift(patient: Patient, forward: float) -> float:
    """Sideways move, by the patient's turn, of what lies `forward` cm before the center."""
    result: float = forward * np.sin(patient.turn)
    return result


def _lung_outline(p: Patient, side: str) -> NDArray[Any]:
    sign, w = SIGNS[side], p.half_width
    top, dome = p.apex, p.base[side]
    angle = dome + p.dome
    lateral = spline(
        [
            (1.6, top + 5),
            (2.3, top + 1.4),
            (4.7, top),
            (0.62 * w, top + 1.9),
            (0.83 * w, top + 0.30 * p.lung_height),
            (0.965 * w, top + 0.62 * p.lung_height),
            (w, angle - 3.0),
            (w - 0.15, angle),
        ]
    )
    x = np.linspace(w - 0.3, 1.6, 40)
    peak = 0.48 * w
    outer = np.clip((x - peak) / (w - peak), 0, 1)
    inner = np.clip((peak - x) / (peak - 1.6), 0, 1)
    diaphragm = np.stack([x, dome + p.dome * outer**2.3 + 0.35 * p.dome * inner**2], 1)
    outline = np.concatenate([lateral, diaphragm])
    return outline * (sign, 1) + (_shift(p, 1.0), 0)


def _heart_outline(p: Patient) -> NDArray[Any]:
    d = 2 * p.half_width * p.cardiothoracic
    bottom = p.base["left"] + 0.4 * p.dome
    h = min(0.82 * d, bottom - p.carina - 1.0)
    shape = np.array(
        [
            (0.02, 0.0),
            (-0.20, 0.06),
            (-0.30, 0.34),
            (-0.36, 0.62),
            (-0.34, 0.86),
            (-0.20, 1.02),
            (0.12, 1.08),
            (0.46, 1.04),
            (0.62, 0.90),
            (0.62, 0.76),
            (0.50, 0.50),
            (0.31, 0.22),
            (0.18, 0.04),
        ]
    )
    return spline(shape * (d, h) + (p.heart_shift + _shift(p, 5.0), bottom - h), closed=True)


def _body(p: Patient, canvas: Canvas) -> Plane:
    """Torso and neck as superellipses row by row, and the arms beside them."""
    top = p.apex
    side = p.half_width + p.wall
    rows = [top - 20, top - 6.5, top - 4, top - 2, top + 0.5, top + 4, top + 9, top + 17, 70]
    widths = [5.6, 5.9, 7.6, 11.0, side + 2.4, side + 4.4, side + 2.6, side, side + 0.8]
    depths = np.array([0.52, 0.55, 0.57, 0.62, 0.74, 0.88, 0.96, 1.0, 1.04]) * p.depth
    width = PchipInterpolator(rows, widths)(canvas.y)
    depth = PchipInterpolator(rows, depths)(canvas.y)
    u = np.abs(canvas.x / width)
    torso = depth * np.sqrt(np.clip(1 - u**2.6, 0, None))
    if p.arms:
        for sign in SIGNS.values():
            arm = (canvas.x - sign * (side + 5.2)) / (2.8 + 0.4 * p.wall)
            below = np.clip((canvas.y - p.apex - 3) / 4, 0, 1)
            torso = np.maximum(torso, 8.5 * np.sqrt(np.clip(1 - arm * arm, 0, None)) * below)
    result: Plane = torso.astype(np.float32)
    return result


def _mediastinum(p: Patient, canvas: Canvas, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Great vessels, aortic arch, hila and the tissue before the spine.

    Returns:
        cm that displace lung, and the cover of the silhouette without the hila.
    """
    c, top = p.carina, p.apex
    old = max(p.age - 45, 0) / 45
    right, left = -2.5 - 0.4 * old, 2.1 + 0.3 * old
    column = spline(
        [(right + 0.4, top - 6), (right, top + 2), (right - 0.2, c), (-2.6, c + 6), (-2.2, 45)]
    )
    back = spline(
        [(2.2, 45), (2.6 + old, c + 6), (2.4, c + 0.5), (left + 0.2, c - 3), (left, top - 6)]
    )
    outline = np.concatenate([column, back]) + np.array((_shift(p, 2.0), 0))
    solid = canvas.slab(canvas.polygon(outline), 0.40 * p.depth, 2.3)
    knob = 1.35 + 0.6 * old + rng.uniform(-0.15, 0.25)
    arch = canvas.ellipsoid((2.0 + _shift(p, 2), c - 2.4), (knob, knob * 1.1), 5.0)
    trunk = canvas.ellipsoid((2.6 + _shift(p, 4), c + 1.6), (1.3, 1.7), 4.0)
    hila = canvas.empty()
    for side, sign in SIGNS.items():
        y = c + (2.2 if side == "right" else 1.4)
        gain = rng.uniform(0.8, 1.2)
        hila += canvas.ellipsoid((sign * 3.7, y), (1.2 * gain, 1.8), 2.2 * gain)
    solid = np.maximum(np.maximum(solid, arch), trunk)
    silhouette = (solid > 0).astype(np.float32)
    return solid + canvas.blur(hila, 0.35), silhouette


def _vessels(p: Patient, canvas: Canvas, side: str, rng: np.random.Generator) -> Plane:
    """Pulmonary arteries and veins of one lung."""
    sign = SIGNS[side]
    fan = np.radians(np.linspace(-78, 74, 9)) + rng.normal(0, 0.09, 9)
    hilum = np.array([sign * 3.3, p.carina + (2.1 if side == "right" else 1.4)])
    return vessel_tree(p, canvas, hilum, fan, sign, rng)


def vessel_tree(
    p: Patient,
    canvas: Canvas,
    hilum: NDArray[Any],
    fan: NDArray[Any],
    sign: int,
    rng: np.random.Generator,
) -> Plane:
    """cm of blood in a tree from the hilum, (x, y) in cm, halving at each of six branchings.

    Args:
        fan: angles of the first branches in radians, downwards from where x grows by `sign`.
    """
    starts = hilum + rng.normal(0, 0.5, (len(fan), 2))
    length, radius = 0.155 * p.lung_height, 0.30
    plane: Plane | None = None
    for generation in range(6):
        n = len(fan)
        reach = length * rng.uniform(0.7, 1.25, n)
        ends = starts + reach[:, None] * np.stack([sign * np.cos(fan), np.sin(fan)], 1)
        bend = (starts + ends) / 2 + rng.normal(0, 0.10, (n, 2)) * length
        curves = np.stack([starts, bend, ends], 1)
        plane = canvas.strokes(list(curves), 2 * radius, 1.6 * radius, plane)
        spread = rng.uniform(0.18, 0.55, n)
        fan = np.concatenate([fan - spread, fan + 0.8 * spread]) + rng.normal(0, 0.08, 2 * n)
        starts = np.concatenate([ends, ends])
        length *= 0.80
        radius *= 0.70 if generation else 0.8
    assert plane is not None
    # gravity: upright lungs hold more blood below
    upright = 1.0 if p.view == "AP" else np.interp(canvas.y, [p.apex, p.apex + 22], [0.7, 1.15])
    return (plane * (3.4 * p.vessel_gain) * upright).astype(np.float32)


def _airway(p: Patient, canvas: Canvas) -> Plane:
    """Trachea and main bronchi: cm of air."""
    c = p.carina
    bend = 0.35 + _shift(p, 1)
    trachea = spline([(_shift(p, 3), -12), (_shift(p, 2), p.apex), (-bend, c - 2.5), (-bend, c)])
    plane = canvas.strokes([trachea], 1.75)
    for sign, x, y in ((-1, 3.2, 2.6), (1, 3.9, 2.3)):
        plane = canvas.strokes(
            [spline([(-bend, c - 0.3), (sign * x * 0.45, c + 0.9), (sign * x, c + y)])],
            1.15,
            0.6,
            plane,
        )
    return canvas.blur(plane, 0.12) * 2.4


def _bowel_gas(p: Patient, canvas: Canvas, rng: np.random.Generator) -> Plane:
    gas = canvas.empty()
    if p.bubble:
        gas += stomach_bubble(p, canvas, rng.uniform(4.5, 8), 3.2)
    for _ in range(rng.integers(0, 3)):
        center = (rng.uniform(-9, 11), p.base["right"] + rng.uniform(6.5, 12))
        gas += canvas.ellipsoid(center, rng.uniform(0.8, 2.2, 2), 2.0)
    return gas


def stomach_bubble(p: Patient, canvas: Canvas, x: float, depth: float) -> Plane:
    """cm of air under the left half of the diaphragm."""
    y = p.base["left"] + 1.4 + p.bubble
    gas = canvas.ellipsoid((x, y), (p.bubble * 1.3, p.bubble), depth)
    # air rises: the bubble is flat above nothing and cut off by fluid below
    return gas * np.clip((y + 0.5 * p.bubble - canvas.y) / 0.3, 0, 1)


def _posterior_ribs(p: Patient, side: str, rng: np.random.Generator) -> list[NDArray[Any]]:
    """Center lines of ribs 2 to 10 from the spine round to the chest wall's side."""
    sign = SIGNS[side]
    step = (p.lung_height + 0.6 * p.dome) / 9.2
    droop = rng.uniform(0.75, 1.15)
    outline = _lung_outline(p, "left") - (_shift(p, 1.0), 0)
    wall = outline[np.argmin(outline[:, 1]) : len(outline) - 40]
    t = np.linspace(0, 1, 15)
    curves = []
    for number in range(9):
        y = p.apex + 0.6 + number * step + rng.normal(0, 0.08)
        fall = droop * (1.2 + 0.42 * number)
        end = np.interp(y + fall, wall[:, 1], wall[:, 0]) + 0.25
        x = 1.9 + (end - 1.9) * np.sin(t * np.pi / 2) ** 0.92
        lift = 0.55 * np.sin(np.pi * t)
        path = np.stack([x, y - lift + fall * t**2.6], 1)
        curves.append(path * (sign, 1) + (_shift(p, -5.0), 0))
    return curves


def _spine(p: Patient, canvas: Canvas) -> Plane:
    """Vertebral bodies with discs between, pedicles and spinous processes."""
    x0, pitch = _shift(p, -5.0), 2.35
    phase = (canvas.y - p.apex) / pitch
    across = _across_spine(p, canvas)
    level = 0.62 + 0.38 * np.clip(np.abs(np.sin(np.pi * phase)) * 2.2, 0, 1)
    column = 0.9 * np.sqrt(across) * level
    row = np.arange(-4, 18) * pitch + p.apex + pitch / 2
    dots = [np.array([(x0 + s, y), (x0 + s, y + 0.5)]) for y in row for s in (-1.2, 1.2)]
    spinous = [
        np.array([(x0 + _shift(p, -6), y + 0.4), (x0 + _shift(p, -6), y + 1.5)]) for y in row
    ]
    details = 0.6 * canvas.strokes(dots, 0.55) + 0.6 * canvas.strokes(spinous, 0.5)
    if p.degenerative:
        spurs = [
            np.array([(x0 + s, y), (x0 + s * 1.25, y)])
            for y in row + pitch / 2
            for s in (-1.7, 1.7)
        ]
        details += canvas.strokes(spurs[6:-6], 0.35, 0.9)
    return (column + details).astype(np.float32)


def _across_spine(p: Patient, canvas: Canvas) -> Plane:
    """(1, size): how the vertebral bodies round off sideways, 0 beside them."""
    x0 = _shift(p, -5.0)
    return np.clip(1 - ((canvas.x - x0) / 1.75) ** 4, 0, None)


def _shoulders(p: Patient, canvas: Canvas, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Clavicles, scapulae and humeral heads: cm of bone, and the cover of the clavicles."""
    high = p.apex + (1.0 if p.view == "PA" else 0.2) + rng.normal(0, 0.4)
    out = p.half_width + p.wall
    clavicles, edges, bones = [], [], canvas.empty()
    inward = 2.0 if p.view == "AP" else 0.2
    for sign in SIGNS.values():
        x = np.array([1.3, 4.5, 9.0, out + 1.0])
        y = high + np.array([1.9, 1.2, -0.3, -1.2]) + rng.normal(0, 0.15, 4)
        clavicles.append(spline(np.stack([sign * x + _shift(p, 6.0), y], 1)))
        blade = np.array([(out + 1.6, high - 0.4), (out - 2.4, high + 2), (out - 1.5, high + 11)])
        blade = np.concatenate([blade, [(out + 0.6, high + 6)]]) - (inward, 0)
        outline = spline(blade * (sign, 1), closed=True)
        bones += 0.35 * canvas.polygon(outline)
        edges.append(outline)
        bones += canvas.ellipsoid((sign * (out + 3.2), high + 1.6), (2.3, 2.4), 1.6)
        if p.arms:
            arm = np.array([(sign * (out + 3.8), high + 2.5), (sign * (out + 5.4), high + 24)])
            bones = np.maximum(bones, 1.2 * canvas.strokes([arm], 2.2, 0.8))
    solid = canvas.strokes(clavicles, 1.15)
    hollow = solid - 0.45 * canvas.strokes(clavicles, 0.6)
    return bones + 0.95 * hollow + 0.4 * canvas.strokes(edges, 0.4), solid


def _breasts(p: Patient, canvas: Canvas, rng: np.random.Generator) -> Plane:
    planes = canvas.empty()
    y = p.apex + 0.62 * p.lung_height + rng.uniform(-1.5, 2.5)
    for sign in SIGNS.values():
        center = (sign * (0.60 * p.half_width + rng.normal(0, 0.3)) + _shift(p, 9), y)
        planes += canvas.ellipsoid(
            center, (5.6 + 0.4 * p.breasts, 5.0 + 0.5 * p.breasts), p.breasts
        )
    return planes
