"""What is converted of an imported network (model/imported/): its encoder and decoder as they are.

transformers lets a model's attention be computed by another function. While the decoder is traced
it is `_attention`: over the tokens as one operation, which OpenVINO fuses with its state, and over
the patches step by step, since its shares are the maps.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name everyone knows it by)
from transformers import AttentionInterface
from transformers.cache_utils import DynamicCache, DynamicLayer, EncoderDecoderCache

from model.engine.modules import examples_of_layers, read_from_images
from model.image_features import mahalanobis_distances
from model.imported.network import ImportedNetwork
from model.imported.parts import EAGER
from model.network import CACHE
from model.torch_network import SKIPPED_SHARE

__all__ = ["ImportedDecoderModule", "ImportedImageModule", "traceable"]

TRACED = "crossray_traced"
"""Name of `_attention` in transformers."""


class ImportedImageModule(nn.Module):
    """As ImageModule, of images (images, 3, size, size), without their views."""

    def __init__(self, network: ImportedNetwork) -> None:
        super().__init__()
        self.network = network

    def examples(self) -> dict[str, Tensor]:
        """See ImageModule."""
        size = self.network.config.image_size
        return {"images": torch.rand(2, 3, size, size)}

    def blank(self) -> list[Tensor]:
        """See ImageModule: a black image."""
        with torch.no_grad():
            return _transposed(self.network.projected(self.network.black().last_hidden_state))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """See ImageModule; the positions before the patches come with each image."""
        network = self.network
        features = network.features_of(images)
        distances = mahalanobis_distances(
            features[:, network.prefix :].mean(dim=1),
            network.feature_mean,
            network.feature_precision,
        )
        return (distances, *_transposed(network.projected(features)))


class ImportedDecoderModule(nn.Module):
    """As DecoderModule; the decoder is transformers', as `traceable` makes it."""

    def __init__(self, network: ImportedNetwork) -> None:
        super().__init__()
        config = network.config
        self.network = network
        self.layers, self.heads = config.layers, config.heads
        self.head_dim = network.features // config.heads
        self.late = int(config.layers * SKIPPED_SHARE)
        self.sections = config.section_token_id is not None

    def examples(self) -> dict[str, Tensor]:
        """See DecoderModule."""
        types = {"types": torch.zeros(4, 2, dtype=torch.long)} if self.sections else {}
        return {
            "tokens": torch.ones(4, 2, dtype=torch.long),
            "places": torch.arange(2),
            **types,
            **examples_of_layers(self.layers, self.heads, self.head_dim),
        }

    def forward(self, tokens: Tensor, places: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        """See DecoderModule.

        Args:
            more: where reports have sections the tokens' types, int64 (rows, tokens); then mask,
                bias and of_layers as there.
        """
        types = {"token_type_ids": more[0]} if self.sections else {}
        mask, bias, *of_layers = more[self.sections :]
        cross, past = of_layers[: 2 * self.layers], of_layers[2 * self.layers :]
        cache = EncoderDecoderCache(_filled(past), _filled(cross))
        cache.is_updated = dict.fromkeys(range(self.layers), True)
        output = self.network.decoder(
            input_ids=tokens,
            position_ids=self.network.positions(tokens, places),
            attention_mask=mask,
            encoder_hidden_states=bias,  # that there is one is all that is read of it
            encoder_attention_mask=bias,
            use_cache=True,
            output_attentions=True,
            **types,
            **{CACHE: cache},
        )
        late = [shares.sum(dim=1) for shares in output.cross_attentions[self.late :]]
        mean = torch.stack(late).sum(dim=0) / (len(late) * self.heads)
        layers: list[Any] = cache.self_attention_cache.layers
        present = [each for layer in layers for each in (layer.keys, layer.values)]
        return (output.logits, mean.reshape(*tokens.shape, -1), *present)


@contextmanager
def traceable(network: ImportedNetwork) -> Iterator[None]:
    """Its decoder's attention is `_attention` for a while."""
    decoder: Any = network.decoder
    AttentionInterface.register(TRACED, _attention)
    decoder.set_attn_implementation(TRACED)
    try:
        yield
    finally:
        decoder.set_attn_implementation(EAGER)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float,
    **_: Any,
) -> tuple[Tensor, Tensor | None]:
    """As transformers calls it.

    Args:
        query: (rows, heads, tokens, head_dim).
        key, value: of the tokens so far; or of the patches, as read_from_images takes them.

    Returns:
        (rows, tokens, heads, head_dim), and the shares of the patches.
    """
    rows, heads, count, head_dim = query.shape
    if module.is_causal:
        query = query * (scaling * head_dim**0.5)
        mixed = F.scaled_dot_product_attention(query, key, value, attention_mask)
        return mixed.transpose(1, 2), None
    queries = query.transpose(1, 2) * scaling
    mixed, shares = read_from_images(queries, key, value, attention_mask)
    return mixed.reshape(rows, count, heads, head_dim), shares


def _filled(of_layers: Sequence[Tensor]) -> DynamicCache:
    """A cache of keys and values that follow one another."""
    cache = DynamicCache()
    for keys, values in zip(of_layers[::2], of_layers[1::2], strict=True):
        layer = DynamicLayer()
        layer.keys, layer.values, layer.is_initialized = keys, values, True
        cache.layers.append(layer)
    return cache


def _transposed(projected: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
    return [each for keys, values in projected for each in (keys.transpose(2, 3), values)]
