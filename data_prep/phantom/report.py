"""A phantom's findings -> a report in the manner of radiologists, with the phrases that name them.

Knows the truth about the images and nothing else: no history, no age, no rib numbers. How today
compares with a prior image is written by data_prep/phantom/comparison.py.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from data_prep.manifest import FINDINGS, Finding, Phrase
from data_prep.phantom import phrases as phrases
from data_prep.phantom.wording import (
    SEVERITIES,
    Group,
    Marked,
    capital,
    choose,
    fill,
    groups_of,
    severity_word,
)
from model.errors import DataError

__all__ = ["ReportContext", "write_report"]

MAX_WORDS = 110
BRIEF = 4  # groups in a brief impression
DEVICES = ("endotracheal_tube", "central_line", "pacemaker")
IN_LUNG = ("opacity", "edema", "atelectasis", "nodule")
# What matters most comes first in an impression.
URGENCY = (
    "pneumothorax",
    "opacity",
    "pleural_effusion",
    "edema",
    "cardiomegaly",
    "nodule",
    "atelectasis",
    "rib_fracture",
    "hiatal_hernia",
    "hyperinflation",
    *DEVICES,
)
TOPICS = {
    "devices": DEVICES,
    "lungs": ("hyperinflation", "opacity", "edema", "atelectasis", "nodule"),
    "pleura": ("pleural_effusion", "pneumothorax"),
    "heart": ("cardiomegaly", "hiatal_hernia"),
    "bones": ("rib_fracture",),
}
ORDERS = (
    ("devices", "lungs", "pleura", "heart", "bones"),
    ("heart", "lungs", "pleura", "bones", "devices"),
    ("lungs", "pleura", "heart", "bones", "devices"),
    ("devices", "heart", "lungs", "pleura", "bones"),
)


@dataclass
class _Text:
    """A report as it grows, sentence by sentence."""

    text: str = ""
    spans: list[Phrase] = field(default_factory=list)

    def add(self, marked: str, indices: Sequence[tuple[int, ...]]) -> None:
        """Append text whose k-th [bracket] speaks of the findings indices[k]."""
        if self.text:
            self.text += " "
        of_bracket = iter(indices)
        for piece in re.split(r"(\[[^]]*\])", marked):
            if piece.startswith("["):
                start = len(self.text)
                self.text += piece[1:-1]
                self.spans.append(Phrase(start, len(self.text), next(of_bracket)))
            else:
                self.text += piece


@dataclass(frozen=True)
class ReportContext:
    """What a report may mention beside the findings."""

    view: str = "PA"
    """"PA" or "AP"; the projection may be named."""
    low_inspiration: bool = False
    """Low lung volumes may be mentioned."""
    degenerative_spine: bool = False
    """Degenerative changes may be mentioned."""
    hidden: frozenset[str] = frozenset()
    """Findings that cannot be judged: they are neither asserted nor denied."""
    comparison: Sequence[Marked] = ()
    """Sentences that end the Findings; the last are left out where there is no room."""


def write_report(
    findings: Sequence[Finding],
    rng: np.random.Generator,
    context: ReportContext = ReportContext(),
) -> tuple[str, tuple[Phrase, ...]]:
    """Write "Findings: ... Impression: ..." for one phantom; the same rng state, the same text.

    Args:
        findings: the truth; names of FINDINGS.

    Returns:
        The text (at most about 110 words) and its phrases in order: [start, end) characters that
        assert findings, with their positions in `findings`.

    Raises:
        DataError: a finding or view that is not known.
    """
    for finding in findings:
        if finding.name not in FINDINGS:
            raise DataError(f"unknown finding {finding.name!r}: expected one of {FINDINGS}")
    if context.view not in ("PA", "AP"):
        raise DataError(f"unknown view {context.view!r}: expected 'PA' or 'AP'")
    groups = sorted(groups_of(enumerate(findings)), key=lambda group: URGENCY.index(group.name))
    full = len(context.comparison)
    tries = [("full", full), ("plain", full), *(("brief", most) for most in range(full, -1, -1))]
    for detail, most in tries:
        part = replace(context, comparison=context.comparison[:most])
        text = _compose(groups, rng, part, detail)
        if len(text.text.split()) <= MAX_WORDS:
            break
    return text.text, tuple(text.spans)


def _compose(
    groups: list[Group], rng: np.random.Generator, context: ReportContext, detail: str
) -> _Text:
    """Write once; detail "plain" leaves out what need not be said, "brief" also shortens the
    impression."""
    names = {group.name for group in groups} | context.hidden
    extras = detail == "full"
    text = _Text("Findings:")
    if extras and rng.random() < 0.12:
        text.add(f"{context.view} view of the chest.", ())
    topics = {
        topic: [_sentence(g, rng, extras) for g in groups if g.name in of_topic]
        for topic, of_topic in TOPICS.items()
    }
    if context.low_inspiration and "hyperinflation" not in names and rng.random() < 0.8:
        topics["lungs"].insert(0, (choose(rng, phrases.LOW_VOLUMES), ()))
    _add_normal(topics, groups, names, rng, context.degenerative_spine and extras, extras)
    for topic in choose(rng, ORDERS):
        for marked, indices in topics[topic]:
            text.add(marked, indices)
    for marked, indices in context.comparison:
        text.add(marked, indices)
    text.add("Impression:", ())
    for marked, indices in _impression(
        groups if detail != "brief" else groups[:BRIEF], rng, extras
    ):
        text.add(marked, indices)
    return text


def _add_normal(
    topics: dict[str, list[Marked]],
    groups: list[Group],
    names: set[str],
    rng: np.random.Generator,
    degenerative_spine: bool,
    extras: bool,
) -> None:
    """Say what is normal or absent, beside what is there."""
    absent = _absent(names, rng)
    if names.isdisjoint(IN_LUNG) and rng.random() < 0.65:
        topics["lungs"].append((choose(rng, phrases.LUNGS_CLEAR), ()))
        if rng.random() < 0.6 and "focal consolidation" in absent:
            absent.remove("focal consolidation")
    if absent:
        topics["pleura"].append((_absence(absent, rng), ()))
    if extras:
        _add_more_normal(topics, names, rng)
    effusions = {group.side for group in groups if group.name == "pleural_effusion"}
    if effusions in ({"right"}, {"left"}) and extras and rng.random() < 0.2:
        other = "left" if effusions == {"right"} else "right"
        topics["pleura"].append((f"No {other} pleural effusion.", ()))
    if "cardiomegaly" not in names:
        hernia = "hiatal_hernia" in names
        normal = phrases.HEART_ONLY_NORMAL if hernia else phrases.HEART_NORMAL
        topics["heart"].insert(0, (choose(rng, normal), ()))
    if degenerative_spine and rng.random() < 0.6:
        topics["bones"].append((choose(rng, phrases.DEGENERATIVE), ()))
    elif "rib_fracture" not in names and extras and rng.random() < 0.75:
        topics["bones"].append((choose(rng, phrases.NORMAL_BONES), ()))


def _add_more_normal(
    topics: dict[str, list[Marked]], names: set[str], rng: np.random.Generator
) -> None:
    """Normal statements that many reports hold and none needs, fewer where much is wrong."""
    rate = 0.3 if not names else 0.12
    if "edema" not in names and rng.random() < rate:
        topics["lungs"].append((choose(rng, phrases.NORMAL_VESSELS), ()))
    if names.isdisjoint({"pleural_effusion", "hyperinflation"}) and rng.random() < rate:
        topics["pleura"].append((choose(rng, phrases.NORMAL_DIAPHRAGM), ()))
    if names.isdisjoint({"hiatal_hernia", "nodule"}) and rng.random() < rate:
        topics["heart"].append((choose(rng, phrases.NORMAL_MEDIASTINUM), ()))
    if "hiatal_hernia" not in names and rng.random() < rate:
        topics["bones"].append((choose(rng, phrases.NORMAL_ABDOMEN), ()))


def _absent(names: set[str], rng: np.random.Generator) -> list[str]:
    absent = []
    if "opacity" not in names:
        absent.append("focal consolidation")
    if "edema" not in names and rng.random() < 0.15:
        absent.append("pulmonary edema")
    if "pleural_effusion" not in names:
        absent.append("pleural effusion")
    if "pneumothorax" not in names:
        absent.append("pneumothorax")
    return absent


def _absence(absent: list[str], rng: np.random.Generator) -> str:
    *most, last = absent
    listed = f"{', '.join(most)} or {last}" if most else last
    return choose(rng, phrases.ABSENT).format(absent=listed)


def _impression(groups: list[Group], rng: np.random.Generator, extras: bool) -> list[Marked]:
    if not groups:
        return [(choose(rng, phrases.NORMAL_IMPRESSIONS), ())]
    sentences: list[Marked] = []
    waiting: list[tuple[str, Group]] = []
    for group in groups:
        # alone: training that leaves out the lateral leaves out the sentence
        if _is_trace(group) and waiting:
            sentences.append(_summary(waiting, rng, extras))
            waiting = []
        waiting.append((_noun_phrase(group, rng), group))
        if len(waiting) == 2 or _is_trace(group) or rng.random() < 0.65:
            sentences.append(_summary(waiting, rng, extras))
            waiting = []
    if waiting:
        sentences.append(_summary(waiting, rng, extras))
    quiet = {"hiatal_hernia", "hyperinflation", *DEVICES}
    if all(group.name in quiet for group in groups):
        sentences.append((choose(rng, phrases.NORMAL_IMPRESSIONS[:3]), ()))
    elif extras and rng.random() < 0.2:
        sentences.append((choose(rng, phrases.OTHERWISE_NORMAL), ()))
    return sentences


def _summary(waiting: list[tuple[str, Group]], rng: np.random.Generator, extras: bool) -> Marked:
    """One sentence of the impression: noun phrases joined by "and"."""
    marked = " and ".join(phrase for phrase, _ in waiting)
    last = waiting[-1][1]
    brackets = [group.indices() for phrase, group in waiting for _ in range(phrase.count("["))]
    if last.name in DEVICES and all(group.name in DEVICES for _, group in waiting):
        marked += " in place"
    elif extras and last.name in phrases.TAILS and rng.random() < 0.5:
        tail = choose(rng, phrases.TAILS[last.name])
        marked += tail
        brackets += [last.indices()] * tail.count("[")
    return capital(f"{marked}."), tuple(brackets)


def _sentence(group: Group, rng: np.random.Generator, extras: bool) -> Marked:
    """The sentence of the Findings that asserts a group."""
    if _is_trace(group):
        marked = choose(rng, phrases.TRACE_EFFUSION)
        return marked, (group.indices(),) * marked.count("[")
    options = phrases.SENTENCES[group.name]
    larger = _larger_side(group)
    mild_or_severe = f"{group.name} {group.severity()}"
    one_side = group.side in ("right", "left")
    if group.name == "pleural_effusion" and larger and rng.random() < 0.8:
        return _unequal_effusions(group, larger, rng)
    if one_side and mild_or_severe in phrases.SPECIAL_SENTENCES and rng.random() < 0.3:
        options = phrases.SPECIAL_SENTENCES[mild_or_severe]
    template = choose(rng, options)
    phrase = _noun_phrase(group, rng)
    if group.severity() == "mild" and template.startswith("There {is} @") and rng.random() < 0.12:
        template = choose(rng, ("Possible {np}.", "Probable {np}."))
    tails = phrases.TAILS.get(group.name)
    tail = choose(rng, tails) if tails and extras and rng.random() < 0.4 else ""
    marked = fill(template, group, rng, np=phrase, tail=tail)
    return capital(marked), (group.indices(),) * marked.count("[")


def _is_trace(group: Group) -> bool:
    """An effusion that only the lateral shows: nobody can tell on which side."""
    return group.name == "pleural_effusion" and group.side is None


def _unequal_effusions(group: Group, larger: str, rng: np.random.Generator) -> Marked:
    template = choose(rng, phrases.UNEQUAL_EFFUSIONS)
    words = {side: severity_word(group, rng, side) for side in ("right", "left")}
    marked = template.format(larger=larger, **words)
    if marked.count("[") == 1:
        return marked, (group.indices(),)
    return marked, (group.indices("right"), group.indices("left"))


def _larger_side(group: Group) -> str | None:
    """The side with the worse finding, None where both are alike or there is one side only."""
    right, left = (group.severity(side) for side in ("right", "left"))
    if group.side != "bilateral" or not right or not left or right == left:
        return None
    return "right" if SEVERITIES.index(right) > SEVERITIES.index(left) else "left"


def _noun_phrase(group: Group, rng: np.random.Generator) -> str:
    kind = "trace_effusion" if _is_trace(group) else group.name
    if kind == "nodule" and group.severity() == "severe":
        kind = "mass"
    elif kind == "opacity" and group.severity() != "mild" and rng.random() < 0.35:
        kind = "consolidation"
    return fill(choose(rng, phrases.NOUN_PHRASES[kind]), group, rng)
