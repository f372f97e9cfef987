"""Images that the input check must stop or warn of, drawn: simulated laterals, limbs, textures,
pages.

All are float32 (SIDE, SIDE) in [0, 1] and follow from the generator alone. They are crude: what a
gate fitted on them does on real laterals and limbs is measured on real ones.
"""

from collections.abc import Callable

import cv2
import numpy as np

__all__ = ["FITTED_KINDS", "SIDE", "UNFITTED_KINDS", "lateral_chest"]

SIDE = 128
Rng = np.random.Generator
Image = np.ndarray

_Y, _X = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)


def _display(density: Image, rng: Rng) -> Image:
    """Attenuation along each ray -> what a digital system shows, as data_prep.phantom does it."""
    density = cv2.GaussianBlur(density.astype(np.float32), (0, 0), rng.uniform(0.5, 1.2))
    strength = rng.uniform(0, 0.8)
    density = density + strength * (density - cv2.GaussianBlur(density, (0, 0), 7))
    density = density + rng.normal(0, rng.uniform(0.005, 0.06), density.shape)
    low, high = np.percentile(density, (rng.uniform(0.5, 8), rng.uniform(94, 99.8)))
    unit = (density - low) / max(high - low, 1e-3)
    curve = 1 / (1 + np.exp(-rng.uniform(2.5, 6) * (unit - rng.uniform(0.3, 0.65))))
    curve = (curve - curve.min()) / max(float(np.ptp(curve)), 1e-3)
    return np.asarray(curve, np.float32)


def _fill(points: np.ndarray) -> Image:
    """Cover of the polygon (n, 2), in shares of the image's side."""
    cover = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(cover, [np.round(points * SIDE * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    return cover


def _slab(cover: Image, depth: float, rounding: float) -> Image:
    """Thickness of a body with this silhouette, rounded over `rounding` pixels."""
    rim = 1 - np.clip(cv2.distanceTransform(cover, cv2.DIST_L2, 3) / rounding, 0, 1)
    return np.asarray(depth * np.sqrt(1 - rim * rim) * cover)


def _ellipse(x: float, y: float, a: float, b: float, angle: float = 0.0) -> Image:
    """Chord in [0, 1] through an ellipsoid; lengths in shares of the side, angle in radians."""
    dx, dy = (_X + 0.5) / SIDE - x, (_Y + 0.5) / SIDE - y
    u = (dx * np.cos(angle) + dy * np.sin(angle)) / a
    v = (dy * np.cos(angle) - dx * np.sin(angle)) / b
    return np.asarray(np.sqrt(np.clip(1 - u * u - v * v, 0, None)))


def _stroke(points: np.ndarray, width: float) -> Image:
    """A curve (n, 2) in shares of the side, `width` of it wide, in [0, 1]."""
    ink = np.zeros((SIDE, SIDE), np.uint8)
    cv2.polylines(
        ink,
        [np.round(points * SIDE * 16).astype(np.int32)],
        False,
        255,
        max(1, round(width * SIDE)),
        cv2.LINE_AA,
        4,
    )
    return ink.astype(np.float32) / 255


def lateral_chest(rng: Rng) -> Image:
    """A lateral chest radiograph: spine behind, sternum before, heart low in front, arms raised.

    Drawn facing right, then mirrored in half of them.
    """
    t = np.linspace(0, 1, 24)
    depth = rng.uniform(0.50, 0.78)
    behind = 0.5 - depth / 2 + rng.uniform(-0.06, 0.06)
    kyphosis = rng.uniform(0.03, 0.14)
    back = behind + kyphosis * (1 - np.sin(np.pi * np.clip(t * rng.uniform(0.8, 1.1), 0, 1)))
    belly = rng.uniform(-0.08, 0.10)
    bulge = rng.uniform(0, 0.14) * np.exp(-(((t - rng.uniform(0.5, 0.65)) / 0.13) ** 2))
    front = behind + depth + belly * t - rng.uniform(0.10, 0.26) * (1 - t) ** 2 + bulge
    top = rng.uniform(-0.05, 0.08)
    heights = top + t * (1.05 - top)
    outline = np.concatenate(
        [np.stack([back, heights], 1), np.stack([front, heights], 1)[::-1]]
    ).astype(np.float32)
    density = _slab(_fill(outline), rng.uniform(4.5, 7.0), rng.uniform(10, 26))
    density += rng.uniform(0.5, 2.5) * _ellipse(
        behind + depth * rng.uniform(0.3, 0.7), top + 0.02, rng.uniform(0.2, 0.4), 0.16
    )
    density -= _lateral_lungs(behind, depth, kyphosis, bulge, rng)
    density += _lateral_bones(behind, depth, back, heights, rng)
    shown = _display(density, rng)
    if rng.random() < 0.5:
        shown = shown[:, ::-1]
    return np.ascontiguousarray(shown)


def _lateral_lungs(
    behind: float, depth: float, kyphosis: float, bulge: np.ndarray, rng: Rng
) -> Image:
    """What air takes away: both lungs on each other, less the heart and the great vessels."""
    apex, dome = rng.uniform(0.08, 0.2), rng.uniform(0.58, 0.76)
    sulcus = dome + rng.uniform(0.08, 0.18)
    rear, fore = behind + rng.uniform(0.05, 0.10), behind + depth * rng.uniform(0.84, 0.93)
    points = [
        (rear + kyphosis + 0.12, apex),
        (rear + 0.6 * kyphosis, apex + 0.12),
        (rear, 0.45),
        (rear + 0.02, sulcus),
        (rear + 0.12, dome + 0.04),
        (rear + 0.55 * (fore - rear), dome - rng.uniform(0, 0.06)),
        (fore - 0.02, dome + rng.uniform(-0.03, 0.06)),
        (fore, dome - 0.12),
        (fore - 0.05, 0.35),
        (rear + 0.55 * (fore - rear), apex + rng.uniform(0.0, 0.1)),
    ]
    air = _slab(_fill(np.array(points)), rng.uniform(2.0, 3.6), rng.uniform(6, 16))
    x, y = behind + depth * rng.uniform(0.55, 0.68), dome - rng.uniform(0.08, 0.16)
    heart = _ellipse(x, y, rng.uniform(0.13, 0.2), rng.uniform(0.11, 0.16), rng.uniform(0.2, 0.9))
    hilum = _ellipse(x - 0.08, y - 0.2, 0.07, 0.09)
    arch = _ellipse(x - 0.1, apex + 0.14, 0.1, 0.07)
    solid = np.clip(rng.uniform(0.4, 0.75) * heart + 0.3 * hilum + 0.25 * arch, 0, 0.9)
    return air * (1 - solid)


def _lateral_bones(
    behind: float, depth: float, back: np.ndarray, heights: np.ndarray, rng: Rng
) -> Image:
    spine = np.stack([back + rng.uniform(0.07, 0.12), heights], 1)
    column = _stroke(spine, rng.uniform(0.07, 0.11))
    waves = 0.75 + 0.25 * np.sin(_Y / SIDE * 2 * np.pi * rng.uniform(11, 15))
    bone = rng.uniform(0.5, 1.4) * column * waves
    fore = behind + depth * rng.uniform(0.88, 0.97)
    sternum = np.array([(fore - 0.10, 0.22), (fore - 0.02, 0.42), (fore, 0.58)])
    bone += rng.uniform(0.2, 0.6) * _stroke(sternum, 0.03)
    slope = rng.uniform(0.10, 0.3)
    for y in np.arange(0.14, 0.85, rng.uniform(0.055, 0.08)):
        u = np.linspace(0.02, 0.9, 8)
        rib = np.stack([behind + depth * u, y + slope * np.sin(u * 1.6)], 1)
        bone += rng.uniform(0.08, 0.3) * _stroke(rib, 0.02)
    return np.asarray(bone)


def limb(rng: Rng) -> Image:
    """Soft tissue about tubes of bone: one segment, a joint, or fingers."""
    density = np.zeros((SIDE, SIDE), np.float32)
    fingers = rng.random() < 0.4
    count = int(rng.integers(2, 6)) if fingers else int(rng.integers(1, 3))
    heading = rng.uniform(0, 2 * np.pi)
    root = np.array([0.5, 0.5]) - 0.45 * np.array([np.cos(heading), np.sin(heading)])
    for k in range(count):
        angle = heading + (k - (count - 1) / 2) * rng.uniform(0.1, 0.3) * (1 if fingers else 0.3)
        start = root + rng.normal(0, 0.06, 2)
        width = rng.uniform(0.04, 0.09) if fingers else rng.uniform(0.12, 0.3)
        for _ in range(int(rng.integers(1, 5))):
            end = start + rng.uniform(0.2, 0.7) * np.array([np.cos(angle), np.sin(angle)])
            density += _segment(start, end, width, rng)
            start = end
            angle += rng.normal(0, 0.25)
    return _display(density, rng)


def _segment(start: np.ndarray, end: np.ndarray, width: float, rng: Rng) -> Image:
    """One bone in its flesh: a cylinder about a tube that widens at its ends."""
    places = np.stack([(_X + 0.5) / SIDE, (_Y + 0.5) / SIDE], -1).astype(np.float32)
    along = end - start
    t = ((places - start) @ along / max(float(along @ along), 1e-6)).clip(0, 1)
    distance = np.linalg.norm(places - start - t[..., None] * along, axis=-1)
    flesh = np.sqrt(np.clip(1 - (distance / width) ** 2, 0, None))
    thick = width * rng.uniform(0.25, 0.5) * (1 + rng.uniform(0, 1) * (2 * t - 1) ** 4)
    outer = np.sqrt(np.clip(1 - (distance / thick) ** 2, 0, None))
    inner = np.sqrt(np.clip(0.5 - (distance / thick) ** 2, 0, None))
    return np.asarray(2 * flesh + rng.uniform(2, 6) * (outer - 0.8 * inner))


def trunk(rng: Rng) -> Image:
    """Skull or pelvis: rounded bodies with bony rims and holes, about a middle line."""
    density = _slab(_fill(np.array([(0.05, 0), (0.95, 0), (0.95, 1), (0.05, 1)])), 5, 16)
    if rng.random() < 0.5:
        a, b = rng.uniform(0.28, 0.42, 2)
        density = 5 * _ellipse(0.5, 0.45, a, b) - 3 * _ellipse(0.5, 0.45, 0.93 * a, 0.93 * b)
        for side in (-1, 1):
            density -= rng.uniform(0.3, 0.9) * _ellipse(0.5 + side * 0.13, 0.55, 0.08, 0.06)
        density += 2 * _ellipse(0.5, 0.9, rng.uniform(0.1, 0.2), 0.2)
        return _display(density, rng)
    for side in (-1, 1):
        x = 0.5 + side * rng.uniform(0.22, 0.3)
        density += rng.uniform(1, 2) * _ellipse(x, 0.45, 0.16, 0.2, side * 0.5)
        density -= rng.uniform(0.5, 1) * _ellipse(0.5 + side * 0.13, 0.78, 0.07, 0.06)
        density += 2 * _ellipse(0.5 + side * 0.32, 0.72, 0.08, 0.08)
    density += 1.5 * _stroke(np.array([(0.5, 0), (0.5, 0.5)]), 0.1)
    for _ in range(int(rng.integers(0, 12))):
        x, y = rng.uniform(0.2, 0.8, 2)
        density -= rng.uniform(0.3, 1) * _ellipse(x, 0.6 * y, *rng.uniform(0.02, 0.08, 2))
    return _display(density, rng)


def slice_of_ct(rng: Rng) -> Image:
    """A disc with organs in it, as an axial slice shows."""
    image = np.full((SIDE, SIDE), rng.uniform(0, 0.1), np.float32)
    a, b = rng.uniform(0.3, 0.48), rng.uniform(0.22, 0.45)
    image = np.where(_ellipse(0.5, 0.5, a, b) > 0, rng.uniform(0.2, 0.7), image)
    for _ in range(int(rng.integers(2, 12))):
        x, y = 0.5 + rng.uniform(-0.7, 0.7, 2) * (a, b)
        wide, high = rng.uniform(0.03, 0.18, 2)
        organ = _ellipse(x, y, wide, high, rng.uniform(0, 3)) > 0
        image = np.where(organ, rng.uniform(0, 1), image)
    blurred = cv2.GaussianBlur(image.astype(np.float32), (0, 0), rng.uniform(0.5, 2))
    return _clipped(blurred + rng.normal(0, rng.uniform(0, 0.05), (SIDE, SIDE)))


def noise(rng: Rng) -> Image:
    """Noise whose power falls with frequency to a random power, from white to clouds."""
    fy, fx = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None]
    gain = np.maximum(np.hypot(fy, fx), 1 / SIDE) ** -rng.choice([0.0, rng.uniform(0, 2.5)])
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((SIDE, SIDE))) * gain, (SIDE, SIDE))
    low, high = np.percentile(field, (1, 99))
    return _clipped((field - low) / (high - low))


def gradient(rng: Rng) -> Image:
    """A ramp or a bright spot, with a little noise."""
    angle = rng.uniform(0, 2 * np.pi)
    ramp = (_X * np.cos(angle) + _Y * np.sin(angle)) / SIDE
    spot = _ellipse(*rng.uniform(0.2, 0.8, 2), *rng.uniform(0.2, 0.8, 2))
    field = ramp if rng.random() < 0.5 else spot
    unit = (field - field.min()) / max(float(np.ptp(field)), 1e-3)
    return _clipped(unit + rng.normal(0, rng.uniform(0.002, 0.1), (SIDE, SIDE)))


def page(rng: Rng) -> Image:
    """Lines of text on paper."""
    paper = np.full((4 * SIDE, 4 * SIDE), 255, np.uint8)
    size = rng.uniform(0.4, 1.4)
    for y in np.arange(20, 4 * SIDE, 30 * size):
        text = "".join(chr(c) for c in rng.integers(33, 122, int(rng.integers(3, 60))))
        place = (int(rng.uniform(5, 60)), int(y))
        cv2.putText(paper, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, 0, max(1, round(size * 2)))
    small = cv2.resize(paper, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255


def shapes(rng: Rng) -> Image:
    """Polygons, lines and ellipses of any gray."""
    image = np.full((SIDE, SIDE), rng.uniform(0, 1), np.float32)
    for _ in range(int(rng.integers(2, 25))):
        corners = rng.uniform(-0.2, 1.2, (int(rng.integers(3, 6)), 2))
        if rng.random() < 0.5:
            image = np.where(_fill(corners) > 0, rng.uniform(0, 1), image)
        else:
            line = _stroke(corners, rng.uniform(0.01, 0.1))
            image = image * (1 - line) + rng.uniform(0, 1) * line
    blurred = cv2.GaussianBlur(image.astype(np.float32), (0, 0), rng.uniform(0.4, 4))
    return _clipped(blurred + rng.normal(0, rng.uniform(0, 0.05), (SIDE, SIDE)))


def screenshot(rng: Rng) -> Image:
    """Windows with title bars, rows of text and buttons."""
    image = np.full((SIDE, SIDE), rng.uniform(0, 1), np.float32)
    for _ in range(int(rng.integers(1, 5))):
        x, y = rng.integers(0, SIDE // 2, 2)
        w, h = rng.integers(SIDE // 4, SIDE, 2)
        image[y : y + h, x : x + w] = rng.uniform(0, 1)
        image[y : y + 5, x : x + w] = rng.uniform(0, 1)
        for row in range(int(y) + 9, min(SIDE, int(y + h)) - 2, 6):
            end = x + 4 + int(rng.uniform(0.2, 0.9) * w)
            image[row : row + 2, x + 4 : end] = rng.uniform(0, 1)
    return image


def stripes(rng: Rng) -> Image:
    """A checkerboard or bars at any angle."""
    angle, period = rng.uniform(0, np.pi), rng.uniform(4, 50)
    u = np.sin((_X * np.cos(angle) + _Y * np.sin(angle)) * 2 * np.pi / period)
    v = np.sin((_Y * np.cos(angle) - _X * np.sin(angle)) * 2 * np.pi / period)
    field = u * v if rng.random() < 0.5 else u
    hard = np.sign(field) if rng.random() < 0.5 else field
    return _clipped(0.5 + rng.uniform(0.1, 0.5) * hard)


def blank(rng: Rng) -> Image:
    """One gray with the noise of 8-bit rounding, in a third of them with a side marker."""
    image = np.full((SIDE, SIDE), rng.uniform(0, 1), np.float32)
    image += rng.normal(0, rng.uniform(0, 0.003), image.shape).astype(np.float32)
    if rng.random() < 1 / 3:
        ink = np.zeros((SIDE, SIDE), np.uint8)
        place = (int(rng.integers(4, 100)), int(rng.integers(20, 120)))
        cv2.putText(ink, "L", place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1, cv2.LINE_AA)
        image = np.maximum(image, ink.astype(np.float32) / 255)
    return _clipped(image)


def _clipped(image: Image) -> Image:
    return np.asarray(np.clip(image, 0, 1), np.float32)


FITTED_KINDS: dict[str, Callable[[Rng], Image]] = {
    "limb": limb,
    "skull or pelvis": trunk,
    "CT slice": slice_of_ct,
    "noise": noise,
    "gradient": gradient,
    "page of text": page,
    "shapes": shapes,
}
UNFITTED_KINDS: dict[str, Callable[[Rng], Image]] = {
    "blank": blank,
    "screenshot": screenshot,
    "stripes": stripes,
}
"""Drawn to measure with only: kinds that were not fitted."""
