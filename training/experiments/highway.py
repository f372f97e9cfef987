"""Gradients of the encoder's layers over training, with and without cross-attention."""

from collections.abc import Mapping

import numpy as np
import torch

from training.bootstrap import Score
from training.experiments.results import Curve, Options, Outcome, Panel, Table, over_seeds
from training.experiments.toy_network import ToyNetwork
from training.experiments.toy_training import Recipe, scored, trained

__all__ = ["highway"]

LAYERS = 3
WATCHED = 12
"""Points of a training."""


def highway(options: Options) -> Outcome:
    """Root mean square of each encoder layer's gradient, for four ways from the loss to it."""
    ways: Mapping[str, dict[str, object]] = {
        "cross-attention in both layers": {},
        "in the last layer only": {"crossing": (1,)},
        "patches before the text": {"fusion": "prefix"},
        "pooled, no attention": {"fusion": "pooled"},
    }
    rows, panels = [], []
    for name, arguments in ways.items():
        early: list[list[float]] = [[] for _ in range(LAYERS)]
        f1, curves = [], None
        for seed in range(options.seeds):
            torch.manual_seed(seed)
            network = ToyNetwork(encoder_layers=LAYERS, **arguments)  # type: ignore[arg-type]
            seen = _watched(network, seed, Recipe(options.steps))
            f1.append(scored(network, options.studies).f1)
            curves = curves or seen
            third = max(1, len(seen[0].y) // 3)
            for layer in range(LAYERS):
                early[layer].append(float(np.mean(seen[layer].y[:third])))
        scores: list[Score] = [over_seeds(values) for values in early]
        ratio = [first / max(last, 1e-12) for first, last in zip(early[0], early[-1], strict=True)]
        rows.append((name, (*scores, over_seeds(ratio), over_seeds(f1))))
        panels.append(Panel(name, "step", "gradient, root mean square", tuple(curves or ())))
    columns = (*(f"layer {n + 1}" for n in range(LAYERS)), "first over last", "finding F1")
    title = "gradient in the first third of training, mean [least, most] over seeds"
    return Outcome(
        f"toy: gradients of {LAYERS} encoder layers, {options.seeds} seeds of {options.steps} "
        "steps",
        (Table(title, columns, tuple(rows)),),
        tuple(panels),
    )


def _watched(network: ToyNetwork, seed: int, recipe: Recipe) -> list[Curve]:
    steps: list[float] = []
    norms: list[list[float]] = [[] for _ in range(LAYERS)]
    every = max(1, recipe.steps // WATCHED)

    def watch(step: int, network: ToyNetwork) -> None:
        if step % every:
            return
        steps.append(float(step))
        for layer, module in enumerate(network.encoder):
            gradients = [p.grad.flatten() for p in module.parameters() if p.grad is not None]
            norms[layer].append(float(torch.cat(gradients).square().mean().sqrt()))

    trained(network, seed, recipe, watch)
    return [
        Curve(f"encoder layer {layer + 1}", tuple(steps), tuple(values))
        for layer, values in enumerate(norms)
    ]
