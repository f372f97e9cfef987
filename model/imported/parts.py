"""An imported checkpoint's encoder and decoder: transformers' classes, filled from its weights."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    BertLMHeadModel,
    ConvNextModel,
    CvtModel,
    DeiTModel,
    Dinov2Model,
    Dinov2WithRegistersModel,
    GPT2LMHeadModel,
    RobertaForCausalLM,
    SwinModel,
    Swinv2Model,
    ViTModel,
)
from transformers.utils import logging

from model.errors import CheckpointError
from model.imported.config import ImportedConfig
from model.imported.network import ImportedNetwork

__all__ = ["assemble"]

_ENCODERS: dict[str, Any] = {
    "vit": ViTModel,
    "deit": DeiTModel,
    "dinov2": Dinov2Model,
    "dinov2_with_registers": Dinov2WithRegistersModel,
    "swin": SwinModel,
    "swinv2": Swinv2Model,
    "convnext": ConvNextModel,
    "cvt": CvtModel,
}
_WITH_POOLER = ("vit", "deit", "swin", "swinv2", "cvt")
_DECODERS: dict[str, Any] = {
    "gpt2": GPT2LMHeadModel,
    "bert": BertLMHeadModel,
    "roberta": RobertaForCausalLM,
}


def assemble(config: ImportedConfig, weights: dict[str, Tensor]) -> ImportedNetwork:
    """The network of a config and its weights, in evaluation mode.

    Args:
        weights: by the names that VisionEncoderDecoderModel stores: "encoder.", "decoder.",
            "enc_to_dec_proj.".

    Raises:
        CheckpointError: weights that are missing or do not fit.
    """
    encoder = _encoder(config, _below(weights, "encoder."))
    decoder = _filled(
        _DECODERS[config.decoder["model_type"]],
        {**config.decoder, "is_decoder": True, "add_cross_attention": True},
        _below(weights, "decoder."),
        "decoder",
    )
    network = ImportedNetwork(config, encoder, _projection(weights), decoder).eval()
    network.requires_grad_(False)
    rows, columns = network.grid
    size = config.image_size
    with torch.inference_mode():
        try:
            found = network.without_images(network.encode(torch.zeros(1, 1, 3, size, size)))
        except (RuntimeError, ValueError) as error:
            message = " ".join(str(error).split())[:150]
            raise CheckpointError(
                f"{config.name!r} cannot read an image of {size} x {size} pixels, the size its "
                f"image processor makes ({message}): its files do not belong together"
            ) from error
    if found.patch_mask.shape[1] != config.prefix + rows * columns:
        raise CheckpointError(
            f"{config.name!r}: its encoder has {found.patch_mask.shape[1]} positions, "
            f"{config.prefix} and {rows} x {columns} patches were expected"
        )
    return network


def _below(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def _encoder(config: ImportedConfig, weights: dict[str, Tensor]) -> nn.Module:
    kind = config.encoder["model_type"]
    arguments = {"add_pooling_layer": False} if kind in _WITH_POOLER else {}
    weights = {name: value for name, value in weights.items() if not name.startswith("pooler.")}
    if kind != "cvt":
        return _Encoder(_filled(_ENCODERS[kind], config.encoder, weights, "encoder", **arguments))
    trunk = _filled(CvtModel, config.encoder, _below(weights, "cvt."), "encoder", **arguments)
    return _Encoder(trunk, _cxrmate_head(config.encoder, _below(weights, "projection_head.")))


class _Encoder(nn.Module):
    """Images (batch, 3, size, size) -> features (batch, positions, width)."""

    def __init__(self, trunk: nn.Module, head: nn.Module | None = None) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.trunk(pixel_values=images).last_hidden_state
        if features.ndim == 4:  # convolutional: (batch, width, rows, columns)
            features = features.flatten(2).transpose(1, 2)
        return features if self.head is None else self.head(features)


def _cxrmate_head(config: dict[str, Any], weights: dict[str, Tensor]) -> nn.Module:
    """CXRMate's projection after CvT: layer norm, then a linear map without bias."""
    shape = (config["embed_dim"][-1], config["projection_size"])
    head = nn.Sequential()
    head.add_module("layer_norm", nn.LayerNorm(shape[0], eps=config.get("layer_norm_eps", 1e-12)))
    head.add_module("projection", nn.Linear(*shape, bias=False))
    _load(head, weights, "the projection of the encoder")
    return head


def _projection(weights: dict[str, Tensor]) -> nn.Module | None:
    own = _below(weights, "enc_to_dec_proj.")
    if not own:
        return None
    projection = nn.Linear(own["weight"].shape[1], own["weight"].shape[0])
    _load(projection, own, "enc_to_dec_proj")
    return projection


def _load(module: nn.Module, weights: dict[str, Tensor], what: str) -> None:
    try:
        module.load_state_dict({name: weight.float() for name, weight in weights.items()})
    except RuntimeError as error:
        raise CheckpointError(f"the weights of {what} do not fit its config ({error})") from error


def _filled(
    kind: Any, config: dict[str, Any], weights: dict[str, Tensor], part: str, **arguments: Any
) -> nn.Module:
    """One half, all of whose weights are there; its head is tied where none is stored."""
    values = {name: value for name, value in config.items() if name != "model_type"}
    shows_bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model, report = kind.from_pretrained(
            None,
            config=AutoConfig.for_model(config["model_type"], **values),
            state_dict=weights,
            output_loading_info=True,
            attn_implementation="eager",  # the others return no attention
            dtype=torch.float32,
            **arguments,
        )
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        message = " ".join(str(error).split())[:200]
        raise CheckpointError(f"the {part}'s weights do not fit its config: {message}") from error
    finally:
        if shows_bars:
            logging.enable_progress_bar()
    missing = sorted(name for name in report["missing_keys"] if "pooler." not in name)
    if missing:
        raise CheckpointError(
            f"{len(missing)} weights of the {part} are missing, first {missing[0]!r}: the folder "
            "is not whole, or of another architecture than its config says"
        )
    filled: nn.Module = model
    return filled
