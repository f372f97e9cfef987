"""How well maps lie on boxes, for every method of making them, and what occlusion does to a report.

Two kinds of cases. (a) The reference report is forced, and every word of a phrase that names
findings is compared with their boxes: all methods are measured on the same words, also on those
that the model would not have written. (b) The model's own report, the words in it that name a true
finding; for the maps that CrossRay shows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from data_prep.manifest import Study
from model.generator import ReportGenerator
from model.report import Report
from model.torch_network import Network, torch_network
from training.bootstrap import Bootstrap
from training.denied_places import with_denied_places
from training.evaluation.named_words import named_words
from training.grounding.cases import (
    Case,
    Subject,
    one_side,
    patches_inside,
    whole_phrases,
)
from training.grounding.denials import measure_denials
from training.grounding.map_scores import MEASURES, Ground, Measured, measure, size_of
from training.grounding.methods import (
    METHODS,
    ChosenHeads,
    Method,
    head_maps,
    methods_for,
    shown,
)
from training.grounding.occluded_findings import OCCLUSION, occlude_findings
from training.grounding.occlusion import areas_under
from training.grounding.results import Grounding, Scored
from training.grounding.word_states import Words
from training.study_inputs import exam_of
from training.teacher_forcing import TeacherForced, force

__all__ = ["EVERYTHING", "Options", "ground", "ground_boxes"]

BATCH = 8
CHOOSING = 200
"""Studies that heads are chosen on, half for each half."""
SAMPLED = ("deletion", "insertion")
"""Measures that are taken on the sample only."""
SLOW = ("occlusion",)
"""Methods that are measured on the sample only."""


@dataclass(frozen=True)
class Options:
    """How much is measured."""

    methods: tuple[str, ...] = METHODS
    sample: int = 40
    """Studies for occlusion, deletion and insertion: a case is the first phrase of each."""
    occluded: int = 300
    """Studies of the occlusion test."""
    limit: int | None = None
    """Only the first studies, or phrases of a box file; None is all."""
    progress: bool = True


EVERYTHING = Options()


@dataclass(frozen=True)
class _Heads:
    method: ChosenHeads
    names: Mapping[str, tuple[str, ...]]


def ground(
    generator: ReportGenerator,
    studies: Sequence[Study],
    subjects: Sequence[Subject],
    data_sha256: str,
    options: Options = EVERYTHING,
) -> Grounding:
    """Measure a model's maps on studies whose truth is known.

    Args:
        subjects: of the studies, in their order (cases.of_folder).
        data_sha256: of the folder's manifest.

    Raises:
        ConfigError: an unknown method.
    """
    model = torch_network(generator.model)
    bootstrap, threshold = Bootstrap(len(studies)), model.config.grounded_share
    words = Words()
    methods, heads = _measure(model, subjects, options, bootstrap, studies, words)
    return Grounding(
        model=generator.identity.name,
        sha256=generator.identity.sha256,
        data_sha256=data_sha256,
        studies=len(studies),
        methods=methods,
        heads=heads,
        own_report=_own_reports(generator, studies, subjects, options, bootstrap),
        occlusion=_occlusion(generator, studies, subjects, options, bootstrap),
        words=None if threshold is None else words.scores(threshold, bootstrap),
        denials=measure_denials(
            torch_network(generator.model), studies, subjects, options.progress
        ),
    )


def ground_boxes(
    generator: ReportGenerator,
    subjects: Sequence[Subject],
    missing: Sequence[str] = (),
    options: Options = EVERYTHING,
) -> Grounding:
    """Measure a model's maps on images with boxes: where they lie, and nothing of reports.

    Args:
        subjects, missing: cases.of_boxes.

    Raises:
        ConfigError: an unknown method.
        DataError: a box beyond its image.
    """
    bootstrap = Bootstrap(1 + max(subject.row for subject in subjects))
    methods, heads = _measure(torch_network(generator.model), subjects, options, bootstrap)
    return Grounding(
        model=generator.identity.name,
        sha256=generator.identity.sha256,
        data_sha256=None,
        studies=bootstrap.studies,
        methods=methods,
        heads=heads,
        missing=tuple(missing),
    )


def _measure(
    model: Network,
    subjects: Sequence[Subject],
    options: Options,
    bootstrap: Bootstrap,
    studies: Sequence[Study] = (),
    words: Words | None = None,
) -> tuple[dict[str, Scored], Mapping[str, tuple[str, ...]]]:
    """All methods on all cases, and the heads that were chosen."""
    methods = methods_for(model, options.methods)
    speaking = [subject for subject in subjects if subject.cases]
    names: Mapping[str, tuple[str, ...]] = {}
    if "chosen heads" in options.methods:
        heads = _choose_heads(model, speaking, options)
        if heads is not None:
            names = heads.names
            methods = _in_order({**methods, "chosen heads": heads.method})
    measured = {name: Measured() for name in methods}
    for batch, forced, cases in _forced(model, speaking, "maps", options.progress):
        _add_words(words, batch, studies, forced)
        for name, method in methods.items():
            if name not in SLOW:
                _compare(measured[name], batch, forced, cases, method(forced))
    if words is not None:
        silent = [subject for subject in subjects if not subject.cases]
        for batch, forced, _ in _forced(model, silent, "words", options.progress):
            _add_words(words, batch, studies, forced)
    _sample(model, speaking[: options.sample], methods, measured, options)
    return {name: each.scores(MEASURES, bootstrap) for name, each in measured.items()}, names


def _in_order(methods: Mapping[str, Method]) -> dict[str, Method]:
    """Single layers before chosen heads, as METHODS has them."""
    order = {name: place for place, name in enumerate(METHODS)}
    layer = order["each layer"]
    return dict(sorted(methods.items(), key=lambda item: order.get(item[0], layer)))


def _forced(
    model: Network, subjects: Sequence[Subject], what: str, progress: bool
) -> Iterator[tuple[Sequence[Subject], TeacherForced, list[tuple[Case, ...]]]]:
    """Batches of subjects, read and forced, with their cases in the pixels that were read."""
    with tqdm(total=len(subjects), desc=what, unit=" studies", disable=not progress) as bar:
        for first in range(0, len(subjects), BATCH):
            batch = subjects[first : first + BATCH]
            pixels = [subject.read() for subject in batch]
            cases = [
                tuple(case.on(images) for case in subject.cases)
                for subject, images in zip(batch, pixels, strict=True)
            ]
            rows = [subject.row for subject in batch]
            texts = [subject.text for subject in batch]
            spans = [[case.span for case in of_study] for of_study in cases]
            given = [subject.given for subject in batch]
            yield batch, force(model, rows, pixels, given, texts, spans), cases
            bar.update(len(batch))


def _add_words(
    words: Words | None, batch: Sequence[Subject], studies: Sequence[Study], forced: TeacherForced
) -> None:
    if words is not None:
        for subject, look in zip(batch, shown(forced), strict=True):
            words.add(
                subject.row, subject.text, with_denied_places(studies[subject.row]).phrases, look
            )


def _compare(
    measured: Measured,
    batch: Sequence[Subject],
    forced: TeacherForced,
    cases: Sequence[Sequence[Case]],
    maps: Sequence[np.ndarray],
) -> None:
    """Compare one method's maps with the boxes."""
    shape = (-1, *forced.model.grid)
    for number, subject in enumerate(batch):
        field = Ground.of(forced.placements[number])
        inside = {case.places: field.inside(case.places) for case in cases[number]}
        for case, heatmap in zip(cases[number], maps[number], strict=True):
            density = field.density(heatmap.reshape(shape))
            values = measure(density, inside[case.places])
            if case.side is not None:
                values["laterality"] = float(field.side(density) == case.side)
            measured.add(subject.row, case.name, size_of(inside[case.places]), values)


def _choose_heads(model: Network, subjects: Sequence[Subject], options: Options) -> _Heads | None:
    """None where one half has no case: then there is nothing to choose on."""
    maps: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    inside: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for batch, forced, cases in _forced(model, subjects[:CHOOSING], "heads", options.progress):
        for number, subject in enumerate(batch):
            half = subject.row % 2
            maps[half].append(head_maps(forced, number, forced.spans[number]))
            places = forced.placements[number]
            inside[half].extend(
                patches_inside(places, case.places, model.grid)[None] for case in cases[number]
            )
    if not (maps[0] and maps[1]):
        return None
    of_halves = [np.concatenate(half) for half in maps], [np.concatenate(half) for half in inside]
    method = ChosenHeads.chosen(*of_halves)
    heads = model.config.heads
    names = {
        half: tuple(f"layer {1 + k // heads} head {1 + k % heads}" for k in sorted(chosen))
        for half, chosen in zip(("even rows", "odd rows"), method.of_half, strict=True)
    }
    return _Heads(method, names)


def _sample(
    model: Network,
    subjects: Sequence[Subject],
    methods: Mapping[str, Method],
    measured: Mapping[str, Measured],
    options: Options,
) -> None:
    """Deletion and insertion of each sampled study's first phrase; the slow methods' maps."""
    whole = [whole_phrases(subject) for subject in subjects]
    whole = [replace(subject, cases=subject.cases[:1]) for subject in whole]
    progress = options.progress
    for batch, forced, cases in _forced(model, subjects, "occlusion", progress):
        for name in methods.keys() & set(SLOW):
            _compare(measured[name], batch, forced, cases, methods[name](forced))
    for batch, forced, cases in _forced(model, whole, "deletion", progress):
        maps = {name: method(forced) for name, method in methods.items()}
        for number, subject in enumerate(batch):
            (case,) = cases[number]
            of_case = {name: of_method[number][0] for name, of_method in maps.items()}
            areas = areas_under(forced, number, case.span, of_case, seed=subject.row)
            size = size_of(Ground.of(forced.placements[number]).inside(case.places))
            for name, (deletion, insertion) in areas.items():
                values = {"deletion": deletion, "insertion": insertion}
                measured[name].add(subject.row, case.name, size, values)


def _own_reports(
    generator: ReportGenerator,
    studies: Sequence[Study],
    subjects: Sequence[Subject],
    options: Options,
    bootstrap: Bootstrap,
) -> Scored:
    """The words of the model's own reports that name true findings, under the shown maps."""
    measured = Measured()
    speaking = [subject for subject in subjects if studies[subject.row].findings]
    with tqdm(total=len(speaking), desc="own reports", disable=not options.progress) as bar:
        for first in range(0, len(speaking), BATCH):
            batch = speaking[first : first + BATCH]
            exams = [exam_of(generator, studies[each.row], each.paths) for each in batch]
            for subject, report in zip(
                batch, generator.reports(exams, input_check=False), strict=True
            ):
                _compare_own(measured, subject.row, studies[subject.row], report)
            bar.update(len(batch))
    return measured.scores([m for m in MEASURES if m not in SAMPLED], bootstrap)


def _compare_own(measured: Measured, row: int, study: Study, report: Report) -> None:
    field = Ground.of(report.placements)
    for named in named_words(study, report.text, report.words):
        inside = field.inside([(finding.image, finding.box) for finding in named.meant])
        density = field.density(report.words[named.word].heatmap)
        true = [finding for finding in study.findings if finding.name == named.name]
        whole = field.inside([(finding.image, finding.box) for finding in true])
        # Asserted of the wrong side, a word has no box: its map misses, and has no contrast.
        misses = {"pointing_game": 0.0, "miou": 0.0, "mass": 0.0}
        values = measure(density, inside) if named.meant else misses
        if one_side(study, true) is not None and len(named.sides) == 1:
            values["laterality"] = float({field.side(density)} == named.sides)
        measured.add(row, named.name, size_of(whole), values)


def _occlusion(
    generator: ReportGenerator,
    studies: Sequence[Study],
    subjects: Sequence[Subject],
    options: Options,
    bootstrap: Bootstrap,
) -> Scored:
    measured = Measured()
    chosen = [subject for subject in subjects if subject.cases][: options.occluded]
    for subject in tqdm(chosen, "occlusion test", unit=" studies", disable=not options.progress):
        study, pixels = studies[subject.row], subject.read()
        known = (torch_network(generator.model), generator.tokenizer)
        for case in occlude_findings(*known, study, pixels, subject):
            measured.add(subject.row, *case)
    return measured.scores(OCCLUSION, bootstrap)
