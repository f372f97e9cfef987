"""A timm vision transformer and a decoder that reads its patches by cross-attention.

Where to read first: attention.py, whose `attend` is softmax(Q K^T / sqrt(d)) V.

Axes always come in the order (batch, layers, heads, tokens, patches). Knows nothing of files,
text, or how tokens are chosen.
"""

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name everyone knows it by)
from transformers import GenerationMixin, PreTrainedModel
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import Seq2SeqLMOutput

from model.attention import CrossAttention, SelfAttention
from model.config import VIEWS, ReportConfig
from model.encoder import Encoder
from model.errors import DataError
from model.memory import Memory, TokenCache

__all__ = ["Decoder", "Memory", "ReportConfig", "ReportModel"]

CACHE = "cache" if hasattr(Seq2SeqLMOutput, "cache") else "past_key_values"  # before 5.24


class MLP(nn.Module):
    """Each token by itself: wider, GELU, back."""

    def __init__(self, config: ReportConfig) -> None:
        super().__init__()
        inner = int(config.width * config.mlp_ratio)
        self.input = nn.Linear(config.width, inner)
        self.output = nn.Linear(inner, config.width)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.output(F.gelu(self.input(hidden)))


class DecoderLayer(nn.Module):
    """Read the text so far, look at the image, think: each normalized first, then added."""

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
        keys: Tensor,
        values: Tensor,
        bias: Tensor | None,
        cache: TokenCache | None,
        mask: Tensor | None,
        need_attention: bool,
    ) -> tuple[Tensor, Tensor | None]:
        read = self.self_attention(self.self_norm(hidden), cache, self.index, mask)
        hidden = hidden + self.dropout(read)
        seen, attention = self.cross_attention(
            self.cross_norm(hidden), keys, values, bias, need_attention
        )
        hidden = hidden + self.dropout(seen)
        return hidden + self.dropout(self.mlp(self.mlp_norm(hidden))), attention


class Decoder(nn.Module):
    """Tokens -> scores of the next token, by layers that look at the patches."""

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
        self._draw_weights()

    def _draw_weights(self) -> None:
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
        cross_keys: tuple[Tensor, ...],
        cross_values: tuple[Tensor, ...],
        bias: Tensor | None,
        prompt: Tensor,
        cache: TokenCache | None = None,
        need_attention: bool = False,
        first_attention: int = 0,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Scores of what follows each token.

        Args:
            tokens: ids, (rows, tokens); they follow those in the cache.
            prompt: the memory's, (studies, prompt): read first, and kept in the cache.
            cross_keys, cross_values: per layer (studies, heads, patches, head_dim); rows are
                studies, or studies x beams.
            bias: the memory's, (studies, 1 + patches), or None.
            need_attention: also return it, of the layers from `first_attention` on; the explicit
                softmax costs more than the fused one.

        Returns:
            logits (rows, tokens, vocabulary) and, if asked for, per layer the attention
            (rows, heads, tokens, patches).

        Raises:
            DataError: more tokens than the model has positions for.
        """
        given, count = prompt.shape[1], tokens.shape[1]
        past = cache.get_seq_length() if cache is not None else 0
        begin = max(past - given, 0)
        if begin + count > (limit := self.positions.num_embeddings):
            raise DataError(
                f"{begin + count} tokens are more than max_tokens {limit}: shorten the text"
            )
        prompt = prompt.repeat_interleave(len(tokens) // len(prompt), dim=0)
        hidden = self.tokens(tokens) + self.positions.weight[begin : begin + count]
        if self.prompt_positions is not None and given and not past:
            places = self.prompt_positions.weight[:given].flip(0)
            hidden = torch.cat((self.tokens(prompt) + places, hidden), dim=1)
        hidden = self.dropout(hidden)
        mask = self._mask(prompt, past, hidden.shape[1])
        attentions: list[Tensor] = []
        for layer, keys, values in zip(self.layers, cross_keys, cross_values, strict=True):
            explicit = need_attention and layer.index >= first_attention
            hidden, attention = layer(hidden, keys, values, bias, cache, mask, explicit)
            if attention is not None:
                attentions.append(attention[:, :, -count:])
        # Input and output embeddings are one matrix (Press and Wolf 2017).
        return F.linear(self.norm(hidden[:, -count:]), self.tokens.weight), tuple(attentions)

    def _mask(self, prompt: Tensor, past: int, new: int) -> Tensor | None:
        """What `new` tokens after `past` may read, see SelfAttention: no padding, nothing later.

        Padding reads itself: softmax over nothing is not a number.
        """
        given = prompt.shape[1]
        if not given and (new == 1 or not past):
            return None
        everything = torch.ones(new, past + new, dtype=torch.bool, device=prompt.device)
        before = everything.tril(past)
        if not given:
            return before
        real = F.pad(prompt != self.pad, (0, past + new - given), value=True)
        itself = before & ~everything.tril(past - 1)
        return (before & real[:, None] | itself)[:, None]


class ReportModel(PreTrainedModel, GenerationMixin):
    """Radiographs -> the scores of a report's tokens, and where each token looked."""

    config: ReportConfig
    config_class = ReportConfig
    main_input_name = "images"
    feature_mean: Tensor
    feature_precision: Tensor

    def __init__(self, config: ReportConfig) -> None:
        # transformers would take it for the temperature that generate samples at.
        fitted, config.temperature = config.temperature, 1.0
        super().__init__(config)
        config.temperature = fitted
        self.encoder = Encoder(config)
        self.decoder = Decoder(config, self.encoder.width)
        # One more place to look than the patches: a token that needs none of them looks here.
        self.sink = nn.Parameter(torch.zeros(self.encoder.width))
        # Zero at first: then a lateral is read as a frontal, and weights without it still fit.
        self.views = nn.Embedding(len(VIEWS), self.encoder.width)
        nn.init.zeros_(self.views.weight)
        # Of the images' mean patches (novelty.py); all zero where nothing was fitted.
        width = self.encoder.width
        self.register_buffer("feature_mean", torch.zeros(width))
        self.register_buffer("feature_precision", torch.zeros(width, width))
        self.register_load_state_dict_pre_hook(_as_not_fitted)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing that is drawn: decoder and timm draw their own weights when they are made.

        What timm computes and does not store (rotary tables) is computed again, and what is not
        fitted yet is zero: from_pretrained leaves both empty.
        """
        if module is self:
            for fitted in (self.feature_mean, self.feature_precision, self.views.weight):
                # Passes over what was loaded: transformers marks it and replaces this function.
                nn.init.zeros_(fitted)
        if module is self.views:
            nn.init.zeros_(module.weight)
        if module is self.decoder.prompt_positions:
            nn.init.trunc_normal_(module.weight, std=0.02)
        restore = getattr(module, "init_non_persistent_buffers", None)
        if restore is not None:
            restore()

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of patches on one image."""
        return self.encoder.grid

    def encode(
        self,
        images: Tensor,
        image_mask: Tensor | None = None,
        views: Tensor | None = None,
        prompt: Tensor | None = None,
    ) -> Memory:
        """Read a batch of studies once; decoding then needs only the result.

        Args:
            images: (batch, images, 1, size, size) in [-1, 1], bone white.
            image_mask: bool, (batch, images), False where a study has fewer images
                than the batch's longest; None where all have the same number.
            views: int64 (batch, images), what each image is, a place in config.VIEWS; None
                where all are frontal.
            prompt: int64 (batch, prompt), the indications' tokens, padded in front; None where
                there are none.

        Raises:
            DataError: images of another shape, a study without an image, a prompt of more than
                config.prompt_tokens tokens.
        """
        size = self.config.image_size
        if images.ndim != 5 or images.shape[2:] != (1, size, size):
            wanted = f"(batch, images, 1, {size}, {size})"
            raise DataError(f"images must be {wanted}, got {tuple(images.shape)}")
        batch, count = images.shape[:2]
        if image_mask is None:
            features = self.encoder(images.flatten(0, 1)).unflatten(0, (batch, count))
            image_mask = torch.ones(batch, count, dtype=torch.bool, device=images.device)
        else:
            if not image_mask.any(dim=1).all():
                raise DataError("a study without an image cannot be reported: leave it out")
            # Absent images stay out of the encoder: batch norm must not learn from padding.
            present = self.encoder(images[image_mask])
            features = present.new_zeros(batch, count, *present.shape[1:])
            features[image_mask] = present
        if views is None:
            views = torch.zeros(batch, count, dtype=torch.long, device=images.device)
        features = features + self.views(views)[:, :, None].to(features.dtype)
        patch_mask = image_mask.repeat_interleave(features.shape[2], dim=1)
        sink = self.sink.to(features.dtype).expand(batch, 1, -1)
        return self.remember(
            torch.cat((sink, features.flatten(1, 2)), dim=1),
            torch.cat((patch_mask.new_ones(batch, 1), patch_mask), dim=1),
            views,
            self._prompt(prompt, views),
        )

    def remember(
        self, patches: Tensor, patch_mask: Tensor, views: Tensor, prompt: Tensor
    ) -> Memory:
        """Project features to every layer's keys and values; Args as Memory has them."""
        looks = [layer.cross_attention for layer in self.decoder.layers]
        keys, values = zip(*(look.project(patches) for look in looks), strict=True)
        return Memory(
            last_hidden_state=patches,
            # Stored layer by layer, so that one layer's slice is contiguous.
            cross_keys_layers=torch.stack(keys).transpose(0, 1),
            cross_values_layers=torch.stack(values).transpose(0, 1),
            patch_mask=patch_mask,
            views=views,
            prompt=prompt,
        )

    def _prompt(self, prompt: Tensor | None, views: Tensor) -> Tensor:
        if prompt is None:
            return views.new_empty(len(views), 0)
        if prompt.shape[1] > (limit := self.config.prompt_tokens):
            raise DataError(
                f"an indication of {prompt.shape[1]} tokens, this model reads {limit}: "
                + ("shorten it" if limit else "it was trained without, leave it out")
            )
        return prompt

    def forward(
        self,
        decoder_input_ids: Tensor | None = None,
        images: Tensor | None = None,
        image_mask: Tensor | None = None,
        encoder_outputs: Memory | None = None,
        labels: Tensor | None = None,
        cache: EncoderDecoderCache | None = None,
        past_key_values: EncoderDecoderCache | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = True,
    ) -> Seq2SeqLMOutput:
        """Teacher-forced scores of a batch, or the next step of `generate`.

        Args:
            decoder_input_ids: (rows, tokens), beginning with bos; the caller shifts.
            images, image_mask: as for `encode`; or encoder_outputs, what that returned.
            labels: (rows, tokens), the token that follows each of decoder_input_ids; pad and
                -100 do not count.
            cache, past_key_values: of the tokens before, by transformers' new and old name.
            output_attentions: also return the cross-attention, by the explicit softmax.

        Returns:
            logits (rows, tokens, vocabulary); loss, the mean cross-entropy, if labels are
            given; cross_attentions, per layer (rows, heads, tokens, patches), if asked for:
            row i is the look that chose the token after decoder_input_ids[i].
        """
        memory = encoder_outputs
        if memory is None and images is not None:
            memory = self.encode(images, image_mask)
        if memory is None or decoder_input_ids is None:
            raise DataError("pass decoder_input_ids, and images or encode()'s encoder_outputs")
        cache = past_key_values if cache is None else cache
        if use_cache and cache is None:
            cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        logits, attentions = self.decoder(
            decoder_input_ids,
            memory.cross_keys_layers.unbind(1),
            memory.cross_values_layers.unbind(1),
            memory.bias(self.grid),
            memory.prompt,
            # The memory is the cross-attention cache: of transformers' two only one is used.
            None if cache is None else cache.self_attention_cache,
            bool(output_attentions),
        )
        return Seq2SeqLMOutput(
            loss=self._loss(logits, labels),
            logits=logits,
            cross_attentions=attentions or None,
            encoder_last_hidden_state=memory.last_hidden_state,
            **cast(dict[str, Any], {CACHE: cache}),
        )

    def _loss(self, logits: Tensor, labels: Tensor | None) -> Tensor | None:
        if labels is None:
            return None
        labels = labels.masked_fill(labels == self.config.pad_token_id, -100)
        return F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=-100)

    @torch.no_grad()
    def generate(
        self,
        inputs: Tensor | None = None,
        *,
        image_mask: Tensor | None = None,
        encoder_outputs: Memory | None = None,
        **kwargs: Any,
    ) -> Any:
        """transformers' generate, from images (`inputs` or images=) or from a Memory.

        Up to config.max_tokens new tokens unless told otherwise. decoding.py does the same
        faster; this one has every option of transformers.
        """
        images = kwargs.pop("images", inputs)
        if encoder_outputs is None:
            encoder_outputs = self.encode(images, image_mask)
        if not {"max_length", "max_new_tokens", "generation_config"} & kwargs.keys():
            kwargs["max_new_tokens"] = self.config.max_tokens
        # generate repeats the memory per beam in place: it gets a copy of the outer shell.
        memory = Memory(**encoder_outputs)
        return super().generate(encoder_outputs=memory, **kwargs)


def _as_not_fitted(model: ReportModel, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Weights as training writes them may lack what is fitted afterwards: then it stays zero.

    So does what an image is, in weights that know frontal ones only; and what they have no place
    for yet stays as it was drawn.
    """
    own = model.state_dict()
    for name in ("feature_mean", "feature_precision", "views.weight"):
        state.setdefault(prefix + name, torch.zeros_like(own[name]))
    if (name := "decoder.prompt_positions.weight") in own:
        state.setdefault(prefix + name, own[name])
