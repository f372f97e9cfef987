"""AdamW, how fast each part of the net learns, and how large each part's gradients are."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from timm.optim._param_groups import param_groups_layer_decay
from torch import Tensor, nn
from transformers import PreTrainedModel

from model.vision import VisionTrunk
from training.config import PARTS, OptimizerConfig, TrainConfig
from training.objective import Objective

__all__ = ["clip_gradients", "make_optimizer", "part_of", "schedule"]

CROSS_ATTENTION = ("cross_attention", "crossattention", "cross_attn")
"""In the names of our own decoder, and of those of transformers."""
EMBEDDINGS = ("pos_embed", "tokens.weight", "positions.weight", "views.weight", "wte.weight",
              "wpe.weight", "embeddings.weight", "position_embeddings", "cls_token")  # fmt: skip


def part_of(name: str) -> str:
    """Of PARTS, the one that a parameter of an Objective belongs to."""
    if name.startswith(("model.sink", "model.projection.")) or any(
        part in name for part in CROSS_ATTENTION
    ):
        return "cross_attention"
    if name.startswith(("model.encoder.", "model.views.")):
        return "encoder"
    return "head" if name.startswith("head.") else "decoder"


def make_optimizer(objective: Objective, config: TrainConfig) -> torch.optim.AdamW:
    """Weight decay on matrices and kernels only; "scale" of a group is its share of the rate.

    A part whose rate is 0 is frozen: it gets no gradients.
    """
    settings = config.optimizer
    scales = _layer_scales(objective, settings.layer_decay)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in objective.named_parameters():
        free = parameter.ndim < 2 or name.endswith(EMBEDDINGS)
        rate = getattr(settings.rates, part_of(name))
        if not rate:
            parameter.requires_grad_(False)
        if not parameter.requires_grad:
            continue
        scale = scales.get(name, 1.0) * rate
        decay = 0.0 if free else settings.weight_decay
        groups.setdefault((decay, scale), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "weight_decay": decay, "scale": scale}
            for (decay, scale), parameters in groups.items()
        ],
        settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        fused=True,
    )


def _layer_scales(objective: Objective, decay: float) -> dict[str, float]:
    """By parameter of the encoder: decay to the power of its distance from the encoder's end.

    timm knows the order of every model of its own; the stem comes before its first layer.
    """
    if decay == 1:
        return {}
    encoder: Any = objective.model.encoder
    if isinstance(encoder.trunk, PreTrainedModel):
        return _scales_by_name("model.encoder.trunk.", encoder.trunk, decay)
    if isinstance(encoder.trunk, VisionTrunk):
        path = "model.encoder.trunk.model.trunk."
        return _scales_by_name(path, encoder.trunk.model.trunk, decay)
    if not hasattr(encoder.trunk, "group_matcher"):
        return {}
    scale_of = {
        id(parameter): group["lr_scale"]
        for group in param_groups_layer_decay(encoder.trunk, layer_decay=decay)
        for parameter in group["params"]
    }
    first = min(scale_of.values())
    stem = () if getattr(encoder, "stem", None) is None else encoder.stem.parameters()
    scale_of |= {id(parameter): first * decay for parameter in stem}
    return {
        name: scale_of[id(parameter)]
        for name, parameter in objective.named_parameters()
        if id(parameter) in scale_of
    }


def _scales_by_name(prefix: str, trunk: nn.Module, decay: float) -> dict[str, float]:
    """Of a vision model of transformers, whose layers have their numbers in their names.

    What comes before the first of them (embeddings) is slowest, what comes after the last (a norm)
    learns as it would.
    """
    names = [name for name, _ in trunk.named_parameters()]
    numbers = [tuple(int(part) for part in name.split(".") if part.isdigit()) for name in names]
    layers = sorted({each for each in numbers if each})
    place, scales = 0, {}
    for name, each in zip(names, numbers, strict=True):
        if each:
            place = 1 + layers.index(each)
        elif place:
            place = len(layers) + 1
        scales[prefix + name] = decay ** (len(layers) + 1 - place)
    return scales


def schedule(step: int, settings: OptimizerConfig, steps: int) -> float:
    """Share of the learning rate: up in a line, down to nothing in a cosine."""
    last = settings.decay_steps or steps
    if step < settings.warm_up:
        return (step + 1) / settings.warm_up
    done = min(1.0, (step - settings.warm_up) / max(1, last - settings.warm_up))
    return 0.5 * (1 + math.cos(math.pi * done))


def clip_gradients(objective: Objective, limit: float) -> dict[str, float]:
    """Scale all gradients together so that their norm is at most `limit`.

    Returns:
        "gradient/<part>" for each of PARTS and "gradient" for all: the norms before.
    """
    by_part: dict[str, list[Tensor]] = {part: [] for part in PARTS}
    for name, parameter in objective.named_parameters():
        if parameter.grad is not None:
            by_part[part_of(name)].append(parameter.grad)
    # The gradients are read once, and written only where they are too large: on a processor each
    # of these takes as long as a third of the optimizer's step.
    norms = {part: _norm(gradients) for part, gradients in by_part.items()}
    norm = math.hypot(*norms.values())
    if not norm <= limit:  # also what is not a number
        scale = limit / (norm + 1e-6)
        for gradients in by_part.values():
            if gradients:
                torch._foreach_mul_(gradients, scale)
    return {**{f"gradient/{part}": value for part, value in norms.items()}, "gradient": norm}


def _norm(gradients: Sequence[Tensor]) -> float:
    return float(nn.utils.get_total_norm(gradients)) if gradients else 0.0
