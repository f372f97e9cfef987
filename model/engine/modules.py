"""What is converted: our network cut where an engine's border lies, as PyTorch modules.

Axes as everywhere (batch, layers, heads, tokens, patches), but keys of patches are stored
transposed, so that a step multiplies without moving them. imported_modules.py has the same of
imported networks.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name everyone knows it by)

from model.engine.names import cross_names, past_names
from model.image_features import mahalanobis_distances
from model.network import ReportModel
from model.torch_network import SKIPPED_SHARE

__all__ = ["DecoderModule", "ImageModule", "examples_of_layers", "read_from_images"]


class ImageModule(nn.Module):
    """Images -> how far each is from those fitted on, and its patches' keys and values."""

    def __init__(self, network: ReportModel) -> None:
        super().__init__()
        self.network = network

    def examples(self) -> dict[str, Tensor]:
        """Inputs of `forward` by name, in its order."""
        size = self.network.config.image_size
        images = torch.rand(2, 1, size, size) * 2 - 1
        return {"images": images, "views": torch.zeros(2, dtype=torch.long)}

    def blank(self) -> list[Tensor]:
        """Keys and values, as `forward` gives them, of a study without images: the sink's."""
        with torch.no_grad():
            return _projected(self.network, self.network.sink.expand(1, 1, -1))

    def forward(self, images: Tensor, views: Tensor) -> tuple[Tensor, ...]:
        """
        Args:
            images: (images, 1, size, size).
            views: int64 (images,).

        Returns:
            distances (images,), then per layer keys (images, heads, head_dim, patches) and values
            (images, heads, patches, head_dim).
        """
        network = self.network
        patches = network.encoder(images) + network.views(views)[:, None]
        distances = mahalanobis_distances(
            patches.mean(dim=1), network.feature_mean, network.feature_precision
        )
        return (distances, *_projected(network, patches))


def _projected(network: ReportModel, patches: Tensor) -> list[Tensor]:
    projected = []
    for layer in network.decoder.layers:
        keys, values = layer.cross_attention.project(patches)
        projected += [keys.transpose(2, 3), values]
    return projected


class DecoderModule(nn.Module):
    """The tokens that follow those in the state -> logits, attention, and the longer state.

    One step where the tokens are one a row; a whole text where they are many and the state empty.
    """

    places: Tensor

    def __init__(self, network: ReportModel) -> None:
        super().__init__()
        config, decoder = network.config, network.decoder
        self.decoder = decoder
        self.layers, self.heads, self.width = config.layers, config.heads, config.width
        self.head_dim = config.width // config.heads
        self.late = int(config.layers * SKIPPED_SHARE)
        places = [decoder.positions.weight]
        if decoder.prompt_positions is not None:
            places.append(decoder.prompt_positions.weight)
        self.register_buffer("places", torch.cat(places).detach())

    def examples(self) -> dict[str, Tensor]:
        """Inputs of `forward` by name, in its order."""
        return {
            "tokens": torch.zeros(4, 2, dtype=torch.long),
            "places": torch.arange(2),
            **examples_of_layers(self.layers, self.heads, self.head_dim),
        }

    def forward(
        self, tokens: Tensor, places: Tensor, mask: Tensor, bias: Tensor, *of_layers: Tensor
    ) -> tuple[Tensor, ...]:
        """
        Args:
            tokens: int64 (rows, tokens); rows are studies, or studies x texts.
            places: int64 (tokens,), of the report's tokens from 0 on; of the prompt's, counted back
                from its end, from max_tokens on.
            mask: (rows, 1, tokens, tokens so far), added to the comparisons of self-attention.
            bias: (studies, 1, 1, positions), added to those with the patches.
            of_layers: per layer the patches' keys (studies, heads, head_dim, positions) and values
                (studies, heads, positions, head_dim); then per layer the keys and values of the
                tokens before, (rows, heads, tokens, head_dim).

        Returns:
            logits (rows, tokens, vocabulary), attention (rows, tokens, positions), the mean over
            heads and late layers, and per layer the keys and values of all tokens so far.
        """
        cross, past = of_layers[: 2 * self.layers], of_layers[2 * self.layers :]
        rows, count = tokens.shape
        hidden = self.decoder.tokens(tokens) + self.places[places]
        present: list[Tensor] = []
        attention: Tensor | None = None
        for index, layer in enumerate(self.decoder.layers):
            mixed, keys, values = self._from_text(
                layer.self_attention.query_key_value(layer.self_norm(hidden)),
                past[2 * index],
                past[2 * index + 1],
                mask,
            )
            present += [keys, values]
            hidden = hidden + layer.self_attention.output(mixed)
            queries = layer.cross_attention.query(layer.cross_norm(hidden))
            mixed, shares = read_from_images(
                queries.view(rows, count, self.heads, self.head_dim) / math.sqrt(self.head_dim),
                cross[2 * index],
                cross[2 * index + 1],
                bias,
            )
            hidden = hidden + layer.cross_attention.output(mixed.reshape(rows, count, self.width))
            hidden = hidden + layer.mlp(layer.mlp_norm(hidden))
            if index >= self.late:
                of_layer = shares.sum(dim=1)
                attention = of_layer if attention is None else attention + of_layer
        assert attention is not None
        mean = attention / ((self.layers - self.late) * self.heads)
        logits = F.linear(self.decoder.norm(hidden), self.decoder.tokens.weight)
        return (logits, mean.reshape(rows, count, -1), *present)

    def _from_text(
        self, projected: Tensor, past_keys: Tensor, past_values: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        rows, count, _ = projected.shape
        heads = projected.view(rows, count, 3 * self.heads, self.head_dim).transpose(1, 2)
        queries, keys, values = heads.split(self.heads, dim=1)
        keys = torch.cat((past_keys, keys), dim=2)
        values = torch.cat((past_values, values), dim=2)
        mixed = F.scaled_dot_product_attention(queries, keys, values, mask)
        return mixed.transpose(1, 2).reshape(rows, count, self.width), keys, values


def read_from_images(
    queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Attention to the patches, with the shares of each.

    A study's rows are queries like further tokens: its keys and values are not repeated.

    Args:
        queries: (rows, tokens, heads, head_dim), scaled; rows are studies, or studies x texts.
        keys: (studies, heads, head_dim, positions); values and bias as DecoderModule has them.

    Returns:
        (studies, texts * tokens, heads, head_dim), and the shares
        (studies, heads, texts * tokens, positions).
    """
    studies, heads, head_dim = keys.shape[0], queries.shape[2], queries.shape[3]
    queries = queries.reshape(studies, -1, heads, head_dim).transpose(1, 2)
    shares = torch.softmax(queries @ keys + bias, dim=-1)
    return (shares @ values).transpose(1, 2), shares


def examples_of_layers(layers: int, heads: int, head_dim: int) -> dict[str, Tensor]:
    """Masks, keys and values of 2 studies with 2 rows each, for 2 tokens that follow 3 others."""
    studies, rows, count, past, positions = 2, 4, 2, 3, 5
    shapes = {"keys": (head_dim, positions), "values": (positions, head_dim)}
    of_patches = {
        name: torch.rand(studies, heads, *shapes[name.split(".")[0]])
        for name in cross_names(layers)
    }
    return {
        "mask": torch.zeros(rows, 1, count, past + count),
        "bias": torch.zeros(studies, 1, 1, positions),
        **of_patches,
        **{name: torch.rand(rows, heads, past, head_dim) for name in past_names(layers)},
    }
