"""The adapter: an encoder and a decoder of transformers as one Network.

Keys and values of the cross-attention are those the decoder itself computes at its first step, so
nothing here knows how a decoder projects them.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from model.errors import DataError
from model.imported.config import ImportedConfig
from model.imported.processing import ProcessedPlacement
from model.memory import Memory
from model.network import CACHE

__all__ = ["ImportedNetwork"]


class ImportedNetwork(nn.Module):
    """A Network (model/interface.py) of transformers' parts."""

    def __init__(
        self,
        config: ImportedConfig,
        encoder: nn.Module,
        projection: nn.Module | None,
        decoder: nn.Module,
    ) -> None:
        """
        Args:
            encoder: images (batch, 3, size, size) -> features (batch, positions, width).
            projection: of the features to the decoder's width, where the widths differ.
            decoder: a causal language model of transformers with cross-attention, eager.
        """
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.projection = projection
        self.decoder = decoder
        self._blank: Memory | None = None

    @property
    def grid(self) -> tuple[int, int]:
        """See Network."""
        return self.config.grid

    @property
    def prefix(self) -> int:
        """See Network."""
        return self.config.prefix

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.decoder.parameters()).device

    def place(self, height: int, width: int) -> ProcessedPlacement:
        """See Network."""
        return ProcessedPlacement(height, width, self.config.image_size, self.config.processing)

    def encode(
        self,
        images: Tensor,
        image_mask: Tensor | None = None,
        views: Tensor | None = None,
        prompt: Tensor | None = None,
    ) -> Memory:
        """See Network: one image a study.

        Raises:
            DataError: several images in a study, or an indication.
        """
        batch, count = images.shape[:2]
        if count != 1:
            raise DataError(
                f"a study of {count} images: {self.config.name!r} reads one image a study; send "
                "the frontal one alone"
            )
        if prompt is not None and prompt.shape[1]:
            raise DataError(f"{self.config.name!r} reads no indication: leave it out")
        features: Tensor = self.encoder(images[:, 0])
        if self.projection is not None:
            features = self.projection(features)
        start = torch.full((batch, 1), self.config.bos_token_id, device=images.device)
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self._decode(start, features, cache)
        layers: list[Any] = cache.cross_attention_cache.layers
        return Memory(
            last_hidden_state=features,
            cross_keys_layers=torch.stack([layer.keys for layer in layers], dim=1),
            cross_values_layers=torch.stack([layer.values for layer in layers], dim=1),
            patch_mask=torch.ones(features.shape[:2], dtype=torch.bool, device=images.device),
            views=torch.zeros(batch, 1, dtype=torch.long, device=images.device),
            prompt=torch.zeros(batch, 0, dtype=torch.long, device=images.device),
        )

    def without_images(self, memory: Memory) -> Memory:
        """A black image for every study: there is no sink that has not seen the image."""
        if self._blank is None or self._blank.patch_mask.device != self.device:
            size = self.config.image_size
            black = self.place(size, size).apply(torch.zeros(size, size).numpy())
            self._blank = self.encode(black[None, None].to(self.device))
        rows = torch.zeros(len(memory.patch_mask), dtype=torch.long, device=self.device)
        return self._blank.studies(rows)

    def incremental_decoder(self, memory: Memory, beams: int, limit: int) -> "_Incremental":
        """See Network."""
        return _Incremental(self, memory, beams)

    def teacher_forced(
        self, memory: Memory, tokens: Tensor, attention_from: int | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See Network."""
        repeated = _repeated(memory, len(tokens) // len(memory.patch_mask))
        output = self._decode(
            tokens,
            repeated.last_hidden_state,
            _cache(repeated),
            token_types=self._token_types(tokens),
            output_attentions=attention_from is not None,
        )
        attentions = () if attention_from is None else output.cross_attentions[attention_from:]
        return output.logits, attentions

    def novelty_distances(self, memory: Memory) -> Tensor:
        """See Network: unknown."""
        return torch.full_like(memory.views, torch.nan, dtype=torch.float32)

    def _decode(
        self,
        tokens: Tensor,
        features: Tensor,
        cache: EncoderDecoderCache,
        token_types: Tensor | None = None,
        output_attentions: bool = False,
    ) -> Any:
        """The decoder's output for tokens (rows, tokens) that follow those in the cache."""
        types = {} if token_types is None else {"token_type_ids": token_types}
        length = cache.get_seq_length() + tokens.shape[1]
        return self.decoder(
            input_ids=tokens,
            # All ones: padding stands after a text only, where nothing reads it.
            attention_mask=tokens.new_ones(len(tokens), length),
            encoder_hidden_states=features,
            use_cache=True,
            output_attentions=output_attentions,
            **types,
            **{CACHE: cache},
        )

    def _token_types(self, tokens: Tensor) -> Tensor | None:
        """1 after the first separator of sections, where the checkpoint has one."""
        separator = self.config.section_token_id
        if separator is None:
            return None
        seen = (tokens == separator).cumsum(1)
        before = seen - (tokens == separator).long()
        return (before > 0).long()


class _Incremental:
    """An IncrementalDecoder over transformers' caches."""

    def __init__(self, network: ImportedNetwork, memory: Memory, beams: int) -> None:
        repeated = _repeated(memory, beams)
        self.network = network
        self.beams = beams
        self.features = repeated.last_hidden_state
        self.cache = _cache(repeated)
        self.impression = torch.zeros(len(self.features), dtype=torch.bool, device=network.device)
        """Per row whether the separator of sections was written."""

    def __call__(self, chosen: Tensor) -> Tensor:
        separator = self.network.config.section_token_id
        types = None if separator is None else self.impression.long()[:, None]
        output = self.network._decode(chosen[:, None], self.features, self.cache, types)
        if separator is not None:
            self.impression = self.impression | (chosen == separator)
        logits: Tensor = output.logits[:, -1].float()
        return logits

    def reorder(self, rows: Tensor) -> None:
        # A study's beams share what they cross-attend to: its rows may stay.
        written: Any = self.cache.self_attention_cache
        written.reorder_cache(rows)
        self.impression = self.impression[rows]

    def keep(self, studies: Tensor) -> None:
        rows = studies[:, None] * self.beams + torch.arange(self.beams, device=studies.device)
        rows = rows.flatten()
        self.cache.batch_select_indices(rows)
        self.features = self.features[rows]
        self.impression = self.impression[rows]


def _repeated(memory: Memory, times: int) -> Memory:
    """Every study's memory `times` times, one after another."""
    if times == 1:
        return memory
    rows = torch.arange(len(memory.patch_mask), device=memory.patch_mask.device)
    return memory.studies(rows.repeat_interleave(times))


def _cache(memory: Memory) -> EncoderDecoderCache:
    """transformers' cache with the memory's keys and values, and no token yet."""
    cross = DynamicCache()
    keys, values = memory.cross_keys_layers.unbind(1), memory.cross_values_layers.unbind(1)
    for layer, pair in enumerate(zip(keys, values, strict=True)):
        cross.update(*pair, layer)
    return EncoderDecoderCache(DynamicCache(), cross)
