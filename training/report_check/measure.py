"""Reports with known errors, checked: what is found of each kind, beside three baselines."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data_prep.manifest import Study
from data_prep.phantom.report_errors import CODE_OF, KINDS, altered, true_report
from model.alternatives import EncodedStudy
from model.check import Fits, Measured, called, measure
from model.exam import encode_studies
from model.generator import ReportGenerator
from model.imaging.read import read_image
from model.presence import Presence, presence_of
from model.report_text.statements import read_statements
from training.bootstrap import Bootstrap, Score
from training.teacher_forcing import given_of

__all__ = ["BASELINES", "Detection", "ReportRead", "Source", "detection", "read_reports"]

PLACES = ("side", "zone", "severity")

Source = Callable[["ReportRead"], Sequence[Measured]]
"""What one of the compared methods says of a report."""


@dataclass(frozen=True)
class ReportRead:
    """One report of a study, and what is measured of every error it could have."""

    row: int
    kind: str | None
    """The error that it has; None of a true one."""
    name: str | None
    """The finding that the error is about."""
    measured: Sequence[Measured]
    """With the images."""
    prior: Sequence[Measured]
    """By the same decoder without them."""


BASELINES: dict[str, Source] = {
    "without the images": lambda read: read.prior,
    "presence alone": lambda read: [each for each in read.measured if each.code not in PLACES],
    "always correct": lambda read: (),
}
"""Each with thresholds of its own, chosen as those of the check are."""


@dataclass(frozen=True)
class Detection:
    """How well one method finds errors. Mappings have a key per kind."""

    precision: Mapping[str, Score]
    recall: Mapping[str, Score]
    f1: Mapping[str, Score]
    false_alarms: Score
    """Share of true reports of which anything is called an error."""
    false_alarms_by_kind: Mapping[str, Score]
    missed: Mapping[str, Mapping[str, tuple[int, int]]]
    """By kind and finding: errors that were not found, and all."""


def read_reports(
    generator: ReportGenerator, data: Path, studies: Sequence[Study], seed: int
) -> Iterator[ReportRead]:
    """Of each study its report in other words, and one with an error of each kind it can have.

    Args:
        data: prepared folder of phantoms.
        seed: of the wordings and the errors.
    """
    model, tokenizer = generator.model, generator.tokenizer
    blind: Presence | None = None
    for row, study in enumerate(tqdm(studies, "checking reports", unit=" studies")):
        pixels = [read_image(data / image.path).pixels for image in study.images]
        given = given_of(study, tokenizer, model.config.prompt_tokens)
        squares = [model.place(*image.shape).apply(image) for image in pixels]
        memory = encode_studies(model, [squares], [given.kinds], [given.prompt])
        nothing = model.without_images(memory)
        [presence] = presence_of(model, memory, tokenizer)
        if blind is None:
            [blind] = presence_of(model, nothing, tokenizer)
        seen = EncodedStudy(model, memory, tokenizer)
        unseen = EncodedStudy(model, nothing, tokenizer)
        for kind, name, text in _reports(study, np.random.default_rng([seed, row])):
            statements = read_statements(text)
            yield ReportRead(
                row=row,
                kind=kind,
                name=name,
                measured=measure(seen, presence, statements),
                prior=measure(unseen, blind, statements, less_prior=False),
            )


def _reports(
    study: Study, rng: np.random.Generator
) -> Iterator[tuple[str | None, str | None, str]]:
    yield None, None, true_report(study, rng)
    for kind in KINDS:
        wrong = altered(study, kind, rng)
        if wrong is not None:
            yield kind, wrong.name, wrong.text


def detection(reports: Sequence[ReportRead], fits: Fits, studies: int, source: Source) -> Detection:
    """Score a method. Of a kind, as many true reports as wrong ones count: those of the studies
    that can have the error.

    A finding called under the right code counts as found; any other call of that code as an alarm.
    """
    bootstrap = Bootstrap(studies)
    codes = {kind: np.zeros((5, studies)) for kind in KINDS}
    alarmed = np.zeros(studies)
    missed: dict[str, dict[str, tuple[int, int]]] = {kind: {} for kind in KINDS}
    true_calls = {}
    for report in reports:
        calls = {(each.code, each.stated.name) for each in called(fits, source(report))}
        if report.kind is None:
            true_calls[report.row] = calls
            alarmed[report.row] = bool(calls)
            continue
        code = CODE_OF[report.kind]
        right = (code, report.name) in calls
        others = any(call == code and name != report.name for call, name in calls)
        false = others + any(call == code for call, _ in true_calls[report.row])
        codes[report.kind][:, report.row] = (right, not right, false, 1, 0)
        lost, every = missed[report.kind].get(str(report.name), (0, 0))
        missed[report.kind][str(report.name)] = (lost + (not right), every + 1)
    for kind in KINDS:
        for row, calls in true_calls.items():
            codes[kind][4, row] = any(call == CODE_OF[kind] for call, _ in calls)
    read = np.isin(np.arange(studies), list(true_calls)).astype(float)
    return Detection(
        precision={k: bootstrap.ratio(c[0], c[0] + c[2]) for k, c in codes.items()},
        recall={k: bootstrap.ratio(c[0], c[3]) for k, c in codes.items()},
        f1={k: _f1(bootstrap, c) for k, c in codes.items()},
        false_alarms=bootstrap.ratio(alarmed, read),
        false_alarms_by_kind={k: bootstrap.ratio(c[4], read) for k, c in codes.items()},
        missed=missed,
    )


def _f1(bootstrap: Bootstrap, counts: NDArray[np.float64]) -> Score:
    """Of (right, missed, false, with the error, ...) per study; n is how many have the error."""
    right, missed, false, cases = counts[:4]
    score = bootstrap.ratio(2 * right, 2 * right + missed + false)
    return replace(score, n=int(cases.sum()))
