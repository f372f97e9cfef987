"""What the decoder reads while it writes: a study's patches, and the tokens so far."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from transformers.utils import ModelOutput

__all__ = ["Memory", "TokenCache"]


@dataclass
class Memory(ModelOutput):
    """What the decoder reads of a batch of studies. The pictures' patches follow one another.

    Attributes:
        last_hidden_state: the encoder's features, (batch, patches, encoder width).
        cross_keys_layers: (batch, layers, heads, patches, head_dim).
        cross_values_layers: (batch, layers, heads, patches, head_dim).
        patch_mask: (batch, patches), True where a study has the patch; studies with fewer
            pictures than the batch's longest end in False.
    """

    # ModelOutput allows one required field only; all four are always there.
    last_hidden_state: Tensor
    cross_keys_layers: Tensor = None  # type: ignore[assignment]
    cross_values_layers: Tensor = None  # type: ignore[assignment]
    patch_mask: Tensor = None  # type: ignore[assignment]

    def studies(self, rows: Tensor) -> "Memory":
        """The memory of some studies only, rows (studies,) of long or bool."""
        return Memory(**{name: field[rows] for name, field in self.items()})


class TokenCache(Protocol):
    """Self-attention's keys and values of the tokens before, one entry per layer.

    Both transformers' caches and the one in decoding.py are this.
    """

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Append (batch, heads, tokens, head_dim) to a layer; returns all it holds then."""
        ...

    def get_seq_length(self) -> int:
        """Tokens held."""
        ...
