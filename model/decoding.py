"""How tokens are chosen: greedy, beam search, sampling. Knows no text and no attention maps.

The same tokens as transformers' `generate` (held by tests), faster: studies that are finished
leave the batch, and the engine keeps what its tokens so far have computed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model.beam_search import Beams, Scores, Tokens, log_softmax
from model.errors import ConfigError
from model.interface import Engine, M

__all__ = ["GREEDY", "DecodingOptions", "Watch", "decode", "log_softmax", "sample_texts"]

LIKELIEST = 32
"""Tokens among which a sampled one is first looked for."""
Watch = Callable[[list[list[int]]], None]
"""Is given the token ids of each study's text so far."""


@dataclass(frozen=True)
class DecodingOptions:
    """How one decoding chooses.

    Raises:
        ConfigError: a value out of its range.
    """

    strategy: Literal["greedy", "beam", "sample"] = "greedy"
    beams: int = 3
    """Width of "beam" search, 1 or more."""
    max_tokens: int | None = None
    """Longest text, its end token counted; None: as long as the model can."""
    temperature: float = 1.0
    """Of "sample", above 0: lower is closer to greedy."""
    top_p: float = 1.0
    """"sample" chooses among the likeliest tokens that together reach this, in (0, 1]."""
    seed: int = 0
    """Of "sample". A study's text does not depend on the others in its batch."""
    length_penalty: float = 1.0
    """"beam" ranks texts by log probability / tokens ** length_penalty."""

    def __post_init__(self) -> None:
        checks = {
            "strategy": self.strategy in ("greedy", "beam", "sample"),
            "beams": self.beams >= 1,
            "max_tokens": self.max_tokens is None or self.max_tokens >= 1,
            "temperature": self.temperature > 0,
            "top_p": 0 < self.top_p <= 1,
        }
        for name, fine in checks.items():
            if not fine:
                raise ConfigError(
                    f"{name} cannot be {getattr(self, name)!r}: strategy is greedy, beam or "
                    "sample, beams and max_tokens start at 1, temperature is above 0, top_p is "
                    "above 0 and at most 1"
                )


GREEDY = DecodingOptions()


def decode(
    engine: Engine[M], memory: M, options: DecodingOptions = GREEDY, watch: Watch | None = None
) -> list[list[int]]:
    """Write one text per study of `memory` (engine.read_images), the engine in evaluation mode.

    Args:
        watch: given the texts so far after every token; what it raises ends the writing. Beam
            search, which knows its text at the end only, calls it then.

    Returns:
        Token ids per study, without bos; the last is eos unless the text was cut at max_tokens.

    Raises:
        ConfigError: more tokens asked for than the model has positions, or more beams than
            half its vocabulary.
    """
    config = engine.config
    limit = config.max_tokens if options.max_tokens is None else options.max_tokens
    if limit > config.max_tokens:
        raise ConfigError(f"max_tokens is {limit}, this model writes {config.max_tokens} at most")
    if options.strategy == "beam":
        if 2 * options.beams > config.vocab_size:
            raise ConfigError(f"beams is {options.beams}, more than half of {config.vocab_size}")
        texts = _beam_search(engine, memory, options, limit)
    else:
        texts = (
            _greedy(engine, memory, limit, watch)
            if options.strategy == "greedy"
            else _one_by_one(engine, memory, _Sampler(options), limit, watch)
        )
    trimmed = [_trim(text, config.eos_token_id) for text in texts.tolist()]
    if watch is not None and options.strategy == "beam":
        watch(trimmed)
    return trimmed


def sample_texts(
    engine: Engine[M],
    memory: M,
    count: int,
    options: DecodingOptions,
    independent: bool = False,
) -> list[list[list[int]]]:
    """Sample `count` texts for each study of `memory`, each as `decode` would return it.

    Args:
        options: temperature, top_p, seed and max_tokens of the sampling.
        independent: every study draws its own random numbers: its texts then depend on its row in
            the batch, but their errors are not those of the others. Otherwise all share them.
    """
    limit = options.max_tokens or engine.config.max_tokens
    numbers = count * (len(memory.present) if independent else 1)
    texts = _many_of_each(engine, memory, _Sampler(options, numbers), limit, count)
    trimmed = [_trim(text, engine.config.eos_token_id) for text in texts.tolist()]
    return [trimmed[row : row + count] for row in range(0, len(trimmed), count)]


def _trim(text: list[int], eos: int) -> list[int]:
    return text[: text.index(eos) + 1] if eos in text else text


def _worth_leaving(finished: NDArray[np.bool_]) -> bool:
    """Moving the memory of those that stay costs more than a few finished rows do."""
    return 4 * int(finished.sum()) >= len(finished)


def _greedy(engine: Engine[M], memory: M, limit: int, watch: Watch | None) -> Tokens:
    """The likeliest text of each study, (studies, tokens) padded with pad."""
    config, studies = engine.config, len(memory.present)
    if not 1 < studies <= engine.alone:
        return _one_by_one(engine, memory, None, limit, watch)
    texts = np.full((studies, limit), config.pad_token_id)
    for row in range(studies):
        before = [_trim(text, config.eos_token_id) for text in texts[:row].tolist()]
        after: list[list[int]] = [[]] * (studies - row - 1)
        seen = None if watch is None else partial(_watch_one, watch, before, after)
        texts[row] = _one_by_one(engine, memory.studies(slice(row, row + 1)), None, limit, seen)
    return texts


def _watch_one(
    watch: Watch, before: list[list[int]], after: list[list[int]], text: list[list[int]]
) -> None:
    watch([*before, *text, *after])


def _one_by_one(
    engine: Engine[M],
    memory: M,
    sampler: "_Sampler | None",
    limit: int,
    watch: Watch | None,
) -> Tokens:
    """Sampling, or greedy: a text for each study, (studies, tokens) padded with pad."""
    config = engine.config
    studies = len(memory.present)
    step = engine.incremental_decoder(memory, 1, limit)
    texts = np.full((studies, limit), config.pad_token_id)
    chosen = np.full(studies, config.bos_token_id)
    running = np.arange(studies)
    finished = np.zeros(studies, dtype=bool)
    for position in range(limit):
        chosen = step.likeliest(chosen) if sampler is None else sampler(step(chosen), running)
        chosen[finished] = config.pad_token_id
        texts[running, position] = chosen
        if watch is not None:
            so_far = texts[:, : position + 1].tolist()
            watch([_trim(text, config.eos_token_id) for text in so_far])
        finished |= chosen == config.eos_token_id
        if finished.all():
            break
        if _worth_leaving(finished):
            step.keep(np.flatnonzero(~finished))
            running, chosen, finished = (each[~finished] for each in (running, chosen, finished))
    return texts


def _many_of_each(
    engine: Engine[M],
    memory: M,
    choose: Callable[[Scores, Tokens], Tokens],
    limit: int,
    count: int,
) -> Tokens:
    """Sampling: `count` texts for each study, (studies * count, tokens) padded with pad.

    Texts of a study that are the same so far are one row of the decoding: what is read is a tree.
    """
    config = engine.config
    studies = len(memory.present)
    step = engine.incremental_decoder(memory, 1, limit)
    texts = np.full((studies * count, limit), config.pad_token_id)
    tree = _Tree(studies, count, config.pad_token_id)
    tokens = np.full(studies, config.bos_token_id)
    running = np.arange(studies * count)
    for position in range(limit):
        chosen = choose(step(tokens)[tree.rows[running]], running)
        texts[running, position] = chosen
        going = chosen != config.eos_token_id
        running, chosen = running[going], chosen[going]
        if not len(running):
            break
        order, tokens = tree.grow(running, chosen)
        if order is not None:
            step.reorder(order)
    return texts


class _Tree:
    """Which row of a decoding each text goes on from; of each study there are as many rows."""

    def __init__(self, studies: int, count: int, pad: int) -> None:
        self.studies = studies
        self.pad = pad
        self.width = 1
        self.rows = np.arange(studies).repeat(count)
        """Of each text."""

    def grow(self, running: Tokens, chosen: Tokens) -> tuple[Tokens | None, Tokens]:
        """Give texts that chose different tokens rows of their own.

        Args:
            running: the texts that go on.
            chosen: the token of each.

        Returns:
            The rows that the new ones go on from, None where they stay, and the token of each.
        """
        # Row and token as one number: numpy finds the different ones ten times as fast.
        span = int(chosen.max()) + 1
        branches, of_text = np.unique(self.rows[running] * span + chosen, return_inverse=True)
        (parents, of_branch), order = np.divmod(branches, span), None
        study = parents // self.width
        per_study = np.bincount(study, minlength=self.studies)
        places, width = parents, int(per_study.max())
        if len(np.unique(parents)) < len(parents) or 4 * width <= 3 * self.width:
            first = per_study.cumsum() - per_study
            places = study * width + np.arange(len(branches)) - first[study]
            # Studies with fewer branches go on with rows that no text reads.
            order = (np.arange(self.studies) * self.width).repeat(width)
            order[places] = parents
            self.width = width
        self.rows[running] = places[of_text]
        tokens = np.full(self.studies * self.width, self.pad)
        tokens[places] = of_branch
        return order, tokens


class _Sampler:
    """Draws each row's token by inverting its distribution at one number in [0, 1).

    A step draws `count` numbers and row i takes the (i modulo count)-th: with as many as a study
    has texts, all studies share them, and a study's texts are the ones it gets alone.
    """

    def __init__(self, options: DecodingOptions, count: int = 1) -> None:
        self.options = options
        self.count = count
        # Its numbers are torch.rand's of the same seed.
        self.generator = np.random.RandomState(options.seed)

    def __call__(self, logits: Scores, rows: Tokens) -> Tokens:
        probabilities = np.exp(log_softmax(logits / np.float32(self.options.temperature)))
        numbers = self._numbers()[rows % self.count]
        if self.options.top_p < 1 or logits.shape[-1] <= LIKELIEST:
            return self._inverted(probabilities, numbers)
        # Nearly always one of the likeliest is drawn: the rest need no order.
        likeliest = np.argpartition(probabilities, -LIKELIEST, axis=-1)[:, -LIKELIEST:]
        found = np.take_along_axis(probabilities, likeliest, axis=-1)
        order = np.argsort(-found, axis=-1, kind="stable")
        reached = np.take_along_axis(found, order, axis=-1).cumsum(axis=-1, dtype=np.float64)
        wanted = numbers * probabilities.sum(axis=-1, dtype=np.float64)
        drawn = (reached <= wanted[:, None]).sum(axis=-1)
        beyond = drawn == LIKELIEST
        place = np.take_along_axis(order, np.where(beyond, 0, drawn)[:, None], axis=-1)
        chosen: Tokens = np.take_along_axis(likeliest, place, axis=-1)[:, 0]
        if beyond.any():
            chosen[beyond] = self._inverted(probabilities[beyond], numbers[beyond])
        return chosen

    def _inverted(self, probabilities: Scores, numbers: NDArray[np.float64]) -> Tokens:
        tokens = np.argsort(-probabilities, axis=-1, kind="stable")
        probabilities = np.take_along_axis(probabilities, tokens, axis=-1)
        reached = probabilities.cumsum(axis=-1, dtype=np.float64)
        # A token stays if those likelier than it do not reach top_p already: the first always.
        probabilities[reached - probabilities >= self.options.top_p] = 0.0
        reached = probabilities.cumsum(axis=-1, dtype=np.float64)
        drawn = (reached <= (numbers * reached[:, -1])[:, None]).sum(axis=-1)
        last = (probabilities > 0).sum(axis=-1) - 1
        return np.take_along_axis(tokens, np.minimum(drawn, last)[:, None], axis=-1)[:, 0]

    def _numbers(self) -> NDArray[np.float64]:
        """`count` multiples of 2**-24 in [0, 1)."""
        drawn = self.generator.randint(0, 2**32, self.count, np.uint32)
        return (drawn & np.uint32(2**24 - 1)).astype(np.float64) * 2.0**-24


def _beam_search(engine: Engine[M], memory: M, options: DecodingOptions, limit: int) -> Tokens:
    """The best text of each study, (studies, tokens) padded with pad."""
    config = engine.config
    studies = len(memory.present)
    step = engine.incremental_decoder(memory, options.beams, limit)
    search = Beams(studies, options.beams, options.length_penalty, limit, config.pad_token_id)
    texts = np.full((studies, limit), config.pad_token_id)
    running = np.arange(studies)
    chosen = np.full(studies * options.beams, config.bos_token_id)
    for position in range(limit):
        chosen, rows = search.advance(step(chosen), position, config.eos_token_id)
        finished = search.settled(position + 1)
        if finished.all() or position + 1 == limit:
            break
        step.reorder(rows)
        if _worth_leaving(finished):
            left, stay = np.flatnonzero(finished), np.flatnonzero(~finished)
            texts[running[left]] = search.best(left)
            search.keep(stay)
            step.keep(stay)
            running = running[stay]
            chosen = chosen.reshape(-1, options.beams)[stay].flatten()
    texts[running] = search.best(np.arange(len(running)))
    return texts
