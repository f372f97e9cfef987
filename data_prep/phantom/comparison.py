"""How today's findings compare with a prior image, in sentences that say nothing else."""

import re
from collections.abc import Sequence

import numpy as np

from data_prep.manifest import Finding
from data_prep.phantom import phrases as phrases
from data_prep.phantom.plan import Plan
from data_prep.phantom.prior import Earlier, place_of
from data_prep.phantom.views import View
from data_prep.phantom.wording import Group, Marked, choose, fill, groups_of

__all__ = ["compare"]

ORDER = ("new", "increased", "decreased", "unchanged")
DEVICES = ("endotracheal_tube", "central_line", "pacemaker")
IN_SUM = 0.75
"""Chance that one sentence says it where nothing changed."""


def compare(
    findings: Sequence[Finding],
    hidden: frozenset[str],
    earlier: Earlier,
    old: View,
    rng: np.random.Generator,
) -> tuple[Marked, ...]:
    """The sentences, what changed first. What one of the two studies cannot show is not compared.

    Args:
        findings: today's, what is occluded left out.
        hidden: names of today's findings that are occluded.
        earlier: what there was before.
        old: the image taken then.
    """
    then = {place_of(each.plan) for each in old.shown}
    changes = {p: how for p, how in earlier.changes.items() if how == "new" or p in then}
    gone = [plan for plan in earlier.gone if place_of(plan) in then]
    courses = [changes.get(place_of(finding)) for finding in findings]
    steady = not gone and not hidden and all(how == "unchanged" for how in courses)
    if steady and (not findings or rng.random() < IN_SUM):
        return ((choose(rng, phrases.NO_CHANGE), ()),)
    sentences = [_gone(plan, rng) for plan in gone]
    for how in ORDER:
        those = ((i, finding) for i, finding in enumerate(findings) if courses[i] == how)
        sentences += [_changed(group, how, rng) for group in groups_of(those)]
    return tuple(sentences)


def _changed(group: Group, how: str, rng: np.random.Generator) -> Marked:
    plural = group.side == "bilateral"
    mass = group.name == "nodule" and group.severity() == "severe"
    phrase = phrases.COMPARED["mass" if mass else group.name]
    template = choose(rng, phrases.CHANGES[how])
    marked = fill(
        template, group, rng, np=fill(phrase, group, rng), has="have" if plural else "has"
    )
    return marked, (group.indices(),)


def _gone(plan: Plan, rng: np.random.Generator) -> Marked:
    """No finding of today is spoken of, so no words are marked."""
    finding = Finding(plan.name, plan.severity, plan.side, plan.zone, (0, 0, 1, 1))
    group = Group(plan.name, plan.side, plan.zone, ((0, finding),))
    options = phrases.REMOVED if plan.name in DEVICES else phrases.RESOLVED
    phrase = fill(phrases.COMPARED[plan.name], group, rng)
    return re.sub(r"[][]", "", choose(rng, options).format(np=phrase)), ()
