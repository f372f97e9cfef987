"""Our decoder one token at a time on a GPU: static shapes, so that CUDA can replay a step.

A step of the decoder is a hundred small kernels, and launching them from Python takes ten times as
long as running them. With every tensor at a fixed address and of a fixed shape they are captured
once as a CUDA graph, and a step is one launch. The likeliest token is chosen inside the step and
read by the next one, so that greedy decoding need not wait for each token to reach the host.

The same steps run without capture on any device, which is how tests hold them to incremental.py.
"""

import threading
import weakref
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name everyone knows it by)

from model.config import ReportConfig
from model.decoder import Decoder
from model.incremental import CachedDecoder
from model.memory import DecoderContext

__all__ = ["StaticDecoder", "StepPool"]

AHEAD = 8
"""Greedy steps between two waits for the device: more would run on too long after a text's end."""
SPAN = 64
"""A step reads the cache up to a multiple of so many tokens, and has a graph for each."""
MOST_ROWS = 64
"""Beyond it launching takes less of the time, and what is kept more of the memory."""
KEPT = 4
"""Idle steps, those used last: at base size each takes 12 MB of the GPU for a row in float32."""
CAPTURING = threading.Lock()
"""Other threads may go on computing, but not capture at the same time."""

Tokens = NDArray[np.int64]


@dataclass(frozen=True)
class Shape:
    """What a captured step is good for."""

    studies: int
    beams: int
    positions: int
    """Of the memory: sink and patches."""
    biased: bool
    """See DecoderContext.bias."""
    prompt: int
    """Most tokens of an indication."""
    dtype: torch.dtype
    device: torch.device
    weights: int
    """Address of the decoder's weights: elsewhere they are others."""


class StaticStep:
    """The tensors of one decoding, and the graphs that compute on them.

    Is the TokenCache (memory.py) that its own steps read and extend.
    """

    def __init__(self, decoder: Decoder, config: ReportConfig, shape: Shape) -> None:
        self.decoder, self.config, self.shape = decoder, config, shape
        layers, heads, rows = len(decoder.layers), config.heads, shape.studies * shape.beams
        head_dim = config.width // heads
        length = -(-(shape.prompt + config.max_tokens) // SPAN) * SPAN
        real: dict[str, Any] = {"dtype": shape.dtype, "device": shape.device}
        whole: dict[str, Any] = {"dtype": torch.long, "device": shape.device}
        cross = (layers, shape.studies, heads, shape.positions, head_dim)
        self.keys, self.values = torch.zeros(cross, **real), torch.zeros(cross, **real)
        self.bias = torch.zeros(cross[1], cross[3], device=shape.device) if shape.biased else None
        no_prompt = torch.zeros(shape.studies, 0, **whole)
        self.context = DecoderContext(
            self.keys.unbind(), self.values.unbind(), self.bias, no_prompt
        )
        self.block = torch.zeros(2, layers, rows, heads, length, head_dim, **real)
        """Keys and values of the tokens so far, those of the prompt first."""
        self.columns = torch.arange(length, device=shape.device)
        self.readable = torch.ones(rows, length, dtype=torch.bool, device=shape.device)
        """False for the padding of prompts."""
        self.tokens = torch.zeros(rows, **whole)
        """The last token of each row, which the next step reads."""
        self.finished = torch.zeros(rows, dtype=torch.bool, device=shape.device)
        self.past = torch.zeros(1, **whole)
        """Tokens in the cache."""
        self.place = torch.zeros(1, **whole)
        """Of the last token in the text; that of bos is 0."""
        self.logits = torch.zeros(rows, config.vocab_size, device=shape.device)
        self.chosen = torch.zeros(rows, config.max_tokens, **whole)
        """(rows, places): what followed the token at a place, pad after the end."""
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._span = SPAN

    def begin(self, context: DecoderContext) -> None:
        """Read other studies' memory, as many as the shape has or fewer."""
        studies = len(context.prompt)
        for layer, (keys, values) in enumerate(zip(context.keys, context.values, strict=True)):
            self.keys[layer, :studies] = keys
            self.values[layer, :studies] = values
        if self.bias is not None and context.bias is not None:
            self.bias.zero_()
            self.bias[:studies] = context.bias
        self.readable.fill_(True)

    def go_on(self, tokens: Tokens, finished: NDArray[np.bool_], past: int, place: int) -> None:
        """Set what the next step reads.

        Args:
            tokens, finished: (rows,), on the host.
            past, place: see the tensors.
        """
        self.tokens.copy_(torch.from_numpy(tokens))
        self.finished.copy_(torch.from_numpy(finished))
        self.past.fill_(past)
        self.place.fill_(place)

    def read_prompt(self, context: DecoderContext) -> None:
        """The first step where there is an indication: it is of many tokens, and not captured."""
        length, rows = context.prompt.shape[1], len(context.prompt) * self.shape.beams
        cache = _PromptCache(self.block[:, :, :rows])
        logits = self.decoder(self.tokens[:rows, None], context, cache)[0]
        padding = context.prompt == self.config.pad_token_id
        self.readable[:rows, :length] = ~padding.repeat_interleave(self.shape.beams, dim=0)
        self.logits[:rows] = logits[:, 0]
        self.past.fill_(length + 1)
        self._follow()

    def run(self, past: int) -> None:
        """Compute a step; `past` is what self.past holds."""
        span = (past // SPAN + 1) * SPAN
        if self.shape.device.type != "cuda":
            self._compute(span)
            return
        if span not in self._graphs:
            self._graphs[span] = self._captured(span)
        self._graphs[span].replay()

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """See TokenCache."""
        self.block[0, layer].index_copy_(2, self.past, keys)
        self.block[1, layer].index_copy_(2, self.past, values)
        return self.block[0, layer, :, :, : self._span], self.block[1, layer, :, :, : self._span]

    def get_seq_length(self) -> int:
        """See TokenCache."""
        return int(self.past)

    def _compute(self, span: int) -> None:
        decoder, self._span = self.decoder, span
        hidden = (decoder.tokens(self.tokens) + decoder.positions(self.place))[:, None]
        read = self.readable[:, :span] & (self.columns[:span] <= self.past)
        # Added to the comparisons: as booleans every layer would convert it.
        mask = torch.zeros_like(read, dtype=hidden.dtype).masked_fill_(~read, -torch.inf)
        for layer in decoder.layers:
            hidden, _ = layer(hidden, self.context, self, mask[:, None, None], False)
        self.logits.copy_(F.linear(decoder.norm(hidden[:, 0]), decoder.tokens.weight))
        self.past += 1
        self._follow()

    def _follow(self) -> None:
        """Choose the likeliest token of each row and go on with it."""
        likeliest = self.logits.argmax(-1).masked_fill_(self.finished, self.config.pad_token_id)
        self.chosen.index_copy_(1, self.place, likeliest[:, None])
        self.tokens.copy_(likeliest)
        self.finished |= likeliest == self.config.eos_token_id
        self.place += 1

    def _captured(self, span: int) -> torch.cuda.CUDAGraph:
        device, state = self.shape.device, (self.tokens, self.finished, self.past, self.place)
        with CAPTURING, torch.cuda.device(device):
            before = [each.clone() for each in state]
            aside = torch.cuda.Stream(device)
            aside.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(aside):
                # Libraries set themselves up, which cannot be captured. What these steps leave in
                # the cache is overwritten before it is read.
                for _ in range(2):
                    self._compute(span)
                    for each, value in zip(state, before, strict=True):
                        each.copy_(value)
            torch.cuda.current_stream(device).wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._compute(span)
        return graph


class _PromptCache:
    """The TokenCache of a prompt's tokens and the first of the text: (2, layers, rows, heads,
    tokens, head_dim), nothing in it."""

    def __init__(self, block: Tensor) -> None:
        self.block = block

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """See TokenCache."""
        self.block[0, layer, :, :, : keys.shape[2]] = keys
        self.block[1, layer, :, :, : values.shape[2]] = values
        return keys, values

    def get_seq_length(self) -> int:
        """See TokenCache."""
        return 0


class StepPool:
    """A network's static steps, which decodings take in turns. Safe to share between threads."""

    def __init__(self) -> None:
        # Adding and removing are atomic: a finalizer could not wait for a lock.
        self._idle: deque[StaticStep] = deque(maxlen=KEPT)

    def __deepcopy__(self, memo: object) -> "StepPool":
        """A copied network has weights of its own."""
        return StepPool()

    def take(self, decoder: Decoder, config: ReportConfig, shape: Shape) -> StaticStep:
        """A step that nobody else has; `give` brings it back."""
        for step in tuple(self._idle):
            if step.shape == shape:
                with suppress(ValueError):  # another thread was faster
                    self._idle.remove(step)
                    return step
        return StaticStep(decoder, config, shape)

    def give(self, step: StaticStep) -> None:
        self._idle.append(step)


class StaticDecoder:
    """An IncrementalDecoder (interface.py) on static shapes.

    Studies that leave keep their rows, which nobody reads: beside the weights they cost little.
    """

    @torch.inference_mode()
    def __init__(
        self,
        pool: StepPool,
        decoder: Decoder,
        config: ReportConfig,
        context: DecoderContext,
        beams: int,
        limit: int,
    ) -> None:
        self._decoder, self._context = decoder, context
        self._beams, self._limit, self._eos = beams, limit, config.eos_token_id
        studies = len(context.prompt)
        shape = Shape(
            studies=1 << (studies - 1).bit_length(),
            beams=beams,
            positions=context.keys[0].shape[2],
            biased=context.bias is not None,
            prompt=config.prompt_tokens,
            dtype=context.keys[0].dtype,
            device=context.keys[0].device,
            weights=decoder.tokens.weight.data_ptr(),
        )
        self._step = pool.take(decoder, config, shape)
        weakref.finalize(self, pool.give, self._step)
        self._step.begin(context)
        self._studies = np.arange(studies)
        """Those that are still written."""
        self._rows = np.arange(studies * beams)
        """Where each of our rows is among the step's."""
        self._place, self._done = 0, 0
        """Tokens that the caller has given, and that the step has read: it may be ahead."""
        self._ahead = np.zeros((len(self._rows), 0), np.int64)
        """(rows, tokens) that the step has chosen and the caller has not seen."""
        self._expected: Tokens | None = None
        """(rows,), what the step has gone on with after the caller's last token; None: it must be
        set."""
        self._eager: CachedDecoder | None = None
        """What goes on where the shape has changed."""

    @staticmethod
    def fits(decoder: Decoder, context: DecoderContext, beams: int) -> bool:
        """Whether steps may be captured: what casts weights on its way, or draws, changes."""
        rows, device = len(context.prompt) * beams, context.keys[0].device
        casts = torch.is_autocast_enabled(device.type)
        return device.type == "cuda" and rows <= MOST_ROWS and not (casts or decoder.training)

    @torch.inference_mode()
    def __call__(self, chosen: Tokens) -> NDArray[np.float32]:
        """See IncrementalDecoder."""
        if self._eager is not None:
            return self._eager(chosen)
        self._run(chosen, 1)
        self._place, self._expected = self._place + 1, None
        logits: NDArray[np.float32] = self._step.logits.cpu().numpy()
        return logits[self._rows]

    @torch.inference_mode()
    def likeliest(self, chosen: Tokens) -> Tokens:
        """See IncrementalDecoder."""
        if self._eager is not None:
            return self._eager.likeliest(chosen)
        if not self._ahead.shape[1] or not self._follows(chosen):
            self._run(chosen, min(AHEAD, self._limit - self._place))
            ahead = self._step.chosen[:, self._place : self._done]
            self._ahead = ahead.cpu().numpy()[self._rows]
        tokens, self._ahead = self._ahead[:, 0].copy(), self._ahead[:, 1:]
        # A copy: the caller may write into what it gets.
        self._place, self._expected = self._place + 1, tokens.copy()
        return tokens

    @torch.inference_mode()
    def reorder(self, rows: Tokens) -> None:
        """See IncrementalDecoder."""
        if self._eager is None and len(rows) != len(self._rows):
            self._eager = self._as_eager()
        if self._eager is not None:
            self._eager.reorder(rows)
        elif not np.array_equal(rows, np.arange(len(rows))):
            device = self._step.block.device
            to, of = (torch.from_numpy(n).to(device) for n in (self._rows, self._rows[rows]))
            filled = self._step.block[..., : self._past, :]
            filled[:, :, to] = filled[:, :, of]
            self._step.readable[to] = self._step.readable[of]
        self._expected = None

    @torch.inference_mode()
    def keep(self, studies: Tokens) -> None:
        """See IncrementalDecoder."""
        if self._eager is not None:
            self._eager.keep(studies)
            return
        rows = (studies[:, None] * self._beams + np.arange(self._beams)).flatten()
        self._studies, self._rows = self._studies[studies], self._rows[rows]
        self._ahead = self._ahead[rows]
        self._expected = None if self._expected is None else self._expected[rows]

    @property
    def _past(self) -> int:
        """Tokens in the cache that the caller has given, the prompt's with the first of them."""
        return self._place + self._context.prompt.shape[1] if self._place else 0

    def _follows(self, chosen: Tokens) -> bool:
        return self._expected is not None and np.array_equal(chosen, self._expected)

    def _run(self, chosen: Tokens, count: int) -> None:
        """Go `count` steps on from the caller's tokens; it has not seen what was ahead of them."""
        if self._done != self._place or not self._follows(chosen):
            tokens = np.zeros(len(self._step.tokens), np.int64)
            finished = np.ones(len(tokens), np.bool_)
            tokens[self._rows] = chosen
            finished[self._rows] = self._place > 0 and chosen == self._eos
            self._step.go_on(tokens, finished, self._past, self._place)
        past, self._done = self._past, self._place + count
        prompt = self._context.prompt.shape[1]
        if prompt and not self._place:
            self._step.read_prompt(self._context)
            past, count = prompt + 1, count - 1
        for number in range(count):
            self._step.run(past + number)

    def _as_eager(self) -> CachedDecoder:
        """The same decoding, going on without static shapes."""
        device = self._step.block.device
        context = self._context.studies(torch.from_numpy(self._studies).to(device))
        eager = CachedDecoder(self._decoder, context, self._beams, self._limit)
        rows = torch.from_numpy(self._rows).to(device)
        filled = self._step.block[..., : self._past, :].index_select(2, rows)
        eager.block[..., : self._past, :] = filled
        eager.tokens = self._past
        return eager
