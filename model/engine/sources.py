"""What is read of a checkpoint before it is known whether it must be converted."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.checkpoint_folder import (
    SUMS,
    WAY_OUT,
    ModelIdentity,
    as_json,
    read_folder,
    read_tokenizer,
)
from model.errors import CheckpointError
from model.imported.config import MODEL_TYPE, ImportedConfig
from model.imported.tokenizer import ImportedTokenizer
from model.interface import Tokenizer

__all__ = ["DECODER_ONLY", "Source", "source_of"]

READ = ("config.json", "tokenizer.json")
"""The weights are read where they are converted: what they were converted to has its own sum."""
WEIGHTS = "model.safetensors"
DECODER_ONLY = (
    "a decoder-only model is not converted: its maps are shares of self-attention, which OpenVINO "
    "computes without giving them"
)


@dataclass(frozen=True)
class Source:
    """A checkpoint whose weights need not have been read."""

    identity: ModelIdentity
    tokenizer: Tokenizer
    sums: dict[str, str]
    """SHA-256 of config.json, tokenizer.json and model.safetensors."""
    network: Callable[[], Any]
    """Reads the weights with PyTorch: the AnyNetwork (model/loading.py). Raises CheckpointError
    where they are altered or do not fit."""
    obstacle: str | None
    """Why OpenVINO cannot run it; None where it may."""


def source_of(source: Path | str) -> Source:
    """A checkpoint folder of CrossRay's without PyTorch; any other as model/loading.py reads it.

    Raises:
        CheckpointError: the folder is incomplete, altered or of another kind.
    """
    folder = Path(source)
    if not (folder / SUMS).is_file():
        return _published(source)
    contents, sums = read_folder(folder, READ)
    try:
        config = json.loads(contents["config.json"])
        kind, name = config["model_type"], str(config["name"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"config.json is no model's config; {WAY_OUT}") from error
    backend = read_tokenizer(contents["tokenizer.json"])
    tokenizer: Tokenizer = backend
    obstacle = None
    if kind == MODEL_TYPE:
        imported = ImportedConfig.from_dict(config)
        tokenizer, obstacle = ImportedTokenizer(backend, imported), _obstacle(imported)

    def network() -> Any:
        from model.loading import load_network

        return load_network(folder)[0]

    made_of = {each: sums[each] for each in (*READ, WEIGHTS)}
    return Source(ModelIdentity(name, sums[WEIGHTS]), tokenizer, made_of, network, obstacle)


def _published(source: Path | str) -> Source:
    """A folder of Hugging Face's, or of the hub: all of it is read, since it has no sums."""
    from model.imported.export import ready
    from model.loading import read_published

    checkpoint = read_published(source)
    config = checkpoint.config
    own = (as_json(config.to_dict()), checkpoint.tokenizer.to_str().encode())
    sums = dict(zip(READ, (hashlib.sha256(each).hexdigest() for each in own), strict=True))
    return Source(
        ModelIdentity(config.name, checkpoint.sha256),
        ImportedTokenizer(checkpoint.tokenizer, config),
        {**sums, WEIGHTS: checkpoint.sha256},
        lambda: ready(checkpoint)[0],
        _obstacle(config),
    )


def _obstacle(config: ImportedConfig) -> str | None:
    return None if config.connector is None else DECODER_ONLY
