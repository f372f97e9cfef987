"""`crossray import-checkpoint`: a published checkpoint -> CrossRay's folder format, with sums."""

import re
from pathlib import Path

import safetensors.torch
import transformers

from model.checkpoint import ModelIdentity, as_json, read_tokenizer, write_folder
from model.imported.config import ImportedConfig
from model.imported.folder import ImportedCheckpoint
from model.imported.network import ImportedNetwork
from model.imported.parts import assemble
from model.imported.tokenizer import ImportedTokenizer

__all__ = ["Imported", "export", "load_exported", "ready"]

Imported = tuple[ImportedNetwork, ImportedTokenizer, ModelIdentity]


def ready(checkpoint: ImportedCheckpoint) -> Imported:
    """A checkpoint that was read, as a network that writes.

    Raises:
        CheckpointError: weights that do not fit.
    """
    config = checkpoint.config
    network = assemble(config, checkpoint.weights)
    tokenizer = ImportedTokenizer(checkpoint.tokenizer, config)
    return network, tokenizer, ModelIdentity(config.name, checkpoint.sha256)


def export(checkpoint: ImportedCheckpoint, directory: Path) -> ModelIdentity:
    """Write a folder that `load_exported` reads; it gives the reports of the checkpoint itself.

    Raises:
        CheckpointError: weights that do not fit; the folder cannot be written.
    """
    assemble(checkpoint.config, checkpoint.weights)
    config = checkpoint.config
    weights = {name: weight.contiguous() for name, weight in checkpoint.weights.items()}
    record = {
        "imported": {
            "source": config.source,
            "weights_sha256": checkpoint.sha256,
            "transformers": transformers.__version__,
        }
    }
    body = re.sub(r"\A---\n.*?\n---\n", "", checkpoint.card, flags=re.DOTALL).strip()
    card = f"# {config.name}\n\n{config.notice}\n\n## The card it came with\n\n{body or 'None.'}\n"
    contents = {
        "README.md": card.encode(),
        "config.json": as_json(config.to_dict()),
        "model.safetensors": safetensors.torch.save(weights, metadata={"format": "pt"}),
        "tokenizer.json": checkpoint.tokenizer.to_str(pretty=True).encode(),
        "training.json": as_json(record),
    }
    return ModelIdentity(config.name, write_folder(directory, contents)["model.safetensors"])


def load_exported(config: ImportedConfig, contents: dict[str, bytes], sha256: str) -> Imported:
    """What `export` wrote, its sums checked.

    Raises:
        CheckpointError: weights or a tokenizer that do not fit.
    """
    weights = safetensors.torch.load(contents["model.safetensors"])
    tokenizer = read_tokenizer(contents["tokenizer.json"])
    return ready(ImportedCheckpoint(config, weights, tokenizer, sha256, ""))
