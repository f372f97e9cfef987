"""Any checkpoint -> a network and its tokenizer: our folders, Hugging Face folders, the hub.

A folder's kind follows from the files in it; an error says what is missing or not supported.
"""

import json
from pathlib import Path

from model.checkpoint import load_own
from model.checkpoint_folder import SUMS, ModelIdentity, read_folder
from model.errors import CheckpointError
from model.imported.config import MODEL_TYPE, ImportedConfig
from model.imported.export import load_exported, ready
from model.imported.folder import ImportedCheckpoint, read_hugging_face
from model.imported.hub import PREFIX, fetch
from model.imported.network import ImportedNetwork
from model.interface import Tokenizer
from model.network import ReportModel

__all__ = ["AnyNetwork", "load_network", "read_published"]

AnyNetwork = ReportModel | ImportedNetwork
"""CrossRay's own network, or one of transformers' parts."""

OUTPUT = "checkpoint"
"""Where a training run puts its checkpoint, below its own folder."""


def load_network(source: Path | str) -> tuple[AnyNetwork, Tokenizer, ModelIdentity]:
    """Load a checkpoint on the CPU, in evaluation mode.

    Args:
        source: a folder of CrossRay's or of Hugging Face's, or "hf:owner/name[@revision]".

    Raises:
        CheckpointError: what is wrong with it, and what would work.
    """
    if str(source).startswith(PREFIX):
        return ready(read_published(source))
    folder = Path(source)
    if not (folder / SUMS).is_file():
        return ready(read_published(source))
    contents, sums = read_folder(folder)
    try:
        config = json.loads(contents["config.json"])
        kind = config.get("model_type")
    except (ValueError, AttributeError):
        kind = None  # load_own says what is wrong with it
    if kind == MODEL_TYPE:
        digest = sums["model.safetensors"]
        return load_exported(ImportedConfig.from_dict(config), contents, digest)
    return load_own(contents, sums)


def read_published(source: Path | str) -> ImportedCheckpoint:
    """Read a Hugging Face folder, or "hf:owner/name[@revision]".

    Raises:
        CheckpointError: it is not one, or not one that is read.
    """
    name = str(source)
    if name.startswith(PREFIX):
        folder, origin = fetch(name.removeprefix(PREFIX))
        return read_hugging_face(folder, origin)
    folder = Path(source)
    _check_folder(folder)
    return read_hugging_face(folder, folder.resolve().name)


def _check_folder(folder: Path) -> None:
    if not folder.exists():
        raise CheckpointError(
            f"there is no folder {str(folder)!r}: give a checkpoint folder, or "
            f"{PREFIX}owner/name for one of the Hugging Face hub"
        )
    if not folder.is_dir():
        raise CheckpointError(f"{str(folder)!r} is a file: give the checkpoint folder it lies in")
    if (folder / SUMS).is_file():
        raise CheckpointError(f"{str(folder)!r} is a CrossRay checkpoint already: use it as it is")
    below = folder / OUTPUT
    if below.is_dir() and not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{str(folder)!r} is the output of a training run: its checkpoint is {str(below)!r}"
        )
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{str(folder)!r} is no checkpoint folder: neither {SUMS} (CrossRay) nor config.json "
            "(Hugging Face) is there"
        )
    try:
        kind = json.loads((folder / "config.json").read_text("utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return  # read_hugging_face says what is wrong with it
    if kind in ("crossray", MODEL_TYPE):
        raise CheckpointError(
            f"no {SUMS} in {str(folder)!r}: a CrossRay checkpoint whose writing or copying was cut "
            "short; copy the whole checkpoint folder again"
        )
