"""Somebody's report checked against its images: what they contradict, and what it leaves out.

Every statement of the report is compared with what the network sees. Whether a finding is there is
its answer about the finding (presence.py); side, zone and severity are weighed against their
alternatives in the network's own phrases (alternatives.py), sides in its answers too. A comparison
with an earlier image that was not given, and statements that contradict each other, need no image.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model.alternatives import (
    Claim,
    EncodedStudy,
    claim_of,
    denial,
    image_evidence,
    places,
    sentence,
    texts_of,
    variants,
)
from model.heatmap import State, Word, span_of, words
from model.interface import M
from model.presence import NAMES, Presence
from model.questions import answer_log_odds, finding_phrase
from model.report_text.contradictions import contradictions
from model.report_text.parser import read_findings
from model.report_text.statements import Statement
from model.review import comparisons

__all__ = [
    "FITTED",
    "UNFITTED",
    "Code",
    "Fits",
    "Issue",
    "Measured",
    "called",
    "issues_of",
    "measure",
    "probability",
]

Code = Literal["side", "zone", "severity", "denied", "unseen", "missing", "prior", "contradiction"]
FITTED = ("side", "zone", "severity", "denied", "unseen", "missing")
"""Codes that the images decide."""
UNFITTED = (1.0, 0.0, 0.95)
"""Scale, offset and threshold of a network for which none were fitted."""
Fits = Mapping[str, Sequence[float]]
"""By code, or code and finding ("unseen/nodule"), scale, offset and threshold, as
ReportConfig.check."""
_TELLING = ("side", "zone", "severity")


@dataclass(frozen=True)
class Issue:
    """One thing that is wrong with a report, or missing from it."""

    code: Code
    """"side", "zone", "severity": another one is seen. "denied": denied, and seen. "unseen":
    asserted, and not seen. "missing": seen, and neither asserted nor denied. "prior": compared with
    an earlier image that was not given. "contradiction": with another statement."""
    message: str
    name: str | None
    """The finding."""
    spans: tuple[tuple[int, int], ...]
    """[start, end) of the report's text where it is stated; empty of what is missing."""
    probability: float | None
    """In (0, 1) that it is an error; None where that was not fitted or is withheld, and of what
    needs no image."""
    evidence: float | None
    """In nats, of the images for it."""
    suggestion: str
    """What the report could say instead; empty where it should say nothing."""
    state: State
    heatmap: NDArray[np.float32] | None
    """float32 (images, rows, columns): what the decoder attends to when it says so; None of what
    needs no image."""


@dataclass(frozen=True)
class Measured:
    """What the images say of one possible error, before it is called one."""

    code: Code
    statements: tuple[Statement, ...]
    """That state the same; none of what is missing."""
    log_odds: float
    """That it is an error, in nats."""
    calibrated: bool
    stated: Claim
    better: Claim | None
    """What is seen instead; None of what is not seen at all."""
    others: tuple[Claim, ...]
    """The report's other findings."""


def measure(
    study: EncodedStudy[M],
    presence: Presence,
    statements: Sequence[Statement],
    less_prior: bool = True,
) -> list[Measured]:
    """Every error that a report could have, with its log-odds.

    Args:
        statements: of its report.
        less_prior: False: side, zone and severity by what is likely, not by what the images raise.
            With a memory without images that is what the text alone suggests.
    """
    asserted = _grouped([each for each in statements if each.present])
    said = {claim.name for claim in asserted}
    unsaid = tuple(Claim(n) for n in NAMES if presence.of(n) > 0 and n not in said)
    return [
        *_presence_errors(presence, statements, asserted),
        *_place_errors(study, presence, asserted, unsaid, less_prior),
    ]


def _grouped(statements: Sequence[Statement]) -> dict[Claim, tuple[Statement, ...]]:
    """Statements that assert the same; a finding that is said without place or severity, as in an
    impression, goes with the one that has them."""
    groups: dict[Claim, list[Statement]] = {}
    for statement in sorted(statements, key=_said, reverse=True):
        claim = claim_of(statement)
        same = next((each for each in groups if _covers(each, claim)), claim)
        groups.setdefault(same, []).append(statement)
    return {
        claim: tuple(sorted(group, key=lambda each: each.start)) for claim, group in groups.items()
    }


def _said(statement: Statement) -> int:
    return sum((len(statement.sides) == 1, statement.zone is not None, bool(statement.severity)))


def _covers(claim: Claim, less: Claim) -> bool:
    return claim.name == less.name and all(
        getattr(less, field) in (None, getattr(claim, field)) for field in _TELLING
    )


def _presence_errors(
    presence: Presence,
    statements: Sequence[Statement],
    asserted: Mapping[Claim, Sequence[Statement]],
) -> Iterator[Measured]:
    names = {claim.name for claim in asserted}
    others = tuple(asserted)
    for name in NAMES:
        odds, calibrated = presence.of(name), presence.is_calibrated(name)
        denials = tuple(each for each in statements if each.name == name and not each.present)
        rest = tuple(claim for claim in others if claim.name != name)
        if name in names:
            of_name = tuple(each for claim in asserted for each in asserted[claim]
                            if claim.name == name)  # fmt: skip
            stated = next(claim for claim in asserted if claim.name == name)
            yield Measured("unseen", of_name, -odds, calibrated, stated, None, rest)
            continue
        # "No left effusion" beside a right one is no denial of all effusions.
        whole = tuple(each for each in denials if not each.sides)
        code: Code = "denied" if whole else "missing"
        yield Measured(code, whole, odds, calibrated, Claim(name), Claim(name), rest)


def _place_errors(
    study: EncodedStudy[M],
    presence: Presence,
    asserted: Mapping[Claim, Sequence[Statement]],
    unsaid: Sequence[Claim],
    less_prior: bool,
) -> Iterator[Measured]:
    """Each asserted finding against the other side, the other zones and the other severities.

    Args:
        unsaid: what is seen beside; the network would rather say it than what it is asked for.
    """
    cases: list[tuple[Code, Claim, list[Claim]]] = []
    texts: list[tuple[str, int]] = []
    others: dict[Claim, tuple[Claim, ...]] = {}
    for claim in asserted:
        rest = tuple(each for each in asserted if each.name != claim.name)
        others[claim] = (*rest, *unsaid)
        same_name = [each for each in asserted if each.name == claim.name and each != claim]
        for code in _TELLING:
            choices = variants(claim, code)
            # What the report says too is no error of this statement.
            choices = [choices[0], *(c for c in choices[1:] if not _is_said(c, same_name))]
            if len(choices) > 1:
                cases.append((code, claim, choices))  # type: ignore[arg-type]
                texts += texts_of(choices, others[claim])
    if not cases:
        return
    evidence = iter(image_evidence(study, texts, less_prior).tolist())
    sides = [each for code, _, each in cases if code == "side"]
    answers = _answers_of_sides(study, sides, less_prior)
    for code, claim, choices in cases:
        raised = np.array([next(evidence) for _ in choices])
        if code == "side" and (answered := next(answers, None)) is not None:
            raised = (raised + answered) / 2
        own, *alternatives = raised.tolist()
        best = int(np.argmax(alternatives))
        yield Measured(
            code,
            tuple(asserted[claim]),
            alternatives[best] - own,
            presence.is_calibrated(claim.name),
            claim,
            choices[1 + best],
            others[claim],
        )


def _answers_of_sides(
    study: EncodedStudy[M], cases: Sequence[Sequence[Claim]], less_prior: bool
) -> Iterator[NDArray[np.float64]]:
    """Of each case the log-odds of "left opacity: present" and its like for each of its claims, by
    how much the images raise them.

    A sentence draws the side of another finding that the text before it names; a question has no
    text before it. Nothing of a network that was not taught to answer.
    """
    if not (cases and study.engine.config.answers):
        return
    phrases = [
        finding_phrase(claim.name, frozenset({str(claim.side)})) for case in cases for claim in case
    ]
    [found] = answer_log_odds(study.engine, study.memory, study.tokenizer, phrases)
    if less_prior:
        blind = study.engine.without_images(study.memory)
        found = found - answer_log_odds(study.engine, blind, study.tokenizer, phrases)[0]
    odds = iter(found.astype(np.float64))
    for case in cases:
        yield np.array([next(odds) for _ in case])


def _is_said(claim: Claim, stated: Sequence[Claim]) -> bool:
    return any((each.side, each.zone) == (claim.side, claim.zone) for each in stated)


def probability(fits: Fits | None, measured: Measured) -> float:
    """That it is an error; calibrated where the network has been fitted."""
    scale, offset, _ = _fitted(fits, measured)
    return 0.5 * (1 + math.tanh((scale * measured.log_odds + offset) / 2))  # exp would overflow


def _fitted(fits: Fits | None, measured: Measured) -> Sequence[float]:
    """Of its code and finding, else of its code: findings are not equally easy to see."""
    of_code = (fits or {}).get(measured.code, UNFITTED)
    return (fits or {}).get(f"{measured.code}/{measured.stated.name}", of_code)


def called(fits: Fits | None, measured: Sequence[Measured]) -> list[Measured]:
    """Those that reach their threshold. Of a finding that is not seen, or on the other side, no
    place and no severity is an error too."""
    reached = [each for each in measured if probability(fits, each) >= _fitted(fits, each)[2]]
    unseen = {each.stated.name for each in reached if each.code == "unseen"}
    turned = {each.stated for each in reached if each.code == "side"}
    return [
        each
        for each in reached
        if each.code not in _TELLING
        or (each.stated.name not in unseen and (each.code == "side" or each.stated not in turned))
    ]


def issues_of(
    study: EncodedStudy[M],
    text: str,
    read_words: Sequence[Word],
    measured: Sequence[Measured],
    priors: Sequence[bool],
) -> tuple[Issue, ...]:
    """What is wrong with a report, in the order of its text; what is missing comes last.

    Args:
        read_words: the report's words.
        measured: what `measure` says of it.
        priors: per image, True where it is of an earlier study.
    """
    # What was fitted on phantoms says nothing of findings that did not hold on radiographs.
    known = called(study.engine.config.check, [each for each in measured if each.calibrated])
    others = called(None, [each for each in measured if not each.calibrated])
    found = [_issue(study, text, read_words, each) for each in (*known, *others)]
    flags = [] if any(priors) else list(comparisons(text))
    found += [_of_text("prior", each.message, each.start, each.end) for each in flags]
    found += [
        _of_text("contradiction", each.message, each.start, each.end)
        for each in contradictions(text)
    ]
    end = len(text)
    return tuple(sorted(found, key=lambda issue: issue.spans[0] if issue.spans else (end, end)))


def _of_text(code: Code, message: str, start: int, end: int) -> Issue:
    return Issue(code, message, None, ((start, end),), None, None, "", "not grounded", None)


def _issue(
    study: EncodedStudy[M],
    text: str,
    read_words: Sequence[Word],
    measured: Measured,
) -> Issue:
    config, better = study.engine.config, measured.better
    fitted = measured.calibrated and config.check is not None
    if better is not None and better == Claim(better.name):
        better = _best_place(study, measured)
    if better is None:
        span = span_of(
            text,
            measured.statements[0].start,
            measured.statements[0].end,
            read_words,
            [k for s in measured.statements for k, word in enumerate(read_words)
             if word.start < s.end and word.end > s.start],
            read_words[0].heatmap.shape,
        )  # fmt: skip
        state, heatmap = span.state, span.heatmap
    else:
        state, heatmap = _region(study, better, measured.others)
    return Issue(
        code=measured.code,
        message=_message(measured, better),
        name=measured.stated.name,
        spans=tuple(dict.fromkeys((s.start, s.end) for s in measured.statements)),
        probability=probability(config.check, measured) if fitted else None,
        evidence=measured.log_odds,
        suggestion=denial(measured.stated.name) if better is None else sentence(better),
        state=state,
        heatmap=heatmap,
    )


def _best_place(study: EncodedStudy[M], measured: Measured) -> Claim:
    """The place at which a finding that is not asserted is seen."""
    choices = places(measured.stated.name)
    evidence = image_evidence(study, texts_of(choices, measured.others))
    return choices[int(evidence.argmax())]


def _region(
    study: EncodedStudy[M], claim: Claim, others: Sequence[Claim]
) -> tuple[State, NDArray[np.float32]]:
    """What the decoder attends to when it says so."""
    [(text, start)] = texts_of([claim], others)
    tokens = study.tokenizer.encode(text).ids[: study.engine.config.max_tokens - 1]
    [spoken] = words(study.engine, study.memory, [tokens], study.tokenizer)
    named = [found for found in read_findings(text) if found.start >= start]
    which = [
        k
        for k, word in enumerate(spoken)
        if any(word.start < b and word.end > a for found in named for a, b in found.words)
    ]
    shape = spoken[0].heatmap.shape
    span = span_of(text, start, len(text), spoken, which, shape)
    return span.state, span.heatmap


def _message(measured: Measured, better: Claim | None) -> str:
    name = measured.stated.name.replace("_", " ")
    stated, code = measured.stated, measured.code
    if better is None:
        return f"{name} is asserted and not seen."
    if code == "denied":
        return f"{name} is denied and seen{_at(better)}."
    if code == "missing":
        return f"{name} is seen{_at(better)} and not mentioned."
    own, other = getattr(stated, code), getattr(better, code)
    return f"{name} is stated as {own}; the images rather show {other}."


def _at(claim: Claim) -> str:
    where = " ".join(word for word in (claim.side, claim.zone) if word)
    return f" ({where})" if where else ""
