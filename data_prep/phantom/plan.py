"""Which findings a simulated study has, drawn before anything of it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_prep.manifest import FINDINGS

__all__ = ["HEART", "SIDED", "UNGRADED", "ZONED", "Plan", "details", "draw_plans", "visible"]

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
ZONED = {"opacity", "atelectasis", "nodule", "rib_fracture"}
SIDED = ZONED | {"pleural_effusion", "pneumothorax", "central_line", "pacemaker"}
UNGRADED = {"rib_fracture", "hiatal_hernia", "endotracheal_tube", "central_line", "pacemaker"}


@dataclass(frozen=True)
class Plan:
    """A finding that a patient is to have; the fields as those of data_prep.study.Finding."""

    name: str
    severity: str | None
    side: str | None
    zone: str | None
    at: tuple[float, float] | None = None
    """(x, y) in cm where it lies; None leaves that to chance. For what lies somewhere in a lung."""
    reach: float | None = None
    """Radius of a nodule, depth of an effusion in cm; None leaves it to the severity and chance."""

    @property
    def place(self) -> dict[str, Any]:
        """Of `at` and `reach` what is known."""
        known = {"at": self.at, "reach": self.reach}
        return {name: value for name, value in known.items() if value is not None}


def draw_plans(rng: np.random.Generator, among: Sequence[str] = FINDINGS) -> list[Plan]:
    """At least one finding, with what may not stand together left out.

    Args:
        among: names that may occur.
    """
    names: list[str] = []
    while not names:
        names = [name for name in among if rng.random() < PREVALENCE[name]]
    if "edema" in names and rng.random() < 0.4 and "pleural_effusion" not in names:
        names.append("pleural_effusion")
    if "hyperinflation" in names:
        names = [n for n in names if n not in ("cardiomegaly", "edema")]
    if "endotracheal_tube" in names and rng.random() < 0.4 and "central_line" not in names:
        names.append("central_line")
    return visible([plan for name in names for plan in details(name, rng)])


def visible(plans: list[Plan]) -> list[Plan]:
    """Those that no other one covers so that nobody could see them on a frontal image."""
    return [plan for plan in plans if not _drowned(plan, plans)]


def details(name: str, rng: np.random.Generator) -> list[Plan]:
    """One finding of a name, its severity and place drawn; an effusion may be two, one a side."""
    severity = None if name in UNGRADED else str(rng.choice(["mild", "moderate", "severe"]))
    zones, weights = ["upper", "mid", "lower"], [0.3, 0.3, 0.4]
    if name == "atelectasis":
        weights = [0.1, 0.3, 0.6]
    zone = str(rng.choice(zones, p=weights)) if name in ZONED else None
    if name not in SIDED:
        return [Plan(name, severity, None, zone)]
    left = {"central_line": 0.35, "pacemaker": 0.75}.get(name, 0.5)
    side = "left" if rng.random() < left else "right"
    plans = [Plan(name, severity, side, zone)]
    if name == "pleural_effusion" and rng.random() < 0.3:
        other = "right" if side == "left" else "left"
        plans.append(Plan(name, str(rng.choice(["mild", "moderate"])), other, None))
    return plans


def _drowned(plan: Plan, plans: list[Plan]) -> bool:
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
