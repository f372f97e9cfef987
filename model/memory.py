"""What the decoder reads while it writes: a study's patches, and the tokens so far."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.utils.generic import ModelOutput

__all__ = ["DecoderContext", "Memory", "TokenCache"]


@dataclass(frozen=True)
class DecoderContext:
    """What every step of a decoding reads, beside the tokens so far."""

    keys: Sequence[Tensor]
    """Per layer the patches' cross-attention keys, (studies, heads, 1 + patches, head_dim)."""
    values: Sequence[Tensor]
    """Per layer the patches' cross-attention values, shaped like the keys."""
    bias: Tensor | None
    """(studies, 1 + patches), added to every comparison; None where it would be 0."""
    prompt: Tensor
    """int64 (studies, prompt), see Memory."""

    def studies(self, rows: Tensor) -> "DecoderContext":
        """The context of some studies only, rows (studies,)."""
        return DecoderContext(
            [keys[rows] for keys in self.keys],
            [values[rows] for values in self.values],
            None if self.bias is None else self.bias[rows],
            self.prompt[rows],
        )


@dataclass
class Memory(ModelOutput):
    """What the decoder reads of a batch of studies: a StudyMemory (interface.py).

    The first positions lie on no image; the images' patches follow one another. In CrossRay's own
    network there is one such position, the attention sink: softmax must put a token's attention
    somewhere, and what a function word does not need would otherwise fall on some patch and look
    like a finding (Xiao et al. 2024, Efficient Streaming Language Models with Attention Sinks;
    here the sink is learned). In other networks they are the class and register tokens. Shapes
    below are written for one.

    The indication, where there is one, is text that was given and not written: it comes before the
    report's first token.

    Attributes:
        last_hidden_state: the encoder's features, (batch, 1 + patches, encoder width).
        cross_keys_layers: (batch, layers, heads, 1 + patches, head_dim).
        cross_values_layers: (batch, layers, heads, 1 + patches, head_dim).
        patch_mask: (batch, 1 + patches), True where a study has the patch; studies with fewer
            images than the batch's longest end in False.
        views: int64 (batch, images), what each image is, an index into config.VIEWS.
        prompt: int64 (batch, prompt), the indications' tokens, padded in front.
    """

    # ModelOutput allows one required field only; all are always there.
    last_hidden_state: Tensor
    cross_keys_layers: Tensor = None  # type: ignore[assignment]
    cross_values_layers: Tensor = None  # type: ignore[assignment]
    patch_mask: Tensor = None  # type: ignore[assignment]
    views: Tensor = None  # type: ignore[assignment]
    prompt: Tensor = None  # type: ignore[assignment]

    def context(self, grid: tuple[int, int]) -> DecoderContext:
        """What our own decoder's layers read.

        Args:
            grid: (rows, columns) of patches on one image.
        """
        return DecoderContext(
            self.cross_keys_layers.unbind(1),
            self.cross_values_layers.unbind(1),
            self.bias(grid),
            self.prompt,
        )

    def bias(self, grid: tuple[int, int]) -> Tensor | None:
        """What is added to every comparison with the patches, (batch, 1 + patches), or None for 0.

        Minus infinity for patches that are not there. The sink counts once for every image, so
        that an image read twice takes no more from it than an image read once.

        Args:
            grid: (rows, columns) of patches on one image.
        """
        image_patches = grid[0] * grid[1]
        if self.patch_mask.shape[1] <= 1 + image_patches and bool(self.patch_mask.all()):
            return None
        images = self.patch_mask[:, 1:].sum(1) / image_patches
        bias = torch.zeros_like(self.patch_mask, dtype=torch.float32)
        bias.masked_fill_(~self.patch_mask, -math.inf)
        bias[:, 0] = images.clamp(min=1).log()
        return bias

    @property
    def present(self) -> NDArray[np.bool_]:
        """See StudyMemory."""
        mask: NDArray[np.bool_] = self.patch_mask.cpu().numpy()
        return mask

    def studies(self, rows: Tensor | NDArray[np.int64] | slice) -> "Memory":
        """The memory of some studies only, rows (studies,) of long or bool, or uncopied a slice."""
        if isinstance(rows, np.ndarray):
            rows = torch.from_numpy(rows).to(self.patch_mask.device)
        return Memory(**{name: field[rows] for name, field in self.items()})


class TokenCache(Protocol):
    """Self-attention's keys and values of the tokens before, one entry per layer.

    Both transformers' caches and the one in incremental.py are this.
    """

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Append (batch, heads, tokens, head_dim) to a layer; returns all it holds then."""
        ...

    def get_seq_length(self) -> int:
        """Tokens held."""
        ...
