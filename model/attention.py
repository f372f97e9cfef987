"""Attention: queries, keys, values.

Where to read first: `attend` is softmax(Q K^T / sqrt(d)) V; in `CrossAttention` the queries come
from the tokens written so far, the keys and values from the image patches.

Axes always come in the order (batch, layers, heads, tokens, patches).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name everyone knows it by)

from model.config import ReportConfig
from model.memory import TokenCache

__all__ = ["CrossAttention", "SelfAttention", "attend"]


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """softmax(Q K^T / sqrt(d)) V (Vaswani et al. 2017, Attention Is All You Need).

    Every query is compared with every key; the softmax turns one query's comparisons into
    shares that sum to 1; the output is the values, mixed by those shares.

    Args:
        queries: what each token is looking for, (batch, heads, tokens, head_dim).
        keys: what each patch has to offer, (batch, heads, patches, head_dim).
        values: what a token receives from the patch, (batch, heads, patches, head_dim).
        bias: added to the comparisons, broadcastable to (batch, heads, tokens, patches): minus
            infinity where a token may not attend, log(n) for a patch that counts n times.

    Returns:
        The outputs (batch, heads, tokens, head_dim) and the attention, float32
        (batch, heads, tokens, patches): each row sums to 1.
    """
    # Queries are fewer than scores: dividing them is the same and costs less.
    scores = queries / math.sqrt(queries.shape[-1]) @ keys.transpose(-2, -1)
    if bias is not None:
        scores = scores + bias
    attention = torch.softmax(scores, dim=-1, dtype=torch.float32)
    return attention.to(values.dtype) @ values, attention


class CrossAttention(nn.Module):
    """Queries of the tokens, keys and values of the patches: what the next token attends to."""

    def __init__(self, config: ReportConfig, memory_width: int) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(memory_width, config.width)
        self.value = nn.Linear(memory_width, config.width)
        self.output = nn.Linear(config.width, config.width)

    def project(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, patches, memory width) -> keys and values (batch, heads, patches, head_dim)."""
        return _split(self.key(patches), self.heads), _split(self.value(patches), self.heads)

    def forward(
        self,
        hidden: Tensor,
        keys: Tensor,
        values: Tensor,
        bias: Tensor | None,
        need_attention: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend to the patches, once per token.

        Args:
            hidden: (rows, tokens, width). Rows are studies, or studies x beams: the beams of
                a study are then queries like further tokens, so that keys and values
                need not be repeated for them.
            keys, values: (studies, heads, patches, head_dim).
            bias: (studies, patches), see `attend`; None where every patch counts once.

        Returns:
            (rows, tokens, width) and, if asked for, attention (rows, heads, tokens, patches).
        """
        rows, tokens, width = hidden.shape
        studies = keys.shape[0]
        queries = _split(self.query(hidden).view(studies, -1, width), self.heads)
        bias = None if bias is None else bias[:, None, None, :].to(queries.dtype)
        if not need_attention:
            mixed = F.scaled_dot_product_attention(queries, keys, values, bias)
            return self.output(_merge(mixed).view(rows, tokens, width)), None
        mixed, attention = attend(queries, keys, values, bias)
        attention = attention.unflatten(2, (rows // studies, tokens)).transpose(1, 2).flatten(0, 1)
        return self.output(_merge(mixed).view(rows, tokens, width)), attention


class SelfAttention(nn.Module):
    """Causal: each token attends to the tokens before it, and to itself."""

    def __init__(self, config: ReportConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query_key_value = nn.Linear(config.width, 3 * config.width)
        self.output = nn.Linear(config.width, config.width)

    def forward(
        self, hidden: Tensor, cache: TokenCache | None, layer: int, mask: Tensor | None
    ) -> Tensor:
        """(rows, tokens, width) -> the same shape; tokens follow those in the cache.

        Args:
            mask: bool, broadcastable to (rows, heads, tokens, tokens so far), True where a token
                may read; None where each reads all before it.
        """
        # As if three projections of `heads` each, in one multiplication.
        projected = _split(self.query_key_value(hidden), 3 * self.heads)
        queries, keys, values = projected.split(self.heads, dim=1)
        tokens = queries.shape[2]
        if cache is not None:
            keys, values = cache.update(keys, values, layer)
        mixed = F.scaled_dot_product_attention(
            queries, keys, values, mask, is_causal=mask is None and tokens > 1
        )
        output: Tensor = self.output(_merge(mixed))
        return output


def _split(hidden: Tensor, heads: int) -> Tensor:
    """(batch, tokens, width) -> (batch, heads, tokens, head_dim)."""
    batch, tokens, width = hidden.shape
    return hidden.view(batch, tokens, heads, width // heads).transpose(1, 2)


def _merge(hidden: Tensor) -> Tensor:
    """(batch, heads, tokens, head_dim) -> (batch, tokens, width)."""
    return hidden.transpose(1, 2).flatten(2)
