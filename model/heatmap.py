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

from model.interface import Engine, M, NetworkConfig, Tokenizer

__all__ = [
    "WORD",
    "Span",
    "State",
    "TokenAttention",
    "Word",
    "span_of",
    "token_attention",
    "words",
]

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
    """float32 (tokens,): the same without the images, Engine.without_images."""


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
    engine: Engine[M], memory: M, texts: Sequence[list[int]]
) -> list[TokenAttention]:
    """What each token of finished texts attended to, and how probable it was with and without the
    images.

    Args:
        memory: engine.read_images's, of the studies the texts were written for.
        texts: token ids per study, without bos (decode's).
    """
    with_images = engine.read_texts(memory, texts, maps=True)
    without = engine.read_texts(engine.without_images(memory), texts, maps=False)
    assert with_images.attention is not None
    found = []
    for row, (text, present) in enumerate(zip(texts, memory.present, strict=True)):
        patches = with_images.attention[row, : len(text)][:, present][:, engine.prefix :]
        found.append(
            TokenAttention(
                patches,
                with_images.log_probabilities[row, : len(text)],
                without.log_probabilities[row, : len(text)],
            )
        )
    return found


def words(
    engine: Engine[M], memory: M, texts: Sequence[list[int]], tokenizer: Tokenizer
) -> list[list[Word]]:
    """The words of each study's text in reading order, with what each attended to.

    Args: as for `token_attention`; character offsets are those in tokenizer.decode(text).
    """
    attentions = token_attention(engine, memory, texts)
    return [
        _words_of(tokenizer, text, attention, engine.config, engine.grid)
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
