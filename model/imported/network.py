"""The adapter: an encoder and a decoder of transformers as one Network.

Keys and values of the cross-attention are those the decoder itself computes at its first step, so
nothing here knows how a decoder projects them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name everyone knows it by)
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, EncoderDecoderCache

from model.image_features import image_features, mahalanobis_distances
from model.imported.config import ImportedConfig
from model.imported.processing import ProcessedPlacement
from model.memory import Memory
from model.network import CACHE
from model.readable import check_readable
from model.torch_network import TorchEngine

__all__ = ["Decoded", "ImportedNetwork"]


@dataclass(frozen=True)
class Decoded:
    """What a decoder made of some tokens."""

    logits: Tensor
    """(rows, tokens, vocabulary)"""
    attentions: tuple[Tensor, ...]
    """Per layer, to the positions of a Memory, (rows, heads, tokens, positions); empty where it
    was not asked for."""


class _AsComputed(DynamicLayer):
    """A layer of a cache of one step: nothing comes before it."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        self.keys, self.values, self.is_initialized = key_states, value_states, True
        return key_states, value_states


class ImportedNetwork(TorchEngine, nn.Module):
    """A Network (model/torch_network.py) of transformers' parts."""

    feature_mean: Tensor
    feature_precision: Tensor

    def __init__(
        self,
        config: ImportedConfig,
        encoder: nn.Module,
        projection: nn.Module | None,
        decoder: nn.Module,
    ) -> None:
        """
        Args:
            encoder: images (images, 3, size, size) -> features (images, positions, width).
            projection: of the features to the decoder's width, where the widths differ.
            decoder: a causal language model of transformers with cross-attention, eager.
        """
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.projection = projection
        self.decoder = decoder
        self._blank: Memory | None = None
        # Of the images' mean patches (model/novelty.py); all zero where nothing was fitted.
        width = self.features
        self.register_buffer("feature_mean", torch.zeros(width))
        self.register_buffer("feature_precision", torch.zeros(width, width))

    @property
    def grid(self) -> tuple[int, int]:
        """See Network."""
        return self.config.grid

    @property
    def features(self) -> int:
        """Width of Memory.last_hidden_state: the decoder's."""
        config: Any = self.decoder.config
        return int(config.hidden_size)

    @property
    def prefix(self) -> int:
        """See Network."""
        return self.config.prefix

    def positions(self, tokens: Tensor, places: Tensor) -> Tensor:
        """What a decoder looks its position embeddings up by, (rows, tokens) or (1, tokens).

        RoBERTa counts from behind its padding, which itself has one place. Left to itself it counts
        a start token that is the padding in a whole text, and not step by step.

        Args:
            tokens: (rows, tokens).
            places: int64 (tokens,), of the report's tokens from 0 on.
        """
        if self.config.decoder["model_type"] != "roberta":
            return places[None]
        padding: int = self.decoder.config.pad_token_id  # type: ignore[union-attr, assignment]
        return torch.where(tokens == padding, padding, places[None] + padding + 1)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.decoder.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return next(self.decoder.parameters()).dtype

    def place(self, height: int, width: int) -> ProcessedPlacement:
        """See Network."""
        return ProcessedPlacement(height, width, self.config.image_size, self.config.processing)

    def normalize(self, squares: Tensor) -> Tensor:
        """See Network: as ProcessedPlacement.apply does."""
        processing = self.config.processing
        mean, std = (
            torch.tensor(values, device=squares.device)[:, None, None]
            for values in (processing.mean, processing.std)
        )
        return (squares * processing.scale - mean) / std

    def train(self, mode: bool = True) -> "ImportedNetwork":
        """Training changes what a black image looks like."""
        self._blank = None
        super().train(mode)
        return self

    def encode(
        self,
        images: Tensor,
        image_mask: Tensor | None = None,
        views: Tensor | None = None,
        prompt: Tensor | None = None,
    ) -> Memory:
        """See Network. Of a study's images but the first the prefix is left out.

        Raises:
            DataError: more images in a study than it reads, or an indication.
        """
        self._check(images, prompt)
        batch, count = images.shape[:2]
        if image_mask is None:
            image_mask = torch.ones(batch, count, dtype=torch.bool, device=images.device)
        images = images.to(self.dtype)  # the network may have been cast to bfloat16
        present = self.features_of(images[image_mask])
        features = present.new_zeros(batch, count, *present.shape[1:])
        features[image_mask] = present
        first, patches = features[:, 0, : self.prefix], features[:, :, self.prefix :]
        mask = image_mask.repeat_interleave(patches.shape[2], dim=1)
        return self._remember(
            torch.cat((first, patches.flatten(1, 2)), dim=1),
            torch.cat((mask.new_ones(batch, self.prefix), mask), dim=1),
            torch.zeros_like(image_mask, dtype=torch.long) if views is None else views,
        )

    def _check(self, images: Tensor, prompt: Tensor | None) -> None:
        check_readable(self.config, images.shape[1], 0 if prompt is None else prompt.shape[1])

    def features_of(self, images: Tensor) -> Tensor:
        """(images, 3, size, size) -> (images, positions, the decoder's width)."""
        features: Tensor = self.encoder(images)
        return features if self.projection is None else self.projection(features)

    def projected(self, features: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Per layer the keys and values of features (batch, positions, width), as the decoder
        computes them; each (batch, heads, positions, head_dim)."""
        start = torch.full((len(features), 1), self.config.bos_token_id, device=features.device)
        cache = EncoderDecoderCache(
            *(Cache(layer_class_to_replicate=_AsComputed) for _ in ("self", "cross"))
        )
        self.decode(start, features, None, cache)
        layers: list[Any] = cache.cross_attention_cache.layers
        return [(layer.keys, layer.values) for layer in layers]

    def _remember(self, features: Tensor, mask: Tensor, views: Tensor) -> Memory:
        keys, values = zip(*self.projected(features), strict=True)
        return Memory(
            last_hidden_state=features,
            cross_keys_layers=torch.stack(keys, dim=1),
            cross_values_layers=torch.stack(values, dim=1),
            patch_mask=mask,
            views=views,
            prompt=torch.zeros(len(features), 0, dtype=torch.long, device=features.device),
        )

    def without_images(self, memory: Memory) -> Memory:
        """A black image for every study: there is no sink that has not seen the image."""
        blank = self._blank
        # The network may have been moved or cast since.
        if blank is None or (
            blank.patch_mask.device != self.device
            or blank.last_hidden_state.dtype != memory.last_hidden_state.dtype
        ):
            self._blank = blank = self.black()
        rows = torch.zeros(len(memory.patch_mask), dtype=torch.long, device=self.device)
        return blank.studies(rows)

    def drop_images(self, memory: Memory, studies: Tensor) -> Memory:
        """One black image instead of a study's own, of some studies of a batch.

        Args:
            studies: bool (batch,).
        """
        if not studies.any():
            return memory
        black = self.black()
        more = memory.patch_mask.shape[1] - black.patch_mask.shape[1]
        dropped = dict(memory)
        for name in ("last_hidden_state", "cross_keys_layers", "cross_values_layers"):
            padded = F.pad(black[name], (0, 0, 0, more))
            chosen = studies.view(-1, *[1] * (padded.ndim - 1))
            dropped[name] = torch.where(chosen, padded.to(memory[name].dtype), memory[name])
        mask = F.pad(black.patch_mask, (0, more))
        dropped["patch_mask"] = torch.where(studies[:, None], mask, memory.patch_mask)
        return Memory(**dropped)

    def black(self) -> Memory:
        """The memory of a study of one black image."""
        size = self.config.image_size
        black = self.normalize(torch.zeros(1, 1, 1, size, size, device=self.device))
        return self.encode(black)

    def incremental_decoder(self, memory: Memory, beams: int, limit: int) -> "_Incremental":
        """See Network."""
        return _Incremental(self, memory, beams)

    def teacher_forced(
        self, memory: Memory, tokens: Tensor, attention_from: int | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See Network."""
        repeated = _repeated(memory, len(tokens) // len(memory.patch_mask))
        decoded = self.decode(
            tokens,
            repeated.last_hidden_state,
            _mask(repeated),
            self.new_cache(repeated),
            token_types=self._token_types(tokens),
            output_attentions=attention_from is not None,
        )
        return decoded.logits, decoded.attentions[attention_from:]

    @torch.inference_mode()
    def novelty_distances(self, memory: Memory) -> NDArray[np.float32]:
        """See Engine: unknown until it was fitted."""
        if not self.config.novelty_threshold:
            return np.full(memory.views.shape, np.nan, np.float32)
        features = image_features(memory, self.prefix, self.grid)
        distances = mahalanobis_distances(features, self.feature_mean, self.feature_precision)
        far: NDArray[np.float32] = distances.cpu().numpy()
        return far

    def new_cache(self, memory: Memory) -> Cache:
        """transformers' cache with the memory's keys and values, and no token yet."""
        cross = DynamicCache()
        keys, values = memory.cross_keys_layers.unbind(1), memory.cross_values_layers.unbind(1)
        for layer, pair in enumerate(zip(keys, values, strict=True)):
            cross.update(*pair, layer)
        return EncoderDecoderCache(DynamicCache(), cross)

    def reorder(self, cache: Any, rows: Tensor) -> None:
        """Row i of a cache goes on from what row rows[i], of the same study, has read."""
        # A study's beams share what they cross-attend to: its rows may stay.
        cache.self_attention_cache.reorder_cache(rows)

    def decode(
        self,
        tokens: Tensor,
        features: Tensor,
        mask: Tensor | None,
        cache: Any,
        token_types: Tensor | None = None,
        output_attentions: bool = False,
    ) -> Decoded:
        """The decoder's output for tokens (rows, tokens) that follow those in the cache.

        Args:
            mask: bool (rows, positions) of the features; None where all are there.
            cache: of `new_cache`, or an empty one; it holds the tokens too then.
        """
        types = {} if token_types is None else {"token_type_ids": token_types}
        past = cache.get_seq_length()
        length = past + tokens.shape[1]
        places = torch.arange(past, length, device=tokens.device)
        output = self.decoder(
            input_ids=tokens,
            position_ids=self.positions(tokens, places),
            # All ones: padding stands after a text only, where nothing reads it.
            attention_mask=tokens.new_ones(len(tokens), length),
            encoder_hidden_states=features,
            encoder_attention_mask=None if mask is None else mask.long(),
            use_cache=True,
            output_attentions=output_attentions,
            **types,
            **{CACHE: cache},
        )
        return Decoded(output.logits, output.cross_attentions or ())

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
        self.mask = _mask(repeated)
        self.cache: Any = network.new_cache(repeated)
        self.impression = torch.zeros(len(self.features), dtype=torch.bool, device=network.device)
        """Per row whether the separator of sections was written."""

    @torch.inference_mode()
    def __call__(self, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = self._logits(chosen).cpu().numpy()
        return logits

    @torch.inference_mode()
    def likeliest(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        likeliest: NDArray[np.int64] = self._logits(chosen).argmax(dim=-1).cpu().numpy()
        return likeliest

    def _logits(self, chosen: NDArray[np.int64]) -> Tensor:
        separator = self.network.config.section_token_id
        types = None if separator is None else self.impression.long()[:, None]
        tokens = torch.from_numpy(chosen).to(self.network.device)
        output = self.network.decode(tokens[:, None], self.features, self.mask, self.cache, types)
        if separator is not None:
            self.impression = self.impression | (tokens == separator)
        return output.logits[:, -1].float()

    @torch.inference_mode()
    def reorder(self, rows: NDArray[np.int64]) -> None:
        order = torch.from_numpy(rows).to(self.network.device)
        if len(rows) == len(self.features):
            self.network.reorder(self.cache, order)
        else:
            self.beams = self.beams * len(rows) // len(self.features)
            self.cache.batch_select_indices(order)
            self.features = self.features[order]
            self.mask = None if self.mask is None else self.mask[order]
        self.impression = self.impression[order]

    @torch.inference_mode()
    def keep(self, studies: NDArray[np.int64]) -> None:
        of_studies = studies[:, None] * self.beams + np.arange(self.beams)
        rows = torch.from_numpy(of_studies.flatten()).to(self.network.device)
        self.cache.batch_select_indices(rows)
        self.features = self.features[rows]
        self.mask = None if self.mask is None else self.mask[rows]
        self.impression = self.impression[rows]


def _repeated(memory: Memory, times: int) -> Memory:
    """Every study's memory `times` times, one after another."""
    if times == 1:
        return memory
    rows = torch.arange(len(memory.patch_mask), device=memory.patch_mask.device)
    return memory.studies(rows.repeat_interleave(times))


def _mask(memory: Memory) -> Tensor | None:
    """Where positions are missing, which ones are there; None where none is."""
    return None if memory.patch_mask.all() else memory.patch_mask
