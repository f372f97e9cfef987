"""Networks of transformers' parts -> CrossRay's folder format, with sums and a card, and back.

Published ones (`crossray import-checkpoint`), and those that `crossray train` made of pretrained
parts. Weights have the names that VisionEncoderDecoderModel stores.
"""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors.torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel

from model.checkpoint_folder import ModelIdentity, as_json, read_tokenizer, write_folder
from model.imported.config import ImportedConfig
from model.imported.decoder_only import DecoderOnlyNetwork
from model.imported.folder import ImportedCheckpoint
from model.imported.network import ImportedNetwork
from model.imported.parts import FITTED, assemble, quiet
from model.imported.tokenizer import ImportedTokenizer

__all__ = ["Imported", "export", "load_exported", "ready", "save_joined"]

LLAVA_NAMES = {
    "encoder.tower.": "vision_tower.",
    "encoder.projector.": "multi_modal_projector.",
    "decoder.trunk.": "language_model.model.",
    "decoder.head.": "language_model.lm_head.",
}
"""Modules of a decoder-only network -> what LlavaForConditionalGeneration stores them as."""

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
    return _write(directory, replace(checkpoint, weights=weights, card=card), record)


def save_joined(
    directory: Path,
    network: ImportedNetwork,
    weights: Mapping[str, Tensor],
    tokenizer: ImportedTokenizer,
    record: dict[str, Any],
    card: str,
) -> ModelIdentity:
    """Write a network that was trained; see `write_folder`.

    Args:
        weights: of the network, by its own names.
        record: settings, data and scores, as JSON can hold them.
        card: the model card, Markdown.
    """
    stored = _stored(network, weights)
    checkpoint = ImportedCheckpoint(network.config, stored, tokenizer.backend, "", card)
    return _write(directory, checkpoint, record)


def _write(
    directory: Path, checkpoint: ImportedCheckpoint, record: dict[str, Any]
) -> ModelIdentity:
    config = checkpoint.config
    contents = {
        "README.md": checkpoint.card.encode(),
        "config.json": as_json(config.to_dict()),
        "model.safetensors": safetensors.torch.save(checkpoint.weights, metadata={"format": "pt"}),
        "tokenizer.json": checkpoint.tokenizer.to_str(pretty=True).encode(),
        "training.json": as_json(record),
    }
    return ModelIdentity(config.name, write_folder(directory, contents)["model.safetensors"])


def _stored(network: ImportedNetwork, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by the names on disk, which transformers keeps where its modules' names change."""
    fitted = FITTED if network.config.novelty_threshold else ()
    stored = {name: weights[name].cpu().contiguous() for name in fitted}
    if isinstance(network, DecoderOnlyNetwork):
        for inner, name in LLAVA_NAMES.items():
            own = {k: v for k, v in weights.items() if k.startswith(inner)}
            # A copy: a head may share the embedding's weights, which safetensors refuses.
            stored |= {k.replace(inner, name, 1): v.cpu().clone() for k, v in own.items()}
        return stored
    for part, module in (("encoder", network.encoder.trunk), ("decoder", network.decoder)):
        prefix = "encoder.trunk." if part == "encoder" else "decoder."
        own = {k.removeprefix(prefix): v.cpu() for k, v in weights.items() if k.startswith(prefix)}
        if isinstance(module, PreTrainedModel):
            own = _by_stored_names(module, own)
        stored |= {f"{part}.{name}": value.contiguous() for name, value in own.items()}
    projection = {k: v for k, v in weights.items() if k.startswith("projection.")}
    for name, value in projection.items():
        stored[name.replace("projection.", "enc_to_dec_proj.", 1)] = value.cpu().contiguous()
    return stored


def _by_stored_names(module: PreTrainedModel, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    with tempfile.TemporaryDirectory() as folder, quiet():
        module.save_pretrained(folder, state_dict=weights, max_shard_size="1TB")
        written: dict[str, Tensor] = safetensors.torch.load(
            (Path(folder) / "model.safetensors").read_bytes()
        )
    return written


def load_exported(config: ImportedConfig, contents: dict[str, bytes], sha256: str) -> Imported:
    """What `export` wrote, its sums checked.

    Raises:
        CheckpointError: weights or a tokenizer that do not fit.
    """
    weights = safetensors.torch.load(contents["model.safetensors"])
    tokenizer = read_tokenizer(contents["tokenizer.json"])
    return ready(ImportedCheckpoint(config, weights, tokenizer, sha256, ""))
