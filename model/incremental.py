"""Our decoder one token at a time, as fast as its keys and values allow.

Those of the tokens so far lie in one block made beforehand; those of the patches are never
repeated for the beams of a study.
"""

import numpy as np
import torch
from numpy.typing import NDArray
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
        self.block = torch.empty(shape, dtype=keys[0].dtype, device=keys[0].device)

    @torch.inference_mode()
    def __call__(self, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        """See IncrementalDecoder."""
        scores: NDArray[np.float32] = self._logits(chosen).cpu().numpy()
        return scores

    @torch.inference_mode()
    def likeliest(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """See IncrementalDecoder."""
        tokens: NDArray[np.int64] = self._logits(chosen).argmax(dim=-1).cpu().numpy()
        return tokens

    def _logits(self, chosen: NDArray[np.int64]) -> Tensor:
        tokens = torch.from_numpy(chosen).to(self.block.device)
        logits: Tensor = self.decoder(tokens[:, None], self.context, self)[0]
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

    @torch.inference_mode()
    def reorder(self, rows: NDArray[np.int64]) -> None:
        """See IncrementalDecoder."""
        order = torch.from_numpy(rows).to(self.block.device)
        filled = self.block[..., : self.tokens, :]
        if len(rows) != self.block.shape[2]:
            self.beams = self.beams * len(rows) // self.block.shape[2]
            shape = (*self.block.shape[:2], len(rows), *self.block.shape[3:])
            block = torch.empty(shape, dtype=filled.dtype, device=filled.device)
            block[..., : self.tokens, :] = filled.index_select(2, order)
            self.block = block
        elif not np.array_equal(rows, np.arange(len(rows))):
            filled.copy_(filled.index_select(2, order))

    @torch.inference_mode()
    def keep(self, studies: NDArray[np.int64]) -> None:
        """See IncrementalDecoder."""
        rows = studies[:, None] * self.beams + np.arange(self.beams)
        device = self.block.device
        self.block = self.block.index_select(2, torch.from_numpy(rows.flatten()).to(device))
        self.context = self.context.studies(torch.from_numpy(studies).to(device))
