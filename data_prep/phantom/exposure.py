"""The layers of an Anatomy -> an image: what a detector receives, and what a digital system shows.

Attenuation along each ray, scatter, heel effect, quantum noise, display processing, side marker and
collimation. Each view has its technique: a lateral is taken with more dose, as its rays cross more.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.phantom.anatomy import LUNG_AIR, Anatomy
from data_prep.phantom.canvas import Canvas, Plane

__all__ = ["attenuation", "expose"]

MU_SOFT, MU_BONE, MU_METAL = 0.190, 0.34, 9.0
"""Linear attenuation in 1/cm at about 70 keV, of bone what it adds to soft tissue."""


@dataclass(frozen=True)
class _Technique:
    grid: tuple[float, float]
    """Scatter that passes the grid, as a share of the primary rays."""
    dose: float
    """Relative to a frontal image."""
    leads: float
    """Chance of monitoring leads on the patient."""


TECHNIQUES = {
    "PA": _Technique((0.05, 0.14), 1.0, 0.08),
    "AP": _Technique((0.10, 0.26), 1.0, 0.08),
    "LATERAL": _Technique((0.05, 0.16), 5.0, 0.0),
}


def expose(a: Anatomy, view: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """Layers to display pixels, float32 (size, size) in [0, 1], bone white.

    Args:
        view: "PA", "AP" or "LATERAL".
    """
    p, canvas, technique = a.patient, a.canvas, TECHNIQUES[view]
    if rng.random() < technique.leads:
        _leads(a, rng)
    tissue = _tissue(a)
    tissue *= 1 + 0.012 * canvas.clouds(rng, 6)
    path = MU_SOFT * tissue + MU_BONE * p.bone * a.bone + MU_METAL * a.metal
    primary = canvas.blur(np.exp(-path).astype(np.float32), rng.uniform(0.02, 0.07))
    heel = (
        1
        + rng.uniform(-0.12, 0.12) * (canvas.y / canvas.field)
        + rng.uniform(-0.06, 0.06) * (canvas.x / canvas.field)
    )
    grid = rng.uniform(*technique.grid)
    signal = (primary + grid * canvas.blur(_scattering(primary, tissue, view), 5.0)) * heel
    dose = 10 ** rng.uniform(3.9, 5.0) * technique.dose
    noise = rng.standard_normal(signal.shape, dtype=np.float32) / np.sqrt(dose * signal)
    density = -np.log(signal) + cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.4, 0.8))
    shown = _display(density.astype(np.float32), a, view, rng)
    return _finish(shown, canvas, view, rng)


def attenuation(a: Anatomy) -> tuple[Plane, Plane]:
    """-log of the share of the rays that passes, scatter and noise aside.

    Returns:
        Of soft tissue, and of bone and metal, (size, size) each.
    """
    return MU_SOFT * _tissue(a), MU_BONE * a.patient.bone * a.bone + MU_METAL * a.metal


def _tissue(a: Anatomy) -> Plane:
    """Soft tissue in cm."""
    tissue: Plane = np.clip(a.soft - np.clip(a.air - LUNG_AIR * a.vessels, 0, None), 0, None)
    return tissue


def _scattering(primary: Plane, tissue: Plane, view: str) -> Plane:
    """The rays that scatter. Beside a patient seen from the side lies bare detector, and what falls
    on it never met tissue; a frontal image has next to none of it."""
    return primary * tissue / (tissue + 8) if view == "LATERAL" else primary


def _display(density: Plane, a: Anatomy, view: str, rng: np.random.Generator) -> Plane:
    """Digital processing: detail contrast, then an S-shaped curve over the body's range."""
    strength = rng.uniform(0.0, 0.7)
    density = density + strength * (density - a.canvas.blur(density, rng.uniform(1.2, 3.0)))
    chest = density[a.canvas.size // 8 : -a.canvas.size // 8 : 4, ::4]
    if view == "LATERAL":
        body = a.soft[a.canvas.size // 8 : -a.canvas.size // 8 : 4, ::4]
        chest = chest[body > 3]  # a third of the image is bare detector
    low, high = np.percentile(chest, (rng.uniform(0.5, 5), rng.uniform(96, 99.7)))
    unit = (density - low) / (high - low)
    steep, center = rng.uniform(2.6, 4.6), rng.uniform(0.42, 0.60)
    ends = 1 / (1 + np.exp(-steep * (np.array([0.0, 1.0]) - center)))
    curve = (1 / (1 + np.exp(-steep * (unit - center))) - ends[0]) / (ends[1] - ends[0])
    result: Plane = np.clip(rng.uniform(0.02, 0.08) + curve * rng.uniform(0.82, 0.95), 0, 1)
    return result


def _leads(a: Anatomy, rng: np.random.Generator) -> None:
    """Electrodes and their wires: on the patient, of no matter, and not in the report."""
    for _ in range(rng.integers(2, 5)):
        spot = np.array(
            [rng.uniform(-11, 11), rng.uniform(a.patient.apex + 3, a.patient.apex + 22)]
        )
        a.metal += 0.02 * (a.canvas.ellipsoid(spot, (0.9, 0.9), 1.0) > 0)
        a.metal += 0.12 * (a.canvas.ellipsoid(spot, (0.3, 0.3), 1.0) > 0)
        away = spot + rng.normal(0, 7, 2) + (0, 12)
        bend = (spot + away) / 2 + rng.normal(0, 2.5, 2)
        wire = np.array([spot, (spot + bend) / 2 + rng.normal(0, 0.7, 2), bend, away])
        a.metal += 0.02 * a.canvas.strokes([wire], 0.16)


def _finish(
    pixels: Plane, canvas: Canvas, view: str, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Side marker and collimator."""
    size = canvas.size
    if rng.random() < 0.75:
        first = rng.random() < 0.5
        letter = "R" if first and view != "LATERAL" else "L"
        x = rng.uniform(0.03, 0.09) if first else rng.uniform(0.87, 0.92)
        ink = np.zeros((size, size), np.uint8)
        origin = (int(x * size), int(rng.uniform(0.08, 0.25) * size))
        cv2.putText(
            ink,
            letter,
            origin,
            cv2.FONT_HERSHEY_SIMPLEX,
            size / 480,
            255,
            max(1, size // 170),
            cv2.LINE_AA,
        )
        pixels = np.maximum(pixels, ink.astype(np.float32) / 255 * rng.uniform(0.8, 1.0))
    if rng.random() < 0.3:
        edges = rng.uniform(0, 0.035, 4) * size
        corners = np.array(
            [
                (edges[0], edges[1]),
                (size - edges[2], edges[1]),
                (size - edges[2], size - edges[3]),
                (edges[0], size - edges[3]),
            ]
        )
        corners += rng.normal(0, 0.004 * size, (4, 2))
        window = np.zeros((size, size), np.float32)
        cv2.fillPoly(window, [np.round(corners * 16).astype(np.int32)], 1.0, cv2.LINE_8, 4)
        pixels = pixels * cv2.GaussianBlur(window, (0, 0), 0.7)
    return pixels.astype(np.float32)
