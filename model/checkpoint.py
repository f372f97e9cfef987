"""Our own network as a checkpoint folder, and back: output of training, input of all else."""

import json
import math
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoConfig, AutoModel

from model.checkpoint_folder import (
    WAY_OUT,
    ModelIdentity,
    as_json,
    read_folder,
    read_tokenizer,
    write_folder,
)
from model.config import ReportConfig
from model.errors import CheckpointError, ConfigError
from model.network import NOT_STORED_YET, ReportModel

__all__ = ["load_checkpoint", "load_own", "save_checkpoint"]

AutoConfig.register(ReportConfig.model_type, ReportConfig)
AutoModel.register(ReportConfig, ReportModel)

_NUMBERS = (
    "image_size",
    "vocab_size",
    "width",
    "layers",
    "heads",
    "stem_stride",
    "fine_stride",
    "max_tokens",
    "prompt_tokens",
    "mlp_ratio",
    "temperature",
    "grounded_share",
    "ask_scale",
    "ask_offset",
    "finding_scale",
    "finding_offset",
    "novelty_threshold",
)
_LARGEST = {"vocab_size": 1 << 20, "layers": 128, "depth": 128, "num_hidden_layers": 128}
_LARGEST_OTHER = 1 << 14


def save_checkpoint(
    directory: Path,
    model: ReportModel,
    tokenizer: Tokenizer,
    training_record: dict[str, Any],
    card: str,
) -> ModelIdentity:
    """Write a checkpoint folder of our own network; see `write_folder`.

    Args:
        training_record: settings, data and scores, as JSON can hold them.
        card: the model card, Markdown.

    Raises:
        CheckpointError: model and tokenizer do not belong together.
    """
    _check_vocabulary(model.config, tokenizer, "the tokenizer")
    weights = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    contents = {
        "README.md": card.encode(),
        "config.json": as_json({**model.config.to_dict(), "architectures": ["ReportModel"]}),
        "model.safetensors": safetensors.torch.save(weights, metadata={"format": "pt"}),
        "tokenizer.json": tokenizer.to_str(pretty=True).encode(),
        "training.json": as_json(training_record),
    }
    sums = write_folder(directory, contents)
    return ModelIdentity(model.config.name, sums["model.safetensors"])


def load_checkpoint(directory: Path) -> tuple[ReportModel, Tokenizer, ModelIdentity]:
    """Read a checkpoint folder of our own network, on the CPU, in evaluation mode.

    Raises:
        CheckpointError: a file is missing, altered or of another kind; names it.
    """
    return load_own(*read_folder(directory))


def load_own(
    contents: dict[str, bytes], sums: dict[str, str]
) -> tuple[ReportModel, Tokenizer, ModelIdentity]:
    """Our own network of a folder's contents; Args as `read_folder` returns them.

    Raises:
        CheckpointError: a file is of another kind; names it.
    """
    config = _config(contents["config.json"])
    _check_config(config)
    tokenizer = read_tokenizer(contents["tokenizer.json"])
    _check_vocabulary(config, tokenizer, "tokenizer.json")
    model = _model(config, contents["model.safetensors"])
    return model, tokenizer, ModelIdentity(config.name, sums["model.safetensors"])


def _config(content: bytes) -> ReportConfig:
    try:
        fields = json.loads(content)
        kind = fields.pop("model_type")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"config.json is no model's config ({error!r}); {WAY_OUT}") from error
    if kind != ReportConfig.model_type:
        raise CheckpointError(
            f"config.json is of model_type {kind!r}, expected {ReportConfig.model_type!r}: "
            "only CrossRay's own checkpoints load here"
        )
    try:
        return ReportConfig(**fields)
    except (ConfigError, TypeError, ValueError) as error:
        raise CheckpointError(f"config.json cannot work: {error}; {WAY_OUT}") from error


def _check_vocabulary(config: ReportConfig, tokenizer: Tokenizer, source: str) -> None:
    """A tokenizer of another training would turn right tokens into wrong words."""
    wanted = {
        "<pad>": config.pad_token_id,
        "<bos>": config.bos_token_id,
        "<eos>": config.eos_token_id,
    }
    found = {token: tokenizer.token_to_id(token) for token in wanted}
    if tokenizer.get_vocab_size() != config.vocab_size or found != wanted:
        raise CheckpointError(
            f"{source} has {tokenizer.get_vocab_size()} entries with {found}, the config expects "
            f"{config.vocab_size} with {wanted}: use the tokenizer the model was trained with"
        )


def _check_config(config: ReportConfig) -> None:
    """Numbers that no network of this kind has: sums that match do not make them right.

    Raises:
        CheckpointError: a size out of bounds; a number that is not finite.
    """
    fields = {
        **(config.vision or {}),
        **config.encoder_arguments,
        **{name: getattr(config, name) for name in _NUMBERS},
    }
    for name, line in config.answer_scales.items():
        fields |= {f"answer_scales.{name}[{k}]": value for k, value in enumerate(line)}
    fields |= {f"assert_from.{name}": limit for name, limit in config.assert_from.items()}
    for name, value in fields.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise CheckpointError(f"config.json has {name} {value}; {WAY_OUT}")
        most = _LARGEST.get(name, _LARGEST_OTHER)
        if isinstance(value, int) and not isinstance(value, bool) and not 0 <= value <= most:
            raise CheckpointError(
                f"config.json has {name} {value}, expected 0 to {most}; {WAY_OUT}"
            )


def _check_shapes(config: ReportConfig, weights: dict[str, Tensor]) -> None:
    """Compare the network with the stored weights before it takes memory.

    Raises:
        CheckpointError: the shapes differ.
    """
    with torch.device("meta"):
        expected = {name: list(t.shape) for name, t in ReportModel(config).state_dict().items()}
    stored = {name: list(weight.shape) for name, weight in weights.items()}
    for name, shape in expected.items():
        if stored.get(name, shape if name in NOT_STORED_YET else None) != shape:
            raise CheckpointError(
                f"model.safetensors does not fit config.json ({name} is {stored.get(name)}, "
                f"expected {shape}); {WAY_OUT}"
            )


def _model(config: ReportConfig, content: bytes) -> ReportModel:
    try:
        weights = safetensors.torch.load(content)
        _check_shapes(config, weights)
        for name, weight in weights.items():
            if weight.is_floating_point() and not bool(torch.isfinite(weight).all()):
                raise CheckpointError(f"{name} of model.safetensors is not finite; {WAY_OUT}")
        model = ReportModel(config)
        model.load_state_dict(weights)
    except (ConfigError, TypeError, ValueError) as error:
        raise CheckpointError(f"config.json cannot work: {error}; {WAY_OUT}") from error
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(
            f"model.safetensors does not fit config.json ({_brief(error)}); {WAY_OUT}"
        ) from error
    result: ReportModel = model.eval()  # type: ignore[no-untyped-call]
    return result


def _brief(error: Exception) -> str:
    """The first hundred characters: torch lists every weight that does not fit."""
    return " ".join(str(error).split())[:100]
