"""A network that was trained -> the checkpoint folder that everything else loads."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend

from model.checkpoint import save_checkpoint
from model.imported.export import save_joined
from model.imported.network import ImportedNetwork
from model.imported.tokenizer import ImportedTokenizer
from model.interface import Tokenizer
from model.loading import AnyNetwork
from training.lora import merged_weights

__all__ = ["save"]


def save(
    folder: Path, model: AnyNetwork, tokenizer: Tokenizer, record: dict[str, Any], card: str
) -> None:
    """Write a checkpoint folder of either kind of network, the tokenizer being its own.

    Raises:
        CheckpointError: network and tokenizer do not belong together.
    """
    if isinstance(model, ImportedNetwork):
        assert isinstance(tokenizer, ImportedTokenizer)
        save_joined(folder, model, merged_weights(model), tokenizer, record, card)
    else:
        assert isinstance(tokenizer, Backend)
        save_checkpoint(folder, model, tokenizer, record, card)
