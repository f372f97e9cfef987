"""Whether the images of one study are of one patient, and its earlier ones of the same and earlier.

Compares hashes and dates that the files hold; what it says names images by their number, never what
they hold.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from model.errors import IdentityMismatch
from model.exam import Exam
from model.imaging.radiograph import Identity

__all__ = ["StudyWarning", "check_identity"]


@dataclass(frozen=True)
class StudyWarning:
    """What speaks against reporting on images as one study."""

    code: Literal["identity_mismatch", "identity_unchecked"]
    """"identity_mismatch": they are of different patients or studies, and the user insisted.
    "identity_unchecked": files do not say whose they are."""
    message: str
    """One sentence."""


def check_identity(exam: Exam, insist: bool = False) -> tuple[StudyWarning, ...]:
    """Compare the identities of a study's images.

    Args:
        insist: return what does not agree as warnings instead of raising it.

    Raises:
        IdentityMismatch: images of different patients or studies, or an earlier study that is not
            earlier.
    """
    identities = [image.identity for image in exam.shown]
    own = len(exam.images)
    mismatches = list(_mismatches(identities, own))
    if mismatches and not insist:
        raise IdentityMismatch(f"{mismatches[0]}: send the files of one study of one patient")
    warnings = [StudyWarning("identity_mismatch", f"Reported anyway: {m}.") for m in mismatches]
    if unchecked := _unchecked(identities, own):
        warnings.append(StudyWarning("identity_unchecked", unchecked))
    return tuple(warnings)


def _mismatches(identities: Sequence[Identity], own: int) -> Iterator[str]:
    """What does not agree, the gravest first."""
    if pair := _differing(identities, lambda identity: identity.patient):
        yield f"images {pair[0]} and {pair[1]} are of different patients (PatientID)"
    if pair := _differing(identities[:own], lambda identity: identity.study):
        yield f"images {pair[0]} and {pair[1]} are of different studies (StudyInstanceUID)"
    current = identities[0]
    for number, prior in enumerate(identities[own:], own + 1):
        if current.study is not None and prior.study == current.study:
            yield f"image {number} is given as of an earlier study and is of this one"
        elif _is_earlier(prior, current) is False:
            yield f"image {number} is given as of an earlier study and is not earlier (StudyDate)"


def _differing(
    identities: Iterable[Identity], value: Callable[[Identity], str | None]
) -> tuple[int, int] | None:
    """Numbers of the first two images, from 1, whose values are known and differ."""
    known = [(n, v) for n, i in enumerate(identities, 1) if (v := value(i)) is not None]
    return next(((known[0][0], n) for n, v in known if v != known[0][1]), None)


def _is_earlier(prior: Identity, current: Identity) -> bool | None:
    """Whether a study was made before another one; None where their files do not say."""
    if not (prior.date and current.date):
        return None
    if prior.date != current.date:
        return prior.date < current.date
    return prior.time < current.time if prior.time and current.time else None


def _unchecked(identities: Sequence[Identity], own: int) -> str | None:
    """What could not be compared, as one sentence; None where everything was."""
    numbers = _silent(identities[:own])
    no_patient = all(identity.patient is None for identity in identities[:own])
    for number, prior in enumerate(identities[own:], own + 1):
        if no_patient or prior.patient is None:
            numbers.append(number)
    if numbers:
        which = "file of image" if len(numbers) == 1 else "files of images"
        return (
            f"Not checked whether all images are of one patient: the {which} "
            f"{', '.join(map(str, numbers))} cannot be compared with the others."
        )
    if any(_is_earlier(prior, identities[0]) is None for prior in identities[own:]):
        return "Not checked whether the earlier study is earlier: the files do not say."
    return None


def _silent(identities: Sequence[Identity]) -> list[int]:
    """Numbers, from 1, of a study's own images that cannot be compared with one another."""
    studies = [identity.study for identity in identities]
    patients = [identity.patient for identity in identities]
    if len(identities) < 2 or None not in studies or None not in patients:
        return []
    return [n for n, both in enumerate(zip(studies, patients, strict=True), 1) if None in both]
