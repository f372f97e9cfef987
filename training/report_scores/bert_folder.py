"""Other people's trained networks over a BERT, read from a folder; nothing is downloaded or run.

The folder holds the network's own files, and in `encoder/` the tokenizer's and config.json of the
BERT it was trained from. Without `encoder/`, transformers looks them up by name in its cache.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

from model.errors import DataError

__all__ = ["encoder_of", "fill", "tensors"]


def encoder_of(folder: Path, name: str) -> tuple[Any, Any]:
    """The tokenizer, and the encoder with weights yet to be filled in.

    Args:
        name: what the encoder is called on the hub, where the folder has no `encoder/`.

    Raises:
        DataError: its files are nowhere to be had, or are of no encoder.
    """
    source = folder / "encoder"
    found = source.is_dir()
    where = str(source) if found else name
    # A stranger's files name neither code to run nor what to fetch.
    only: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, **only)
        config = AutoConfig.from_pretrained(where, **only)
        return tokenizer, AutoModel.from_config(config, trust_remote_code=False)
    except Exception as error:  # the parsers' own, of every kind
        what = (
            f"{where!r} cannot be read ({' '.join(str(error).split())[:160]})"
            if found
            else f"there is no folder {str(source)!r}, and transformers' cache has nothing called "
            f"{name!r}"
        )
        raise DataError(
            f"{what}: put config.json and the tokenizer's files of {name!r} there "
            "(docs/how-to/scores.md)"
        ) from error


def tensors(path: Path) -> dict[str, Any]:
    """What a PyTorch file holds, read without running anything in it.

    Raises:
        DataError: it is missing, no PyTorch file, or holds more than tensors and plain values.
    """
    if not path.is_file():
        raise DataError(f"there is no file {str(path)!r}: it holds the weights")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the parser's own, of every kind
        raise DataError(
            f"{str(path)!r} is no PyTorch file of plain tensors, and nothing else is read from it"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise DataError(f"{str(path)!r} holds no tensors by name: it is not a network's")
    return content


def fill(network: nn.Module, weights: dict[str, Tensor], path: Path, spare: Sequence[str]) -> None:
    """Load weights by name.

    Args:
        spare: names that the network may do without.

    Raises:
        DataError: others are missing, left over, or of another shape.
    """
    kept = {name: tensor for name, tensor in weights.items() if name not in spare}
    if odd := [name for name, tensor in kept.items() if not isinstance(tensor, Tensor)]:
        raise DataError(f"{odd[0]!r} of {str(path)!r} is no tensor: the file is not a network's")
    try:
        network.load_state_dict(kept, strict=True)
    except RuntimeError as error:
        raise DataError(
            f"the weights in {str(path)!r} are of another network: "
            f"{' '.join(str(error).split())[:300]}"
        ) from error
    network.eval().requires_grad_(False)
