"""The same simulated patient some time earlier: what was there then, and how today compares."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from data_prep.manifest import Finding
from data_prep.phantom.patient import Patient
from data_prep.phantom.plan import HEART, Plan, details, visible
from data_prep.phantom.views import Shown

__all__ = ["Earlier", "Place", "draw_earlier", "place_of"]

PRESENT = 0.5
"""Chance that a finding was there before."""
GONE = 0.25
"""Chance that one was there which is gone."""
GRADES = ("mild", "moderate", "severe")
PASSING = (
    "opacity",
    "pleural_effusion",
    "pneumothorax",
    "edema",
    "atelectasis",
    "endotracheal_tube",
    "central_line",
)
"""What comes and goes; hearts and hernias stay."""

Place = tuple[str, str | None, str | None]
"""(name, side, zone) of a finding: the same on every image that shows it."""


@dataclass(frozen=True)
class Earlier:
    """A study before this one."""

    patient: Patient
    plans: tuple[Plan, ...]
    changes: dict[Place, str]
    """Of today's findings "new", "increased", "decreased" or "unchanged". What the earlier image
    could not have shown beside what it shows is missing."""
    gone: tuple[Plan, ...]
    """There then, not there now."""


def place_of(finding: Plan | Finding) -> Place:
    """What distinguishes a finding of a study from its others."""
    return finding.name, finding.side, finding.zone


def draw_earlier(
    patient: Patient, today: Sequence[Shown], names: set[str], rng: np.random.Generator
) -> Earlier:
    """Draw what a patient with today's findings had before.

    Hyperinflation was always there: lungs do not come to it between two images.

    Args:
        today: what the frontal image shows, nothing occluded.
        names: of the findings on any of today's images.
    """
    position = _reposition(patient, rng)
    before, changes, new = [], {}, []
    for each in today:
        plan = each.plan
        if plan.name != "hyperinflation" and rng.random() >= PRESENT:
            new.append(plan)
            continue
        severity = plan.severity if plan.name == "hyperinflation" else _grade(plan.severity, rng)
        before.append(_at_its_place(each, severity, patient, position))
        changes[place_of(plan)] = _change(severity, plan.severity)
    gone = _draw_gone([each.plan for each in today], names, rng)
    before += gone
    seen = visible(before)
    changes = {place: how for place, how in changes.items() if place in map(place_of, seen)}
    changes |= {place_of(plan): "new" for plan in new if plan in visible([*seen, plan])}
    return Earlier(
        patient=_with_findings(position, patient, seen, today, rng),
        plans=tuple(seen),
        changes=changes,
        gone=tuple(plan for plan in gone if plan in seen),
    )


def _grade(today: str | None, rng: np.random.Generator) -> str | None:
    """The same, milder or worse by one."""
    step = int(rng.choice([0, -1, 1], p=[0.4, 0.3, 0.3]))
    if today is None:
        return None
    return GRADES[int(np.clip(GRADES.index(today) + step, 0, 2))]


def _change(before: str | None, today: str | None) -> str:
    if before is None or today is None or before == today:
        return "unchanged"
    return "increased" if GRADES.index(before) < GRADES.index(today) else "decreased"


def _at_its_place(each: Shown, severity: str | None, today: Patient, position: Patient) -> Plan:
    """Where it is today, and as large where it is unchanged."""
    plan = replace(each.plan, severity=severity)
    x0, y0, x1, y1 = each.region
    same = severity == each.plan.severity
    if plan.name == "pleural_effusion":
        depth = today.base[plan.side] + today.dome - y0 if plan.side else 0.0
        return replace(plan, reach=depth) if same and depth > 0 else plan
    if plan.name not in ("opacity", "atelectasis", "nodule"):
        return plan
    share = ((y0 + y1) / 2 - today.apex) / today.lung_height
    at = ((x0 + x1) / 2, position.apex + share * position.lung_height)
    reach = (y1 - y0) / 2 if plan.name == "nodule" and same else None
    return replace(plan, at=at, reach=reach)


def _draw_gone(today: list[Plan], names: set[str], rng: np.random.Generator) -> list[Plan]:
    """One more finding, none of whose name is there today and that would be seen today."""
    others = [name for name in PASSING if name not in names]
    if rng.random() >= GONE or not others:
        return []
    plan = details(str(rng.choice(others)), rng)[0]
    return [plan] if plan in visible([*today, plan]) else []


def _reposition(patient: Patient, rng: np.random.Generator) -> Patient:
    """Taken again: the patient stands and breathes in a little differently."""
    return replace(
        patient,
        apex=rng.uniform(4.2, 7.0),
        lung_height=patient.lung_height * rng.uniform(0.96, 1.03),
        turn=rng.normal(0, 0.045),
        bubble=rng.uniform(1.2, 3.0) if rng.random() < 0.55 else 0.0,
        arms=bool(rng.random() < 0.5),
    )


def _with_findings(
    position: Patient,
    patient: Patient,
    before: Sequence[Plan],
    today: Sequence[Shown],
    rng: np.random.Generator,
) -> Patient:
    """The heart, the vessels and the technique that go with what was there then."""
    then = {plan.name: plan.severity for plan in before}
    now = {each.plan.name: each.plan.severity for each in today}
    heart, congested = then.get("cardiomegaly"), "edema" in then
    ratio = rng.uniform(*HEART[heart])
    gain = rng.uniform(1.7, 2.3) if congested else rng.uniform(0.8, 1.2)
    portable = 0.85 if "endotracheal_tube" in then else 0.3
    return replace(
        position,
        view="AP" if rng.random() < portable else "PA",
        cardiothoracic=patient.cardiothoracic if heart == now.get("cardiomegaly") else ratio,
        vessel_gain=patient.vessel_gain if congested == ("edema" in now) else gain,
    )
