"""A checkpoint folder, written and read. Output of training, input of everything else.

config.json, model.safetensors, tokenizer.json, training.json (settings, data, scores), README.md
(the model card) and SHA256SUMS over them all, in the format of `sha256sum --check`. Nothing is
parsed before its sum is right: safetensors itself would load a flipped bit silently.
"""

import hashlib
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoConfig, AutoModel

from model.config import ReportConfig
from model.errors import CheckpointError, ConfigError
from model.network import NOT_STORED_YET, ReportModel

__all__ = [
    "FILES",
    "SUMS",
    "ModelIdentity",
    "as_json",
    "load_checkpoint",
    "load_own",
    "read_folder",
    "read_tokenizer",
    "save_checkpoint",
    "write_folder",
]

SUMS = "SHA256SUMS"
FILES = ("README.md", "config.json", "model.safetensors", "tokenizer.json", "training.json")
AutoConfig.register(ReportConfig.model_type, ReportConfig)
AutoModel.register(ReportConfig, ReportModel)

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
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
_WAY_OUT = "copy the whole checkpoint folder again, or point at another one"


@dataclass(frozen=True)
class ModelIdentity:
    name: str
    sha256: str
    """Of model.safetensors, 64 hexadecimal digits."""


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


def write_folder(directory: Path, contents: dict[str, bytes]) -> dict[str, str]:
    """Write a checkpoint folder; what else lies in the folder stays.

    The sums are written last: a folder whose writing was cut short does not load.

    Args:
        contents: of each of FILES.

    Returns:
        The SHA-256 of each.
    """
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    lines = "".join(f"{sums[name]}  {name}\n" for name in FILES)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / SUMS).unlink(missing_ok=True)
    for name, content in {**contents, SUMS: lines.encode()}.items():
        part = directory / f"{name}.part"
        part.write_bytes(content)
        part.replace(directory / name)
    return sums


def read_folder(directory: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    """The content of each of FILES once its sum is right, and the sums.

    Raises:
        CheckpointError: a file is missing or altered; names it.
    """
    sums = _read_sums(directory)
    return {name: _read(directory, name, sums[name]) for name in FILES}, sums


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


def as_json(fields: dict[str, Any]) -> bytes:
    """Fields as a file of a checkpoint folder."""
    return (json.dumps(fields, indent=2, sort_keys=True) + "\n").encode()


def _read_sums(directory: Path) -> dict[str, str]:
    """File name -> its SHA-256, for exactly the files a checkpoint has."""
    path = directory / SUMS
    if not path.is_file():
        raise CheckpointError(
            f"no {SUMS} in {str(directory)!r}: it is no checkpoint folder, or one whose writing "
            f"was cut short; {_WAY_OUT}"
        )
    sums: dict[str, str] = {}
    for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise CheckpointError(f"{SUMS} line {number} is not a sum and a file; {_WAY_OUT}")
        digest, name = match.groups()
        # A name is only ever compared: no path is built from what the file says.
        if name not in FILES or name in sums:
            raise CheckpointError(
                f"{SUMS} line {number} names {name!r}, expected each of {', '.join(FILES)} "
                f"once; {_WAY_OUT}"
            )
        sums[name] = digest
    if missing := [name for name in FILES if name not in sums]:
        raise CheckpointError(f"{SUMS} has no line for {missing}; {_WAY_OUT}")
    return sums


def _read(directory: Path, name: str, expected: str) -> bytes:
    """The file's bytes, once they are known to be the ones the sums speak of."""
    try:
        content = (directory / name).read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{name} cannot be read from {str(directory)!r} ({error.strerror}); {_WAY_OUT}"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise CheckpointError(
            f"{name} is damaged or was changed: its SHA-256 is {found[:12]}..., {SUMS} says "
            f"{expected[:12]}...; {_WAY_OUT}"
        )
    return content


def _config(content: bytes) -> ReportConfig:
    try:
        fields = json.loads(content)
        kind = fields.pop("model_type")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(
            f"config.json is no model's config ({error!r}); {_WAY_OUT}"
        ) from error
    if kind != ReportConfig.model_type:
        raise CheckpointError(
            f"config.json is of model_type {kind!r}, expected {ReportConfig.model_type!r}: "
            "only CrossRay's own checkpoints load here"
        )
    try:
        return ReportConfig(**fields)
    except (ConfigError, TypeError, ValueError) as error:
        raise CheckpointError(f"config.json cannot work: {error}; {_WAY_OUT}") from error


def read_tokenizer(content: bytes) -> Tokenizer:
    """The tokenizer of a tokenizer.json.

    Raises:
        CheckpointError: it is none.
    """
    try:
        return Tokenizer.from_str(content.decode())
    except Exception as error:  # tokenizers raises plain Exception
        raise CheckpointError(f"tokenizer.json is no tokenizer ({error}); {_WAY_OUT}") from error


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
    for name, value in fields.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise CheckpointError(f"config.json has {name} {value}; {_WAY_OUT}")
        most = _LARGEST.get(name, _LARGEST_OTHER)
        if isinstance(value, int) and not isinstance(value, bool) and not 0 <= value <= most:
            raise CheckpointError(
                f"config.json has {name} {value}, expected 0 to {most}; {_WAY_OUT}"
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
                f"expected {shape}); {_WAY_OUT}"
            )


def _model(config: ReportConfig, content: bytes) -> ReportModel:
    try:
        weights = safetensors.torch.load(content)
        _check_shapes(config, weights)
        for name, weight in weights.items():
            if weight.is_floating_point() and not bool(torch.isfinite(weight).all()):
                raise CheckpointError(f"{name} of model.safetensors is not finite; {_WAY_OUT}")
        model = ReportModel(config)
        model.load_state_dict(weights)
    except (ConfigError, TypeError, ValueError) as error:
        raise CheckpointError(f"config.json cannot work: {error}; {_WAY_OUT}") from error
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(
            f"model.safetensors does not fit config.json ({_brief(error)}); {_WAY_OUT}"
        ) from error
    result: ReportModel = model.eval()
    return result


def _brief(error: Exception) -> str:
    """The first hundred characters: torch lists every weight that does not fit."""
    return " ".join(str(error).split())[:100]
