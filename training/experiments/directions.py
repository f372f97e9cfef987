"""From a region to its words: the transposed map, and patches that ask the words themselves."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from training.experiments.results import Options, Outcome, Table, over_seeds
from training.experiments.toy import EOS, KINDS, PAD, Toys, make_toys
from training.experiments.toy_network import HEADS, WIDTH, ToyNetwork
from training.experiments.toy_training import TEST_SEED, Recipe, kind_tokens, trained

__all__ = ["directions"]


class PatchesAsk(nn.Module):
    """One layer: each patch attends to the words, and says which kind lies on it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.ask = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.kinds = nn.Linear(WIDTH, len(KINDS))

    def forward(self, patches: Tensor, words: Tensor, silent: Tensor) -> tuple[Tensor, Tensor]:
        """Log-odds (batch, patches, kinds), and attention (batch, patches, words).

        Args:
            silent: bool (batch, words), True where there is no word.
        """
        mixed, attention = self.ask(self.norm(patches), words, words, key_padding_mask=silent)
        return self.kinds(mixed), attention


def directions(options: Options) -> Outcome:
    """Of regions that hold a shape: whether the word with most attention is about that shape."""
    found: dict[str, list[float]] = {"transposed map": [], "patches ask": [], "first word": []}
    for seed in range(options.seeds):
        torch.manual_seed(seed)
        network, layer = ToyNetwork(), PatchesAsk()

        def asked(network: ToyNetwork, toys: Toys, layer: PatchesAsk = layer) -> Tensor:
            odds, _ = _asked(network, layer, toys)
            target = toys.inside.transpose(1, 2).float()
            weight = torch.tensor(20.0)
            return F.binary_cross_entropy_with_logits(odds, target, pos_weight=weight)

        trained(network, seed, Recipe(options.steps), extra=asked, more=layer.parameters())
        for name, value in _measured(network, layer.eval(), options.studies).items():
            found[name].append(value)
    rows = tuple((name, (over_seeds(values),)) for name, values in found.items())
    title = "share of regions whose first word is of their shape's sentence, mean [least, most]"
    return Outcome(
        f"toy: from regions to words, {options.seeds} seeds of {options.steps} steps",
        (Table(title, ("right word",), rows),),
    )


def _asked(network: ToyNetwork, layer: PatchesAsk, toys: Toys) -> tuple[Tensor, Tensor]:
    patches, tokens = network.encode(toys.images), toys.tokens[:, :-1]
    words, _ = network.hidden(patches, tokens)
    # A state has read its token and chosen the next: it stands for the next.
    following = toys.tokens[:, 1:]
    silent = (following == PAD) | (following == EOS)
    odds, attention = layer(patches, words, silent)
    return odds, attention.masked_fill(silent[:, None], 0)


@torch.no_grad()
def _measured(network: ToyNetwork, layer: PatchesAsk, count: int) -> dict[str, float]:
    toys = make_toys(np.random.default_rng(TEST_SEED), count)
    _, asked = _asked(network, layer, toys)
    patches = network.encode(toys.images)
    shown = network.decode(patches, toys.tokens[:, :-1])[1][-1]
    hits: dict[str, list[bool]] = {"transposed map": [], "patches ask": [], "first word": []}
    for row, token, kind in kind_tokens(toys):
        region = toys.inside[row, kind]
        # "left upper disc": side, zone and kind, the last of them chosen at `token`.
        own = {token - 2, token - 1, token}
        hits["transposed map"].append(int(shown[row][:, region].sum(1).argmax()) in own)
        hits["patches ask"].append(int(asked[row][region].sum(0).argmax()) in own)
        hits["first word"].append(0 in own)
    return {name: float(np.mean(values)) for name, values in hits.items()}
