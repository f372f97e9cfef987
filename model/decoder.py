"""The decoder: tokens -> scores of the next token, by layers that attend to the image patches.

Where to read first: attention.py, whose `attend` is softmax(Q K^T / sqrt(d)) V.

Axes always come in the order (batch, layers, heads, tokens, patches). Knows nothing of files,
text, or how tokens are chosen.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name everyone knows it by)

from model.attention import CrossAttention, SelfAttention
from model.config import ReportConfig
from model.errors import DataError
from model.memory import DecoderContext, TokenCache

__all__ = ["Decoder", "DecoderLayer"]


class MLP(nn.Module):
    """Two linear layers with GELU between them, applied to each token alone."""

    def __init__(self, config: ReportConfig) -> None:
        super().__init__()
        inner = int(config.width * config.mlp_ratio)
        self.input = nn.Linear(config.width, inner)
        self.output = nn.Linear(inner, config.width)

    def forward(self, hidden: Tensor) -> Tensor:
        output: Tensor = self.output(F.gelu(self.input(hidden)))
        return output


class DecoderLayer(nn.Module):
    """Self-attention, cross-attention and MLP: each normalized first, then added (pre-norm)."""

    def __init__(self, config: ReportConfig, memory_width: int, index: int) -> None:
        super().__init__()
        self.index = index
        self.self_norm = nn.LayerNorm(config.width)
        self.self_attention = SelfAttention(config)
        self.cross_norm = nn.LayerNorm(config.width)
        self.cross_attention = CrossAttention(config, memory_width)
        self.mlp_norm = nn.LayerNorm(config.width)
        self.mlp = MLP(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        hidden: Tensor,
        context: DecoderContext,
        cache: TokenCache | None,
        mask: Tensor | None,
        need_attention: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """Hidden states (rows, tokens, width) -> the same shape, and the cross-attention
        (rows, heads, tokens, patches) if asked for; `mask` as in SelfAttention."""
        from_text = self.self_attention(self.self_norm(hidden), cache, self.index, mask)
        hidden = hidden + self.dropout(from_text)
        from_images, attention = self.cross_attention(
            self.cross_norm(hidden),
            context.keys[self.index],
            context.values[self.index],
            context.bias,
            need_attention,
        )
        hidden = hidden + self.dropout(from_images)
        return hidden + self.dropout(self.mlp(self.mlp_norm(hidden))), attention


class Decoder(nn.Module):
    """Tokens -> scores of the next token, by layers that attend to the patches."""

    layers: list[DecoderLayer]

    def __init__(self, config: ReportConfig, memory_width: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocab_size, config.width)
        self.positions = nn.Embedding(config.max_tokens, config.width)
        # Counted back from the report's first token, so that an indication moves no report.
        self.prompt_positions: nn.Embedding | None = None
        if config.prompt_tokens:
            self.prompt_positions = nn.Embedding(config.prompt_tokens, config.width)
        self.pad = config.pad_token_id
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(  # type: ignore[assignment]
            DecoderLayer(config, memory_width, index) for index in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self._initialize()

    def _initialize(self) -> None:
        """Truncated normal of 0.02, smaller where a branch ends so that their sum stays small.

        Done here, not in transformers' _init_weights, which a model made from a config never calls.
        """
        branches = math.sqrt(3 * len(self.layers))
        for name, part in self.named_modules():
            if isinstance(part, nn.Linear | nn.Embedding):
                std = 0.02 / branches if name.endswith("output") else 0.02
                nn.init.trunc_normal_(part.weight, std=std, a=-2 * std, b=2 * std)
            if isinstance(part, nn.Linear):
                nn.init.zeros_(part.bias)

    def forward(
        self,
        tokens: Tensor,
        context: DecoderContext,
        cache: TokenCache | None = None,
        attention_from: int | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Scores of what follows each token.

        Args:
            tokens: ids, (rows, tokens); they follow those in the cache. Rows are the context's
                studies, or studies x beams.
            attention_from: also return the cross-attention of the layers from this one on; the
                explicit softmax costs more than the fused one. None: of no layer.

        Returns:
            logits (rows, tokens, vocabulary) and, per layer asked for, the attention
            (rows, heads, tokens, patches).

        Raises:
            DataError: more tokens than the model has positions for.
        """
        prompt, count = context.prompt, tokens.shape[1]
        prompt_length = prompt.shape[1]
        past = cache.get_seq_length() if cache is not None else 0
        begin = max(past - prompt_length, 0)
        if begin + count > (limit := self.positions.num_embeddings):
            raise DataError(
                f"{begin + count} tokens are more than max_tokens {limit}: shorten the text"
            )
        prompt = prompt.repeat_interleave(len(tokens) // len(prompt), dim=0)
        hidden = self.tokens(tokens) + self.positions.weight[begin : begin + count]
        if self.prompt_positions is not None and prompt_length and not past:
            positions = self.prompt_positions.weight[:prompt_length].flip(0)
            hidden = torch.cat((self.tokens(prompt) + positions, hidden), dim=1)
        hidden = self.dropout(hidden)
        mask = self._mask(prompt, past, hidden.shape[1])
        attentions: list[Tensor] = []
        for layer in self.layers:
            need_attention = attention_from is not None and layer.index >= attention_from
            hidden, attention = layer(hidden, context, cache, mask, need_attention)
            if attention is not None:
                attentions.append(attention[:, :, -count:])
        # Input and output embeddings are one matrix (Press and Wolf 2017).
        return F.linear(self.norm(hidden[:, -count:]), self.tokens.weight), tuple(attentions)

    def _mask(self, prompt: Tensor, past: int, new: int) -> Tensor | None:
        """What `new` tokens after `past` may read, see SelfAttention: no padding, nothing later.

        Padding reads itself: softmax over nothing is not a number.
        """
        length = prompt.shape[1]
        if not length and (new == 1 or not past):
            return None
        everything = torch.ones(new, past + new, dtype=torch.bool, device=prompt.device)
        before = everything.tril(past)
        if not length:
            return before
        no_padding = F.pad(prompt != self.pad, (0, past + new - length), value=True)
        itself = before & ~everything.tril(past - 1)
        return (before & no_padding[:, None] | itself)[:, None]
