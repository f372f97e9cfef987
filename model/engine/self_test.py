"""Converted models held to the PyTorch network they were made of, before they are ever used."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from model.anatomy_network import load_anatomy
from model.anatomy_parts import SIZE
from model.decoding import GREEDY, DecodingOptions, decode, log_softmax
from model.engine.decoding import EngineMemory
from model.engine.openvino_engine import OpenVinoAnatomy, OpenVinoEngine
from model.exam import encode_studies
from model.interface import VIEWS, Engine, M, TextReading
from model.loading import AnyNetwork
from model.memory import Memory

__all__ = ["ANATOMY_LIMIT", "SelfTest", "anatomy_difference", "compared", "divergence"]

Logs = NDArray[np.float32]

STUDIES = 3
LONG = 64
"""Tokens: attention that is not fused with its state went wrong from about the 15th."""
UNLIKELY = -12.0
"""Nats: of tokens less likely than this the log magnifies rounding."""
TIE = 1e-3
"""Nats between two tokens that rounding may exchange: both are as good."""
EXACT = {
    "differing_texts": 0.0,
    "attention": 1e-5,
    "log_probability": 1e-3,
    "novelty": 1e-3,
}
REDUCED = {"attention": 5e-2, "novelty": 5e-2}
"""Texts may differ: how much their probabilities do is what is limited."""
ANATOMY_LIMIT = 1e-2
"""Of the anatomy network's logits."""


@dataclass(frozen=True)
class SelfTest:
    """How far an engine is from the reference, on noise and gradients of gray: the largest
    differences, and the limits to them."""

    tokens: int
    """Written and compared, greedily and by beam search."""
    differing_texts: float
    """But for ties."""
    attention: float
    """Of a share of attention."""
    log_probability: float
    """In nats, of the tokens that were written."""
    novelty: float
    """Of the distance, relative to it."""
    divergence: float
    """Mean Kullback-Leibler divergence of the next token's distribution from the reference's, in
    nats, over the steps of a long text."""
    allowed_divergence: float | None = None
    """Of a reduced precision: twice what PyTorch's bfloat16 has. None: of f32, held to `EXACT`."""

    @property
    def failures(self) -> list[str]:
        """What is too far, in words; empty where the engine may be used."""
        if self.allowed_divergence is None:
            limits = EXACT
        else:
            limits = {**REDUCED, "divergence": self.allowed_divergence}
        return [
            f"{name} {getattr(self, name):.3g} (at most {limit:g})"
            for name, limit in limits.items()
            # What is not a number is too far as well.
            if not getattr(self, name) <= limit
        ]

    @property
    def record(self) -> dict[str, float]:
        """As JSON holds it."""
        return asdict(self)


def compared(network: AnyNetwork, engine: OpenVinoEngine) -> SelfTest:
    """Read and write the same with both.

    Args:
        network: on the CPU, in evaluation mode.
    """
    expected, found = _read(network), _read(engine)
    tokens, differing, attention, logs = 0, 0, [0.0], [0.0]
    beams = DecodingOptions("beam", beams=2, max_tokens=min(32, network.config.max_tokens))
    # Written together first; `_texts_alone` has the other.
    alone, engine.alone = engine.alone, 1
    for options in (beams, GREEDY):
        texts, own = decode(network, expected, options), decode(engine, found, options)
        tokens += sum(map(len, texts))
        differing += sum(
            not _same(network, expected.studies(slice(row, row + 1)), *both)
            for row, both in enumerate(zip(texts, own, strict=True))
        )
        references = _readings(network, expected, texts)
        # The texts of the steps just made, and the same in one pass.
        for memory in (found, found.studies(slice(None))):
            for reference, reading in zip(
                references, _readings(engine, memory, texts), strict=True
            ):
                for row, text in enumerate(texts):
                    attention.append(_farthest(reference.attention, reading.attention, row, text))
                    logs.append(
                        _farthest(reference.log_probabilities, reading.log_probabilities, row, text)
                    )
    engine.alone = alone
    for row, (text, own_text) in enumerate(zip(texts, _texts_alone(engine, found), strict=True)):
        differing += not _same(network, expected.studies(slice(row, row + 1)), text, own_text)
    steps = _both(network, expected, engine, found)
    logs.append(max(_farthest_step(*both) for both in steps))
    distances = network.novelty_distances(expected)
    away = np.abs(engine.novelty_distances(found) - distances) / np.maximum(distances, 1)
    # Where an image is absent, or nothing was fitted, both have none.
    away[np.isnan(engine.novelty_distances(found)) & np.isnan(distances)] = 0
    return SelfTest(
        tokens,
        differing,
        max(attention),
        max(logs),
        float(away.max()),
        divergence(steps),
        None if engine.config.precision == "f32" else _allowed_divergence(network, expected),
    )


def anatomy_difference(anatomy: OpenVinoAnatomy) -> float:
    """Largest difference of the converted anatomy network's logits."""
    squares = np.random.default_rng(0).uniform(-1, 1, (2, 1, SIZE, SIZE)).astype(np.float32)
    return float(np.abs(anatomy.logits(squares) - load_anatomy().logits(squares)).max())


def _texts_alone(engine: OpenVinoEngine, memory: EngineMemory) -> list[list[int]]:
    """Each study's text, written alone the second time: it then reads ahead (decoding.py)."""
    alone = [memory.studies(slice(row, row + 1)) for row in range(len(memory.present))]
    return [[decode(engine, one, GREEDY) for _ in range(2)][1][0] for one in alone]


def divergence(steps: Sequence[tuple[Logs, Logs]]) -> float:
    """Mean over steps and rows of the Kullback-Leibler divergence, in nats.

    Args:
        steps: log-probabilities (rows, vocabulary) of the reference and of another.
    """
    of_steps = [(np.exp(one) * (one - other)).sum(axis=1) for one, other in steps]
    return float(np.mean(of_steps))


def _allowed_divergence(network: AnyNetwork, expected: Memory) -> float:
    """Twice what the same network has in PyTorch, in bfloat16."""
    half = deepcopy(network)
    half.bfloat16()
    steps = _both(network, expected, half, _read(half))
    return 2 * divergence(steps)


def _read(engine: Engine[M]) -> M:
    """Studies of as many images, views and tokens of indication as the network reads."""
    config, rng = engine.config, np.random.default_rng(0)
    side = np.linspace(0, 1, 96, dtype=np.float32)
    images, kinds, prompts = [], [], []
    for study in range(STUDIES):
        count = 1 if config.images_per_study == 1 else 1 + study % 2
        pixels = [
            (side[:, None] * side * (study + 1) + rng.random((96, 96), np.float32)) / (study + 2)
            for _ in range(count)
        ]
        placement = engine.place(96, 96)
        images.append([placement.apply(one.astype(np.float32)) for one in pixels])
        kinds.append(
            [VIEWS.index(config.views[number % len(config.views)]) for number in range(count)]
        )
        length = min(config.prompt_tokens, 4 * study)
        prompts.append(rng.integers(3, config.vocab_size, length).tolist())
    return encode_studies(engine, images, kinds, prompts)


def _both(
    network: AnyNetwork, expected: Memory, engine: Engine[M], found: M
) -> list[tuple[Logs, Logs]]:
    """Log-probabilities (rows, vocabulary) of both at each step of the same long text."""
    config, rows = network.config, len(expected.present)
    limit = min(LONG, config.max_tokens)
    steps = (
        network.incremental_decoder(expected, 1, limit),
        engine.incremental_decoder(found, 1, limit),
    )
    both, tokens = [], np.full(rows, config.bos_token_id)
    for place in range(limit):
        reference, own = (log_softmax(step(tokens)) for step in steps)
        both.append((reference, own))
        tokens = (reference.argmax(axis=1) + place) % config.vocab_size
    return both


def _farthest_step(reference: Logs, own: Logs) -> float:
    """Largest difference of a log-probability of what is not most unlikely."""
    return float(np.abs(reference - own)[reference > UNLIKELY].max())


def _same(network: AnyNetwork, memory: Memory, text: list[int], own: list[int]) -> bool:
    """Whether two texts of one study are equal up to a token of which the other is as good."""
    at = next(
        (n for n, both in enumerate(zip(text, own, strict=False)) if both[0] != both[1]), None
    )
    if at is None:
        return len(text) == len(own)
    both = network.read_texts(memory, [text[: at + 1], own[: at + 1]], False)
    return bool(np.ptp(both.log_probabilities.sum(axis=1)) < TIE)


def _readings(engine: Engine[M], memory: M, texts: Sequence[list[int]]) -> list[TextReading]:
    """With the images and without."""
    return [
        engine.read_texts(each, texts, True) for each in (memory, engine.without_images(memory))
    ]


def _farthest(
    reference: NDArray[np.float32] | None,
    reading: NDArray[np.float32] | None,
    row: int,
    text: list[int],
) -> float:
    assert reference is not None and reading is not None
    return float(np.abs(reference[row, : len(text)] - reading[row, : len(text)]).max())
