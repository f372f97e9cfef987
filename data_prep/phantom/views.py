"""One image of a simulated patient: the anatomy laid out, the findings put in, exposed."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_prep.manifest import FINDINGS
from data_prep.occlusion import HIDDEN, Box, cover, elsewhere
from data_prep.phantom.anatomy import Anatomy, build
from data_prep.phantom.canvas import Canvas, Plane
from data_prep.phantom.exposure import attenuation, expose
from data_prep.phantom.lateral_anatomy import build_lateral, lateral_field
from data_prep.phantom.lateral_pathology import LATERAL_PATHOLOGIES, Region, trace_effusion
from data_prep.phantom.pathology import PATHOLOGIES, Mask, add_ribs
from data_prep.phantom.patient import Patient
from data_prep.phantom.plan import Plan

__all__ = [
    "Change",
    "Shown",
    "View",
    "draw_anatomy",
    "draw_change",
    "draw_frontal",
    "draw_lateral",
    "occluded_view",
]

BOX_MARGIN = {"nodule": 0.5}
"""Centimetres added around a mask: a reader's box does not cut through the lesion's rim."""
TRACE = 0.1
"""Chance of an effusion that only the lateral shows, of patients with findings but no effusion."""


@dataclass(frozen=True)
class Shown:
    """A finding on one image."""

    plan: Plan
    box: Box
    region: Region
    """Around its mask, in cm."""
    mask: Mask
    """bool (size, size). From the side, the fluid of both lungs lies over one another."""


@dataclass(frozen=True)
class View:
    """One image with what it shows."""

    view: str
    """"PA", "AP" or "LATERAL"."""
    pixels: NDArray[np.float32]
    """(size, size) in [0, 1], bone white."""
    mask: NDArray[np.uint16]
    """(size, size): bit k is set where FINDINGS[k] shows."""
    shown: tuple[Shown, ...]
    """In the order of FINDINGS."""


def draw_frontal(
    patient: Patient, plans: Sequence[Plan], size: int, rng: np.random.Generator
) -> View:
    """A PA or AP image of `size` pixels a side, as the patient's `view` says."""
    view, _ = draw_anatomy(patient, plans, size, rng)
    return view


def draw_anatomy(
    patient: Patient, plans: Sequence[Plan], size: int, rng: np.random.Generator
) -> tuple[View, Anatomy]:
    """The image of `draw_frontal`, and the layers that it is of."""
    anatomy = build(patient, _field(patient, size, rng), rng)
    shown = _apply(anatomy, plans, rng, _put_frontal)
    add_ribs(anatomy, rng)
    pixels = expose(anatomy, patient.view, rng)
    return View(patient.view, pixels, _mask(shown, size), shown), anatomy


@dataclass(frozen=True)
class Change:
    """What findings change on an image of a patient."""

    soft: Plane
    """(size, size), what their tissue adds to -log of the rays that pass; below 0 where they bring
    air."""
    dense: Plane
    """(size, size), the same of metal."""
    shown: tuple[Shown, ...]
    before: Anatomy
    """The patient without them."""


def draw_change(
    patient: Patient, plans: Sequence[Plan], size: int, rng: np.random.Generator
) -> Change:
    """The findings of `draw_frontal` alone, without the patient's image."""
    anatomy = build(patient, _field(patient, size, rng), rng)
    before = copy.deepcopy(anatomy)
    shown = _apply(anatomy, plans, rng, _put_frontal)
    soft, dense = (
        now - then for now, then in zip(attenuation(anatomy), attenuation(before), strict=True)
    )
    return Change(soft, dense, shown, before)


def draw_lateral(
    patient: Patient, frontal: Sequence[Shown], size: int, rng: np.random.Generator
) -> View:
    """A left lateral of the same patient, with what of the frontal image's findings shows there.

    Now and then it shows an effusion that is too small for the frontal image.
    """
    anatomy = build_lateral(patient, lateral_field(patient, size, rng), rng)
    places = {each.plan: each.region for each in frontal}
    plans = [plan for plan in places if plan.name in LATERAL_PATHOLOGIES]
    trace = rng.random() < TRACE and bool(frontal)
    if trace and not any(plan.name == "pleural_effusion" for plan in plans):
        plans.append(Plan("pleural_effusion", "mild", None, None))

    def put(anatomy: Anatomy, plan: Plan, rng: np.random.Generator) -> Mask:
        if plan not in places:
            return trace_effusion(anatomy, str(rng.choice(["right", "left"])), rng)
        like = places[plan]
        pathology = LATERAL_PATHOLOGIES[plan.name]
        return pathology(anatomy, plan.severity, plan.side, plan.zone, rng, like)

    shown = _apply(anatomy, plans, rng, put)
    return View("LATERAL", expose(anatomy, "LATERAL", rng), _mask(shown, size), shown)


ORDER = ("opacity", "nodule", "atelectasis", "edema", "pneumothorax", "pleural_effusion")
"""Fluid last among what is in the chest, so that it covers; anything else in any order."""


def _put_frontal(anatomy: Anatomy, plan: Plan, rng: np.random.Generator) -> Mask:
    pathology = PATHOLOGIES[plan.name]
    return pathology(anatomy, plan.severity, plan.side, plan.zone, rng, **plan.place)


def _apply(
    anatomy: Anatomy,
    plans: Sequence[Plan],
    rng: np.random.Generator,
    put: Callable[[Anatomy, Plan, np.random.Generator], Mask],
) -> tuple[Shown, ...]:
    canvas = anatomy.canvas
    shown = []
    ordered = sorted(plans, key=lambda p: ORDER.index(p.name) if p.name in ORDER else 9)
    for plan in ordered:
        where = put(anatomy, plan, rng)
        tight = canvas.box(where)
        box = canvas.box(where, BOX_MARGIN.get(plan.name, 0.0))
        if tight is None or box is None:
            continue
        shown.append(Shown(plan, box, canvas.region(tight), where))
    return tuple(sorted(shown, key=lambda s: FINDINGS.index(s.plan.name)))


def _mask(shown: Sequence[Shown], size: int) -> NDArray[np.uint16]:
    mask = np.zeros((size, size), np.uint16)
    for each in shown:
        mask |= each.mask.astype(np.uint16) << FINDINGS.index(each.plan.name)
    return mask


def _field(p: Patient, size: int, rng: np.random.Generator) -> Canvas:
    """Place the patient before the detector as technicians do: all lung in, not quite centered."""
    width = 2 * (p.half_width + p.wall) + rng.uniform(0.5, 6)
    height = p.apex + p.lung_height + p.dome + rng.uniform(1.5, 6)
    side = float(np.clip(max(width, height), 31, 46))
    slack = side - height if side > height else 0
    return Canvas(size, side, -side / 2 + rng.normal(0, 0.7), -rng.uniform(0, 1) * slack)


def occluded_view(view: View, rng: np.random.Generator) -> View:
    """The image with a gray rectangle on it, and without what that hides.

    In half of those with findings it lies over one, else over none where there is room.
    """
    box = _cover_box([each.box for each in view.shown], len(view.pixels), rng)
    if box is None:
        return view
    x0, y0, x1, y1 = box
    seen = tuple(s for s in view.shown if s.mask[y0:y1, x0:x1].sum() < HIDDEN * s.mask.sum())
    return View(view.view, cover(view.pixels, [box]), _mask(seen, len(view.pixels)), seen)


def _cover_box(boxes: list[Box], size: int, rng: np.random.Generator) -> Box | None:
    """Over a finding and a little more, or elsewhere; None where there is no room elsewhere."""
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
