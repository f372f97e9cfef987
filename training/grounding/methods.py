"""Ways to make a map of where the words of a forced text come from.

Every method takes the same forced studies and returns, per study, one map per case: float32
(cases, patches), at least 0 and on any scale, of all the study's images one after another. A case
is a word or a phrase; its map is the mean over its tokens.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name everyone knows it by)

from model.errors import ConfigError
from model.heatmap import TokenAttention, token_attention
from model.network import ReportModel, report_model
from model.torch_network import Network
from training.grounding.gradients import grad_cam, gradient
from training.grounding.map_scores import THRESHOLDS
from training.grounding.occlusion import occlusion
from training.teacher_forcing import TeacherForced

__all__ = ["DEFAULT", "METHODS", "ChosenHeads", "Method", "head_maps", "methods_for", "shown"]

log = logging.getLogger("crossray.grounding")

Maps = list[np.ndarray]
Method = Callable[[TeacherForced], Maps]

DEFAULT = "late layers"
METHODS = (
    *(DEFAULT, "all layers", "each layer", "chosen heads", "rollout", "gradient", "contrast"),
    *("uniform", "center", "grad-cam", "occlusion"),
)
"""What can be asked for; "each layer" gives one method for every layer."""
INSIDE = ("rollout", "gradient", "grad-cam")
"""Methods that need to see inside the network, which must be our own."""
CENTER = 0.25
"""Standard deviation of the center prior, in sides of the square."""


def methods_for(model: Network, names: Sequence[str]) -> dict[str, Method]:
    """Name -> method, in the order of METHODS; "chosen heads" has to be chosen and is left out.

    So are those of INSIDE on an imported checkpoint, with a warning in the log.

    Raises:
        ConfigError: a name that is not in METHODS.
    """
    if unknown := [name for name in names if name not in METHODS]:
        raise ConfigError(f"no method {unknown[0]!r} of making maps: name some of {METHODS}")
    known: Mapping[str, Method] = {
        DEFAULT: late_layers,
        "all layers": partial(_layers, chosen=range(model.config.layers)),
        "rollout": rollout,
        "gradient": gradient,
        "contrast": contrast,
        "uniform": uniform,
        "center": center,
        "grad-cam": grad_cam,
        "occlusion": occlusion,
    }
    if not isinstance(model, ReportModel) and (hidden := [n for n in INSIDE if n in names]):
        log.warning("not measured on an imported checkpoint: %s", ", ".join(hidden))
        names = [name for name in names if name not in INSIDE]
        if not names:
            raise ConfigError(
                f"{', '.join(hidden)} need to see inside the network, and {model.config.name!r} is "
                f"none that CrossRay made: name others of {METHODS}"
            )
    methods: dict[str, Method] = {}
    for name in (name for name in METHODS if name in names):
        if name == "each layer":
            for layer in range(model.config.layers):
                methods[f"layer {layer + 1}"] = partial(_layers, chosen=[layer])
        elif name != "chosen heads":
            methods[name] = known[name]
    return methods


def late_layers(forced: TeacherForced) -> Maps:
    """What CrossRay shows: the mean over late layers and heads."""
    return [
        _of_cases(look.attention, spans)
        for look, spans in zip(shown(forced), forced.spans, strict=True)
    ]


def contrast(forced: TeacherForced) -> Maps:
    """What is shown, less the mean over the report's tokens; what falls below 0 is 0.

    A place that every token looks at says nothing of any one of them.
    """
    return [
        _of_cases((look.attention - look.attention.mean(axis=0)).clip(0), spans)
        for look, spans in zip(shown(forced), forced.spans, strict=True)
    ]


def rollout(forced: TeacherForced) -> Maps:
    """What is shown, followed through the encoder's self-attention to the places it was fed from.

    Abnar and Zuidema 2020, Quantifying Attention Flow in Transformers: each layer passes on half of
    its own token and half of what it attends to, averaged over its heads. The transformer's
    grid is coarser than the one the decoder reads: maps are summed onto it, and enlarged again.

    Raises:
        ConfigError: an encoder without attention that can be read.
    """
    encoder = report_model(forced.model).encoder
    flows = _flows(forced)
    mapped = []
    for number, cases in enumerate(map(torch.from_numpy, late_layers(forced))):
        images = cases.unflatten(1, (-1, *encoder.grid))
        coarse = F.adaptive_avg_pool2d(images, encoder.coarse_grid).flatten(2)
        moved = torch.einsum("cpj,pji->cpi", coarse, flows[number])
        moved = moved.unflatten(2, encoder.coarse_grid)
        fine = F.interpolate(moved, size=encoder.grid, mode="bilinear")
        mapped.append(fine.flatten(1).numpy())
    return mapped


def uniform(forced: TeacherForced) -> Maps:
    """Reference: the same everywhere."""
    return _everywhere(forced, np.ones(forced.model.grid, np.float32))


def center(forced: TeacherForced) -> Maps:
    """Reference: a Gaussian in the middle of every image, whatever the word."""
    rows, columns = forced.model.grid
    down, across = (
        np.exp(-(((np.arange(n) + 0.5) / n - 0.5) ** 2) / (2 * CENTER**2)) for n in (rows, columns)
    )
    return _everywhere(forced, np.outer(down, across).astype(np.float32))


class ChosenHeads:
    """The mean of some heads of some layers, chosen on studies that they are not measured on.

    Studies fall into two halves by their row's parity; each half's maps come from the heads that
    were best on the other half.
    """

    def __init__(self, of_half: Sequence[Sequence[int]]) -> None:
        """
        Args:
            of_half: for even and for odd rows, the chosen heads, layer * heads + head.
        """
        self.of_half = of_half

    def __call__(self, forced: TeacherForced) -> Maps:
        mapped = []
        for number, (row, spans) in enumerate(zip(forced.rows, forced.spans, strict=True)):
            maps = head_maps(forced, number, spans)
            mapped.append(maps[:, list(self.of_half[row % 2])].mean(axis=1))
        return mapped

    @classmethod
    def chosen(cls, maps: Sequence[np.ndarray], inside: Sequence[np.ndarray]) -> "ChosenHeads":
        """Choose on each half, for the other one.

        Args:
            maps: of even and of odd rows, (cases, heads of all layers, patches).
            inside: bool (cases, patches), the patches in each case's boxes.
        """
        best = [_best_heads(*half) for half in zip(maps, inside, strict=True)]
        return cls((best[1], best[0]))


def head_maps(forced: TeacherForced, number: int, spans: Sequence[np.ndarray]) -> np.ndarray:
    """Of one study of the batch, (cases, heads of all layers, patches)."""
    present = forced.memory.patch_mask[number]
    attention = (
        forced.attentions[:, number]
        .flatten(0, 1)[:, :, present][:, :, forced.model.prefix :]
        .cpu()
        .numpy()
    )
    maps = [attention[:, span].mean(axis=1) for span in spans]
    return np.stack(maps) if maps else np.zeros((0, len(attention), attention.shape[2]), np.float32)


def _best_heads(maps: np.ndarray, inside: np.ndarray) -> list[int]:
    """Greedily by `_worth`: the best head, then what makes their mean better, until none does."""
    chosen: list[int] = []
    best = -np.inf
    while len(chosen) < maps.shape[1]:
        left = [head for head in range(maps.shape[1]) if head not in chosen]
        scores = [_worth(maps[:, [*chosen, head]].mean(axis=1), inside) for head in left]
        if max(scores) <= best:
            break
        best = max(scores)
        chosen.append(left[int(np.argmax(scores))])
    return chosen


def _worth(maps: np.ndarray, inside: np.ndarray) -> float:
    """Pointing game plus mIoU of maps (cases, patches) on patches, in [0, 2].

    Not the contrast: it is highest for maps that are low on the box and hardly vary elsewhere too.
    """
    largest = maps.max(axis=1, keepdims=True)
    pointing = np.take_along_axis(inside, maps.argmax(axis=1)[:, None], axis=1).mean()
    overlaps = []
    for threshold in THRESHOLDS:
        above = maps >= threshold * largest
        overlaps.append(((above & inside).sum(axis=1) / (above | inside).sum(axis=1)).mean())
    return float(pointing + np.mean(overlaps))


@lru_cache(maxsize=1)
def shown(forced: TeacherForced) -> list[TokenAttention]:
    """What CrossRay itself says of the forced texts, per study; kept until the next batch."""
    return token_attention(forced.model, forced.memory, [text.tokens for text in forced.texts])


def _layers(forced: TeacherForced, chosen: Sequence[int]) -> Maps:
    """The mean over some layers and their heads."""
    heads = forced.model.config.heads
    wanted = [layer * heads + head for layer in chosen for head in range(heads)]
    return [
        head_maps(forced, number, spans)[:, wanted].mean(axis=1)
        for number, spans in enumerate(forced.spans)
    ]


def _everywhere(forced: TeacherForced, one: np.ndarray) -> Maps:
    images = [len(placements) for placements in forced.placements]
    return [
        np.tile(one.ravel(), (len(spans), count))
        for spans, count in zip(forced.spans, images, strict=True)
    ]


def _of_cases(maps: np.ndarray, spans: Sequence[np.ndarray]) -> np.ndarray:
    """(tokens, patches) -> (cases, patches)."""
    means = [maps[span].mean(axis=0) for span in spans]
    return np.stack(means) if means else np.zeros((0, maps.shape[1]), maps.dtype)


def _flows(forced: TeacherForced) -> tuple[Tensor, ...]:
    """Per study (images, patches, patches) of the coarse grid, row j where patch j is from."""
    encoder = report_model(forced.model).encoder
    counts = [len(images) for images in forced.images]
    with torch.no_grad(), _attention_of(encoder.trunk) as layers:
        encoder(torch.cat(list(forced.images)).to(forced.model.device))
    flow: Tensor | None = None
    for attention in layers:
        mixed = attention.float().mean(dim=1)
        step = (mixed + torch.eye(mixed.shape[-1], device=mixed.device)) / 2
        flow = step if flow is None else step @ flow
    if flow is None:
        raise ConfigError("this checkpoint's encoder has no self-attention to follow")
    first = encoder.trunk.num_prefix_tokens
    flow = flow[:, first:, first:].cpu()
    result: tuple[Tensor, ...] = (flow / flow.sum(-1, keepdim=True)).split(counts)
    return result


@contextmanager
def _attention_of(trunk: torch.nn.Module) -> Iterator[list[Tensor]]:
    """What the blocks of a timm transformer attend to: (images, heads, tokens, tokens) each."""
    seen: list[Tensor] = []
    blocks: list[Any] = [part for part in trunk.modules() if hasattr(part, "fused_attn")]
    fused = [block.fused_attn for block in blocks]
    # timm's attention goes through attn_drop only where it is not fused.
    hooks = [
        block.attn_drop.register_forward_hook(lambda *args: seen.append(args[-1]))
        for block in blocks
    ]
    try:
        for block in blocks:
            block.fused_attn = False
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
        for block, was in zip(blocks, fused, strict=True):
            block.fused_attn = was
