"""An imported checkpoint's encoder and decoder: transformers' classes, filled from its weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    BertLMHeadModel,
    GPT2LMHeadModel,
    LlavaForConditionalGeneration,
    RobertaForCausalLM,
)
from transformers.utils import logging

from model.errors import CheckpointError
from model.imported.config import TIMM, ImportedConfig
from model.imported.decoder_only import DecoderOnlyNetwork, ImageTokens, LanguageModel
from model.imported.network import ImportedNetwork
from model.imported.timm_encoder import timm_model
from model.vision import VISION_MODELS, VisionModel, pooler_arguments

__all__ = ["DECODER_MODELS", "EAGER", "FITTED", "assemble", "check_positions", "quiet"]

DECODER_MODELS: dict[str, Any] = {
    "gpt2": GPT2LMHeadModel,
    "bert": BertLMHeadModel,
    "roberta": RobertaForCausalLM,
}
FITTED = ("feature_mean", "feature_precision")
"""Weights that are stored once they were fitted."""
EAGER = "eager"
"""The attention implementation: the others return no attention."""


def assemble(config: ImportedConfig, weights: dict[str, Tensor]) -> ImportedNetwork:
    """The network of a config and its weights, in evaluation mode.

    Args:
        weights: by the names that transformers stores: "encoder.", "decoder.", "enc_to_dec_proj."
            of a VisionEncoderDecoderModel; of a decoder-only model those of
            LlavaForConditionalGeneration.

    Raises:
        CheckpointError: weights that are missing or do not fit.
    """
    network = _joined(config, weights) if config.connector is None else _llava(config, weights)
    fitted = {name: weights[name] for name in FITTED if name in weights}
    try:
        network.load_state_dict({**network.state_dict(), **fitted})
    except RuntimeError as error:
        raise CheckpointError(f"{', '.join(fitted)} do not fit the network: {error}") from error
    network.requires_grad_(False)
    check_positions(network)
    return network


def _joined(config: ImportedConfig, weights: dict[str, Tensor]) -> ImportedNetwork:
    encoder = _encoder(config, _below(weights, "encoder."))
    decoder = _filled(
        DECODER_MODELS[config.decoder["model_type"]],
        {**config.decoder, "is_decoder": True, "add_cross_attention": True},
        _below(weights, "decoder."),
        "decoder",
    )
    return ImportedNetwork(config, encoder, _projection(weights), decoder).eval()


def _llava(config: ImportedConfig, weights: dict[str, Tensor]) -> DecoderOnlyNetwork:
    connector = config.connector
    assert connector is not None
    values = {
        "model_type": "llava",
        "vision_config": config.encoder,
        "text_config": config.decoder,
        "image_token_index": connector.image_token_id,
        "vision_feature_layer": connector.layer,
        "projector_hidden_act": connector.activation,
        "multimodal_projector_bias": connector.bias,
    }
    own = {name: weight for name, weight in weights.items() if name not in FITTED}
    whole: Any = _filled(LlavaForConditionalGeneration, values, own, "model")
    parts = whole.model
    encoder = ImageTokens(parts.vision_tower, parts.multi_modal_projector, config)
    decoder = LanguageModel(parts.language_model, whole.lm_head)
    return DecoderOnlyNetwork(config, encoder, decoder).eval()


def check_positions(network: ImportedNetwork) -> None:
    """Try what its config says of its images and their patches, on a black one.

    Raises:
        CheckpointError: the encoder cannot read them, or has another number of positions.
    """
    config, size = network.config, network.config.image_size
    rows, columns = network.grid
    with torch.inference_mode():
        try:
            found = network.encode(torch.zeros(1, 1, 3, size, size))
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


def _below(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def _encoder(config: ImportedConfig, weights: dict[str, Tensor]) -> nn.Module:
    kind = config.encoder["model_type"]
    if kind == TIMM:
        model = timm_model(config.encoder)
        _load(model.trunk, weights, "the encoder")
        return model
    arguments = pooler_arguments(kind)
    weights = {name: value for name, value in weights.items() if not name.startswith("pooler.")}
    if kind != "cvt":
        made = _filled(VISION_MODELS[kind], config.encoder, weights, "encoder", **arguments)
        return VisionModel(made)
    trunk = _filled(
        VISION_MODELS[kind], config.encoder, _below(weights, "cvt."), "encoder", **arguments
    )
    return VisionModel(trunk, _cxrmate_head(config.encoder, _below(weights, "projection_head.")))


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
    try:
        with quiet():
            model, report = kind.from_pretrained(
                None,
                config=AutoConfig.for_model(config["model_type"], **values),
                state_dict=weights,
                output_loading_info=True,
                attn_implementation=EAGER,
                dtype=torch.float32,
                **arguments,
            )
    except (RuntimeError, ValueError, TypeError, OSError, StrictDataclassError) as error:
        message = " ".join(str(error).split())[:200]
        raise CheckpointError(f"the {part}'s weights do not fit its config: {message}") from error
    missing = sorted(name for name in report["missing_keys"] if "pooler." not in name)
    if missing:
        raise CheckpointError(
            f"{len(missing)} weights of the {part} are missing, first {missing[0]!r}: the folder "
            "is not whole, or of another architecture than its config says"
        )
    filled: nn.Module = model
    return filled


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of transformers, and no tables of weights: what is wrong is an error."""
    shows_bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shows_bars:
            logging.enable_progress_bar()
