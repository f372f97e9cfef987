"""Training of toy networks, the same for every experiment, and what is measured of them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from training.experiments.toy import BOS, EOS, KINDS, PAD, WORDS, Toys, make_toys, read
from training.experiments.toy_network import ToyNetwork, reads_image

__all__ = ["Recipe", "ToyScores", "dependence", "generate", "kind_tokens", "scored", "token_loss",
           "trained"]  # fmt: skip

BATCH = 32
FIRST_KIND = WORDS.index(KINDS[0])
TEST_SEED = 10_000
"""Seeds of training are below."""


@dataclass(frozen=True)
class Recipe:
    """How a toy network is trained."""

    steps: int = 400
    learning_rate: float = 5e-3
    rate: float = 0.4
    """Probability of each kind."""
    views: int = 1
    second_absent: float = 0.0
    """Share of studies whose second view is absent."""
    image_dropout: float = 0.0
    """Share of studies that are read without their image."""
    image_rate: float = 1.0
    """Factor of the learning rate of encoder and cross-attention."""
    unlikelihood: float = 0.0
    """Weight of minus the log of the probability that a finding which is there is not denied."""


@dataclass(frozen=True)
class ToyScores:
    f1: float
    """Of the kinds that texts assert, over all."""
    side: float
    """Share of the rightly asserted ones with the right side."""
    pointing: float
    """Share of words of kinds that are there whose largest attention lies on it; not a number where
    there is none."""


def trained(
    network: ToyNetwork,
    seed: int,
    recipe: Recipe,
    watch: Callable[[int, ToyNetwork], None] | None = None,
    extra: Callable[[ToyNetwork, Toys], Tensor] | None = None,
    more: Iterable[nn.Parameter] = (),
) -> ToyNetwork:
    """Train with AdamW and a cosine.

    Args:
        watch: called with the step and the network while its gradients are there.
        extra: another loss of a batch, with its own parameters in `more`.
    """
    rng = np.random.default_rng(seed)
    groups = _groups(network, recipe, [*more])
    optimizer = torch.optim.AdamW(groups, recipe.learning_rate, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [group["lr"] for group in groups], recipe.steps + 1
    )
    for step in range(recipe.steps):
        toys = make_toys(rng, BATCH, recipe.rate, views=recipe.views)
        loss = _loss(network, toys, recipe, rng)
        if extra is not None:
            loss = loss + extra(network, toys)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        if watch is not None:
            watch(step, network)
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
    return network.eval()


def _groups(network: ToyNetwork, recipe: Recipe, more: list[nn.Parameter]) -> list[dict[str, Any]]:
    image: list[nn.Parameter] = list(more)
    text: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        (image if reads_image(name) else text).append(parameter)
    return [
        {"params": image, "lr": recipe.learning_rate * recipe.image_rate},
        {"params": text, "lr": recipe.learning_rate},
    ]


def _loss(network: ToyNetwork, toys: Toys, recipe: Recipe, rng: np.random.Generator) -> Tensor:
    patches = network.encode(toys.images)
    present = torch.ones(patches.shape[:2], dtype=torch.bool)
    half = patches.shape[1] // recipe.views
    if recipe.views > 1:
        present[torch.from_numpy(rng.random(len(present)) < recipe.second_absent), half:] = False
    blind = torch.from_numpy(rng.random(len(present)) < recipe.image_dropout)
    if network.fusion == "cross":  # the sink is left
        present[blind] = False
    logits, _ = network.decode(patches, toys.tokens[:, :-1], present)
    labels = toys.tokens[:, 1:]
    loss = token_loss(logits, labels)
    if recipe.unlikelihood:
        wrong = logits.softmax(-1)[..., WORDS.index("no")]
        starts = labels.eq(WORDS.index("right")) | labels.eq(WORDS.index("left"))
        missed = -torch.log1p(-wrong[starts & ~blind[:, None]].clamp(max=1 - 1e-4))
        loss = loss + recipe.unlikelihood * missed.sum() / max(1, len(missed))
    return loss


def token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=PAD)


@torch.no_grad()
def generate(
    network: ToyNetwork, patches: Tensor, present: Tensor | None = None
) -> list[list[int]]:
    """The likeliest token after the others, until eos."""
    tokens = torch.full((len(patches), 1), BOS)
    for _ in range(4 * len(KINDS) + 1):
        logits, _ = network.decode(patches, tokens, present)
        tokens = torch.cat((tokens, logits[:, -1:].argmax(-1)), 1)
    rows = tokens[:, 1:].tolist()
    return [row[: row.index(EOS)] if EOS in row else row for row in rows]


@torch.no_grad()
def scored(
    network: ToyNetwork,
    count: int,
    rate: float = 0.4,
    changed: Callable[[Toys], tuple[Tensor, Tensor | None]] | None = None,
    views: int = 1,
) -> ToyScores:
    """Measure on toys that no training has seen.

    Args:
        changed: what a test does to the images: images, and which patches are there.
    """
    toys = make_toys(np.random.default_rng(TEST_SEED), count, rate, views=views)
    images, present = (toys.images, None) if changed is None else changed(toys)
    patches = network.encode(images)
    truth = toys.sides.tolist()
    right = said = sided = 0
    for row, text in enumerate(generate(network, patches, present)):
        asserted = read(text)
        said += len(asserted)
        for kind, side in asserted.items():
            right += truth[row][kind] >= 0
            sided += truth[row][kind] == side
    there = int(toys.present.sum())
    hits = [hit for hits in _hits(network, toys, patches, present) for hit in hits]
    return ToyScores(
        f1=2 * right / max(1, said + there),
        side=sided / max(1, right),
        pointing=float(np.mean(hits)) if hits else float("nan"),
    )


def _hits(
    network: ToyNetwork, toys: Toys, patches: Tensor, present: Tensor | None
) -> Iterator[list[bool]]:
    _, attentions = network.decode(patches, toys.tokens[:, :-1], present)
    if not attentions:
        return
    last = attentions[-1]
    own = toys.inside.shape[-1]
    for row, token, kind in kind_tokens(toys):
        largest = int(last[row, token].argmax())
        yield [bool(toys.inside[row, kind, largest % own])]


def kind_tokens(toys: Toys) -> list[tuple[int, int, int]]:
    """(row, position whose output is the word, kind) of every kind that is there."""
    labels = toys.tokens[:, 1:]
    found = []
    for row, token in (labels >= FIRST_KIND).nonzero().tolist():
        kind = int(labels[row, token]) - FIRST_KIND
        if toys.sides[row, kind] >= 0:
            found.append((row, token, kind))
    return found


@torch.no_grad()
def dependence(network: ToyNetwork, count: int, rate: float) -> float:
    """By how many nats a token's loss rises with the images of another study."""
    toys = make_toys(np.random.default_rng(TEST_SEED), count, rate)
    labels = toys.tokens[:, 1:]
    own = token_loss(network(toys.images, toys.tokens[:, :-1])[0], labels)
    other = token_loss(network(toys.images.roll(1, 0), toys.tokens[:, :-1])[0], labels)
    return float(other - own)
