"""Reports that anyone could give without looking: what a score of texts is worth."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array

from training.report_scores.ngram_scores import text_measures

__all__ = ["best_constant_text", "random_texts"]

MOST_CANDIDATES, MOST_REFERENCES = 5000, 1000
"""Evenly spaced; more would cost time and memory, and hardly be a better constant."""
SHORTLIST = 50
"""Constants that are scored exactly, of those whose n-grams are the most common ones."""
CHOSEN_BY = ("bleu_4", "rouge_l")


def best_constant_text(train: Sequence[str], chosen_on: Sequence[str]) -> str:
    """The train report that scores best when it is given for every one of other studies.

    Best is the largest BLEU-4 plus ROUGE-L. Of equal ones the first in `train` wins.

    Args:
        train: normalized reports, the candidates.
        chosen_on: normalized references to score it against, best those of the validate split.
    """
    candidates = _spaced(list(dict.fromkeys(train)), MOST_CANDIDATES)
    chosen_on = _spaced(chosen_on, MOST_REFERENCES)
    common = _in_common(candidates, chosen_on)
    best = sorted(np.argsort(-common, kind="stable")[:SHORTLIST].tolist())

    def worth(text: str) -> float:
        measures = text_measures([text] * len(chosen_on), chosen_on, cider=False)
        every = np.ones((1, len(chosen_on)))
        return sum(float(m.scores(every)[0]) for m in measures if m.name in CHOSEN_BY)

    result: str = max((candidates[k] for k in best), key=worth)
    return result


def _spaced(texts: Sequence[str], most: int) -> Sequence[str]:
    return texts[:: -(-len(texts) // most)]


def random_texts(train: Sequence[str], studies: int, seed: int = 0) -> list[str]:
    """A train report drawn for each study."""
    drawn = np.random.default_rng(seed).integers(len(train), size=studies)
    return [train[k] for k in drawn.tolist()]


def _in_common(candidates: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """For each candidate the F1 of its pairs of words with those of all references, the mean."""
    predicted, true = (
        [set(pairwise(text.split())) for text in texts] for texts in (candidates, references)
    )
    columns = {pair: k for k, pair in enumerate(sorted(set().union(*predicted, *true)))}

    def table(texts: Sequence[set[tuple[str, str]]]) -> csr_array:
        rows = [row for row, pairs in enumerate(texts) for _ in pairs]
        places = [columns[pair] for pairs in texts for pair in sorted(pairs)]
        shape = (len(texts), max(1, len(columns)))
        return csr_array((np.ones(len(rows), np.float32), (rows, places)), shape=shape)

    both = (table(predicted) @ table(true).T).toarray()
    sizes = np.add.outer([len(pairs) for pairs in predicted], [len(pairs) for pairs in true])
    result: np.ndarray = (2 * both / np.maximum(sizes, 1)).mean(axis=1)
    return result
