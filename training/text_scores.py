"""How alike generated and reference texts are in words: BLEU, ROUGE-L and CIDEr-D, with intervals.

Texts are words between spaces, already normalised (training/protocols.py). What is counted is what
pycocoevalcap counts, which most published scores of this field come from; tests hold it to that.
Everything is kept per study, so that any resample of the studies is scored without reading a text
again.

- BLEU: Papineni et al. 2002, of the whole corpus, one reference a study.
- ROUGE-L: Lin 2004, F measure with beta 1.2, mean over studies.
- CIDEr-D: Vedantam et al. 2015, document frequencies of the references that are scored, mean over
  studies. In a resample the frequencies stay those of all the references.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ORDERS", "TEXT_SCORES", "TextCounts", "bleu", "count_texts", "lcs"]

ORDERS = 4
"""n-grams of one to four words."""
TEXT_SCORES = (*(f"bleu_{order}" for order in range(1, ORDERS + 1)), "rouge_l", "cider")
BETA = 1.2
SIGMA = 6.0
"""Of CIDEr-D's penalty for another length, in words."""

Grams = Counter[tuple[str, ...]]


@dataclass(frozen=True)
class TextCounts:
    """What the scores are made of, a row a study."""

    matches: NDArray[np.float64]
    """(studies, ORDERS): n-grams that the reference has too, each at most as often as there."""
    grams: NDArray[np.float64]
    """(studies, ORDERS): n-grams of the generated text."""
    lengths: NDArray[np.float64]
    """(studies, 2): words of the generated text and of the reference."""
    rouge_l: NDArray[np.float64]
    """(studies,) in [0, 1]."""
    cider: NDArray[np.float64]
    """(studies,) in [0, 10]."""

    def scores(self, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Every one of TEXT_SCORES for each row of `weights` (resamples, studies)."""
        total = weights.sum(axis=1)
        of_bleu = bleu(weights @ self.matches, weights @ self.grams, weights @ self.lengths)
        means = {"rouge_l": weights @ self.rouge_l / total, "cider": weights @ self.cider / total}
        return {f"bleu_{n + 1}": of_bleu[:, n] for n in range(ORDERS)} | means


def count_texts(generated: Sequence[str], references: Sequence[str]) -> TextCounts:
    """Count what is alike in each pair of texts.

    An empty text is worth 0 in every score.

    Raises:
        ValueError: not as many of one as of the other, or none.
    """
    if len(generated) != len(references) or not generated:
        raise ValueError(
            f"{len(generated)} generated texts, {len(references)} references: as many of each"
        )
    said = [text.split() for text in generated]
    true = [text.split() for text in references]
    said_grams, true_grams = [_grams(words) for words in said], [_grams(words) for words in true]
    pairs = list(zip(said_grams, true_grams, strict=True))
    words = list(zip(said, true, strict=True))
    return TextCounts(
        matches=np.array([[(g & t).total() for g, t in zip(*pair, strict=True)] for pair in pairs]),
        grams=np.array([[gram.total() for gram in grams] for grams in said_grams], np.float64),
        lengths=np.array([(len(g), len(t)) for g, t in words], np.float64),
        rouge_l=np.array([_rouge_l(g, t) for g, t in words]),
        cider=_cider(said_grams, true_grams),
    )


def bleu(
    matches: NDArray[np.float64], grams: NDArray[np.float64], lengths: NDArray[np.float64]
) -> NDArray[np.float64]:
    """BLEU-1 to BLEU-ORDERS of corpora given as sums over their studies, (corpora, ORDERS).

    Args:
        matches, grams: (corpora, ORDERS), see TextCounts.
        lengths: (corpora, 2).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(matches / grams)
        means = np.cumsum(logs, axis=1) / np.arange(1, ORDERS + 1)
        brevity = np.minimum(0, 1 - lengths[:, 1] / lengths[:, 0])
        return np.nan_to_num(np.exp(means + brevity[:, None]), nan=0.0)


def _grams(words: Sequence[str]) -> list[Grams]:
    """The n-grams of each order and how often they occur."""
    return [
        Counter(zip(*(words[start:] for start in range(order)), strict=False))
        for order in range(1, ORDERS + 1)
    ]


def _rouge_l(said: Sequence[str], true: Sequence[str]) -> float:
    common = lcs(said, true)
    if not common:
        return 0.0
    precision, recall = common / len(said), common / len(true)
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def lcs(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence of two texts.

    Bit-parallel (Hyyro 2004): bit j of `row` is 0 where the subsequence gets longer with word j.
    """
    places: dict[str, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    everything = (1 << len(one)) - 1
    row = everything
    for word in other:
        found = row & places.get(word, 0)
        row = ((row + found) | (row - found)) & everything
    return len(one) - row.bit_count()


def _cider(said: Sequence[list[Grams]], true: Sequence[list[Grams]]) -> NDArray[np.float64]:
    """CIDEr-D of each study.

    The length that is compared is the number of pairs of words, as in the authors' own scorer.
    """
    frequency = [Counter(gram for grams in true for gram in grams[n]) for n in range(ORDERS)]
    studies = np.log(len(true))

    def weighted(grams: Grams, order: int) -> dict[tuple[str, ...], float]:
        known = frequency[order]
        return {g: n * (studies - np.log(max(1, known[g]))) for g, n in grams.items()}

    scores = np.zeros((len(true), ORDERS))
    for row, (generated, reference) in enumerate(zip(said, true, strict=True)):
        difference = generated[1].total() - reference[1].total()
        penalty = np.exp(-(difference**2) / (2 * SIGMA**2))
        for order in range(ORDERS):
            a, b = weighted(generated[order], order), weighted(reference[order], order)
            norms = np.sqrt(sum(w * w for w in a.values()) * sum(w * w for w in b.values()))
            if norms:
                # No more than the reference has of it: repeating a word earns nothing.
                product = sum(min(weight, b[gram]) * b[gram] for gram, weight in a.items() if gram in b)
                scores[row, order] = penalty * product / norms
    return 10 * scores.mean(axis=1)
