"""BLEU, ROUGE-L, CIDEr-D and METEOR are pycocoevalcap's, and follow from sums over studies."""

import contextlib
import io
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge

from training.report_scores import meteor
from training.report_scores.meteor import meteor_measure, why_no_meteor
from training.report_scores.ngram_scores import lcs, text_measures
from training.report_scores.normalization import protocol
from training.report_scores.report_files import References
from training.report_scores.score import compare_texts, score_texts
from training.report_scores.text_baselines import best_constant_text, random_texts

WORDS = ["the", "lungs", "are", "clear", ".", "left", "effusion", "small", "no", "nodule"]


def _texts(seed: int, studies: int) -> tuple[list[str], list[str]]:
    rng = random.Random(seed)
    references = [" ".join(rng.choices(WORDS, k=rng.randint(4, 30))) for _ in range(studies)]
    generated = []
    for text in references:
        kept = [word if rng.random() < 0.7 else rng.choice(WORDS) for word in text.split()]
        generated.append(" ".join(kept[: rng.randint(1, len(kept))]))
    generated[0] = references[0]  # one is right from end to end
    return generated, references


def _ours(generated: list[str], references: list[str]) -> dict[str, float]:
    every = np.ones((1, len(references)))
    return {m.name: float(m.scores(every)[0]) for m in text_measures(generated, references)}


def _theirs(generated: list[str], references: list[str]) -> dict[str, float]:
    said, true = (
        {study: [text] for study, text in enumerate(texts)} for texts in (generated, references)
    )
    with contextlib.redirect_stdout(io.StringIO()):
        bleu, _ = Bleu(4).compute_score(true, said)
        rouge, _ = Rouge().compute_score(true, said)
        cider, _ = Cider().compute_score(true, said)
    of_orders = {f"bleu_{order + 1}": value for order, value in enumerate(bleu)}
    return {**of_orders, "rouge_l": float(rouge), "cider": float(cider)}


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_pycocoevalcaps(seed: int) -> None:
    generated, references = _texts(seed, 40)
    assert _ours(generated, references) == pytest.approx(_theirs(generated, references), abs=1e-8)


def test_a_corpus_shorter_than_its_references_pays_for_it_as_theirs_does() -> None:
    generated, references = _texts(5, 20)
    # Five words: of fewer there is no BLEU-4, which theirs calls 0.00003 and ours 0.
    generated = [" ".join(text.split()[:5]) for text in references]
    assert _ours(generated, references) == pytest.approx(_theirs(generated, references), abs=1e-8)


def test_an_empty_text_is_worth_nothing_and_no_error() -> None:
    scores = _ours(["", "clear lungs"], ["the lungs are clear .", "clear lungs"])
    assert scores["rouge_l"] == 0.5
    assert _ours([""], ["the lungs are clear ."]) == dict.fromkeys(scores, 0)


def test_a_study_counted_twice_is_a_corpus_that_has_it_twice() -> None:
    generated, references = _texts(6, 12)
    weights = np.ones(12)
    weights[3] = 2
    doubled = _ours([*generated, generated[3]], [*references, references[3]])
    for measure in text_measures(generated, references):
        if measure.name != "cider":  # whose document frequencies stay those of all references
            assert measure.scores(weights[None])[0] == pytest.approx(doubled[measure.name])


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc")))
def test_lcs_is_the_table_of_the_textbook(one: list[str], other: list[str]) -> None:
    table = np.zeros((len(one) + 1, len(other) + 1), int)
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            table[i + 1, j + 1] = (
                table[i, j] + 1 if a == b else max(table[i, j + 1], table[i + 1, j])
            )
    assert lcs(one, other) == table[-1, -1]


needs_java = pytest.mark.skipif(why_no_meteor() is not None, reason=str(why_no_meteor()))


@needs_java
def test_meteor_is_pycocoevalcaps_of_the_corpus_and_of_any_part_of_it() -> None:
    generated, references = _texts(7, 25)
    measure = meteor_measure(generated, references)
    scorer = Meteor()
    try:
        for studies in (range(25), range(5), range(1)):
            said, true = ({k: [texts[k]] for k in studies} for texts in (generated, references))
            theirs, _ = scorer.compute_score(true, said)
            chosen = np.isin(np.arange(25), studies).astype(float)
            assert measure.scores(chosen[None])[0] == pytest.approx(theirs, abs=1e-9)
    finally:
        scorer.meteor_p.stdin.close()
        scorer.meteor_p.wait()
        scorer.meteor_p.stdout.close()
        scorer.meteor_p.stderr.close()


@pytest.fixture
def another_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A program called java that stands first; what it does is the test's to write."""
    meteor._scorer.cache_clear()
    java = tmp_path / "java"
    java.touch(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    yield java
    meteor._scorer().end()
    meteor._scorer.cache_clear()


@needs_java
@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("echo no memory >&2", "0 answers of 1.*no memory"),
        ("while read line; do echo not numbers; done", "'not numbers.*no 23 counts"),
        ("while read line; do echo 1 2 3; done", "'1 2 3.*no 23 counts"),
    ],
)
def test_a_meteor_that_fails_is_told_and_other_scores_go_on(
    another_java: Path, does: str, why: str
) -> None:
    another_java.write_text(f"#!/bin/sh\n{does}\n")
    scored = score_texts(protocol("raw"), ["clear"], ["clear"], References({}))
    assert re.search(f"METEOR.*{why}", scored.not_computed["meteor"], re.DOTALL)
    assert "meteor" not in scored.scores
    assert scored.scores["bleu_1"].value == 1
    compared = compare_texts(protocol("raw"), ["clear"], ["clear"], ["clear"])
    assert "meteor" not in compared.differences and "bleu_1" in compared.differences


def test_meteor_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert why_no_meteor() == "Java is not installed"


def test_the_best_constant_is_one_that_no_other_beats() -> None:
    _, train = _texts(8, 30)
    _, chosen_on = _texts(9, 15)

    def worth(text: str) -> float:
        scores = _ours([text] * len(chosen_on), chosen_on)
        return scores["bleu_4"] + scores["rouge_l"]

    chosen = best_constant_text(train, chosen_on)
    assert chosen in train
    assert worth(chosen) == pytest.approx(max(map(worth, train)))


def test_random_reports_are_train_reports_and_the_same_each_time() -> None:
    _, train = _texts(10, 8)
    drawn = random_texts(train, 50)
    assert set(drawn) <= set(train) and len(set(drawn)) > 1
    assert drawn == random_texts(train, 50)
