"""One radiograph without findings and one phantom patient's findings -> a composed study.

The phantom says by how much its findings change the attenuation; a display shows about its log, so
the change is added to the radiograph's pixels, scaled by the contrast that the radiograph has
between lungs and the middle of the chest and the phantom between the same. Pixels where nothing is
added are those of the radiograph, to the bit: border, noise and compression cannot tell a composed
image from an untouched one.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.composition.warp import phantom_places
from data_prep.manifest import FINDINGS, Finding, Phrase
from data_prep.phantom.exposure import attenuation
from data_prep.phantom.places import absent_places
from data_prep.phantom.plan import draw_plans
from data_prep.phantom.report import ReportContext, write_report
from data_prep.phantom.study import patient_with
from data_prep.phantom.views import BOX_MARGIN, Change, draw_change
from model.anatomy import ChestAnatomy

__all__ = ["COMPOSED", "Composition", "compose"]

COMPOSED = (
    *("opacity", "pleural_effusion", "pneumothorax", "edema", "nodule"),
    *("endotracheal_tube", "central_line", "pacemaker"),
)
"""Of FINDINGS, those that are added to a patient. Others move organs or bones."""
PHANTOM_SIZE = 384
LEAST_CHANGE = 1 / 255
"""Of the full range: less is not added."""
BRIGHTEST = 90
"""Percentile of heart and mediastinum that soft tissue reaches at most."""
METAL = np.float32(0.96)
"""What metal reaches, of the full range."""
STEEPNESS = 1.4
"""Of a display's curve at the density of lungs, against its mean between lungs and heart."""
SMALLEST_AREA = 12
"""Pixels of a finding that shows."""
TEXTURE = 0.008
"""Of the image's side: detail finer than that is lung texture, which a pneumothorax has not."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class _Levels:
    """Of a radiograph, in [0, 1]."""

    lungs: float
    tissue: float
    """What soft tissue reaches."""


@dataclass(frozen=True)
class Composition:
    """A composed image and what it shows."""

    pixels: Pixels
    """(height, width)"""
    mask: NDArray[np.uint16]
    """(height, width): bit k is set where FINDINGS[k] was put."""
    findings: tuple[Finding, ...]
    report: str
    phrases: tuple[Phrase, ...]
    places: tuple[Finding, ...]
    """Where what is absent would show, as of phantoms."""


def compose(
    pixels: Pixels, anatomy: ChestAnatomy, view: str, rng: np.random.Generator
) -> Composition | None:
    """Put drawn findings into a radiograph that shows none.

    Args:
        pixels: uint8 (height, width), bone white.
        anatomy: what model.anatomy found on it.
        view: "PA" or "AP".

    Returns:
        None where its lungs were not found, or nothing that was drawn shows.
    """
    lungs = anatomy.mask("right_lung"), anatomy.mask("left_lung")
    if anatomy.lungs is None:
        return None
    plans = draw_plans(rng, COMPOSED)
    change = draw_change(patient_with(plans, rng), plans, PHANTOM_SIZE, rng)
    places = phantom_places(_lungs(change), lungs)
    if places is None:
        return None
    middle = anatomy.mask("heart") | anatomy.mask("mediastinum")
    middle &= ~(lungs[0] | lungs[1])
    if not middle.any():
        return None
    levels = _Levels(
        lungs=float(np.median(pixels[lungs[0] | lungs[1]])) / 255,
        tissue=float(np.percentile(pixels[middle], BRIGHTEST)) / 255,
    )
    gain = _contrast(float(np.median(pixels[middle])) / 255 - levels.lungs, change)
    soft, dense = (
        np.float32(gain) * _warped(plane, places) for plane in (change.soft, change.dense)
    )
    findings, mask = [], np.zeros(pixels.shape, np.uint16)
    air = np.zeros(pixels.shape, np.float32)
    for shown in change.shown:
        plan, where = shown.plan, _warped(shown.mask.astype(np.float32), places)
        box = _box(where > 0.5, BOX_MARGIN.get(plan.name, 0.0) * change.before.canvas.scale)
        if box is None:
            continue
        mask |= (where > 0.5).astype(np.uint16) << FINDINGS.index(plan.name)
        findings.append(Finding(plan.name, plan.severity, plan.side, plan.zone, box))
        if plan.name == "pneumothorax":
            air = np.maximum(air, where)
    if not findings:
        return None
    report, phrases = write_report(findings, rng, ReportContext(view))
    composed = _added(_without_texture(pixels, air), soft, dense, levels)
    untouched = (np.abs(soft) < LEAST_CHANGE) & (dense < LEAST_CHANGE) & (air == 0)
    composed = np.where(untouched, pixels, composed)
    absent = _places(change, {finding.name for finding in findings}, places)
    return Composition(composed, mask, tuple(findings), report, phrases, absent)


def _places(
    change: Change,
    present: set[str],
    places: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> tuple[Finding, ...]:
    """The phantom's places of what is absent, on the radiograph."""
    found = []
    for place in absent_places(change.before, present):
        x0, y0, x1, y1 = place.box
        there = (places[0] >= x0) & (places[0] < x1) & (places[1] >= y0) & (places[1] < y1)
        box = _box(there, 0.0)
        if box is not None:
            found.append(replace(place, box=box))
    return tuple(found)


def _lungs(change: Change) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The phantom's, as model.anatomy outlines lungs: beside heart and mediastinum."""
    before = change.before
    beside = (1 - before.heart) * (1 - before.silhouettes["mediastinum"])
    right, left = (_largest(before.lungs[side] * beside > 0.5) for side in ("right", "left"))
    return right, left


def _largest(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8))
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()) if count > 1 else 0
    return np.asarray(labels == largest, bool) if largest else region


def _warped(
    plane: NDArray[np.float32], places: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> NDArray[np.float32]:
    moved = cv2.remap(
        np.ascontiguousarray(plane, np.float32), *places, cv2.INTER_LINEAR, borderValue=0
    )
    return np.asarray(moved, np.float32)


def _contrast(gray: float, change: Change) -> float:
    """Share of the range of pixels that a difference of 1 in attenuation makes.

    Args:
        gray: of the radiograph, the middle of the chest above the lungs, in [0, 1].
    """
    soft, dense = attenuation(change.before)
    path, solid = soft + dense, change.before.heart > 0.5
    right, left = _lungs(change)
    there = float(np.median(path[solid & ~right & ~left]) - np.median(path[right | left]))
    return STEEPNESS * max(gray, 0.0) / max(there, 1e-3)


def _without_texture(pixels: Pixels, air: NDArray[np.float32]) -> NDArray[np.float32]:
    """In [0, 1]; where air lies outside the lung, without fine detail."""
    unit = pixels.astype(np.float32) / np.float32(255)
    if not air.any():
        return unit
    smooth = cv2.GaussianBlur(unit, (0, 0), TEXTURE * max(pixels.shape))
    share = cv2.GaussianBlur(air, (0, 0), 1.0)
    return np.asarray(unit + (smooth - unit) * share, np.float32)


def _added(
    base: NDArray[np.float32],
    soft: NDArray[np.float32],
    dense: NDArray[np.float32],
    levels: _Levels,
) -> Pixels:
    """`base` with what is added. Tissue takes the place of air: where there is none left, it adds
    nothing, and no more than `levels.tissue` comes of it. Metal adds up to METAL."""
    span = np.float32(max(levels.tissue - levels.lungs, 1e-3))
    room = np.maximum(np.float32(levels.tissue) - base, 0)
    filled = room * (1 - np.exp(-np.maximum(soft, 0) / span))
    raised = base + filled + np.minimum(soft, 0)
    raised = np.minimum(raised + dense, np.maximum(raised, METAL))
    pixels: NDArray[np.uint8] = np.round(np.clip(raised, 0, 1) * 255).astype(np.uint8)
    return pixels


def _box(where: NDArray[np.bool_], margin: float) -> tuple[int, int, int, int] | None:
    rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
    if where.sum() < SMALLEST_AREA:
        return None
    wider, (height, width) = round(margin), where.shape
    return (
        max(0, int(columns[0]) - wider),
        max(0, int(rows[0]) - wider),
        min(width, int(columns[-1]) + 1 + wider),
        min(height, int(rows[-1]) + 1 + wider),
    )
