"""Pretrained parts -> a new network: an encoder, and a language model that learns to read it.

The language model gets cross-attention, whose weights are drawn; everything else begins with the
weights that its folder has.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from tokenizers import AddedToken, Tokenizer
from torch import nn
from transformers import AutoConfig, AutoTokenizer

from model.errors import CheckpointError, ConfigError
from model.imported.config import ImportedConfig
from model.imported.folder import backend_of, image_processing, positions_of
from model.imported.hub import PREFIX, fetch
from model.imported.network import ImportedNetwork
from model.imported.parts import DECODER_MODELS, EAGER, check_positions, quiet
from model.imported.processing import Processing
from model.imported.timm_encoder import pretrained_timm
from model.imported.tokenizer import ImportedTokenizer
from model.vision import VISION_MODELS, VisionModel, pooler_arguments

__all__ = ["Recipe", "is_folder", "join", "vision_part"]

PAD = "<pad>"
Special = Mapping[str, int]


@dataclass(frozen=True)
class Recipe:
    """What a network is joined from."""

    name: str
    notice: str
    encoder: str
    """A name of timm; or a folder or "hf:owner/name[@revision]" of a vision model."""
    decoder: str
    """A folder or "hf:owner/name[@revision]" of a language model."""
    pretrained: str
    """Of a timm encoder, where its weights are from: see `pretrained_timm`."""
    encoder_arguments: dict[str, Any]
    """Of a timm encoder, passed on to timm.create_model."""
    image_size: int
    """Of a timm encoder, in pixels; a folder's processor has its own."""
    max_tokens: int
    views: list[str]


def is_folder(encoder: str) -> bool:
    """Whether an encoder is one of transformers: a hub name or a folder, and no timm name."""
    return encoder.startswith(PREFIX) or (Path(encoder) / "config.json").is_file()


def join(recipe: Recipe) -> tuple[ImportedNetwork, ImportedTokenizer]:
    """The network to be trained, and its decoder's tokenizer.

    Raises:
        ConfigError: a part that cannot be had, or that does not work here; names the setting.
    """
    encoder, encoder_config, processing, encoder_source = _encoder(recipe)
    try:
        folder, decoder_source = _located(recipe.decoder)
        decoder, backend, special = _decoder(folder)
    except CheckpointError as error:
        raise ConfigError(f"model.decoder = {recipe.decoder!r}: {error}") from error
    decoder_config = _values(decoder.config)
    if recipe.max_tokens > (positions := positions_of(decoder_config)):
        raise ConfigError(
            f"model.max_tokens = {recipe.max_tokens}: the decoder {recipe.decoder!r} has "
            f"{positions} positions"
        )
    config = ImportedConfig(
        name=recipe.name,
        notice=recipe.notice,
        source=f"{encoder_source} + {decoder_source}",
        encoder=encoder_config,
        decoder=decoder_config,
        processing=processing,
        pad_token_id=special["pad"],
        bos_token_id=special["bos"],
        eos_token_id=special["eos"],
        max_tokens=recipe.max_tokens,
        views=recipe.views,
        images_per_study=None,
    )
    width = _width(encoder, processing.size, recipe.encoder)
    wanted = int(decoder.config.hidden_size)
    projection = None if width == wanted else nn.Linear(width, wanted)
    network = ImportedNetwork(config, encoder, projection, decoder).eval()
    try:
        check_positions(network)
    except CheckpointError as error:
        raise ConfigError(f"model.encoder = {recipe.encoder!r}: {error}") from error
    return network, ImportedTokenizer(backend, config)


def vision_part(source: str) -> tuple[nn.Module, dict[str, Any], Processing, str]:
    """A vision model of transformers with its weights, its config, its image processing.

    The last of what it returns is where it is from, pinned to a commit if it is of the hub.

    Args:
        source: a folder or "hf:owner/name[@revision]".

    Raises:
        ConfigError: it cannot be had, or is of no kind that is read.
    """
    try:
        folder, pinned = _located(source)
        config = _config(folder, tuple(VISION_MODELS))
        arguments = pooler_arguments(config.model_type)
        model = _loaded(VISION_MODELS[config.model_type], folder, config, (), **arguments)
        values = _values(model.config)
        return VisionModel(model), values, image_processing(folder, values), pinned
    except CheckpointError as error:
        raise ConfigError(f"model.encoder = {source!r}: {error}") from error


def _encoder(recipe: Recipe) -> tuple[nn.Module, dict[str, Any], Processing, str]:
    if is_folder(recipe.encoder):
        return vision_part(recipe.encoder)
    size, arguments = recipe.image_size, recipe.encoder_arguments
    try:
        made = pretrained_timm(recipe.encoder, size, arguments, recipe.pretrained)
        return *made, recipe.encoder
    except CheckpointError as error:
        raise ConfigError(
            f"model.encoder = {recipe.encoder!r}, pretrained = {recipe.pretrained!r}: {error}"
        ) from error


def _decoder(folder: Path) -> tuple[Any, Tokenizer, Special]:
    """The language model with cross-attention, its tokenizer, and "bos", "eos" and "pad"."""
    config = _config(folder, tuple(DECODER_MODELS))
    config.is_decoder = config.add_cross_attention = True
    drawn = ("crossattention.", "ln_cross_attn.")
    model: Any = _loaded(DECODER_MODELS[config.model_type], folder, config, drawn)
    backend, _, _ = backend_of(folder)
    made = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    bos = made.cls_token_id if made.bos_token_id is None else made.bos_token_id
    eos = made.sep_token_id if made.eos_token_id is None else made.eos_token_id
    if bos is None or eos is None:
        raise CheckpointError("its tokenizer has no token that begins or ends a text")
    pad = made.pad_token_id
    if pad is None or pad in (bos, eos):
        # With the end token as padding, as is usual for GPT-2, no report would learn to end.
        backend.add_special_tokens([AddedToken(PAD, special=True)])
        pad = backend.token_to_id(PAD)
    if backend.get_vocab_size() > model.config.vocab_size:
        model.resize_token_embeddings(backend.get_vocab_size(), mean_resizing=False)
    return model, backend, {"bos": int(bos), "eos": int(eos), "pad": int(pad)}


def _located(source: str) -> tuple[Path, str]:
    """The folder, and its name; of the hub "owner/name@commit"."""
    if source.startswith(PREFIX):
        return fetch(source.removeprefix(PREFIX))
    if not (Path(source) / "config.json").is_file():
        raise CheckpointError(
            f"there is no folder of this name with a config.json: give one, or {PREFIX}owner/name "
            "of the Hugging Face hub"
        )
    return Path(source), Path(source).resolve().name


def _config(folder: Path, known: tuple[str, ...]) -> Any:
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, StrictDataclassError) as error:
        raise CheckpointError(f"its config.json cannot be read ({_brief(error)})") from error
    if config.model_type not in known or config.model_type == "cvt":
        kinds = ", ".join(kind for kind in known if kind != "cvt")
        raise CheckpointError(f"it is of model_type {config.model_type!r}, read are {kinds}")
    return config


def _loaded(
    kind: Any, folder: Path, config: Any, drawn: tuple[str, ...], **arguments: Any
) -> nn.Module:
    """Args: drawn: parts of the names of the weights that the folder need not have."""
    try:
        with quiet():
            model, report = kind.from_pretrained(
                folder,
                config=config,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                attn_implementation=EAGER,
                dtype=torch.float32,
                **arguments,
            )
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        raise CheckpointError(
            f"its weights cannot be read ({_brief(error)}): model.safetensors of the shape that "
            "its config.json has is wanted; pickles are not opened"
        ) from error
    missing = sorted(
        name
        for name in report["missing_keys"]
        if "pooler." not in name and not any(part in name for part in drawn)
    )
    if missing:
        raise CheckpointError(
            f"{len(missing)} of its weights are missing, first {missing[0]!r}: it is not whole, or "
            "another kind of model"
        )
    loaded: nn.Module = model
    return loaded


def _width(encoder: nn.Module, size: int, source: str) -> int:
    with torch.no_grad():
        try:
            return int(encoder(torch.zeros(1, 3, size, size)).shape[2])
        except (RuntimeError, ValueError) as error:
            raise ConfigError(
                f"model.encoder = {source!r} cannot read an image of {size} x {size} pixels, the "
                f"size its image processor makes ({_brief(error)})"
            ) from error


def _values(config: Any) -> dict[str, Any]:
    """A config of transformers as JSON holds it."""
    values: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return {name: value for name, value in values.items() if name != "_name_or_path"}


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:150]
