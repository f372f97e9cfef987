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
from data_prep.phantom.places import absent_places
from data_prep.phantom.plan import HEART, Plan, draw_plans
from data_prep.phantom.prior import draw_earlier, place_of
from data_prep.phantom.report import ReportContext, write_report
from data_prep.phantom.views import View, draw_anatomy, draw_frontal, draw_lateral, occluded_view
from data_prep.phantom.wording import Marked
from model.errors import ConfigError

__all__ = ["NOTHING_ADDED", "Additions", "Phantom", "PhantomImage", "make_phantom", "patient_with"]

OCCLUSION, LATERAL, PRIOR, INDICATION, LATERAL_OCCLUSION = 2, 3, 4, 5, 6
"""Random streams of their own: an addition leaves the frontal image as it is."""


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
    places: tuple[Finding, ...] = ()
    """Where the findings that are absent would show on the frontal image; none where it is
    occluded."""


@dataclass(frozen=True)
class Additions:
    """What a study has beside a plain frontal image: the probability of each, in [0, 1].

    Raises:
        ConfigError: a probability out of range.
    """

    occluded: float = 0.0
    """A gray rectangle over part of an image, the frontal or the lateral. In half of those with
    findings it hides one; where no other image shows it, the report does not mention it. Else it
    hides none."""
    lateral: float = 0.0
    """A lateral image."""
    prior: float = 0.0
    """An earlier frontal image of the patient, which the report compares with."""
    indication: float = 0.0
    """An indication."""

    def __post_init__(self) -> None:
        for name, probability in vars(self).items():
            if not 0 <= probability <= 1:
                raise ConfigError(f"{name} is a probability in [0, 1], got {probability}")


NOTHING_ADDED = Additions()


def make_phantom(
    seed: int, index: int, size: int = 256, additions: Additions = NOTHING_ADDED
) -> Phantom:
    """The phantom study `index` of `seed`, its images `size` pixels on each side."""
    rng = np.random.default_rng([seed, index])
    plans = draw_plans(rng) if rng.random() < 0.5 else []
    patient = patient_with(plans, rng)
    frontal, anatomy = draw_anatomy(patient, plans, size, rng)
    views = [frontal]
    if (beside := _chosen(seed, index, LATERAL, additions.lateral)) is not None:
        views.append(draw_lateral(patient, frontal.shown, size, beside))
    present = _findings(views)
    names = {finding.name for finding in present}
    for number, stream in enumerate((OCCLUSION, LATERAL_OCCLUSION)[: len(views)]):
        if (occlusion := _chosen(seed, index, stream, additions.occluded)) is not None:
            views[number] = occluded_view(views[number], occlusion)
    findings = _findings(views)
    places = set(map(place_of, findings))
    hidden = frozenset(f.name for f in present if place_of(f) not in places)
    images = [PhantomImage(view.pixels, view.mask, view.view) for view in views]
    comparison: tuple[Marked, ...] = ()
    if (before := _chosen(seed, index, PRIOR, additions.prior)) is not None:
        earlier = draw_earlier(patient, frontal.shown, names, before)
        old = draw_frontal(earlier.patient, earlier.plans, size, before)
        images.append(PhantomImage(old.pixels, None, old.view, prior=True))
        comparison = compare(findings, hidden, earlier, old, before)
    context = ReportContext(
        patient.view, patient.lung_height < 18.0, patient.degenerative, hidden, comparison
    )
    report, phrases = write_report(findings, rng, context)
    reason = _chosen(seed, index, INDICATION, additions.indication)
    return Phantom(
        images=tuple(images),
        findings=tuple(findings),
        report=report,
        phrases=phrases,
        indication=draw_indication(names, reason) if reason is not None else "",
        places=absent_places(anatomy, names) if views[0] is frontal else (),
    )


def _chosen(seed: int, index: int, stream: int, probability: float) -> np.random.Generator | None:
    """The generator of what is chosen with `probability`, None where it is not."""
    rng = np.random.default_rng([seed, index, stream])
    return rng if rng.random() < probability else None


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
