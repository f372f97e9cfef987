"""A phantom's report with one error of a known kind, the kinds of ReXErr (Rao et al. 2024).

The report is written anew from the findings as the error has them, so that nothing but the images
distinguishes it from a true one: no sentence is out of place, and findings and impression agree. A
true report to compare with is written anew in the same way.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from data_prep.manifest import FINDINGS, Finding, Study
from data_prep.phantom.plan import SIDED, ZONED, details
from data_prep.phantom.report import ReportContext, write_report
from model.alternatives import SIDES, ZONES
from model.report_text.statements import SEVERITIES, Statement, read_statements

__all__ = ["CODE_OF", "KINDS", "Altered", "altered", "true_report"]

CODE_OF = {
    "side": "side",
    "negation": "denied",
    "insertion": "unseen",
    "deletion": "missing",
    "zone": "zone",
    "severity": "severity",
}
"""Kind of error -> the code of model/check.py that finds it. A negation flip denies what is there;
an assertion of what is not there is an insertion, whether or not the true report denied it."""
KINDS = tuple(CODE_OF)
TRIES = 12
"""Wordings drawn until one states the error plainly: not every report denies every finding."""


@dataclass(frozen=True)
class Altered:
    """A report with an error."""

    text: str
    kind: str
    name: str
    """The finding that it is about."""


def true_report(study: Study, rng: np.random.Generator) -> str:
    """Another wording of a phantom's report."""
    return _written(study, study.findings, rng)


def altered(study: Study, kind: str, rng: np.random.Generator) -> Altered | None:
    """The study's report with an error of one kind; None where it can have none.

    Args:
        study: a phantom's.
    """
    changes = list(_CHANGES[kind](study, rng))
    for number in rng.permutation(len(changes)).tolist():
        findings, wrong, hidden = changes[number]
        for _ in range(TRIES):
            text = _written(study, findings, rng, hidden)
            if _states(read_statements(text), kind, wrong):
                return Altered(text, kind, wrong.name)
    return None


def _written(
    study: Study,
    findings: Sequence[Finding],
    rng: np.random.Generator,
    hidden: frozenset[str] = frozenset(),
) -> str:
    context = ReportContext(study.images[0].view or "PA", hidden=hidden)
    return write_report(findings, rng, context)[0]


Change = tuple[Sequence[Finding], Finding, frozenset[str]]
"""The findings that are reported, the one that is wrong among them or missing from them, and what
the report may neither assert nor deny."""
NOTHING: frozenset[str] = frozenset()


def _moved(study: Study, field: str, values: Sequence[str]) -> Iterator[Change]:
    """Each finding that is the only one of its name, with another side, zone or severity."""
    for place, finding in enumerate(study.findings):
        own = getattr(finding, field)
        if own is None or sum(other.name == finding.name for other in study.findings) > 1:
            continue
        for value in values:
            if value != own:
                change: dict[str, Any] = {field: value}
                wrong = replace(finding, **change)
                rest = study.findings[place + 1 :]
                yield (*study.findings[:place], wrong, *rest), wrong, NOTHING


def _turned(study: Study, rng: np.random.Generator) -> Iterator[Change]:
    return _moved(study, "side", SIDES)


def _zoned(study: Study, rng: np.random.Generator) -> Iterator[Change]:
    return _moved(study, "zone", ZONES)


def _graded(study: Study, rng: np.random.Generator) -> Iterator[Change]:
    return _moved(study, "severity", SEVERITIES)


def _denied(study: Study, rng: np.random.Generator) -> Iterator[Change]:
    for finding, rest in _without(study):
        yield rest, finding, NOTHING


def _deleted(study: Study, rng: np.random.Generator) -> Iterator[Change]:
    for finding, rest in _without(study):
        yield rest, finding, frozenset({finding.name})


def _without(study: Study) -> Iterator[tuple[Finding, list[Finding]]]:
    for name in dict.fromkeys(finding.name for finding in study.findings):
        rest = [finding for finding in study.findings if finding.name != name]
        yield next(f for f in study.findings if f.name == name), rest


def _inserted(study: Study, rng: np.random.Generator) -> Iterator[Change]:
    there = {finding.name for finding in study.findings}
    for name in FINDINGS:
        if name not in there:
            plan = details(name, rng)[0]
            wrong = Finding(name, plan.severity, plan.side, plan.zone, (0, 0, 1, 1))
            yield (*study.findings, wrong), wrong, NOTHING


_CHANGES = {
    "side": _turned,
    "negation": _denied,
    "insertion": _inserted,
    "deletion": _deleted,
    "zone": _zoned,
    "severity": _graded,
}


def _states(statements: Sequence[Statement], kind: str, wrong: Finding) -> bool:
    """Whether a text, as it is read, has the error."""
    of_name = [each for each in statements if each.name == wrong.name]
    asserted = [each for each in of_name if each.present]
    if kind == "deletion":
        return not of_name
    if kind == "negation":
        return bool(of_name) and not asserted
    sides = {side for each in asserted for side in each.sides}
    zones = {each.zone for each in asserted} - {None}
    grades = {each.severity for each in asserted} - {None}
    return (
        bool(asserted)
        and (wrong.name not in SIDED or sides == {wrong.side})
        and (wrong.name not in ZONED or zones == {wrong.zone})
        and (kind != "severity" or grades == {wrong.severity})
    )
