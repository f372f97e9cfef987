"""When the text alone explains the text, the image is ignored: provoked, watched and cured."""

import numpy as np
import torch

from training.experiments.results import Curve, Options, Outcome, Panel, Table, over_seeds
from training.experiments.toy_network import ToyNetwork, reads_image
from training.experiments.toy_training import Recipe, dependence, scored, trained

__all__ = ["dominance"]

RARE = 0.06
"""Probability of each kind: nine words in ten are "no"."""


def dominance(options: Options) -> Outcome:
    """Dependence on the image, gradient norms and F1 where findings are rare, with each cure."""
    steps = options.steps
    recipes = {
        "common findings (0.4)": Recipe(steps),
        "rare findings (0.06)": Recipe(steps, rate=RARE),
        "rare, image dropout 0.2": Recipe(steps, rate=RARE, image_dropout=0.2),
        "rare, image learns 3 x faster": Recipe(steps, rate=RARE, image_rate=3.0),
        "rare, unlikelihood of denials": Recipe(steps, rate=RARE, unlikelihood=0.5),
        "rare, rates and unlikelihood": Recipe(steps, rate=RARE, image_rate=3.0, unlikelihood=0.5),
    }
    rows, curves = [], []
    for name, recipe in recipes.items():
        found: dict[str, list[float]] = {"depends": [], "ratio": [], "f1": [], "f1 common": []}
        for seed in range(options.seeds):
            torch.manual_seed(seed)
            network = ToyNetwork()
            ratios: list[float] = []

            def watch(step: int, network: ToyNetwork, ratios: list[float] = ratios) -> None:
                ratios.append(_ratio(network))

            trained(network, seed, recipe, watch)
            found["depends"].append(dependence(network, options.studies, recipe.rate))
            found["ratio"].append(float(np.mean(ratios[-max(1, steps // 5) :])))
            found["f1"].append(scored(network, 4 * options.studies, recipe.rate).f1)
            found["f1 common"].append(scored(network, options.studies).f1)
            if not seed:
                every = max(1, steps // 20)
                values = [float(np.mean(ratios[k : k + every])) for k in range(0, steps, every)]
                curves.append(Curve(name, tuple(map(float, range(0, steps, every))), tuple(values)))
        rows.append((name, tuple(over_seeds(values) for values in found.values())))
    columns = ("dependence", "gradient image/text", "F1 at its rate", "F1 at rate 0.4")
    title = "nats a token loses with another image, norms, and F1; mean [least, most]"
    return Outcome(
        f"toy: modality dominance, {options.seeds} seeds of {steps} steps",
        (Table(title, columns, tuple(rows)),),
        (Panel("gradient of image parts over text parts", "step", "ratio", tuple(curves)),),
    )


def _ratio(network: ToyNetwork) -> float:
    """Norm of the gradient of encoder and cross-attention over that of the rest."""
    sums = {True: 0.0, False: 0.0}
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            sums[reads_image(name)] += float(parameter.grad.square().sum())
    return float(np.sqrt(sums[True] / max(sums[False], 1e-12)))
