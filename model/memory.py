"""What the decoder reads while it writes: a study's patches, and the tokens so far."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from transformers.utils import ModelOutput

__all__ = ["Memory", "TokenCache"]


@dataclass
class Memory(ModelOutput):
    """What the decoder reads of a batch of studies.

    First comes the sink, a place that is on no image: softmax must put a token's attention
    somewhere, and what a function word does not need would otherwise fall on some patch and look
    like a finding (Xiao et al. 2024, Efficient Streaming Language Models with Attention Sinks;
    here the sink is learned). The images' patches follow one another.

    The indication, where there is one, is text that was given and not written: it comes before the
    report's first token.

    Attributes:
        last_hidden_state: the encoder's features, (batch, 1 + patches, encoder width).
        cross_keys_layers: (batch, layers, heads, 1 + patches, head_dim).
        cross_values_layers: (batch, layers, heads, 1 + patches, head_dim).
        patch_mask: (batch, 1 + patches), True where a study has the patch; studies with fewer
            images than the batch's longest end in False.
        views: int64 (batch, images), what each image is, a place in config.VIEWS.
        prompt: int64 (batch, prompt), the indications' tokens, padded in front.
    """

    # ModelOutput allows one required field only; all are always there.
    last_hidden_state: Tensor
    cross_keys_layers: Tensor = None  # type: ignore[assignment]
    cross_values_layers: Tensor = None  # type: ignore[assignment]
    patch_mask: Tensor = None  # type: ignore[assignment]
    views: Tensor = None  # type: ignore[assignment]
    prompt: Tensor = None  # type: ignore[assignment]

    def bias(self, grid: tuple[int, int]) -> Tensor | None:
        """What is added to every comparison with the patches, (batch, 1 + patches), or None for 0.

        Minus infinity for patches that are not there. The sink counts once for every image, so
        that an image read twice takes no more from it than an image read once.

        Args:
            grid: (rows, columns) of patches on one image.
        """
        a_image = grid[0] * grid[1]
        if self.patch_mask.shape[1] <= 1 + a_image and bool(self.patch_mask.all()):
            return None
        images = self.patch_mask[:, 1:].sum(1) / a_image
        bias = torch.zeros_like(self.patch_mask, dtype=torch.float32)
        bias.masked_fill_(~self.patch_mask, -math.inf)
        bias[:, 0] = images.clamp(min=1).log()
        return bias

    def without_images(self) -> "Memory":
        """The same studies with nothing to look at but the sink: what the text alone suggests."""
        return Memory(
            last_hidden_state=self.last_hidden_state[:, :1],
            cross_keys_layers=self.cross_keys_layers[:, :, :, :1],
            cross_values_layers=self.cross_values_layers[:, :, :, :1],
            patch_mask=self.patch_mask[:, :1],
            views=self.views[:, :0],
            prompt=self.prompt,
        )

    def studies(self, rows: Tensor | slice) -> "Memory":
        """The memory of some studies only, rows (studies,) of long or bool, or uncopied a slice."""
        return Memory(**{name: field[rows] for name, field in self.items()})


class TokenCache(Protocol):
    """Self-attention's keys and values of the tokens before, one entry per layer.

    Both transformers' caches and the one in decoding.py are this.
    """

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Append (batch, heads, tokens, head_dim) to a layer; returns all it holds then."""
        ...

    def get_seq_length(self) -> int:
        """Tokens held."""
        ...
