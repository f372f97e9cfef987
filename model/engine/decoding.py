"""Texts written and read by a converted decoder: its state, masks and positions of tokens."""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.engine.config import EngineConfig
from model.engine.drafts import CONTEXT, Drafts
from model.engine.names import cross_names
from model.engine.runtime import Compiled
from model.interface import Rows

__all__ = ["Cross", "Decoding", "EngineMemory", "Floats", "forced"]

Floats = NDArray[np.float32]
Cross = NDArray[Any]
"""Keys or values of patches: float32, or the bits of bfloat16 as uint16."""
Tokens = NDArray[np.int64]

ROUND = 8
"""Finished texts are read as so many tokens or a multiple: OpenVINO makes kernels for each length
when it first meets it, which takes ten times as long as reading."""


@dataclass
class EngineMemory:
    """A StudyMemory: per layer the keys and values of the prefix and the patches."""

    cross: Sequence[Cross]
    """Per layer keys (studies, heads, head_dim, positions) and values (studies, heads, positions,
    head_dim)."""
    present: NDArray[np.bool_]
    """(studies, positions)."""
    counts: NDArray[np.int64]
    """(studies,), how many times the first position counts."""
    distances: Floats
    """(studies, images), see Engine.novelty_distances."""
    prompt: Tokens
    """(studies, prompt), padded in front."""

    def studies(self, rows: Rows) -> "EngineMemory":
        """See StudyMemory."""
        return EngineMemory(
            [each[rows] for each in self.cross],
            self.present[rows],
            self.counts[rows],
            self.distances[rows],
            self.prompt[rows],
        )

    @property
    def bias(self) -> Floats:
        """What is added to every comparison with a position, (studies, 1, 1, positions)."""
        bias = np.where(self.present, np.float32(0), np.float32(-np.inf))
        bias[:, 0] = np.log(self.counts)
        return bias[:, None, None]

    def inputs(self) -> dict[str, Cross]:
        """As the decoder names them."""
        named = zip(cross_names(len(self.cross) // 2), self.cross, strict=True)
        return {"bias": self.bias, **dict(named)}


class Decoding:
    """An IncrementalDecoder (model/interface.py).

    Where one text is written, it reads ahead: after the token that was chosen the tokens that
    probably follow, and answers from there as long as they are chosen indeed. What was read and
    not chosen stays in the cache of keys and values, where no later token attends to it.
    """

    def __init__(
        self,
        decoder: Compiled,
        config: EngineConfig,
        memory: EngineMemory,
        beams: int,
        limit: int,
        drafts: Drafts,
    ) -> None:
        self._config = config
        self._memory = memory
        self._beams = beams
        self._limit = limit
        self._drafts = drafts
        self._request = decoder.take()
        weakref.finalize(self, decoder.give, self._request)
        self._read(memory)
        self._order = np.arange(len(memory.present) * beams, dtype=np.int32)
        self._step = 0
        self._prompt = memory.prompt.repeat(beams, axis=0)
        self._kept: list[bool] = []
        """Of the tokens in the cache after the prompt, which are of the text."""
        self._second = np.zeros(len(self._order), bool)
        """Of each row whether the separator of sections was written."""
        self._ahead: _Ahead | None = None
        self._texts: list[list[int]] = []
        """Of each row what was chosen, after CONTEXT tokens of nothing."""
        if beams == 1:
            self._texts = [[-1] * CONTEXT for _ in memory.present]

    def __call__(self, chosen: Tokens) -> Floats:
        """See IncrementalDecoder."""
        for text, token in zip(self._texts, chosen.tolist(), strict=False):
            text.append(token)
            self._drafts.learn(text)
        if self._ahead is not None and self._ahead.follows(chosen):
            # It was read where its place in the cache is.
            self._kept[self._ahead.at - self._ahead.count] = True
        else:
            self._ahead = self._run(chosen)
        self._second |= chosen == self._config.section_token_id
        self._step += 1
        return self._ahead.here

    def likeliest(self, chosen: Tokens) -> Tokens:
        """See IncrementalDecoder."""
        tokens: Tokens = self(chosen).argmax(axis=-1)
        return tokens

    def reorder(self, rows: Tokens) -> None:
        """See IncrementalDecoder."""
        self._ahead, self._texts = None, []
        if len(rows) != len(self._order):
            self._beams = self._beams * len(rows) // len(self._order)
        self._select(rows)

    def keep(self, studies: Tokens) -> None:
        """See IncrementalDecoder."""
        rows = (studies[:, None] * self._beams + np.arange(self._beams)).flatten()
        self._select(rows)
        self._ahead, self._texts = None, [self._texts[row] for row in rows if self._texts]
        self._memory = self._memory.studies(studies)
        self._read(self._memory)

    def _select(self, rows: Tokens) -> None:
        self._order, self._prompt = self._order[rows], self._prompt[rows]
        self._second = self._second[rows]

    def _run(self, chosen: Tokens) -> "_Ahead":
        """Read what was chosen, and the draft of what follows it."""
        drafted = self._drafted(len(chosen))
        tokens = np.hstack((chosen[:, None], drafted))
        if not self._kept:
            tokens = np.hstack((self._prompt, tokens))
        count = drafted.shape[1] + 1
        prompt = self._prompt.shape[1]
        mask = _mask(self._prompt, len(self._kept), count, self._config.pad_token_id)
        mask[..., prompt : prompt + len(self._kept)][..., ~np.array(self._kept, bool)] = -np.inf
        logits = self._request(
            {
                "tokens": tokens,
                "places": _places(prompt, self._step, count, self._config.max_tokens),
                "mask": mask,
                "beam_idx": self._order,
                **_types(self._config, tokens, self._second),
            }
        )[0]
        self._kept += [True] + [False] * (count - 1)
        self._order = np.arange(len(chosen), dtype=np.int32)
        return _Ahead(drafted, logits[:, -count:])

    def _drafted(self, rows: int) -> Tokens:
        """(rows, drafted), or (rows, 0) where nothing is drafted.

        More rows than one would rarely all go on as drafted, and cost more than their weights.
        """
        if len(self._texts) == 1:
            longer = self._ahead is not None and self._ahead.at == self._ahead.count - 1 > 0
            draft = self._drafts.draft(self._texts[0], longer)
            if draft and self._step + 1 + len(draft) <= self._limit:
                return np.array([draft])
        return np.zeros((rows, 0), np.int64)

    def _read(self, memory: EngineMemory) -> None:
        for name, value in memory.inputs().items():
            self._request.set(name, value)


@dataclass
class _Ahead:
    """What one run of the decoder has read beyond the token that was chosen."""

    drafted: Tokens
    """(rows, drafted)."""
    logits: Floats
    """(rows, 1 + drafted, vocabulary)."""
    at: int = 0
    """How many of the drafted were chosen."""

    def follows(self, chosen: Tokens) -> bool:
        """Whether the token after those is the chosen one in every row; then it counts as such."""
        if self.at == self.drafted.shape[1] or (self.drafted[:, self.at] != chosen).any():
            return False
        self.at += 1
        return True

    @property
    def count(self) -> int:
        """Of the tokens that were read."""
        return 1 + int(self.drafted.shape[1])

    @property
    def here(self) -> Floats:
        """The last token's logits."""
        return self.logits[:, self.at]


def forced(
    decoder: Compiled, config: EngineConfig, memory: EngineMemory, texts: Sequence[Sequence[int]]
) -> tuple[Floats, Floats]:
    """Read finished texts in one pass.

    Args:
        memory: of as many studies as texts, or of fewer with several texts each.
        texts: without bos.

    Returns:
        logits (texts, tokens, vocabulary) that each token was chosen from, and the attention
        (texts, tokens, positions) that chose it.
    """
    longest = max(map(len, texts))
    width = max(longest, min(-(-longest // ROUND) * ROUND, config.max_tokens))
    before = np.full((len(texts), width), config.pad_token_id)
    before[:, 0] = config.bos_token_id
    for row, text in enumerate(texts):
        before[row, 1 : len(text)] = text[:-1]
    prompt = memory.prompt.repeat(len(texts) // len(memory.present), axis=0)
    tokens = np.hstack((prompt, before))
    with decoder.request() as request:
        logits, attention = request(
            {
                **memory.inputs(),
                "tokens": tokens,
                "places": _places(prompt.shape[1], 0, width, config.max_tokens),
                "mask": _mask(prompt, 0, width, config.pad_token_id),
                "beam_idx": np.arange(len(texts), dtype=np.int32),
                **_types(config, tokens, np.zeros(len(texts), bool)),
            }
        )[:2]
        read = slice(prompt.shape[1], prompt.shape[1] + longest)
        return logits[:, read].copy(), attention[:, read].copy()


def _places(prompt: int, past: int, count: int, max_tokens: int) -> Tokens:
    """See DecoderModule; the prompt comes with the first tokens."""
    of_prompt = max_tokens + np.arange(prompt)[::-1] if not past else np.zeros(0, np.int64)
    return np.concatenate((of_prompt, np.arange(past, past + count)))


def _types(config: EngineConfig, tokens: Tokens, second: NDArray[np.bool_]) -> dict[str, Tokens]:
    """Where reports have sections, 1 for tokens after the first separator, in this input too.

    Args:
        second: (rows,), True where the separator came before these tokens.
    """
    if config.section_token_id is None:
        return {}
    separators = tokens == config.section_token_id
    before = separators.cumsum(axis=1) - separators
    return {"types": ((before > 0) | second[:, None]).astype(np.int64)}


def _mask(prompt: Tokens, past: int, count: int, pad: int) -> Floats:
    """What `count` tokens after `past` may read, and the prompt with the first ones: no padding,
    nothing later. Padding reads itself: softmax over nothing is not a number."""
    length = prompt.shape[1]
    total = length + past + count
    new = count if past else total
    rows, columns = np.arange(total - new, total)[:, None], np.arange(total)
    # Of each row: in bfloat16 OpenVINO 2026.4 reads what lies behind a mask that is shared.
    read = np.broadcast_to(columns <= rows, (len(prompt), new, total))
    if length:
        padding = np.zeros((len(prompt), 1, total), bool)
        padding[:, 0, :length] = prompt == pad
        read = (read & ~padding) | (columns == rows)
    return np.where(read, np.float32(0), np.float32(-np.inf))[:, None]
