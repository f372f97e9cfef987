"""A network of PyTorch: tensors inside, the arrays of an Engine (interface.py) at its border."""

from collections.abc import Sequence
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name everyone knows it by)

from model.errors import ConfigError
from model.interface import Engine, TextReading
from model.memory import Memory

__all__ = ["SKIPPED_SHARE", "Network", "TorchEngine", "teacher_forced", "torch_network"]

SKIPPED_SHARE = 1 / 3
"""Of the decoder's layers, the first third does not count: a map is the mean of the late ones."""


class Network(Engine[Memory], Protocol):
    """An Engine that computes with PyTorch: training, and what looks inside, use its tensors."""

    @property
    def device(self) -> torch.device: ...

    def normalize(self, squares: Tensor) -> Tensor:
        """(..., 1, size, size) in [0, 1], of `place(...).square` -> (..., channels, size, size)."""
        ...

    def encode(
        self,
        images: Tensor,
        image_mask: Tensor | None = None,
        views: Tensor | None = None,
        prompt: Tensor | None = None,
    ) -> Memory:
        """Engine.read_images of tensors on the network's device, with gradients.

        Args:
            views: None where all are frontal.
            prompt: None where there are none.

        Raises:
            DataError: what this network cannot read.
        """
        ...

    def teacher_forced(
        self, memory: Memory, tokens: Tensor, attention_from: int | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Read finished texts in one pass.

        Args:
            memory: of as many studies as texts, or of fewer with several texts each, a study's
                texts one after another.
            tokens: int64 (texts, tokens), beginning with config.bos_token_id.
            attention_from: return the cross-attention of the layers from this one on; None: none.

        Returns:
            logits (texts, tokens, vocabulary) and per layer asked for the cross-attention
            (texts, heads, tokens, prefix + patches), row i that of choosing the token after
            tokens[i]. A network may return one layer that is the mean of several.
        """
        ...


class TorchEngine:
    """Mixin: what an Engine does with arrays, by a Network's own methods on tensors."""

    alone = 1
    callers = 1

    def read_images(
        self: Network,
        images: NDArray[np.float32],
        image_mask: NDArray[np.bool_] | None,
        views: NDArray[np.int64],
        prompt: NDArray[np.int64],
    ) -> Memory:
        """See Engine."""
        mask = None if image_mask is None else torch.from_numpy(image_mask).to(self.device)
        # Not inference_mode: gradient methods go back through what was read here.
        with torch.no_grad():
            return self.encode(
                torch.from_numpy(images).to(self.device),
                mask,
                torch.from_numpy(views).to(self.device),
                torch.from_numpy(prompt).to(self.device),
            )

    def read_texts(
        self: Network, memory: Memory, texts: Sequence[Sequence[int]], maps: bool
    ) -> TextReading:
        """See Engine."""
        studies = len(memory.patch_mask)
        if studies == 1 or self.device.type != "cpu":
            attention, chosen = teacher_forced(self, memory, texts, maps)
            return TextReading(chosen.numpy(), attention.numpy() if maps else None)
        # One study at a time stays in a processor's cache and needs no padding.
        each, longest = len(texts) // studies, max(map(len, texts))
        logs = np.zeros((len(texts), longest), np.float32)
        maps_of = np.zeros((len(texts), longest, memory.patch_mask.shape[1] * maps), np.float32)
        for study in range(studies):
            rows = slice(study * each, (study + 1) * each)
            own = memory.studies(slice(study, study + 1))
            attention, chosen = teacher_forced(self, own, texts[rows], maps)
            logs[rows, : chosen.shape[1]] = chosen.numpy()
            if maps:
                maps_of[rows, : chosen.shape[1]] = attention.numpy()
        return TextReading(logs, maps_of if maps else None)

    @torch.inference_mode()
    def next_logits(
        self: Network, memory: Memory, texts: Sequence[Sequence[int]]
    ) -> NDArray[np.float32]:
        """See Engine."""
        tokens = _padded([[self.config.bos_token_id, *text] for text in texts], self)
        ends = torch.tensor([len(text) for text in texts])
        logits = self.teacher_forced(memory, tokens, None)[0]
        last: NDArray[np.float32] = logits[torch.arange(len(texts)), ends].float().cpu().numpy()
        return last


@torch.inference_mode()
def teacher_forced(
    network: Network, memory: Memory, texts: Sequence[Sequence[int]], maps: bool = True
) -> tuple[Tensor, Tensor]:
    """Attention and log-probability of every token of finished texts, in one pass.

    Args: as for Engine.read_texts.

    Returns:
        The attention, float32 (texts, tokens, prefix + patches), averaged over heads and late
        layers (empty without `maps`), and each token's log-probability at config.temperature,
        float32 (texts, tokens). Both on the CPU; rows are longer than their texts where another is.
    """
    config = network.config
    tokens = _padded(texts, network)
    # The attention that chose a token is the row of the position before it: bos chose the first.
    before = tokens.roll(1, dims=1)
    before[:, :1] = config.bos_token_id
    late = int(config.layers * SKIPPED_SHARE) if maps else None
    logits, attentions = network.teacher_forced(memory, before, late)
    logits = logits.float() / config.temperature
    chosen = -F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction="none")
    return _mean_attention(attentions).cpu(), chosen.view_as(tokens).cpu()


def torch_network(engine: Engine[Any]) -> Network:
    """The network behind an Engine, for what needs its tensors.

    Raises:
        ConfigError: something else computes it.
    """
    if not isinstance(engine, TorchEngine):
        raise ConfigError(
            f"{engine.config.name!r} was loaded without PyTorch, and this needs its tensors: load "
            'it with engine="torch"'
        )
    return cast(Network, engine)


def _padded(texts: Sequence[Sequence[int]], network: Network) -> Tensor:
    """int64 (texts, tokens) on the network's device."""
    padded = torch.full((len(texts), max(map(len, texts))), network.config.pad_token_id)
    for row, text in enumerate(texts):
        padded[row, : len(text)] = torch.tensor(text, dtype=torch.long)
    return padded.to(network.device)


def _mean_attention(attentions: tuple[Tensor, ...]) -> Tensor:
    """Of the late layers, each (texts, heads, tokens, patches) -> (texts, tokens, patches)."""
    if not attentions:
        return torch.empty(0)
    # Those of an imported decoder have the type of its weights.
    total = attentions[0].sum(dim=1, dtype=torch.float32)
    for layer in attentions[1:]:
        total += layer.sum(dim=1, dtype=torch.float32)
    return total / (len(attentions) * attentions[0].shape[1])
