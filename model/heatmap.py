"""The image regions that each word of a report attended to, and how much the image raised it.

The finished text is read once more, teacher-forced, whatever wrote it: the cross-attention at each
position is then what it was during decoding (held by a test). A second pass without the images
gives the language prior, what the text alone would have suggested. Knows no pixels and no files.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name everyone knows it by)

from model.interface import Network, NetworkConfig, Tokenizer
from model.memory import Memory

__all__ = [
    "SKIPPED_SHARE",
    "WORD",
    "Span",
    "State",
    "TokenAttention",
    "Word",
    "span_of",
    "teacher_forced",
    "token_attention",
    "words",
]

# Of the decoder's layers, the first third does not count: the map is the mean of the late ones.
SKIPPED_SHARE = 1 / 3

# Letters and digits, which a single hyphen or apostrophe may join. Punctuation is not a word.
WORD = re.compile(r"[^\W_]+(?:[-'\u2019][^\W_]+)*")

State = Literal["grounded", "not grounded", "unknown"]
"""Of a word or a span: whether its map is a place on the images; "unknown" where the network has no
threshold that was measured, config.grounded_share."""


@dataclass(frozen=True)
class TokenAttention:
    """What one text's tokens attended to."""

    attention: np.ndarray
    """float32 (tokens, patches), of all the study's images: the share of a token's attention that
    fell on each patch. A row sums to 1 less the share that fell on the sink or other positions
    before the patches."""
    log_probabilities: np.ndarray
    """float32 (tokens,): of each token after those before it, at config.temperature."""
    prior_log_probabilities: np.ndarray
    """float32 (tokens,): the same without the images, Network.without_images."""


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
    config.grounded_share; "unknown" where the network has none."""
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
    """"grounded" where one of its words is; "unknown" where theirs is."""
    heatmap: np.ndarray
    """float32 (images, rows, columns): the mean of its grounded words' maps; of all its words'
    where none is grounded, and zeros where it has no word."""


def token_attention(
    network: Network, memory: Memory, texts: Sequence[list[int]]
) -> list[TokenAttention]:
    """What each token of finished texts attended to, and how probable it was with and without the
    images.

    Args:
        memory: network.encode's, of the studies the texts were written for.
        texts: token ids per study, without bos (decode's).
    """
    # On a CPU one study at a time stays in its cache and needs no padding.
    step = 1 if memory.patch_mask.device.type == "cpu" else max(1, len(texts))
    found = []
    for first in range(0, len(texts), step):
        some = slice(first, first + step)
        part = memory.studies(some)
        attention, chosen = teacher_forced(network, part, texts[some])
        _, prior = teacher_forced(network, network.without_images(part), texts[some], maps=False)
        for row, text in enumerate(texts[some]):
            count = len(text)
            present = int(part.patch_mask[row].sum())
            found.append(
                TokenAttention(
                    attention[row, :count, network.prefix : present].numpy(),
                    chosen[row, :count].numpy(),
                    prior[row, :count].numpy(),
                )
            )
    return found


@torch.inference_mode()
def teacher_forced(
    network: Network, memory: Memory, texts: Sequence[list[int]], maps: bool = True
) -> tuple[Tensor, Tensor]:
    """Attention and log-probability of every token of finished texts, in one pass.

    Args:
        memory: of as many studies as texts, or of fewer with several texts each, a study's texts
            one after another.
        maps: False: no attention is computed.

    Returns:
        The attention, float32 (texts, tokens, prefix + patches), averaged over heads and late
        layers (empty without `maps`), and each token's log-probability at
        config.temperature, float32 (texts, tokens). Both on the CPU; rows are longer than their
        texts where another is.
    """
    config = network.config
    longest = max(map(len, texts))
    tokens = torch.full((len(texts), longest), config.pad_token_id)
    for row, text in enumerate(texts):
        tokens[row, : len(text)] = torch.tensor(text, dtype=torch.long)
    tokens = tokens.to(memory.patch_mask.device)
    # The attention that chose a token is the row of the position before it: bos chose the first.
    before = tokens.roll(1, dims=1)
    before[:, :1] = config.bos_token_id
    late = int(config.layers * SKIPPED_SHARE) if maps else None
    logits, attentions = network.teacher_forced(memory, before, late)
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
    network: Network, memory: Memory, texts: Sequence[list[int]], tokenizer: Tokenizer
) -> list[list[Word]]:
    """The words of each study's text in reading order, with what each attended to.

    Args: as for `token_attention`; character offsets are those in tokenizer.decode(text).
    """
    attentions = token_attention(network, memory, texts)
    return [
        _words_of(tokenizer, text, attention, network.config, network.grid)
        for text, attention in zip(texts, attentions, strict=True)
    ]


def _words_of(
    tokenizer: Tokenizer,
    tokens: list[int],
    attention: TokenAttention,
    config: NetworkConfig,
    grid: tuple[int, int],
) -> list[Word]:
    """The words of one text, each with what its tokens attended to.

    Args:
        attention: of these tokens.
        grid: (rows, columns) of patches on one image.
    """
    text = tokenizer.decode(tokens)
    matches = list(WORD.finditer(text))
    if not matches:
        return []
    starts, ends = _token_spans(tokenizer, tokens)
    first = np.array([match.start() for match in matches])[:, None]
    after = np.array([match.end() for match in matches])[:, None]
    membership = ((starts < after) & (ends > first)).astype(np.float32)  # (words, tokens)
    maps = membership / membership.sum(axis=1, keepdims=True) @ attention.attention
    shares = maps.sum(axis=1)
    logs = membership @ attention.log_probabilities.astype(np.float64)
    gains = logs - membership @ attention.prior_log_probabilities.astype(np.float64)
    return [
        Word(
            text=match.group(),
            start=match.start(),
            end=match.end(),
            probability=math.exp(logs[row]),
            evidence=float(gains[row]),
            state=_state(float(shares[row]), config.grounded_share),
            heatmap=maps[row].reshape(-1, *grid),
        )
        for row, match in enumerate(matches)
    ]


def _state(share: float, threshold: float | None) -> State:
    if threshold is None:
        return "unknown"
    return "grounded" if share >= threshold else "not grounded"


def span_of(
    text: str,
    start: int,
    end: int,
    words: Sequence[Word],
    which: Sequence[int],
    shape: tuple[int, ...],
) -> Span:
    """Some words of a text as one.

    Args:
        text: the whole report's.
        words: all its words.
        which: those that count, as indices into `words`.
        shape: of a word's heatmap, for a span without words.
    """
    chosen = [words[index] for index in which]
    grounded = [word for word in chosen if word.state == "grounded"]
    unknown = any(word.state == "unknown" for word in chosen)
    maps = [word.heatmap for word in grounded or chosen]
    return Span(
        text=text[start:end],
        start=start,
        end=end,
        words=tuple(which),
        probability=math.prod(word.probability for word in chosen),
        evidence=math.fsum(word.evidence for word in chosen),
        state="grounded" if grounded else "unknown" if unknown else "not grounded",
        heatmap=np.mean(maps, axis=0) if maps else np.zeros(shape, np.float32),
    )


def _token_spans(tokenizer: Tokenizer, tokens: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """First and one-past-last character of each token in the decoded text.

    Read off the lengths of decoded prefixes: encoding the text anew may cut it into other tokens,
    and a token decoded alone loses what joins it to the one before. A character of several bytes
    that is not complete yet decodes to U+FFFD; every token that holds one of its bytes covers it.
    """
    whole, ends = [0], []
    for count in range(1, len(tokens) + 1):
        prefix = tokenizer.decode(tokens[:count])
        complete = len(prefix.rstrip("\ufffd"))
        # What cleans up the spaces before punctuation may also shorten what was there.
        whole.append(max(whole[-1], complete))
        ends.append(max(whole[-1], complete + (complete < len(prefix))))
    return np.array(whole[:-1]), np.array(ends)
