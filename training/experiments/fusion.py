"""Ways of joining image and text at equal parameters: what they score, what they cost, what they
bear."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from training.experiments.results import Curve, Options, Outcome, Panel, Table, over_seeds
from training.experiments.toy import GRID, Toys, make_toys
from training.experiments.toy_network import FUSIONS, WIDTH, Fusion, ToyNetwork
from training.experiments.toy_training import Recipe, scored, trained

__all__ = ["fusion", "jitter"]

PATCHES = (64, 256, 1024)
TOKENS = (5, 10, 18)


def fusion(options: Options) -> Outcome:
    """Scores of each fusion, and how the decoder's cost grows with patches and tokens."""
    rows, cost = [], []
    for kind in FUSIONS:
        networks = [_network(kind, seed, Recipe(options.steps)) for seed in range(options.seeds)]
        found = [scored(network, options.studies) for network in networks]
        cells = (
            float(sum(parameter.numel() for parameter in networks[0].parameters())),
            over_seeds([each.f1 for each in found]),
            over_seeds([each.side for each in found]),
            "-" if kind.startswith("pooled") else over_seeds([each.pointing for each in found]),
        )
        rows.append((kind, cells))
        cost.append((kind, _exponents(ToyNetwork(kind))))
    columns = ("parameters", "finding F1", "side accuracy", "pointing")
    return Outcome(
        f"toy: four fusions, {options.seeds} seeds of {options.steps} steps, mean [least, most]",
        (
            Table("scores", columns, tuple(rows)),
            Table(
                "operations of the decoder: exponent of growth, and millions at 1024 patches",
                ("with patches", "with tokens", "millions"),
                tuple(cost),
            ),
        ),
        (_cost_panel(),),
    )


def _network(kind: Fusion, seed: int, recipe: Recipe) -> ToyNetwork:
    torch.manual_seed(seed)
    return trained(ToyNetwork(kind), seed, recipe)


def _operations(network: ToyNetwork, patches: int, tokens: int) -> float:
    """Of a network in training mode: the fused attention of evaluation is not counted."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network.decode(torch.zeros(1, patches, WIDTH), torch.ones(1, tokens, dtype=torch.long))
    return float(counter.get_total_flops())


def _exponents(network: ToyNetwork) -> tuple[float, float, float]:
    """Slopes of log cost over log patches, at the most tokens, and over log tokens."""
    by_patches = [_operations(network, count, TOKENS[-1]) for count in PATCHES]
    by_tokens = [_operations(network, PATCHES[-1], count) for count in TOKENS]
    return (
        float(np.polyfit(np.log(PATCHES), np.log(by_patches), 1)[0]),
        float(np.polyfit(np.log(TOKENS), np.log(by_tokens), 1)[0]),
        by_patches[-1] / 1e6,
    )


def _cost_panel() -> Panel:
    curves = []
    for kind in FUSIONS:
        network = ToyNetwork(kind)
        cost = tuple(math.log10(_operations(network, count, TOKENS[-1])) for count in PATCHES)
        curves.append(Curve(kind, tuple(float(math.log10(count)) for count in PATCHES), cost))
    return Panel("cost of the decoder", "log10 patches", "log10 operations", tuple(curves))


Change = Callable[[Toys], tuple[Tensor, Tensor | None]]


def jitter(options: Options) -> Outcome:
    """Each fusion, trained on two views of which the second is often absent, under changes that
    training had not."""
    recipe = Recipe(options.steps, views=2, second_absent=0.3)
    rows, curves = [], []
    for kind in FUSIONS:
        networks = [_network(kind, seed, recipe) for seed in range(options.seeds)]
        cells = [
            over_seeds([scored(n, options.studies, changed=change, views=2).f1 for n in networks])
            for change in CHANGES.values()
        ]
        rows.append((kind, tuple(cells)))
        values = tuple(cell.value or 0.0 for cell in cells)
        curves.append(Curve(kind, tuple(map(float, range(len(values)))), values))
    title = "finding F1 under changes of the test images, mean [least, most]"
    return Outcome(
        f"toy: what each fusion bears, {options.seeds} seeds of {options.steps} steps",
        (Table(title, tuple(CHANGES), tuple(rows)),),
        (Panel("F1 by change", "", "F1", tuple(curves), names=tuple(CHANGES)),),
    )


def _as_they_are(toys: Toys) -> tuple[Tensor, Tensor | None]:
    return toys.images, None


def _shifted(pixels: int) -> Change:
    def change(toys: Toys) -> tuple[Tensor, Tensor | None]:
        return toys.images.roll((pixels, -pixels), (3, 4)), None

    return change


def _missing(toys: Toys) -> tuple[Tensor, Tensor | None]:
    present = torch.ones(len(toys.images), 2 * GRID * GRID, dtype=torch.bool)
    present[:, GRID * GRID :] = False
    return toys.images, present


def _dropped(share: float) -> Change:
    def change(toys: Toys) -> tuple[Tensor, Tensor | None]:
        rng = np.random.default_rng(3)
        kept = rng.random((len(toys.images), 2 * GRID * GRID)) >= share
        return toys.images, torch.from_numpy(kept)

    return change


def _irrelevant(toys: Toys) -> tuple[Tensor, Tensor | None]:
    noise = make_toys(np.random.default_rng(4), len(toys.images), rate=0.0)
    return torch.cat((toys.images[:, :1], noise.images), 1), None


CHANGES: dict[str, Change] = {
    "none": _as_they_are,
    "shifted 2 px": _shifted(2),
    "shifted 4 px": _shifted(4),
    "second view missing": _missing,
    "30 % of patches dropped": _dropped(0.3),
    "60 % of patches dropped": _dropped(0.6),
    "second view irrelevant": _irrelevant,
}
