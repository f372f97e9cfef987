"""Which findings of a study are known to be there or not: from boxes, labels or its report."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from data_prep.labels import NO_FINDING, finding_of
from data_prep.manifest import FINDINGS, Study
from model.errors import DataError
from model.report_text.parser import read_findings

__all__ = ["EVERY", "Truth", "kind_of", "label_truth", "truth_of"]

EVERY = frozenset(range(len(FINDINGS)))


@dataclass(frozen=True)
class Truth:
    """Positions in FINDINGS."""

    present: frozenset[int]
    known: frozenset[int]
    """Those of which it is known whether they are there, `present` among them."""


def truth_of(study: Study, complete: bool) -> Truth:
    """What is known of a study's findings.

    Args:
        complete: what has no box is not there, as in phantoms. Otherwise the labels tell, or, where
            there are none, what the report asserts and what it leaves out.

    Raises:
        DataError: a finding that is none of FINDINGS.
    """
    if complete:
        there = (finding.name for finding in study.findings if not finding.absent)
        return Truth(frozenset(map(kind_of, there)), EVERY)
    if study.labels is not None:
        return label_truth(study.labels)
    return Truth(_asserted(study.report), EVERY)


def label_truth(labels: Mapping[str, int]) -> Truth:
    """Findings by label, or by their own name: 1 present, 0 absent, -1 or missing unknown.

    A finding is absent where all labels of its kind are. Where labels are mined from reports, an
    opacity may have been called by another name (edema, atelectasis, a mass): it is absent only
    where nothing at all is present.
    """
    present: set[int] = set()
    absent: set[int] = set()
    unknown: set[int] = set()
    for label, value in labels.items():
        if (name := finding_of(label)) is not None:
            {1: present, 0: absent}.get(value, unknown).add(kind_of(name))
    if any(value == 1 for label, value in labels.items() if label != NO_FINDING):
        unknown.add(kind_of("opacity"))
    return Truth(frozenset(present), frozenset(present | (absent - unknown)))


@lru_cache(maxsize=100_000)
def _asserted(report: str) -> frozenset[int]:
    names = {finding.name for finding in read_findings(report)}
    return frozenset(FINDINGS.index(name) for name in names if name in FINDINGS)


def kind_of(name: str) -> int:
    """A finding's place in FINDINGS."""
    try:
        return FINDINGS.index(name)
    except ValueError:
        raise DataError(f"finding {name!r} is none of {FINDINGS}") from None
