"""How tokens are chosen: greedy, beam search, sampling. Knows no text and no attention maps.

The same tokens as transformers' `generate` (held by tests), faster: studies that are finished
leave the batch, and the network keeps what its tokens so far have computed (incremental.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from model.errors import ConfigError
from model.interface import Network
from model.memory import Memory

__all__ = ["GREEDY", "DecodingOptions", "decode", "sample_texts"]

# Below any sum of log probabilities; the number transformers uses, so that ties fall alike.
_NEVER = -1e9


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


@torch.inference_mode()
def decode(network: Network, memory: Memory, options: DecodingOptions = GREEDY) -> list[list[int]]:
    """Write one text per study of `memory` (network.encode), the network being in eval mode.

    Returns:
        Token ids per study, without bos; the last is eos unless the text was cut at max_tokens.

    Raises:
        ConfigError: more tokens asked for than the model has positions, or more beams than
            half its vocabulary.
    """
    config = network.config
    limit = config.max_tokens if options.max_tokens is None else options.max_tokens
    if limit > config.max_tokens:
        raise ConfigError(f"max_tokens is {limit}, this model writes {config.max_tokens} at most")
    if options.strategy == "beam":
        if 2 * options.beams > config.vocab_size:
            raise ConfigError(f"beams is {options.beams}, more than half of {config.vocab_size}")
        texts = _beam_search(network, memory, options, limit)
    else:
        choose = _likeliest if options.strategy == "greedy" else _Sampler(options)
        texts = _one_by_one(network, memory, choose, limit)
    return [_trim(text, config.eos_token_id) for text in texts.tolist()]


@torch.inference_mode()
def sample_texts(
    network: Network,
    memory: Memory,
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
    limit = options.max_tokens or network.config.max_tokens
    numbers = count * (len(memory.patch_mask) if independent else 1)
    texts = _one_by_one(network, memory, _Sampler(options, numbers), limit, count)
    trimmed = [_trim(text, network.config.eos_token_id) for text in texts.tolist()]
    return [trimmed[row : row + count] for row in range(0, len(trimmed), count)]


def _trim(text: list[int], eos: int) -> list[int]:
    return text[: text.index(eos) + 1] if eos in text else text


def _worth_leaving(finished: Tensor) -> bool:
    """Moving the memory of those that stay costs more than a few finished rows do."""
    return 4 * int(finished.sum()) >= len(finished)


def _one_by_one(
    network: Network,
    memory: Memory,
    choose: Callable[[Tensor, Tensor], Tensor],
    limit: int,
    count: int = 1,
) -> Tensor:
    """Greedy and sampling: `count` texts per study, (studies * count, tokens) padded with pad."""
    config = network.config
    rows, device = memory.patch_mask.shape[0] * count, memory.patch_mask.device
    step = network.incremental_decoder(memory, count, limit)
    texts = torch.full((rows, limit), config.pad_token_id, device=device)
    chosen = torch.full((rows,), config.bos_token_id, device=device)
    running = torch.arange(rows, device=device)
    finished = torch.zeros(rows, dtype=torch.bool, device=device)
    for position in range(limit):
        chosen = choose(step(chosen), running).masked_fill(finished, config.pad_token_id)
        texts[running, position] = chosen
        finished |= chosen == config.eos_token_id
        studies = finished.view(-1, count).all(dim=1)
        if studies.all():
            break
        if _worth_leaving(studies):
            stay = (~studies).nonzero()[:, 0]
            step.keep(stay)
            kept = (~studies).repeat_interleave(count)
            running, chosen, finished = running[kept], chosen[kept], finished[kept]
    return texts


def _likeliest(logits: Tensor, rows: Tensor) -> Tensor:
    return logits.argmax(dim=-1)


class _Sampler:
    """Draws each row's token by inverting its distribution at one number in [0, 1).

    A step draws `count` numbers and row i takes the (i modulo count)-th: with as many as a study
    has texts, all studies share them, and a study's texts are the ones it gets alone.
    """

    def __init__(self, options: DecodingOptions, count: int = 1) -> None:
        self.options = options
        self.count = count
        self.generator = torch.Generator().manual_seed(options.seed)

    def __call__(self, logits: Tensor, rows: Tensor) -> Tensor:
        probabilities = torch.softmax(logits / self.options.temperature, dim=-1)
        probabilities, tokens = probabilities.sort(dim=-1, descending=True, stable=True)
        reached = probabilities.cumsum(dim=-1)
        # A token stays if those likelier than it do not reach top_p already: the first always.
        probabilities = probabilities.masked_fill(
            reached - probabilities >= self.options.top_p, 0.0
        )
        reached = probabilities.cumsum(dim=-1)
        numbers = torch.rand(self.count, generator=self.generator).to(logits.device)
        numbers = numbers[rows % self.count][:, None]
        drawn = torch.searchsorted(reached, numbers * reached[:, -1:], right=True)
        last = (probabilities > 0).sum(dim=-1, keepdim=True) - 1
        return tokens.gather(1, drawn.minimum(last))[:, 0]


def _beam_search(network: Network, memory: Memory, options: DecodingOptions, limit: int) -> Tensor:
    """The best text of each study, (studies, tokens) padded with pad."""
    config = network.config
    studies, device = memory.patch_mask.shape[0], memory.patch_mask.device
    step = network.incremental_decoder(memory, options.beams, limit)
    search = _Beams(studies, options, limit, config.pad_token_id, device)
    texts = torch.full((studies, limit), config.pad_token_id, device=device)
    running = torch.arange(studies, device=device)
    chosen = torch.full((studies * options.beams,), config.bos_token_id, device=device)
    for position in range(limit):
        logits = step(chosen)
        chosen, rows = search.advance(logits, position, config.eos_token_id)
        finished = search.settled(position + 1)
        if finished.all() or position + 1 == limit:
            break
        step.reorder(rows)
        if _worth_leaving(finished):
            left, stay = finished.nonzero()[:, 0], (~finished).nonzero()[:, 0]
            texts[running[left]] = search.best(left)
            search.keep(stay)
            step.keep(stay)
            running = running[stay]
            chosen = chosen.view(-1, options.beams)[stay].flatten()
    texts[running] = search.best(torch.arange(len(running), device=device))
    return texts


class _Beams:
    """The texts each study is still writing, and the best it has finished.

    The rules are those of transformers' beam search with early_stopping=False: twice as many
    continuations as beams are ranked, those among the first `beams` that end are finished with
    score / tokens ** length_penalty, and a study is settled once it holds `beams` finished texts
    and its best running text, scored at its present length, is no better than the worst of them.
    """

    def __init__(
        self, studies: int, options: DecodingOptions, limit: int, pad: int, device: torch.device
    ) -> None:
        self.beams = options.beams
        self.limit = limit
        self.length_penalty = options.length_penalty
        self.texts = torch.full((studies, self.beams, limit), pad, device=device)
        self.scores = torch.full((studies, self.beams), _NEVER, device=device)
        self.scores[:, 0] = 0.0  # all beams begin alike: the first speaks for them
        self.ended_texts = self.texts.clone()
        self.ended_scores = torch.full_like(self.scores, _NEVER)
        self.ended = torch.zeros_like(self.scores, dtype=torch.bool)
        self.improvable = torch.ones(studies, dtype=torch.bool, device=device)

    def advance(self, logits: Tensor, position: int, eos: int) -> tuple[Tensor, Tensor]:
        """One token further.

        Args:
            logits: (studies * beams, vocabulary), of the tokens at `position`.

        Returns:
            The chosen tokens and the rows they continue, both (studies * beams,).
        """
        studies, vocabulary = self.scores.shape[0], logits.shape[-1]
        scores = torch.log_softmax(logits, dim=-1).view(studies, self.beams, vocabulary)
        scores = (scores + self.scores[:, :, None]).flatten(1)
        ranked, indices = scores.topk(2 * self.beams)
        parents, tokens = indices // vocabulary, indices % vocabulary
        ends = tokens == eos
        if position + 1 == self.limit:
            ends = torch.ones_like(ends)
        if ends[:, : self.beams].any():
            self._finish(ranked, parents, tokens, ends, position)
        self.scores, best = (ranked + ends * _NEVER).topk(self.beams)
        parents, tokens = parents.gather(1, best), tokens.gather(1, best)
        self.texts = _continue(self.texts, parents, tokens, position)
        rows = parents + torch.arange(studies, device=logits.device)[:, None] * self.beams
        return tokens.flatten(), rows.flatten()

    def _finish(
        self, ranked: Tensor, parents: Tensor, tokens: Tensor, ends: Tensor, position: int
    ) -> None:
        """Keep the best `beams` of the texts finished before and those that end here.

        All (studies, 2 * beams), best first; only the first `beams` may finish.
        """
        ends = ends.clone()
        ends[:, self.beams :] = False
        allowed = ends & self.improvable[:, None]
        scores = ranked / (position + 1) ** self.length_penalty + ~allowed * _NEVER
        scores = torch.cat((self.ended_scores, scores), dim=1)
        texts = torch.cat((self.ended_texts, _continue(self.texts, parents, tokens, position)), 1)
        ended = torch.cat((self.ended, ends), dim=1)
        self.ended_scores, best = scores.topk(self.beams)
        self.ended_texts = texts.gather(1, best[:, :, None].expand(-1, -1, self.limit))
        self.ended = ended.gather(1, best)

    def settled(self, tokens: int) -> Tensor:
        """Which studies have their final text, bool (studies,), after so many tokens."""
        reachable = self.scores[:, :1] / tokens**self.length_penalty
        worst = self.ended_scores.amin(dim=1, keepdim=True)
        self.improvable &= (reachable > worst.where(self.ended, _NEVER)).any(dim=1)
        return ~self.improvable

    def best(self, studies: Tensor) -> Tensor:
        """The best finished text of some studies, (studies, limit)."""
        return self.ended_texts[studies, 0]

    def keep(self, studies: Tensor) -> None:
        for name in ("texts", "scores", "ended_texts", "ended_scores", "ended", "improvable"):
            setattr(self, name, getattr(self, name)[studies])


def _continue(texts: Tensor, parents: Tensor, tokens: Tensor, position: int) -> Tensor:
    """Each parent's text with one token more, (studies, parents, limit)."""
    longer = texts.gather(1, parents[:, :, None].expand(-1, -1, texts.shape[2]))
    longer[:, :, position] = tokens
    return longer
