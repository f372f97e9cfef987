"""Our network: a timm vision transformer, and a decoder that reads its patches by cross-attention.

Where to read first: attention.py, whose `attend` is softmax(Q K^T / sqrt(d)) V.

Axes always come in the order (batch, layers, heads, tokens, patches). Knows nothing of files,
text, or how tokens are chosen.
"""

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name everyone knows it by)
from transformers import GenerationMixin, PreTrainedModel
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import Seq2SeqLMOutput

from model.config import ReportConfig
from model.decoder import Decoder
from model.encoder import Encoder
from model.errors import ConfigError, DataError
from model.image_features import image_features, mahalanobis_distances
from model.imaging.letterbox import Letterbox
from model.incremental import CachedDecoder
from model.interface import VIEWS, Engine, IncrementalDecoder
from model.memory import Memory
from model.readable import check_readable
from model.static_decoding import StaticDecoder, StepPool
from model.torch_network import TorchEngine, torch_network

__all__ = ["NOT_STORED_YET", "ReportModel", "report_model"]

NOT_STORED_YET = frozenset(
    ("feature_mean", "feature_precision", "views.weight", "decoder.prompt_positions.weight")
)
"""Weights that a checkpoint may lack: they are fitted or trained later."""
CACHE = "cache" if hasattr(Seq2SeqLMOutput, "cache") else "past_key_values"  # before 5.24


class ReportModel(TorchEngine, PreTrainedModel, GenerationMixin):
    """Radiographs -> the scores of a report's tokens, and the attention of each to the images.

    Is a Network (torch_network.py) and a transformers model: save_pretrained, from_pretrained and
    generate work as people expect.
    """

    config: ReportConfig
    config_class = ReportConfig
    main_input_name = "images"
    prefix = 1
    """Of a memory's positions the first is the attention sink."""
    feature_mean: Tensor
    feature_precision: Tensor

    def __init__(self, config: ReportConfig) -> None:
        # transformers would take it for the temperature that generate samples at.
        fitted, config.temperature = config.temperature, 1.0
        super().__init__(config)
        config.temperature = fitted
        self.encoder = Encoder(config)
        self.decoder = Decoder(config, self.encoder.width)
        # The attention sink: what a token needs of no patch falls here.
        self.sink = nn.Parameter(torch.zeros(self.encoder.width))
        # Zero at first: then a lateral is read as a frontal, and weights without it still fit.
        self.views = nn.Embedding(len(VIEWS), self.encoder.width)
        nn.init.zeros_(self.views.weight)
        # Of the images' mean patches (novelty.py); all zero where nothing was fitted.
        width = self.encoder.width
        self.register_buffer("feature_mean", torch.zeros(width))
        self.register_buffer("feature_precision", torch.zeros(width, width))
        self._steps = StepPool()
        self.register_load_state_dict_pre_hook(_as_not_fitted)  # type: ignore[no-untyped-call]
        self.post_init()  # type: ignore[no-untyped-call]

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
    def features(self) -> int:
        """Width of Memory.last_hidden_state."""
        return self.encoder.width

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of patches on one image."""
        return self.encoder.grid

    def place(self, height: int, width: int) -> Letterbox:
        """See Network."""
        return Letterbox(height, width, self.config.image_size)

    def normalize(self, squares: Tensor) -> Tensor:
        """See Network: as Letterbox.apply does."""
        return squares * 2 - 1

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
            views: int64 (batch, images), what each image is, an index into config.VIEWS; None
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
        images = images.to(self.sink.dtype)  # the network may have been cast to bfloat16
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
        projections = (layer.cross_attention.project(patches) for layer in self.decoder.layers)
        keys, values = zip(*projections, strict=True)
        return Memory(
            last_hidden_state=patches,
            # Stored layer by layer, so that one layer's slice is contiguous.
            cross_keys_layers=torch.stack(keys).transpose(0, 1),
            cross_values_layers=torch.stack(values).transpose(0, 1),
            patch_mask=patch_mask,
            views=views,
            prompt=prompt,
        )

    def without_images(self, memory: Memory) -> Memory:
        """The same studies with nothing to attend to but the sink: the language prior's."""
        return Memory(
            last_hidden_state=memory.last_hidden_state[:, :1],
            cross_keys_layers=memory.cross_keys_layers[:, :, :, :1],
            cross_values_layers=memory.cross_values_layers[:, :, :, :1],
            patch_mask=memory.patch_mask[:, :1],
            views=memory.views[:, :0],
            prompt=memory.prompt,
        )

    def drop_images(self, memory: Memory, studies: Tensor) -> Memory:
        """As `without_images`, of some studies of a batch only.

        Args:
            studies: bool (batch,).
        """
        mask = memory.patch_mask.clone()
        mask[studies, 1:] = False
        return Memory(**{**memory, "patch_mask": mask})

    def incremental_decoder(self, memory: Memory, beams: int, limit: int) -> IncrementalDecoder:
        """See Network: beams of a study share its keys and values."""
        context = memory.context(self.grid)
        if StaticDecoder.fits(self.decoder, context, beams):
            return StaticDecoder(self._steps, self.decoder, self.config, context, beams, limit)
        return CachedDecoder(self.decoder, context, beams, limit)

    def teacher_forced(
        self, memory: Memory, tokens: Tensor, attention_from: int | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See Network."""
        logits, attentions = self.decoder(
            tokens, memory.context(self.grid), attention_from=attention_from
        )
        return logits, attentions

    @torch.inference_mode()
    def novelty_distances(self, memory: Memory) -> NDArray[np.float32]:
        """See Engine: Mahalanobis, 0 for all where nothing was fitted."""
        features = image_features(memory, self.prefix, self.grid)
        distances = mahalanobis_distances(features, self.feature_mean, self.feature_precision)
        far: NDArray[np.float32] = distances.cpu().numpy()
        return far

    def _prompt(self, prompt: Tensor | None, views: Tensor) -> Tensor:
        if prompt is None:
            return views.new_empty(len(views), 0)
        check_readable(self.config, views.shape[1], prompt.shape[1])
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
            row i is the attention that chose the token after decoder_input_ids[i].
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
            memory.context(self.grid),
            # The memory is the cross-attention cache: of transformers' two only one is used.
            None if cache is None else cache.self_attention_cache,
            0 if output_attentions else None,
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

        Up to config.max_tokens new tokens by default. decoding.py does the same
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


def report_model(network: Engine[Any]) -> ReportModel:
    """Our own network behind the interface, for what needs to see inside it.

    Raises:
        ConfigError: it is an imported one, or not of PyTorch.
    """
    if not isinstance(torch_network(network), ReportModel):
        raise ConfigError(
            f"{network.config.name!r} is an imported checkpoint: this works on networks that "
            "CrossRay trained"
        )
    return cast(ReportModel, network)


def _as_not_fitted(model: ReportModel, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Weights as training writes them may lack what is fitted afterwards: then it stays zero.

    So does what an image is, in weights that know frontal ones only; and what they have no place
    for yet stays as it was drawn.
    """
    own = model.state_dict()
    for name in NOT_STORED_YET & own.keys():
        drawn = name == "decoder.prompt_positions.weight"
        state.setdefault(prefix + name, own[name] if drawn else torch.zeros_like(own[name]))
