"""What each layer and each head attends to, and how much the text depends on each layer.

"Search early, show late": the first layer is expected on a finding before a word names it, the
later ones while it is named. Dependence is causal: a layer is left with the sink alone, and the
log-probability of the words falls or does not.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from data_prep.manifest import Study
from model.memory import Memory
from model.network import ReportModel
from model.torch_network import teacher_forced
from training.bootstrap import Bootstrap, Score
from training.experiments.phantoms import forced_phantoms, loaded
from training.experiments.results import Curve, Options, Outcome, Panel, Table
from training.grounding.cases import Subject, patches_inside
from training.teacher_forcing import TeacherForced

__all__ = ["heads"]

LEAD = 3
"""Tokens before a phrase that count as leading up to it."""
ROLES = ("leads up", "names", "other")


def heads(options: Options) -> Outcome:
    """Share of attention on the finding, by layer and head and by what the word does."""
    model, studies, subjects = loaded(options)
    layers, count = model.config.layers, model.config.heads
    bootstrap = Bootstrap(len(studies))
    # (role, layer, head, what, study): what is on the finding, on the sink, in all.
    sums = np.zeros((len(ROLES), layers, count, 2, len(studies)))
    tokens = np.zeros((len(ROLES), len(studies)))
    fallen = np.zeros((layers + 1, 2, len(studies)))
    spoken = np.zeros((2, len(studies)))
    for batch, forced in forced_phantoms(model, subjects):
        for number, subject in enumerate(batch):
            roles, inside = _roles(model, studies[subject.row], subject, forced, number)
            attention = forced.attentions[:, number].numpy()  # (layers, heads, tokens, 1 + patches)
            for role, where in enumerate(roles):
                for token, finding in where:
                    row = attention[:, :, token]
                    sums[role, :, :, 1, subject.row] += row[:, :, 0]
                    if finding is not None:
                        sums[role, :, :, 0, subject.row] += row[:, :, 1:] @ inside[finding]
                    tokens[role, subject.row] += 1
        _add_dependence(model, batch, forced, fallen, spoken)
    share = _shares(bootstrap, sums, tokens)
    return Outcome(
        f"{model.config.name}: what {layers} layers of {count} heads attend to, "
        f"{sum(bool(s.cases) for s in subjects)} phantoms with findings, value [95 %]",
        (*_tables(share, layers, count), _dependence(bootstrap, fallen, spoken)),
        (_panel(share, 0, "on the finding"), _panel(share, 1, "on the sink")),
    )


Role = list[tuple[int, int | None]]
"""Tokens, and the phrase whose finding each is about."""


def _roles(
    model: ReportModel, study: Study, subject: Subject, forced: TeacherForced, number: int
) -> tuple[tuple[Role, Role, Role], list[NDArray[np.float32]]]:
    """Which tokens lead up to a finding, name one, or do neither, and where the findings lie."""
    text = subject.text
    names: Role = []
    leads: Role = []
    inside: list[NDArray[np.float32]] = []
    naming: set[int] = set()
    for place, phrase in enumerate(study.phrases):
        findings = [study.findings[k] for k in phrase.findings]
        boxes = tuple((finding.image, finding.box) for finding in findings)
        covered = patches_inside(forced.placements[number], boxes, model.grid)
        inside.append(covered.astype(np.float32))
        span = text.tokens_of(phrase.start, phrase.end).tolist()
        names += [(token, place) for token in span]
        naming |= set(span)
        if span:
            leads += [(token, place) for token in range(max(0, span[0] - LEAD), span[0])]
    leads = [(token, place) for token, place in leads if token not in naming]
    busy = naming | {token for token, _ in leads}
    others: Role = [(token, None) for token in range(len(text.tokens)) if token not in busy]
    return (leads, names, others), inside


def _shares(
    bootstrap: Bootstrap, sums: NDArray[np.float64], tokens: NDArray[np.float64]
) -> list[list[list[tuple[Score, Score]]]]:
    """[role][layer][head] -> shares on the finding and on the sink."""
    return [
        [
            [
                (
                    bootstrap.ratio(of_head[0], tokens[role]),
                    bootstrap.ratio(of_head[1], tokens[role]),
                )
                for of_head in of_layer
            ]
            for of_layer in sums[role]
        ]
        for role in range(len(ROLES))
    ]


def _tables(
    share: Sequence[Sequence[Sequence[tuple[Score, Score]]]], layers: int, count: int
) -> list[Table]:
    columns = ("on it, leads up", "on it, names", "sink, leads up", "sink, names", "sink, other")
    rows = [
        (
            f"layer {layer + 1} head {head + 1}",
            (
                share[0][layer][head][0],
                share[1][layer][head][0],
                *(share[role][layer][head][1] for role in range(3)),
            ),
        )
        for layer in range(layers)
        for head in range(count)
    ]
    return [Table("share of a head's attention", columns, tuple(rows))]


def _panel(
    share: Sequence[Sequence[Sequence[tuple[Score, Score]]]], what: int, title: str
) -> Panel:
    roles = range(2) if what == 0 else range(3)
    curves = []
    for role in roles:
        values = [
            float(np.mean([head[what].value or 0 for head in layer])) for layer in share[role]
        ]
        places = tuple(float(1 + layer) for layer in range(len(values)))
        curves.append(Curve(f"tokens: {ROLES[role]}", places, tuple(values)))
    return Panel(f"attention {title}", "layer", "share, mean of heads", tuple(curves))


def _add_dependence(
    model: ReportModel,
    batch: Sequence[Subject],
    forced: TeacherForced,
    fallen: NDArray[np.float64],
    spoken: NDArray[np.float64],
) -> None:
    """Add the log-probability lost where one layer, or all of them, see the sink alone."""
    texts = [text.tokens for text in forced.texts]
    with torch.inference_mode():
        whole = teacher_forced(model, forced.memory, texts, maps=False)[1].numpy()
        for layer in range(model.config.layers + 1):
            chosen = range(model.config.layers) if layer == model.config.layers else (layer,)
            blind = _without(forced.memory, chosen)
            lost = whole - teacher_forced(model, blind, texts, maps=False)[1].numpy()
            for number, subject in enumerate(batch):
                naming = np.unique(np.concatenate([case.span for case in subject.cases]))
                rest = np.setdiff1d(np.arange(len(texts[number])), naming)
                fallen[layer, 0, subject.row] += float(lost[number, naming].sum())
                fallen[layer, 1, subject.row] += float(lost[number, rest].sum())
                if not layer:
                    spoken[:, subject.row] += (len(naming), len(rest))


def _without(memory: Memory, layers: Sequence[int]) -> Memory:
    """The memory with what some layers read of it replaced by the sink's values."""
    values = memory.cross_values_layers.clone()
    for layer in layers:
        values[:, layer] = values[:, layer, :, :1]
    return Memory(**{**memory, "cross_values_layers": values})


def _dependence(
    bootstrap: Bootstrap, fallen: NDArray[np.float64], spoken: NDArray[np.float64]
) -> Table:
    names = [f"layer {layer + 1}" for layer in range(len(fallen) - 1)] + ["all layers"]
    rows = [
        (name, tuple(bootstrap.ratio(lost[kind], spoken[kind]) for kind in range(2)))
        for name, lost in zip(names, fallen, strict=True)
    ]
    title = "nats a token loses where a layer sees the sink alone"
    return Table(title, ("tokens that name", "other tokens"), tuple(rows))
