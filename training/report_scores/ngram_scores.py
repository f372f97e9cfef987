"""How alike generated and reference texts are in words: BLEU, ROUGE-L and CIDEr-D, with intervals.

Texts are words between spaces, already normalized (training/report_scores/normalization.py). What
is counted is what pycocoevalcap counts, which most published scores of this field come from; tests
hold it to that.
- BLEU: Papineni et al. 2002, of the whole corpus, one reference a study.
- ROUGE-L: Lin 2004, F measure with beta 1.2, mean over studies.
- CIDEr-D: Vedantam et al. 2015, document frequencies of the references that are scored, mean over
  studies. In a resample the frequencies stay those of all the references.
"""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from training.corpus_scores import Measure, mean

__all__ = ["ORDERS", "Cider", "Grams", "lcs", "n_grams", "text_measures"]

ORDERS = 4
"""n-grams of one to four words."""
BETA = 1.2
SIGMA = 6.0
"""Of CIDEr-D's penalty for another length, in pairs of words."""

Grams = Counter[tuple[str, ...]]


def text_measures(
    generated: Sequence[str], references: Sequence[str], cider: bool = True
) -> list[Measure]:
    """bleu_1 to bleu_4, rouge_l and, if wanted, cider of generated texts.

    An empty text is worth 0 in every score.

    Args:
        generated, references: of the same studies in the same order; at least one.
    """
    predicted, true = ([text.split() for text in texts] for texts in (generated, references))
    predicted_grams, true_grams = (
        [n_grams(words) for words in texts] for texts in (predicted, true)
    )
    rouge = [_rouge_l(*both) for both in zip(predicted, true, strict=True)]
    measures = [*_bleu(predicted_grams, true_grams), mean("rouge_l", np.array(rouge))]
    if cider:
        measures.append(mean("cider", Cider(true_grams)(predicted_grams, true_grams)))
    return measures


def _bleu(predicted: Sequence[list[Grams]], true: Sequence[list[Grams]]) -> list[Measure]:
    """BLEU-1 to BLEU-ORDERS.

    Counted for each study: words of the generated text, of the reference, then for each order the
    n-grams of the generated text and how many of them the reference has, each at most as often.
    """
    rows = []
    for generated, reference in zip(predicted, true, strict=True):
        pairs = zip(generated, reference, strict=True)
        counts = [(a.total(), (a & b).total()) for a, b in pairs]
        rows.append([generated[0].total(), reference[0].total(), *chain(*counts)])
    counted = np.array(rows, np.float64)
    return [
        Measure(f"bleu_{order}", counted[:, : 2 + 2 * order], _bleu_of, len(counted))
        for order in range(1, ORDERS + 1)
    ]


def _bleu_of(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """The geometric mean of the precisions, times the penalty of what is too short; 0 if any is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        precisions = np.log(sums[:, 3::2] / sums[:, 2::2]).mean(axis=1)
        brevity = np.minimum(0, 1 - sums[:, 1] / sums[:, 0])
        bleu: NDArray[np.float64] = np.nan_to_num(np.exp(precisions + brevity), nan=0.0)
    return bleu


def n_grams(words: Sequence[str]) -> list[Grams]:
    """The n-grams of each order and how often they occur."""
    return [
        Counter(zip(*(words[start:] for start in range(order)), strict=False))
        for order in range(1, ORDERS + 1)
    ]


def _rouge_l(predicted: Sequence[str], true: Sequence[str]) -> float:
    common = lcs(predicted, true)
    if not common:
        return 0.0
    precision, recall = common / len(predicted), common / len(true)
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


class Cider:
    """CIDEr-D against the document frequencies of some references, from 0 to 10.

    The length that is compared is the number of pairs of words, as in the authors' own scorer.
    """

    def __init__(self, references: Sequence[list[Grams]]) -> None:
        self._frequency = [
            Counter(gram for grams in references for gram in grams[n]) for n in range(ORDERS)
        ]
        self._log_studies = float(np.log(len(references)))

    def __call__(
        self, predicted: Sequence[list[Grams]], true: Sequence[list[Grams]]
    ) -> NDArray[np.float64]:
        """Of each generated text against its own reference, both as `n_grams` gives them."""
        scores = np.zeros((len(true), ORDERS))
        for row, (generated, reference) in enumerate(zip(predicted, true, strict=True)):
            difference = generated[1].total() - reference[1].total()
            penalty = np.exp(-(difference**2) / (2 * SIGMA**2))
            for order in range(ORDERS):
                a, b = (self._weighted(grams[order], order) for grams in (generated, reference))
                norms = np.sqrt(sum(w * w for w in a.values()) * sum(w * w for w in b.values()))
                if norms:
                    # No more than the reference has of it: repeating a word earns nothing.
                    product = sum(
                        min(weight, b[gram]) * b[gram] for gram, weight in a.items() if gram in b
                    )
                    scores[row, order] = penalty * product / norms
        cider: NDArray[np.float64] = 10 * scores.mean(axis=1)
        return cider

    def _weighted(self, grams: Grams, order: int) -> dict[tuple[str, ...], float]:
        known = self._frequency[order]
        return {g: n * (self._log_studies - math.log(max(1, known[g]))) for g, n in grams.items()}
