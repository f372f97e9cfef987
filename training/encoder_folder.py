"""Other people's trained networks over a BERT, read from a folder: nothing is downloaded to guess.

The folder holds the network's own files, and in `encoder/` the tokenizer's and config.json of the
BERT it was trained from. Without `encoder/`, transformers looks them up by name, in its cache or
on its hub.
"""

import pickle
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
    where = str(source) if source.is_dir() else name
    try:
        tokenizer = AutoTokenizer.from_pretrained(where)
        return tokenizer, AutoModel.from_config(AutoConfig.from_pretrained(where))
    except (OSError, ValueError) as error:
        raise DataError(
            f"no encoder and tokenizer in {str(source)!r}, and none called {name!r} is to be had "
            f"({str(error).splitlines()[0][:120]}): put config.json and the tokenizer's files of "
            f"{name!r} there"
        ) from error


def tensors(path: Path) -> dict[str, Any]:
    """What a PyTorch file holds, read without running anything in it.

    Raises:
        DataError: it is missing, no PyTorch file, or holds more than tensors and plain values.
    """
    if not path.is_file():
        raise DataError(f"there is no file {str(path)!r}: it holds the weights")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise DataError(
            f"{str(path)!r} is no PyTorch file of plain tensors, and nothing else is read from it"
        ) from error


def fill(network: nn.Module, weights: dict[str, Tensor], path: Path, spare: Sequence[str]) -> None:
    """Load weights by name.

    Args:
        spare: names that the network may do without.

    Raises:
        DataError: others are missing, left over, or of another shape.
    """
    kept = {name: tensor for name, tensor in weights.items() if name not in spare}
    try:
        network.load_state_dict(kept, strict=True)
    except RuntimeError as error:
        raise DataError(
            f"the weights in {str(path)!r} are of another network: "
            f"{' '.join(str(error).split())[:300]}"
        ) from error
    network.eval().requires_grad_(False)
