"""The texts that a beam search is still writing, and the best it has finished."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["Beams", "Scores", "Tokens", "log_softmax"]

Scores = NDArray[np.float32]
Tokens = NDArray[np.int64]

# Below any sum of log probabilities; the number transformers uses, so that ties fall alike.
_NEVER = np.float32(-1e9)


def log_softmax(logits: Scores) -> Scores:
    """Logits (rows, vocabulary) -> log-probabilities."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    normalized: Scores = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normalized


class Beams:
    """The texts each study is still writing, and the best it has finished.

    The rules are those of transformers' beam search with early_stopping=False: twice as many
    continuations as beams are ranked, those among the first `beams` that end are finished with
    score / tokens ** length_penalty, and a study is settled once it holds `beams` finished texts
    and its best running text, scored at its present length, is no better than the worst of them.
    """

    def __init__(
        self, studies: int, beams: int, length_penalty: float, limit: int, pad: int
    ) -> None:
        self.beams = beams
        self.limit = limit
        self.length_penalty = length_penalty
        self.texts = np.full((studies, self.beams, limit), pad)
        self.scores = np.full((studies, self.beams), _NEVER)
        self.scores[:, 0] = 0.0  # all beams begin alike: the first speaks for them
        self.ended_texts = self.texts.copy()
        self.ended_scores = np.full_like(self.scores, _NEVER)
        self.ended = np.zeros_like(self.scores, dtype=bool)
        self.improvable = np.ones(studies, dtype=bool)

    def advance(self, logits: Scores, position: int, eos: int) -> tuple[Tokens, Tokens]:
        """One token further.

        Args:
            logits: (studies * beams, vocabulary), of the tokens at `position`.

        Returns:
            The chosen tokens and the rows they continue, both (studies * beams,).
        """
        studies, vocabulary = self.scores.shape[0], logits.shape[-1]
        logs = log_softmax(logits).reshape(studies, self.beams, vocabulary)
        scores = (logs + self.scores[:, :, None]).reshape(studies, -1)
        ranked, indices = _highest(scores, 2 * self.beams)
        parents, tokens = np.divmod(indices, vocabulary)
        ends = tokens == eos
        if position + 1 == self.limit:
            ends = np.ones_like(ends)
        if ends[:, : self.beams].any():
            self._finish(ranked, parents, tokens, ends, position)
        self.scores, best = _highest(ranked + ends * _NEVER, self.beams)
        study = np.arange(studies)[:, None]
        parents, tokens = parents[study, best], tokens[study, best]
        self.texts = _continue(self.texts, parents, tokens, position)
        rows = parents + study * self.beams
        return tokens.flatten(), rows.flatten()

    def _finish(
        self,
        ranked: Scores,
        parents: Tokens,
        tokens: Tokens,
        ends: NDArray[np.bool_],
        position: int,
    ) -> None:
        """Keep the best `beams` of the texts finished before and those that end here.

        All (studies, 2 * beams), best first; only the first `beams` may finish.
        """
        ends = ends.copy()
        ends[:, self.beams :] = False
        allowed = ends & self.improvable[:, None]
        ended_here = ranked / np.float32((position + 1) ** self.length_penalty) + ~allowed * _NEVER
        scores: Scores = np.concatenate((self.ended_scores, ended_here), axis=1)
        texts = _continue(self.texts, parents, tokens, position)
        texts = np.concatenate((self.ended_texts, texts), axis=1)
        ended = np.concatenate((self.ended, ends), axis=1)
        self.ended_scores, best = _highest(scores, self.beams)
        self.ended_texts = np.take_along_axis(texts, best[:, :, None], axis=1)
        self.ended = np.take_along_axis(ended, best, axis=1)

    def settled(self, tokens: int) -> NDArray[np.bool_]:
        """Which studies have their final text, (studies,), after so many tokens."""
        reachable = self.scores[:, :1] / np.float32(tokens**self.length_penalty)
        worst = self.ended_scores.min(axis=1, keepdims=True)
        self.improvable &= (reachable > np.where(self.ended, worst, _NEVER)).any(axis=1)
        return ~self.improvable

    def best(self, studies: Tokens) -> Tokens:
        """The best finished text of some studies, (studies, limit)."""
        texts: Tokens = self.ended_texts[studies, 0]
        return texts

    def keep(self, studies: Tokens) -> None:
        for name in ("texts", "scores", "ended_texts", "ended_scores", "ended", "improvable"):
            setattr(self, name, getattr(self, name)[studies])


def _highest(scores: Scores, count: int) -> tuple[Scores, Tokens]:
    """The highest `count` of each row, best first, and where they are; the first of equal ones."""
    rows = np.arange(len(scores))[:, None]
    if scores.shape[1] <= 8 * count:
        order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        return scores[rows, order], order
    places = np.argpartition(scores, -count, axis=1)[:, -count:]
    least = scores[rows, places].min(axis=1, keepdims=True)
    most = int(np.count_nonzero(scores >= least, axis=1).max())
    if most > count:  # others are as high as the last of them
        places = np.argpartition(scores, -most, axis=1)[:, -most:]
    places = np.sort(places, axis=1)
    highest = scores[rows, places]
    order = np.argsort(-highest, axis=1, kind="stable")[:, :count]
    return highest[rows, order], places[rows, order]


def _continue(texts: Tokens, parents: Tokens, tokens: Tokens, position: int) -> Tokens:
    """Each parent's text with one token more, (studies, parents, limit)."""
    longer = texts[np.arange(len(texts))[:, None], parents]
    longer[:, :, position] = tokens
    return longer
