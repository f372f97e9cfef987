"""Our decoder one token at a time, as fast as its keys and values allow.

Those of the tokens so far lie in one block made beforehand; those of the patches are never
repeated for the beams of a study.
"""

import torch
from torch import Tensor

from model.decoder import Decoder
from model.memory import DecoderContext

__all__ = ["CachedDecoder"]


class CachedDecoder:
    """An IncrementalDecoder (interface.py), and the TokenCache its decoder reads and extends.

    Holds the keys and values of the tokens so far, as (2, layers, rows, heads, tokens, head_dim),
    those of the prompt first.
    """

    def __init__(self, decoder: Decoder, context: DecoderContext, beams: int, limit: int) -> None:
        self.decoder = decoder
        keys = [each.contiguous() for each in context.keys]
        values = [each.contiguous() for each in context.values]
        self.context = DecoderContext(keys, values, context.bias, context.prompt)
        self.beams = beams
        self.tokens = 0
        studies, heads, _, head_dim = keys[0].shape
        longest = context.prompt.shape[1] + limit
        shape = (2, len(keys), studies * beams, heads, longest, head_dim)
        self.block = keys[0].new_empty(shape)

    def __call__(self, chosen: Tensor) -> Tensor:
        """The last token of each row (rows,) -> logits of the next (rows, vocabulary)."""
        logits: Tensor = self.decoder(chosen[:, None], self.context, self)[0]
        self.tokens += 1 if self.tokens else 1 + self.context.prompt.shape[1]
        return logits[:, 0].float()

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """See TokenCache."""
        end = self.tokens + keys.shape[2]
        layer_keys, layer_values = self.block[0, layer], self.block[1, layer]
        layer_keys[:, :, self.tokens : end] = keys
        layer_values[:, :, self.tokens : end] = values
        return layer_keys[:, :, :end], layer_values[:, :, :end]

    def get_seq_length(self) -> int:
        """See TokenCache."""
        return self.tokens

    def reorder(self, rows: Tensor) -> None:
        """Row i goes on from what row rows[i] has read; only within a study."""
        if not torch.equal(rows, torch.arange(len(rows), device=rows.device)):
            filled = self.block[..., : self.tokens, :]
            filled.copy_(filled.index_select(2, rows))

    def keep(self, studies: Tensor) -> None:
        """Go on with some studies only, (studies,) ascending positions."""
        rows = studies[:, None] * self.beams + torch.arange(self.beams, device=studies.device)
        self.block = self.block.index_select(2, rows.flatten())
        self.context = self.context.studies(studies)
