"""Where each word looked, and how much the image had to do with it.

The finished text is read back once, whatever decoder wrote it: teacher-forced, so that the
cross-attention at each position is what it was while writing (held by a test). A second reading
with no image tells what the text alone would have suggested. Knows no pixels and no files.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name everyone knows it by)

from model.config import ReportConfig
from model.memory import Memory
from model.network import ReportModel

__all__ = [
    "SKIPPED_SHARE",
    "WORD",
    "Span",
    "State",
    "TokenAttention",
    "Word",
    "forced",
    "looks",
    "spanned",
    "words",
]

# Of the decoder's layers, the first third does not count: the map is the mean of the late ones.
SKIPPED_SHARE = 1 / 3

# Letters and digits, which a single hyphen or apostrophe may join. Punctuation is no word.
WORD = re.compile(r"[^\W_]+(?:[-'\u2019][^\W_]+)*")

State = Literal["grounded", "not grounded"]


@dataclass(frozen=True)
class TokenAttention:
    """What one text's tokens looked at."""

    attention: np.ndarray
    """float32 (tokens, patches), of all the study's images: the share of a token's attention that
    fell on each patch. A row sums to 1 less the share that fell on the sink."""
    log_probabilities: np.ndarray
    """float32 (tokens,): of each token after those before it, at config.temperature."""
    prior_log_probabilities: np.ndarray
    """float32 (tokens,): the same with nothing to look at, Memory.without_images."""


@dataclass(frozen=True)
class Word:
    text: str
    start: int
    """First character in the report's text."""
    end: int
    """Character after the last: text == report[start:end]."""
    probability: float
    """In (0, 1]: product of its tokens' probabilities, each given all the text before it, at
    config.temperature however the text was chosen."""
    evidence: float
    """In nats: by how much the images raised its log-probability over that after the same text
    with no image. Near 0: the text alone suggests it. Below 0: the images speak against it."""
    state: State
    """"grounded" where the share of its attention on the images, heatmap.sum(), reaches
    config.grounded_share: what it says has a place there."""
    heatmap: np.ndarray
    """float32 (images, rows, columns), share of attention per patch: what is missing from 1 fell
    on no image. The mean over its tokens, the heads and the late layers."""


@dataclass(frozen=True)
class Span:
    """A phrase, a sentence, or what names a finding: some words together."""

    text: str
    start: int
    """First character in the report's text."""
    end: int
    """Character after the last: text == report[start:end]."""
    words: tuple[int, ...]
    """Which of the report's words."""
    probability: float
    """In [0, 1]: product over its words."""
    evidence: float
    """In nats: sum over its words."""
    state: State
    """"grounded" where one of its words is."""
    heatmap: np.ndarray
    """float32 (images, rows, columns): the mean of its grounded words' maps; of all its words'
    where none is grounded, and zeros where it has no word."""


def looks(model: ReportModel, memory: Memory, texts: Sequence[list[int]]) -> list[TokenAttention]:
    """What each token of finished texts looked at, and what it owes to the images.

    Args:
        memory: model.encode's, of the studies the texts were written for.
        texts: token ids per study, without bos (decode's).
    """
    # On a processor one study at a time stays in its cache and needs no padding.
    step = 1 if memory.patch_mask.device.type == "cpu" else max(1, len(texts))
    found = []
    for first in range(0, len(texts), step):
        some = slice(first, first + step)
        part = memory.studies(some)
        attention, chosen = forced(model, part, texts[some])
        _, prior = forced(model, part.without_images(), texts[some], maps=False)
        for row, text in enumerate(texts[some]):
            count = len(text)
            present = int(part.patch_mask[row].sum())
            found.append(
                TokenAttention(
                    attention[row, :count, 1:present].numpy(),
                    chosen[row, :count].numpy(),
                    prior[row, :count].numpy(),
                )
            )
    return found


@torch.inference_mode()
def forced(
    model: ReportModel, memory: Memory, texts: Sequence[list[int]], maps: bool = True
) -> tuple[Tensor, Tensor]:
    """Read texts back as if they were being written, all at once.

    Args:
        memory: of as many studies as texts, or of fewer with several texts each, a study's texts
            one after another.
        maps: False: no attention is computed.

    Returns:
        The attention, float32 (texts, tokens, 1 + patches), [..., 0] the sink's, averaged over
        heads and late layers (empty without `maps`), and each token's log-probability at
        config.temperature, float32 (texts, tokens). Both on the CPU; rows are longer than their
        texts where another is.
    """
    config = model.config
    longest = max(map(len, texts))
    tokens = torch.full((len(texts), longest), config.pad_token_id)
    for row, text in enumerate(texts):
        tokens[row, : len(text)] = torch.tensor(text, dtype=torch.long)
    tokens = tokens.to(memory.patch_mask.device)
    # The look that chose a token is the row of the position before it: bos chose the first.
    before = tokens.roll(1, dims=1)
    before[:, :1] = config.bos_token_id
    logits, attentions = model.decoder(
        before,
        memory.cross_keys_layers.unbind(1),
        memory.cross_values_layers.unbind(1),
        memory.bias(model.grid),
        memory.prompt,
        need_attention=maps,
        first_attention=int(config.layers * SKIPPED_SHARE),
    )
    logits = logits.float() / config.temperature
    chosen = -F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction="none")
    return _mean_attention(attentions).cpu(), chosen.view_as(tokens).cpu()


def _mean_attention(attentions: tuple[Tensor, ...]) -> Tensor:
    """Of the late layers, each (texts, heads, tokens, patches) -> (texts, tokens, patches)."""
    if not attentions:
        return torch.empty(0)
    total = attentions[0].sum(dim=1)
    for layer in attentions[1:]:
        total += layer.sum(dim=1)
    return total / (len(attentions) * attentions[0].shape[1])


def words(
    model: ReportModel, memory: Memory, texts: Sequence[list[int]], tokenizer: Tokenizer
) -> list[list[Word]]:
    """The words of each study's text in reading order, with where each looked.

    Args: as for `looks`; character places are those in tokenizer.decode(text).
    """
    return [
        _gather(tokenizer, text, look, model.config, model.grid)
        for text, look in zip(texts, looks(model, memory, texts), strict=True)
    ]


def _gather(
    tokenizer: Tokenizer,
    tokens: list[int],
    look: TokenAttention,
    config: ReportConfig,
    grid: tuple[int, int],
) -> list[Word]:
    """The words of one text, each with what its tokens looked at.

    Args:
        look: of these tokens.
        grid: (rows, columns) of patches on one image.
    """
    text = tokenizer.decode(tokens)
    found = list(WORD.finditer(text))
    if not found:
        return []
    starts, ends = _token_places(tokenizer, tokens)
    first = np.array([match.start() for match in found])[:, None]
    after = np.array([match.end() for match in found])[:, None]
    own = ((starts < after) & (ends > first)).astype(np.float32)  # (words, tokens)
    maps = own / own.sum(axis=1, keepdims=True) @ look.attention
    shares = maps.sum(axis=1)
    logs = own @ look.log_probabilities.astype(np.float64)
    gains = logs - own @ look.prior_log_probabilities.astype(np.float64)
    return [
        Word(
            text=match.group(),
            start=match.start(),
            end=match.end(),
            probability=math.exp(logs[row]),
            evidence=float(gains[row]),
            state="grounded" if shares[row] >= config.grounded_share else "not grounded",
            heatmap=maps[row].reshape(-1, *grid),
        )
        for row, match in enumerate(found)
    ]


def spanned(
    text: str,
    start: int,
    end: int,
    told: Sequence[Word],
    which: Sequence[int],
    shape: tuple[int, ...],
) -> Span:
    """Some words of a text as one.

    Args:
        text: the whole report's.
        told: all its words.
        which: those that count, by their place in `told`.
        shape: of a word's heatmap, for a span without words.
    """
    own = [told[place] for place in which]
    grounded = [word for word in own if word.state == "grounded"]
    maps = [word.heatmap for word in grounded or own]
    return Span(
        text=text[start:end],
        start=start,
        end=end,
        words=tuple(which),
        probability=math.prod(word.probability for word in own),
        evidence=math.fsum(word.evidence for word in own),
        state="grounded" if grounded else "not grounded",
        heatmap=np.mean(maps, axis=0) if maps else np.zeros(shape, np.float32),
    )


def _token_places(tokenizer: Tokenizer, tokens: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """First and one-past-last character of each token in the decoded text.

    Read off the tokens' own texts, since encoding the text anew may cut it into other tokens. A
    character of several bytes that is not complete yet decodes to U+FFFD; every token that holds
    one of its bytes covers it.
    """
    starts, ends = [], []
    place = first = 0  # characters that are complete, and the token that follows them
    whole = 0
    for number in range(1, len(tokens) + 1):
        starts.append(whole)
        # Decoding goes on from the last place where no character was open: what stands before
        # such a place does not change what follows.
        piece = tokenizer.decode(tokens[first:number])
        whole = place + len(piece.rstrip("\ufffd"))
        is_open = whole < place + len(piece)
        ends.append(whole + is_open)
        if not is_open:
            place, first = whole, number
    return np.array(starts), np.array(ends)
