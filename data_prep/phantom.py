"""A simulated chest radiograph with exact truth: what is there, where, and a report that says so.

A patient is drawn (`anatomy`), disease and devices are put in (`pathology`), and the picture is
made as a detector makes it: attenuation along each ray, scatter, quantum noise, collimation, and
the display processing of a digital system. Everything follows from (seed, index) alone.

It is a phantom. What a model learns from it holds for phantoms, not for patients.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.anatomy import LUNG_AIR, Anatomy, Patient, build, sample_patient
from data_prep.canvas import Canvas, Plane
from data_prep.cover import Box, cover, elsewhere
from data_prep.pathology import PATHOLOGIES, add_ribs
from data_prep.phantom_report import write_report
from data_prep.study import FINDINGS, Finding, Phrase

__all__ = ["Phantom", "make_phantom"]

MU_SOFT, MU_BONE, MU_METAL = 0.190, 0.34, 9.0
"""Linear attenuation in 1/cm at about 70 keV, of bone what it adds to soft tissue."""

PREVALENCE = {
    "opacity": 0.19,
    "pleural_effusion": 0.20,
    "pneumothorax": 0.14,
    "cardiomegaly": 0.16,
    "edema": 0.11,
    "atelectasis": 0.16,
    "nodule": 0.18,
    "rib_fracture": 0.14,
    "hyperinflation": 0.10,
    "hiatal_hernia": 0.11,
    "endotracheal_tube": 0.12,
    "central_line": 0.15,
    "pacemaker": 0.12,
}
"""Chance of each in a study that is not normal, before what excludes what."""

HEART = {
    None: (0.40, 0.485),
    "mild": (0.555, 0.59),
    "moderate": (0.60, 0.65),
    "severe": (0.66, 0.74),
}
HIDDEN = 0.7
"""Share of a finding that lies under a cover when it counts as not to be seen."""
BOX_MARGIN = {"nodule": 0.5}
"""Centimetres added around a mask: a reader's box does not cut through the lesion's rim."""
ZONED = {"opacity", "atelectasis", "nodule", "rib_fracture"}
SIDED = ZONED | {"pleural_effusion", "pneumothorax", "central_line", "pacemaker"}
UNGRADED = {"rib_fracture", "hiatal_hernia", "endotracheal_tube", "central_line", "pacemaker"}


@dataclass(frozen=True)
class Phantom:
    """One simulated study."""

    pixels: NDArray[np.float32]
    """float32 (size, size) in [0, 1], bone white."""
    mask: NDArray[np.uint16]
    """(size, size): bit k is set where FINDINGS[k] shows."""
    view: str
    findings: tuple[Finding, ...]
    report: str
    phrases: tuple[Phrase, ...]


@dataclass(frozen=True)
class _Plan:
    name: str
    severity: str | None
    side: str | None
    zone: str | None


def make_phantom(seed: int, index: int, size: int = 256, covered: float = 0.0) -> Phantom:
    """The phantom study `index` of `seed`, `size` pixels on each side.

    Args:
        covered: chance that a gray rectangle lies over part of the picture. In half of those with
            findings it hides one, of which the report then says nothing; else it hides none.
    """
    rng = np.random.default_rng([seed, index])
    plans = _plan(rng) if rng.random() < 0.5 else []
    names = {plan.name for plan in plans}
    heart = next((p.severity for p in plans if p.name == "cardiomegaly"), None)
    patient = sample_patient(
        rng,
        heart=HEART[heart],
        hyperinflated="hyperinflation" in names,
        congested="edema" in names,
        portable=0.85 if "endotracheal_tube" in names else 0.3,
    )
    anatomy = build(patient, _field(patient, size, rng), rng)
    findings, mask = _apply(anatomy, plans, rng)
    add_ribs(anatomy, rng)
    pixels = _expose(anatomy, rng)
    hidden: frozenset[str] = frozenset()
    # A generator of its own: a study without a cover is the same whatever `covered` is.
    chance = np.random.default_rng([seed, index, 2])
    if chance.random() < covered:
        box = _cover_box(findings, size, chance)
        pixels = cover(pixels, [box] if box else [])
        findings, hidden = _hide(findings, mask, box)
    low = patient.lung_height < 18.0
    report, phrases = write_report(
        findings,
        rng,
        patient.view,
        low_inspiration=low,
        degenerative_spine=patient.degenerative,
        hidden=hidden,
    )
    return Phantom(pixels, mask, patient.view, tuple(findings), report, phrases)


def _cover_box(findings: list[Finding], size: int, rng: np.random.Generator) -> Box | None:
    """Over a finding and a little more, or elsewhere; None where there is no room elsewhere."""
    boxes = [finding.box for finding in findings]
    if boxes and rng.random() < 0.5:
        x0, y0, x1, y1 = boxes[int(rng.integers(len(boxes)))]
        wider = rng.integers(0, round(0.05 * size) + 1, 4).tolist()
        return (
            max(0, x0 - wider[0]),
            max(0, y0 - wider[1]),
            min(size, x1 + wider[2]),
            min(size, y1 + wider[3]),
        )
    width, height = rng.integers(round(0.04 * size), round(0.5 * size), 2).tolist()
    return elsewhere((0, 0, width, height), boxes, (size, size), rng)


def _hide(
    findings: list[Finding], mask: NDArray[np.uint16], box: Box | None
) -> tuple[list[Finding], frozenset[str]]:
    """(findings that can still be seen, names of the others), by how much of each is covered.

    Takes what is hidden out of `mask`.
    """
    if box is None:
        return findings, frozenset()
    under = np.zeros(mask.shape, bool)
    under[box[1] : box[3], box[0] : box[2]] = True
    seen, hidden = [], set()
    for finding in findings:
        x0, y0, x1, y1 = finding.box
        bit = np.uint16(1 << FINDINGS.index(finding.name))
        shown = mask[y0:y1, x0:x1] & bit > 0
        if under[y0:y1, x0:x1][shown].mean() < HIDDEN:
            seen.append(finding)
        else:
            mask[y0:y1, x0:x1] &= ~bit
            hidden.add(finding.name)
    return seen, frozenset(hidden)


def _plan(rng: np.random.Generator) -> list[_Plan]:
    """At least one finding, with what may not stand together left out."""
    names: list[str] = []
    while not names:
        names = [name for name in FINDINGS if rng.random() < PREVALENCE[name]]
    if "edema" in names and rng.random() < 0.4 and "pleural_effusion" not in names:
        names.append("pleural_effusion")
    if "hyperinflation" in names:
        names = [n for n in names if n not in ("cardiomegaly", "edema")]
    if "endotracheal_tube" in names and rng.random() < 0.4 and "central_line" not in names:
        names.append("central_line")
    plans = [plan for name in names for plan in _details(name, rng)]
    return [plan for plan in plans if not _hidden(plan, plans)]


def _details(name: str, rng: np.random.Generator) -> list[_Plan]:
    severity = None if name in UNGRADED else str(rng.choice(["mild", "moderate", "severe"]))
    zones, weights = ["upper", "mid", "lower"], [0.3, 0.3, 0.4]
    if name == "atelectasis":
        weights = [0.1, 0.3, 0.6]
    zone = str(rng.choice(zones, p=weights)) if name in ZONED else None
    if name not in SIDED:
        return [_Plan(name, severity, None, zone)]
    left = {"central_line": 0.35, "pacemaker": 0.75}.get(name, 0.5)
    side = "left" if rng.random() < left else "right"
    plans = [_Plan(name, severity, side, zone)]
    if name == "pleural_effusion" and rng.random() < 0.3:
        other = "right" if side == "left" else "left"
        plans.append(_Plan(name, str(rng.choice(["mild", "moderate"])), other, None))
    return plans


def _hidden(plan: _Plan, plans: list[_Plan]) -> bool:
    """Whether another finding covers this one so that nobody could see it."""
    same_side = [p for p in plans if p.side == plan.side and p is not plan]
    flooded = any(p.name == "pleural_effusion" and p.severity != "mild" for p in same_side)
    drowned = any(p.name == "pleural_effusion" and p.severity == "severe" for p in same_side)
    airless = any(p.name == "pneumothorax" for p in same_side)
    in_lung = plan.name in ("opacity", "atelectasis", "nodule")
    return (
        (in_lung and plan.zone == "lower" and flooded)
        or (in_lung and plan.zone == "mid" and drowned)
        or (in_lung and airless)
        or (plan.name == "pneumothorax" and drowned)
        or (
            plan.name == "atelectasis"
            and any(p.name == "opacity" and p.zone == plan.zone for p in same_side)
        )
    )


ORDER = ("opacity", "nodule", "atelectasis", "edema", "pneumothorax", "pleural_effusion")
"""Fluid last among what is in the chest, so that it covers; anything else in any order."""


def _apply(
    anatomy: Anatomy, plans: list[_Plan], rng: np.random.Generator
) -> tuple[list[Finding], NDArray[np.uint16]]:
    mask = np.zeros((anatomy.canvas.size, anatomy.canvas.size), np.uint16)
    findings = []
    ordered = sorted(plans, key=lambda p: ORDER.index(p.name) if p.name in ORDER else 9)
    for plan in ordered:
        shown = PATHOLOGIES[plan.name](anatomy, plan.severity, plan.side, plan.zone, rng)
        box = anatomy.canvas.box(shown, BOX_MARGIN.get(plan.name, 0.0))
        if box is None:
            continue
        mask |= shown.astype(np.uint16) << FINDINGS.index(plan.name)
        findings.append(Finding(plan.name, plan.severity, plan.side, plan.zone, box))
    return sorted(findings, key=lambda f: FINDINGS.index(f.name)), mask


def _field(p: Patient, size: int, rng: np.random.Generator) -> Canvas:
    """Place the patient before the detector as technicians do: all lung in, not quite centred."""
    width = 2 * (p.half_width + p.wall) + rng.uniform(0.5, 6)
    height = p.apex + p.lung_height + p.dome + rng.uniform(1.5, 6)
    side = float(np.clip(max(width, height), 31, 46))
    slack = side - height if side > height else 0
    return Canvas(size, side, -side / 2 + rng.normal(0, 0.7), -rng.uniform(0, 1) * slack)


def _expose(a: Anatomy, rng: np.random.Generator) -> NDArray[np.float32]:
    """Layers to display pixels in [0, 1], bone white."""
    p, canvas = a.patient, a.canvas
    if rng.random() < 0.08:
        _leads(a, rng)
    tissue = np.clip(a.soft - np.clip(a.air - LUNG_AIR * a.vessels, 0, None), 0, None)
    tissue *= 1 + 0.012 * canvas.clouds(rng, 6)
    path = MU_SOFT * tissue + MU_BONE * p.bone * a.bone + MU_METAL * a.metal
    primary = canvas.blur(np.exp(-path).astype(np.float32), rng.uniform(0.02, 0.07))
    heel = (
        1
        + rng.uniform(-0.12, 0.12) * (canvas.y / canvas.field)
        + rng.uniform(-0.06, 0.06) * (canvas.x / canvas.field)
    )
    grid = rng.uniform(0.05, 0.14) if p.view == "PA" else rng.uniform(0.10, 0.26)
    signal = (primary + grid * canvas.blur(primary, 5.0)) * heel
    dose = 10 ** rng.uniform(3.9, 5.0)
    noise = rng.standard_normal(signal.shape, dtype=np.float32) / np.sqrt(dose * signal)
    density = -np.log(signal) + cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.4, 0.8))
    return _finish(_display(density.astype(np.float32), a, rng), canvas, rng)


def _display(density: Plane, a: Anatomy, rng: np.random.Generator) -> Plane:
    """Digital processing: detail contrast, then an S-shaped curve over the body's range."""
    strength = rng.uniform(0.0, 0.7)
    density = density + strength * (density - a.canvas.blur(density, rng.uniform(1.2, 3.0)))
    chest = density[a.canvas.size // 8 : -a.canvas.size // 8 : 4, ::4]
    low, high = np.percentile(chest, (rng.uniform(0.5, 5), rng.uniform(96, 99.7)))
    unit = (density - low) / (high - low)
    steep, centre = rng.uniform(2.6, 4.6), rng.uniform(0.42, 0.60)
    ends = 1 / (1 + np.exp(-steep * (np.array([0.0, 1.0]) - centre)))
    curve = (1 / (1 + np.exp(-steep * (unit - centre))) - ends[0]) / (ends[1] - ends[0])
    return np.clip(rng.uniform(0.02, 0.08) + curve * rng.uniform(0.82, 0.95), 0, 1)


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


def _finish(pixels: Plane, canvas: Canvas, rng: np.random.Generator) -> NDArray[np.float32]:
    """Side marker and collimator."""
    size = canvas.size
    if rng.random() < 0.75:
        letter = "R" if rng.random() < 0.5 else "L"
        x = rng.uniform(0.03, 0.09) if letter == "R" else rng.uniform(0.87, 0.92)
        ink = np.zeros((size, size), np.uint8)
        place = (int(x * size), int(rng.uniform(0.08, 0.25) * size))
        cv2.putText(
            ink,
            letter,
            place,
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
