"""Decoder-only vision-language models (LLaVA's structure): image tokens are part of the text.

There is no cross-attention. A language model reads a prompt that holds the image's patches,
projected to tokens one by one, and goes on writing; a map is its self-attention from a written
token to the image tokens (Liu et al. 2023, Visual Instruction Tuning, for the structure).

Their keys and values at every layer stand in a Memory where those of a cross-attention would. The
prompt's words come first, as positions that lie on no image. The prompt's last token is kept back:
it takes the part of the start token.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache

from model.imported.config import TOWERS, ImportedConfig
from model.imported.network import Decoded, ImportedNetwork
from model.memory import Memory
from model.network import CACHE

__all__ = ["DecoderOnlyNetwork", "ImageTokens", "LanguageModel"]


class ImageTokens(nn.Module):
    """Images (batch, 3, size, size), normalized -> their tokens (batch, positions, width)."""

    def __init__(self, tower: nn.Module, projector: nn.Module, config: ImportedConfig) -> None:
        super().__init__()
        assert config.connector is not None
        self.tower = tower
        self.projector = projector
        self.layer = config.connector.layer
        self.first = TOWERS[config.encoder["model_type"]] - config.image_prefix

    def forward(self, images: Tensor) -> Tensor:
        states = self.tower(pixel_values=images, output_hidden_states=True).hidden_states
        tokens: Tensor = self.projector(states[self.layer][:, self.first :])
        return tokens


class LanguageModel(nn.Module):
    """A causal language model of transformers: its trunk, and the head that scores tokens."""

    def __init__(self, trunk: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head
        self.config: Any = trunk.config

    def embed(self, tokens: Tensor) -> Tensor:
        """int64 (rows, tokens) -> (rows, tokens, width)."""
        trunk: Any = self.trunk
        embedded: Tensor = trunk.get_input_embeddings()(tokens)
        return embedded


class DecoderOnlyNetwork(ImportedNetwork):
    """A Network (model/torch_network.py) of a vision tower, a projector and a language model."""

    encoder: ImageTokens
    decoder: LanguageModel

    def __init__(
        self, config: ImportedConfig, encoder: ImageTokens, decoder: LanguageModel
    ) -> None:
        super().__init__(config, encoder, None, decoder)

    def encode(
        self,
        images: Tensor,
        image_mask: Tensor | None = None,
        views: Tensor | None = None,
        prompt: Tensor | None = None,
    ) -> Memory:
        """See Network. A study has one image.

        Raises:
            DataError: more images in a study than it reads, or an indication.
        """
        self._check(images, prompt)
        features: Tensor = self.encoder(images[:, 0])
        mask = torch.ones(features.shape[:2], dtype=torch.bool, device=features.device)
        none = torch.zeros(len(images), 1, dtype=torch.long, device=features.device)
        return self._remember(features, mask, none if views is None else views)

    def _remember(self, features: Tensor, mask: Tensor, views: Tensor) -> Memory:
        """Keys and values of the prompt with its image tokens.

        Args:
            features: (batch, tokens of the image, width), a class token first where there is one.
            mask: all True: a study has one image.
        """
        connector = self.config.connector
        assert connector is not None
        *words, _ = connector.prompt
        at = words.index(connector.image_token_id)
        batch, tokens = features.shape[:2]
        embedded = self.decoder.embed(torch.tensor([words], device=features.device))
        embedded = embedded.expand(batch, -1, -1)
        parts = (embedded[:, :at], features, embedded[:, at + 1 :])
        cache = DynamicCache()
        self.decoder.trunk(inputs_embeds=torch.cat(parts, dim=1), use_cache=True, **{CACHE: cache})
        # Rotary positions are in the keys already: their order no longer matters.
        of_words = [*range(at), *range(at + tokens, len(words) - 1 + tokens)]
        order = torch.tensor([*of_words, *range(at, at + tokens)], device=features.device)
        layers: list[Any] = cache.layers
        before = features.new_zeros(batch, len(of_words), features.shape[2])
        return Memory(
            last_hidden_state=torch.cat((before, features), dim=1),
            cross_keys_layers=torch.stack([layer.keys[:, :, order] for layer in layers], dim=1),
            cross_values_layers=torch.stack([layer.values[:, :, order] for layer in layers], dim=1),
            patch_mask=torch.cat((mask.new_ones(batch, len(of_words)), mask), dim=1),
            views=views,
            prompt=torch.zeros(batch, 0, dtype=torch.long, device=features.device),
        )

    def new_cache(self, memory: Memory) -> DynamicCache:
        """transformers' cache with the prompt's keys and values."""
        cache = DynamicCache()
        keys, values = memory.cross_keys_layers.unbind(1), memory.cross_values_layers.unbind(1)
        for layer, pair in enumerate(zip(keys, values, strict=True)):
            cache.update(*pair, layer)
        return cache

    def reorder(self, cache: Any, rows: Tensor) -> None:
        """See ImportedNetwork."""
        cache.reorder_cache(rows)

    def decode(
        self,
        tokens: Tensor,
        features: Tensor,
        mask: Tensor | None,
        cache: Any,
        token_types: Tensor | None = None,
        output_attentions: bool = False,
    ) -> Decoded:
        """See ImportedNetwork; of the features only their number is read, they are in the cache."""
        length = cache.get_seq_length() + tokens.shape[1]
        output = self.decoder.trunk(
            input_ids=tokens,
            attention_mask=tokens.new_ones(len(tokens), length),
            use_cache=True,
            output_attentions=output_attentions,
            **{CACHE: cache},
        )
        positions = features.shape[1]
        attentions = tuple(layer[..., :positions] for layer in output.attentions or ())
        return Decoded(self.decoder.head(output.last_hidden_state), attentions)
