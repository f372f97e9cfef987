"""A small report generator whose way of joining image and text can be chosen, at equal parameters.

cross: each decoder layer attends to the patches (and a sink). prefix: patches stand before the text
and self-attention reads both. pooled: the mean patch is added to every word. pooled MLP: mean and
maximum go through an MLP first. What has no cross-attention gets its parameters in wider MLPs.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from training.experiments.toy import GRID, LONGEST, PATCH, WORDS

__all__ = ["FUSIONS", "Fusion", "ToyNetwork", "reads_image"]

Fusion = Literal["cross", "prefix", "pooled", "pooled MLP"]
FUSIONS: tuple[Fusion, ...] = ("cross", "prefix", "pooled", "pooled MLP")
WIDTH, HEADS, MLP = 32, 2, 64


def reads_image(name: str) -> bool:
    """Whether a parameter belongs to what reads the image: the encoder or cross-attention."""
    return name.startswith(("patches", "places", "encoder")) or ".cross." in name


class _DecoderLayer(nn.Module):
    def __init__(self, crosses: bool) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(3))
        self.own = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.cross = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True) if crosses else None
        # Four projections of a cross-attention are two of an MLP twice as much wider.
        inner = MLP if crosses else MLP + 2 * WIDTH
        self.mlp = nn.Sequential(nn.Linear(WIDTH, inner), nn.GELU(), nn.Linear(inner, WIDTH))

    def forward(
        self, hidden: Tensor, mask: Tensor, memory: Tensor | None, absent: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """(batch, tokens, width) -> the same, and the attention to what was read."""
        normed = self.norms[0](hidden)
        mixed, attention = self.own(normed, normed, normed, attn_mask=mask)
        hidden = hidden + mixed
        if self.cross is not None and memory is not None:
            mixed, attention = self.cross(
                self.norms[1](hidden), memory, memory, key_padding_mask=absent
            )
            hidden = hidden + mixed
        return hidden + self.mlp(self.norms[2](hidden)), attention


class ToyNetwork(nn.Module):
    """(images, tokens) -> logits, and what each layer's tokens attend to."""

    def __init__(
        self, fusion: Fusion = "cross", encoder_layers: int = 1, crossing: tuple[int, ...] = (0, 1)
    ) -> None:
        """
        Args:
            crossing: which of the two decoder layers have cross-attention, of fusion "cross".
        """
        super().__init__()
        self.fusion: Fusion = fusion
        self.patches = nn.Linear(PATCH * PATCH, WIDTH)
        self.places = nn.Parameter(0.02 * torch.randn(GRID * GRID, WIDTH))
        self.views = nn.Parameter(0.02 * torch.randn(2, WIDTH))
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(
                WIDTH, HEADS, MLP, 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(encoder_layers)
        )
        self.encoded = nn.LayerNorm(WIDTH)
        self.sink = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.words = nn.Embedding(len(WORDS), WIDTH)
        self.positions = nn.Parameter(0.02 * torch.randn(LONGEST, WIDTH))
        self.pool: nn.Module = nn.Identity()
        if fusion == "pooled MLP":
            self.pool = nn.Sequential(
                nn.Linear(2 * WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH)
            )
        self.decoder = nn.ModuleList(
            _DecoderLayer(fusion == "cross" and layer in crossing) for layer in range(2)
        )
        self.decoded = nn.LayerNorm(WIDTH)

    def encode(self, images: Tensor) -> Tensor:
        """(batch, views, 1, side, side) -> (batch, views x patches, width)."""
        batch, views = images.shape[:2]
        cells = images.unfold(3, PATCH, PATCH).unfold(4, PATCH, PATCH)
        hidden = self.patches(cells.reshape(batch * views, -1, PATCH * PATCH)) + self.places
        for layer in self.encoder:
            hidden = layer(hidden)
        hidden = self.encoded(hidden).unflatten(0, (batch, views)) + self.views[:views, None]
        flat: Tensor = hidden.flatten(1, 2)
        return flat

    def forward(
        self, images: Tensor, tokens: Tensor, present: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """
        Args:
            images: (batch, views, 1, side, side).
            tokens: (batch, tokens), from bos.
            present: bool (batch, views x patches), False for what is not there; None is all.

        Returns:
            Logits (batch, tokens, words), and per layer what tokens attend to among the patches
            (batch, tokens, patches); of pooled fusions nothing.
        """
        return self.decode(self.encode(images), tokens, present)

    def decode(
        self, patches: Tensor, tokens: Tensor, present: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """The same from `encode`'s patches."""
        hidden, attentions = self.hidden(patches, tokens, present)
        return self.decoded(hidden) @ self.words.weight.T, attentions

    def hidden(
        self, patches: Tensor, tokens: Tensor, present: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """What the last layer knows of each token, and the attention."""
        batch, count = tokens.shape
        if present is None:
            present = patches.new_ones(patches.shape[:2], dtype=torch.bool)
        text = self.words(tokens) + self.positions[:count]
        before = patches.shape[1] if self.fusion == "prefix" else 0
        if before:
            text = torch.cat((patches * present[:, :, None], text), 1)
        elif self.fusion != "cross":
            text = text + self._pooled(patches, present)[:, None]
        memory = torch.cat((self.sink.expand(batch, -1, -1), patches), 1)
        absent = torch.cat((present.new_zeros(batch, 1), ~present), 1)
        mask = self._mask(before, count, present)
        attentions = []
        for layer in self.decoder:
            text, attention = layer(text, mask, memory, absent)
            if before:
                attentions.append(attention[:, before:, :before])
            elif layer.cross is not None:
                attentions.append(attention[:, :, 1:])
        return text[:, before:], attentions

    def _pooled(self, patches: Tensor, present: Tensor) -> Tensor:
        shown = present[:, :, None]
        mean = (patches * shown).sum(1) / shown.sum(1).clamp(min=1)
        if self.fusion == "pooled":
            return mean
        most = patches.masked_fill(~shown, -1e4).amax(1).clamp(min=-10)
        pooled: Tensor = self.pool(torch.cat((mean, most), 1))
        return pooled

    def _mask(self, before: int, count: int, present: Tensor) -> Tensor:
        """bool (batch x heads, all, all), True where nothing is read: what is later, or absent."""
        total = before + count
        later = torch.ones(total, total, dtype=torch.bool).triu(1)
        later[:before, :before] = False
        mask = later.expand(len(present), -1, -1).clone()
        if before:
            mask[:, :, :before] |= ~present[:, None, :]
            places = torch.arange(total)
            mask[:, places, places] = False
        return mask.repeat_interleave(HEADS, 0)
