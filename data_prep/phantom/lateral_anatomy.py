"""A simulated patient from the side: the centimetres of lung, soft tissue and bone along each ray.

A left lateral: the patient faces the left of the image. Lengths are centimetres. x grows towards
the back, 0 lies half way between the skin of chest and back where the chest is deepest; y is the
frontal image's (data_prep/phantom/anatomy.py), so that what lies at a height there lies at it
here. Both lungs lie over one another; the right one, farther from the detector, is drawn a little
larger.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from data_prep.phantom.anatomy import LUNG_AIR, SIGNS, Anatomy, stomach_bubble, vessel_tree
from data_prep.phantom.canvas import Canvas, Plane, spline
from data_prep.phantom.patient import Patient

__all__ = ["Profile", "build_lateral", "lateral_field", "trachea"]

FARTHER = 1.03
"""How much larger the lung is drawn that is farther from the detector."""


class Profile:
    """Where a patient's skin, rib cage and spine lie in the image, row by row.

    Every method takes y in cm, a number or an array, and gives x in cm of the same shape.
    """

    def __init__(self, p: Patient) -> None:
        h = p.lung_height
        rows = p.apex + np.array([-14, -7, -3, 1.5, 0.22 * h, 0.45 * h, 0.75 * h, h, h + 6, h + 40])
        front = np.array([-0.10, -0.12, -0.18, -0.28, -0.40, -0.465, -0.50, -0.50, -0.51, -0.54])
        back = np.array([0.20, 0.26, 0.37, 0.42, 0.475, 0.50, 0.49, 0.465, 0.44, 0.42])
        self._front = PchipInterpolator(rows, front * p.depth)
        self._back = PchipInterpolator(rows, back * p.depth)
        self._p = p

    def front(self, y: Any) -> Any:
        """Skin of the chest."""
        return self._front(y)

    def back(self, y: Any) -> Any:
        """Skin of the back."""
        return self._back(y)

    def sternum(self, y: Any) -> Any:
        """The middle of the breast bone."""
        return self._front(y) + 1.5 + 0.25 * self._p.wall

    def cage_front(self, y: Any) -> Any:
        """Where the lungs end in front."""
        return self.sternum(y) + 0.9

    def cage_back(self, y: Any) -> Any:
        """Where the lungs end behind, beside the spine."""
        return self._back(y) - 2.2 - 0.35 * self._p.wall

    def spine(self, y: Any) -> Any:
        """The middle of the vertebral bodies."""
        return self._back(y) - 4.6 - 0.11 * self._p.depth


def lateral_field(p: Patient, size: int, rng: np.random.Generator) -> Canvas:
    """Place the patient's side before a detector as large as that of the frontal image."""
    height = p.apex + p.lung_height + 1.6 * p.dome + rng.uniform(2.0, 6)
    side = float(np.clip(max(height, p.depth + rng.uniform(4, 9)), 32, 46))
    slack = max(side - height, 0)
    return Canvas(size, side, -side / 2 + rng.normal(0, 1.0), -rng.uniform(0, 1) * slack)


def build_lateral(patient: Patient, canvas: Canvas, rng: np.random.Generator) -> Anatomy:
    """Lay out the organs from the side and add up what each ray crosses."""
    profile = Profile(patient)
    skew = {"left": 0.0, "right": float(rng.normal(0, 0.45))}
    outlines = {s: _lung_outline(patient, profile, s) + np.array((skew[s], 0)) for s in SIGNS}
    lungs = {side: canvas.polygon(outlines[side]) for side in SIGNS}
    heart = canvas.polygon(_heart_outline(patient, profile))
    soft = _body(patient, profile, canvas)
    thickness = sum(canvas.slab(lungs[s], 0.90 * patient.half_width, 4.2) for s in SIGNS)
    solid = _mediastinum(patient, profile, canvas, rng)
    width = 2 * patient.half_width * patient.cardiothoracic
    solid += canvas.blur(canvas.slab(heart, 1.05 * width, 0.42 * width), 0.12)
    air = LUNG_AIR * np.clip(np.minimum(thickness, 0.86 * soft) - solid, 0, None)
    gas = _airway(patient, canvas)
    if patient.bubble:
        gas += stomach_bubble(patient, canvas, rng.uniform(-0.02, 0.14) * patient.depth, 3.2)
    anatomy = Anatomy(
        canvas=canvas,
        patient=patient,
        soft=soft - np.minimum(gas, 0.8 * soft),
        air=air.astype(np.float32),
        vessels=_vessels(patient, canvas, rng) * np.maximum(lungs["right"], lungs["left"]),
        bone=_spine(patient, profile, canvas) + _shoulders(patient, profile, canvas, rng),
        metal=canvas.empty(),
        lungs=lungs,
        outlines=outlines,
        heart=heart,
    )
    anatomy.bone += _sternum(patient, profile, canvas) + _ribs(patient, profile, canvas, skew, rng)
    if patient.breasts:
        anatomy.soft += _breasts(patient, profile, canvas, rng)
    return anatomy


def trachea(p: Patient) -> NDArray[Any]:
    """Its middle, (n, 2), from the neck backwards and down to the carina."""
    d, c = p.depth, p.carina
    return spline([(-0.05 * d, -14), (0.0, p.apex - 1), (0.045 * d, c - 3), (0.065 * d, c)])


def _lung_outline(p: Patient, profile: Profile, side: str) -> NDArray[Any]:
    d, h, top, dome = p.depth, p.lung_height, p.apex, p.base[side]
    behind, before = dome + 1.45 * p.dome + 0.8, dome + 0.55 * p.dome
    share = np.array([0.13, 0.32, 0.6, 0.88])
    rear = np.stack([profile.cage_back(top + share * h) * (0.84, 0.96, 1, 1), top + share * h], 1)
    tip = [
        (profile.cage_back(behind) - 0.2, behind - 1.5),
        (profile.cage_back(behind) - 0.7, behind),
    ]
    posterior = spline([(0.05 * d, top), (0.16 * d, top + 0.7), *rear, *tip])
    x = np.linspace(tip[-1][0] - 0.3, profile.cage_front(before), 40)
    peak = -0.06 * d
    back = np.clip((x - peak) / (x[0] - peak), 0, 1)
    front = np.clip((peak - x) / (peak - x[-1]), 0, 1)
    y = dome + (behind - dome) * back**2.1 + (before - dome) * front**2.2
    share = np.array([0.85, 0.6, 0.4, 0.24, 0.13])
    rise = np.stack([profile.cage_front(top + share * h), top + share * h], 1)
    rise[-1, 0] *= 0.75
    anterior = spline([(x[-1], y[-1]), *rise, (-0.08 * d, top + 1.0), (0.05 * d, top)])
    outline = np.concatenate([posterior, np.stack([x, y], 1), anterior])
    return outline * (FARTHER if side == "right" else 1.0, 1)


def _heart_outline(p: Patient, profile: Profile) -> NDArray[Any]:
    """An egg on the front of the left half of the diaphragm, its blunt end up and back."""
    width = 2 * p.half_width * p.cardiothoracic
    bottom = p.base["left"] + 0.45 * p.dome
    tall = min(0.86 * width, bottom - p.carina - 0.5)
    deep = 0.78 * width * float(np.clip(p.depth / (1.75 * p.half_width), 0.75, 1.1))
    front = profile.cage_front(bottom - 0.3 * tall) - 0.2
    shape = np.array(
        [
            (0.66, -0.06),
            (0.40, 0.02),
            (0.18, 0.22),
            (0.04, 0.50),
            (0.0, 0.80),
            (0.10, 1.0),
            (0.50, 1.08),
            (0.84, 1.02),
            (0.97, 0.82),
            (1.0, 0.58),
            (0.96, 0.30),
            (0.86, 0.04),
        ]
    )
    return spline(shape * (deep, tall) + (front, bottom - tall), closed=True)


def _body(p: Patient, profile: Profile, canvas: Canvas) -> Plane:
    """cm from flank to flank, with the arms raised before the upper chest."""
    top, side, d = p.apex, p.half_width + p.wall, p.depth
    rows = [top - 14, top - 7, top - 3, top + 1, top + 5, top + 10, top + 17, 70]
    widths = [5.8, 6.2, 8.5, side - 2.5, side + 0.5, side + 1.0, side, side + 0.8]
    half = PchipInterpolator(rows, widths)(canvas.y)
    front, back = profile.front(canvas.y), profile.back(canvas.y)
    middle, reach = ((front + back) / 2).astype(np.float32), ((back - front) / 2).astype(np.float32)
    u = np.square((canvas.x - middle) / reach)
    torso = (2 * half).astype(np.float32) * np.sqrt(np.clip(1 - u**1.15, 0, None))
    limbs = canvas.empty()
    for lean in (0.0, 0.09 * d):
        limb = spline(
            [
                (0.16 * d, top + 3.5),
                (0.20 * d, top - 0.5),
                (0.10 * d + lean, top - 7),
                (-0.05 * d + lean, top - 18),
                (-0.85 * d + lean, top - 18),
                (-0.56 * d + lean, top - 7),
                (-0.33 * d, top + 0.5),
                (-0.14 * d, top + 5.5),
            ],
            closed=True,
        )
        limbs += canvas.slab(canvas.polygon(limb), 6.0 + 0.8 * p.wall, 5.5)
    torso += canvas.blur(limbs, 1.1)
    result: Plane = torso.astype(np.float32)
    return result


def _mediastinum(p: Patient, profile: Profile, canvas: Canvas, rng: np.random.Generator) -> Plane:
    """Great vessels, aorta, hila and what lies beside the spine: cm that displace lung."""
    c, top, d = p.carina, p.apex, p.depth
    old = max(p.age - 45, 0) / 45
    windpipe = trachea(p)
    y = np.array([top + 2, top + 4.5, c - 1.5, c + 2.5])
    before = np.stack([profile.cage_front(y[:3]) + np.array((0, 0.6, 3.2)), y[:3]], 1)
    behind = np.stack([np.interp(y, windpipe[:, 1], windpipe[:, 0]) + 0.8, y], 1)[::-1]
    inlet = np.array([(0.02 * d, top - 5), (-0.16 * d, top - 3)])
    vessels = canvas.slab(canvas.polygon(np.concatenate([before, behind, inlet])), 5.2, 2.5)
    root = spline(
        [
            (-0.17 * d, c + 5),
            (-0.15 * d, c + 0.5),
            (-0.04 * d, c - 2),
            (0.08 * d, c),
            (0.10 * d, c + 5),
        ]
    )
    vessels = np.maximum(vessels, canvas.slab(canvas.polygon(root), 5.5, 3.5))
    spine = profile.spine
    aorta = spline(
        [
            (-0.10 * d, c + 3.5),
            (-0.085 * d, c - 0.8),
            (-0.01 * d, c - 3.0 - 0.4 * old),
            (0.12 * d, c - 1.8),
            (spine(c + 2) - 1.3, c + 2),
            (spine(c + 9) - 1.6 - old, c + 9),
            (spine(c + 22) - 2.0, c + 22),
        ]
    )
    arch = canvas.blur(canvas.strokes([aorta], 2.5 + 0.6 * old), 0.25) * (2.4 + 0.7 * old)
    beside = (canvas.x - spine(canvas.y).astype(np.float32)) / 2.6
    column = np.clip(1 - beside * beside, 0, None) * 3.6
    hila = canvas.empty()
    for side, x in (("right", -0.005), ("left", 0.07)):
        gain = rng.uniform(0.8, 1.2)
        center = (x * d, c + (2.4 if side == "right" else 0.6))
        hila += canvas.ellipsoid(center, (1.3 * gain, 1.9), 2.0 * gain)
    solid = 1.6 + canvas.blur(np.maximum(vessels, arch), 0.35) + column
    result: Plane = solid + canvas.blur(hila, 0.35)
    return result


def _vessels(p: Patient, canvas: Canvas, rng: np.random.Generator) -> Plane:
    """Of both lungs: from the hila forward, backward and down."""
    tree = canvas.empty()
    for side, x in (("right", 0.01), ("left", 0.06)):
        fan = np.radians(np.linspace(-160, 160, 9)) + rng.normal(0, 0.15, 9)
        hilum = np.array([x * p.depth, p.carina + (2.1 if side == "right" else 1.4)])
        tree += vessel_tree(p, canvas, hilum, fan, 1, rng)
    return tree


def _airway(p: Patient, canvas: Canvas) -> Plane:
    """Trachea, and the upper lobes' bronchi seen end on: cm of air."""
    path = trachea(p)
    plane = canvas.strokes([path], 1.8)
    x, y = path[-1]
    below = spline([(x, y), (x + 0.25, y + 1.5), (x + 0.7, y + 3.2)])
    plane = canvas.strokes([below], 1.2, 0.7, plane)
    ends = canvas.ellipsoid((x + 0.1, y + 0.3), (0.55, 0.6), 1.0)
    ends += canvas.ellipsoid((x + 0.3, y + 2.2), (0.65, 0.7), 1.2)
    return canvas.blur(plane, 0.15) * 2.6 + canvas.blur(ends, 0.08)


def _spine(p: Patient, profile: Profile, canvas: Canvas) -> Plane:
    """Vertebral bodies with discs between, and the joints behind them."""
    pitch = 2.35
    x0 = profile.spine(canvas.y).astype(np.float32)
    away = canvas.x - x0
    # a disc lies across the column, which leans forward below and above
    lean = np.gradient(x0[:, 0], canvas.y[:, 0])[:, None]
    phase = (canvas.y + lean * away - p.apex) / pitch
    half = np.interp(canvas.y, [p.apex - 6, p.apex + 6, p.apex + 26], [0.95, 1.45, 1.9])
    u = np.square(away / half.astype(np.float32))
    across = np.sqrt(np.clip(1 - u * u * u, 0, None))
    wave = np.abs(np.sin(np.pi * phase))
    # 0 in the middle of a disc; end plates and the rim are dense
    level = np.clip((wave - 0.22) * 6, 0, 1)
    plates = np.clip(1 - np.square((wave - 0.42) / 0.25), 0, None)
    cortex = np.clip(1 - np.square((u - 0.87) / 0.28), 0, None)
    bodies = level * (across * (0.64 + 0.34 * plates) + 0.3 * cortex)
    row = np.arange(-3, 17) * pitch + p.apex + pitch / 2
    middle, skin = profile.spine(row), profile.back(row)
    joints = np.stack([middle + 2.6, row - 0.7, middle + 3.2, row + 0.8], 1).reshape(-1, 2, 2)
    spinous = np.stack([middle + 3.6, row + 0.4, skin - 2.0, row + 2.0], 1).reshape(-1, 2, 2)
    details = 0.45 * canvas.strokes(list(joints), 0.9) + 0.3 * canvas.strokes(list(spinous), 0.8)
    if p.degenerative:
        x, edge = middle[5:-5], row[5:-5] + pitch / 2
        spurs = list(np.stack([x - 1.6, edge, x - 2.3, edge + 0.1], 1).reshape(-1, 2, 2))
        details += canvas.strokes(spurs, 0.5, 0.9)
    result: Plane = (bodies + canvas.blur(details, 0.1)).astype(np.float32)
    return result


def _sternum(p: Patient, profile: Profile, canvas: Canvas) -> Plane:
    """Manubrium and body, dense along their edges."""
    top, end = p.apex + 2.2, p.apex + 0.80 * p.lung_height
    joint = top + 0.28 * (end - top)
    parts = []
    for first, last in ((top, joint - 0.15), (joint + 0.15, end)):
        y = np.linspace(first, last, 9)
        parts.append(np.stack([profile.sternum(y), y], 1))
    plane = canvas.strokes(parts, 1.1) - 0.55 * canvas.strokes(parts, 0.65)
    return 1.1 * canvas.blur(plane, 0.06)


def _ribs(
    p: Patient, profile: Profile, canvas: Canvas, skew: dict[str, float], rng: np.random.Generator
) -> Plane:
    """Ribs 2 to 10 of both sides: behind the spine, then forward and down."""
    step = (p.lung_height + 0.6 * p.dome) / 9.2
    droop = rng.uniform(0.85, 1.15)
    behind, along = [], []
    number = np.arange(9)
    for side in SIGNS:
        y = p.apex + 0.6 + number * step + rng.normal(0, 0.08, 9)
        fall = droop * (4.2 + 0.55 * number)
        turn = y + 1.1
        spine, back = profile.spine(y), profile.cage_back(turn) + 0.35
        end = profile.cage_front(y + fall) + 0.8 + 0.5 * np.maximum(number - 3, 0)
        x = [spine + 1.6, 0.4 * spine + 0.6 * back, back]
        x += [0.72 * back + 0.28 * end, 0.38 * back + 0.62 * end, end]
        down = [y + 0.1, y + 0.2, turn, turn + 0.40 * (fall - 1.1), turn + 0.80 * (fall - 1.1)]
        knots = np.stack([np.stack(x), np.stack([*down, y + fall])], -1).transpose(1, 0, 2)
        knots = knots * (FARTHER if side == "right" else 1.0, 1) + (skew[side], 0)
        curves = [spline(rib, 6) for rib in knots]
        behind += [curve[:15] for curve in curves]
        along += curves
    thin = canvas.strokes(along, 1.1) - 0.42 * canvas.strokes(along, 0.6)
    edge = canvas.strokes(behind, 0.9) - 0.3 * canvas.strokes(behind, 0.4)
    return canvas.blur(0.62 * thin + 0.45 * edge, 0.06)


def _shoulders(p: Patient, profile: Profile, canvas: Canvas, rng: np.random.Generator) -> Plane:
    """Edges of the scapulae, and the arm bones of raised arms."""
    d, top = p.depth, p.apex
    edges, arms = [], []
    for lean in rng.normal(0, 0.8, 2):
        x = 0.24 * d + lean
        edges.append(spline([(x - 1.5, top + 1), (x + 0.2, top + 6), (x + 1.2, top + 12)]))
        edges.append(spline([(x + 1.8, top + 2), (x + 2.3, top + 7), (x + 1.4, top + 12)]))
        arms.append(
            np.array(
                [(0.06 * d + lean, top + 1.5), (-0.12 * d + lean, top - 8), (-0.3 * d, top - 20)]
            )
        )
    bones = 0.9 * (canvas.strokes(arms, 2.2) - 0.4 * canvas.strokes(arms, 1.3))
    heads = sum(canvas.ellipsoid(arm[0], (2.3, 2.3), 1.0) for arm in arms)
    return canvas.blur(bones + heads, 0.1) + 0.42 * canvas.strokes(edges, 0.4)


def _breasts(p: Patient, profile: Profile, canvas: Canvas, rng: np.random.Generator) -> Plane:
    y = p.apex + 0.64 * p.lung_height + rng.uniform(-1.5, 2.5)
    planes = canvas.empty()
    for lower in (0.0, rng.uniform(0.2, 1.2)):
        center = (profile.front(y) + 2.6, y + lower + 0.5 * p.breasts)
        planes += canvas.ellipsoid(center, (2.9 + 0.9 * p.breasts, 5.4 + 0.5 * p.breasts), 3.8)
    return canvas.blur(planes, 0.7)
