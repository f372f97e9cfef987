"""Where each word looked: one more pass over the finished text, whatever decoder wrote it.

The pass is teacher-forced: the decoder reads the whole text at once, and its cross-attention at
each position is what it was while writing (held by a test). Knows no pixels and no files.
"""

import re
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from model.network import Memory, ReportModel

__all__ = ["SKIPPED_SHARE", "Look", "Word", "looks", "words"]

# Of the decoder's layers, the first third does not count: the map is the mean of the late ones.
SKIPPED_SHARE = 1 / 3

# Letters and digits, which a single hyphen or apostrophe may join. Punctuation is no word.
_WORD = re.compile(r"[^\W_]+(?:[-'\u2019][^\W_]+)*")


@dataclass(frozen=True)
class Look:
    """What one text's tokens looked at."""

    attention: np.ndarray
    """float32 (tokens, patches), of all the study's pictures: each row sums to 1."""
    log_probabilities: np.ndarray
    """float32 (tokens,): of each token after those before it, at temperature 1."""


@dataclass(frozen=True)
class Word:
    text: str
    start: int
    """First character in the report's text."""
    end: int
    """Character after the last: text == report[start:end]."""
    probability: float
    """In (0, 1]: product of its tokens' probabilities, each given all the text before it, at
    temperature 1 however the text was chosen."""
    heatmap: np.ndarray
    """float32 (pictures, rows, columns), share of attention per patch: sums to 1 over all
    pictures. The mean over its tokens, the heads and the late layers."""


@torch.inference_mode()
def looks(model: ReportModel, memory: Memory, texts: list[list[int]]) -> list[Look]:
    """What each token of finished texts looked at, in one pass over all texts.

    Args:
        memory: model.encode's, of the studies the texts were written for.
        texts: token ids per study, without bos (decode's).
    """
    config = model.config
    longest = max(map(len, texts))
    device = memory.patch_mask.device
    tokens = torch.full((len(texts), longest), config.pad_token_id)
    for row, text in enumerate(texts):
        tokens[row, : len(text)] = torch.tensor(text, dtype=torch.long)
    tokens = tokens.to(device)
    # The look that chose a token is the row of the position before it: bos chose the first.
    before = tokens.roll(1, dims=1)
    before[:, :1] = config.bos_token_id
    output = model(before, encoder_outputs=memory, output_attentions=True)
    chosen = output.logits.float().log_softmax(-1).gather(2, tokens[:, :, None])[:, :, 0]
    attention, chosen = _late_mean(output.cross_attentions).cpu(), chosen.cpu()
    present = memory.patch_mask.cpu()
    return [
        Look(
            attention[row, : len(text), present[row]].numpy(),
            chosen[row, : len(text)].numpy(),
        )
        for row, text in enumerate(texts)
    ]


def _late_mean(attentions: tuple[Tensor, ...]) -> Tensor:
    """Per layer (batch, heads, tokens, patches) -> (batch, tokens, patches)."""
    late = attentions[int(len(attentions) * SKIPPED_SHARE) :]
    return torch.stack([layer.mean(dim=1) for layer in late]).mean(dim=0)


def words(
    model: ReportModel, memory: Memory, texts: list[list[int]], tokenizer: Tokenizer
) -> list[list[Word]]:
    """The words of each study's text in reading order, with where each looked.

    Args: as for `looks`; character places are those in tokenizer.decode(text).
    """
    rows, columns = model.grid
    return [
        _gather(tokenizer, text, look, (-1, rows, columns))
        for text, look in zip(texts, looks(model, memory, texts), strict=True)
    ]


def _gather(
    tokenizer: Tokenizer, tokens: list[int], look: Look, shape: tuple[int, int, int]
) -> list[Word]:
    text = tokenizer.decode(tokens)
    starts, ends = _places(tokenizer, tokens)
    gathered = []
    for match in _WORD.finditer(text):
        own = (starts < match.end()) & (ends > match.start())
        heatmap = look.attention[own].mean(axis=0, dtype=np.float32)
        gathered.append(
            Word(
                text=match.group(),
                start=match.start(),
                end=match.end(),
                probability=float(np.exp(look.log_probabilities[own].sum())),
                heatmap=(heatmap / heatmap.sum()).reshape(shape),
            )
        )
    return gathered


def _places(tokenizer: Tokenizer, tokens: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """First and one-past-last character of each token in the decoded text.

    Read off the texts decoded so far, since encoding the text anew may cut it into other
    tokens. A character of several bytes that is not complete yet decodes to U+FFFD; every token
    that holds one of its bytes covers it.
    """
    prefixes = tokenizer.decode_batch([tokens[:end] for end in range(len(tokens) + 1)])
    whole = [len(prefix.rstrip("\ufffd")) for prefix in prefixes]
    begun = [end + (end < len(prefix)) for prefix, end in zip(prefixes, whole, strict=True)]
    return np.array(whole[:-1]), np.array(begun[1:])
