"""A simulated chest study with exact truth: what is there, where, and a report that says so.

A patient is drawn (`patient`, `phantom_plan`) and laid out from the front and from the side
(`anatomy`, `lateral`), disease and devices are put in, and each image is made as a detector makes
it (`phantom_views`, `phantom_exposure`). Everything follows from (seed, index) alone.

It is a phantom. What a model learns from it holds for phantoms, not for patients.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_prep.manifest import Finding, Phrase
from data_prep.phantom.comparison import compare
from data_prep.phantom.indication import draw_indication
from data_prep.phantom.patient import Patient, sample_patient
from data_prep.phantom.plan import HEART, Plan, draw_plans
from data_prep.phantom.prior import draw_earlier, place_of
from data_prep.phantom.report import write_report
from data_prep.phantom.views import View, covered_view, draw_frontal, draw_lateral
from data_prep.phantom.wording import Marked

__all__ = ["Phantom", "PhantomImage", "make_phantom", "patient_with"]

COVER, LATERAL, PRIOR, INDICATION, LATERAL_COVER = 2, 3, 4, 5, 6
"""Generators of their own: what is asked for beside the frontal image leaves that as it is."""


@dataclass(frozen=True)
class PhantomImage:
    """One image of a simulated study."""

    pixels: NDArray[np.float32]
    """float32 (size, size) in [0, 1], bone white."""
    mask: NDArray[np.uint16] | None
    """(size, size): bit k is set where FINDINGS[k] shows; None on a prior image."""
    view: str
    """"PA", "AP" or "LATERAL"."""
    prior: bool = False
    """True: of an earlier study of the patient."""


@dataclass(frozen=True)
class Phantom:
    """One simulated study."""

    images: tuple[PhantomImage, ...]
    """A frontal image, then the lateral and the prior one where there are such."""
    findings: tuple[Finding, ...]
    """Those of the frontal image, then those of the lateral. One that shows on both is two."""
    report: str
    phrases: tuple[Phrase, ...]
    indication: str = ""


def make_phantom(
    seed: int,
    index: int,
    size: int = 256,
    covered: float = 0.0,
    lateral: float = 0.0,
    prior: float = 0.0,
    indication: float = 0.0,
) -> Phantom:
    """The phantom study `index` of `seed`, its images `size` pixels on each side.

    Args:
        covered: chance that a gray rectangle lies over part of an image, the frontal or the
            lateral. In half of those with findings it hides one; where no other image shows it,
            the report says nothing of it. Else it hides none.
        lateral: chance of a lateral image beside the frontal one.
        prior: chance of an earlier frontal image of the patient, which the report compares with.
        indication: chance that the study says why it was asked for.
    """
    rng = np.random.default_rng([seed, index])
    plans = draw_plans(rng) if rng.random() < 0.5 else []
    patient = patient_with(plans, rng)
    frontal = draw_frontal(patient, plans, size, rng)
    views = [frontal]
    if (beside := _chosen(seed, index, LATERAL, lateral)) is not None:
        views.append(draw_lateral(patient, frontal.shown, size, beside))
    present = _findings(views)
    names = {finding.name for finding in present}
    for number, stream in enumerate((COVER, LATERAL_COVER)[: len(views)]):
        if (chance := _chosen(seed, index, stream, covered)) is not None:
            views[number] = covered_view(views[number], chance)
    findings = _findings(views)
    places = set(map(place_of, findings))
    hidden = frozenset(f.name for f in present if place_of(f) not in places)
    images = [PhantomImage(view.pixels, view.mask, view.view) for view in views]
    comparison: tuple[Marked, ...] = ()
    if (before := _chosen(seed, index, PRIOR, prior)) is not None:
        earlier = draw_earlier(patient, frontal.shown, names, before)
        old = draw_frontal(earlier.patient, earlier.plans, size, before)
        images.append(PhantomImage(old.pixels, None, old.view, prior=True))
        comparison = compare(findings, hidden, earlier, old, before)
    report, phrases = write_report(
        findings,
        rng,
        patient.view,
        low_inspiration=patient.lung_height < 18.0,
        degenerative_spine=patient.degenerative,
        hidden=hidden,
        comparison=comparison,
    )
    asked = _chosen(seed, index, INDICATION, indication)
    return Phantom(
        images=tuple(images),
        findings=tuple(findings),
        report=report,
        phrases=phrases,
        indication=draw_indication(names, asked) if asked is not None else "",
    )


def _chosen(seed: int, index: int, stream: int, chance: float) -> np.random.Generator | None:
    """The generator of what is chosen with `chance`, None where it is not."""
    rng = np.random.default_rng([seed, index, stream])
    return rng if rng.random() < chance else None


def patient_with(plans: list[Plan], rng: np.random.Generator) -> Patient:
    """A person drawn so that these findings fit."""
    names = {plan.name for plan in plans}
    heart = next((p.severity for p in plans if p.name == "cardiomegaly"), None)
    return sample_patient(
        rng,
        heart=HEART[heart],
        hyperinflated="hyperinflation" in names,
        congested="edema" in names,
        portable=0.85 if "endotracheal_tube" in names else 0.3,
    )


def _findings(views: list[View]) -> list[Finding]:
    return [
        Finding(s.plan.name, s.plan.severity, s.plan.side, s.plan.zone, s.box, image)
        for image, view in enumerate(views)
        for s in view.shown
    ]
