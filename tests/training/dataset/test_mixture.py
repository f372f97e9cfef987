"""A step's studies from several folders, and the questions they are asked."""

from collections import Counter

import numpy as np
import pytest
import torch
from labeled_folder import write_labeled
from prepared_folder import SIZE, write_prepared
from tiny import tiny_config
from tokenizers import Tokenizer

from data_prep.manifest import FINDINGS
from training.config import DropConfig
from training.dataset.batches import Batch, Batches, Mixture, Variation
from training.dataset.questions import questions_for
from training.dataset.samples import StudyEncoder
from training.dataset.split import load_split
from training.truth import Truth

OPACITY, EFFUSION = FINDINGS.index("opacity"), FINDINGS.index("pleural_effusion")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[Batches, Batches]:
    folder = tmp_path_factory.mktemp("sources")
    boxed, labeled = write_prepared(folder / "boxed"), write_labeled(folder / "labeled")
    tokenizer = Tokenizer.from_file(str(boxed / "tokenizer.json"))
    config = tiny_config(image_size=SIZE, vocab_size=tokenizer.get_vocab_size(), max_tokens=60)
    loaded = [
        load_split(path, "train", StudyEncoder(tokenizer, config, (8, 8), path == boxed))
        for path in (boxed, labeled)
    ]
    return Batches(loaded[0], 5, 0), Batches(loaded[1], 3, 0)


def test_each_source_gives_its_share_and_what_it_knows(sources: tuple[Batches, Batches]) -> None:
    batch = Mixture(sources)[2, 0]
    assert batch.complete.tolist() == [True] * 5 + [False] * 3
    assert batch.known[:5].all()
    assert not batch.known[5:, FINDINGS.index("pacemaker")].any()
    assert batch.known[5:, EFFUSION].all()
    assert (batch.present <= batch.known).all()
    alone = sources[1][2, 0]
    assert torch.equal(batch.images[5:], alone.images)
    assert torch.equal(batch.present[5:], alone.present)


def test_studies_of_a_batch_are_the_same_and_shorter(sources: tuple[Batches, Batches]) -> None:
    batch = Mixture(sources)[0, 0]
    boxed, labeled = batch.by_completeness()
    for rows, source in ((boxed, sources[0]), (labeled, sources[1])):
        part, alone = batch.studies(rows, pad=0), source[0, 0]
        assert torch.equal(part.tokens, alone.tokens)
        assert torch.equal(part.mentions, alone.mentions[:, :, : part.mentions.shape[2]])
        assert torch.equal(part.questions, alone.questions)
    assert len(sources[0][0, 0].by_completeness()) == 1


def questions(batch: Batch, tokenizer: Tokenizer) -> list[tuple[int, str, float]]:
    """(study, question, answer) of every one that is asked."""
    return [
        (row, tokenizer.decode(batch.questions[row, k].tolist()), float(batch.answers[row, k]))
        for row, k in (batch.answers >= 0).nonzero().tolist()
    ]


def test_the_answers_are_true(sources: tuple[Batches, Batches]) -> None:
    batch = Mixture(sources)[1, 0]
    asked = questions(batch, sources[0].split.encoder.tokenizer)
    assert Counter(row for row, _, _ in asked)[0] > 1
    for row, question, answer in asked:
        whole = {name.replace("_", " ") + ":": k for k, name in enumerate(FINDINGS)}
        if question in whole:
            assert answer == batch.present[row, whole[question]]
    # What makes an answer true is one of the study's own findings.
    assert ((batch.question_findings.sum(-1) > 0) <= (batch.answers == 1)).all()


def test_sides_are_asked_for_where_they_are_known(sources: tuple[Batches, Batches]) -> None:
    split = sources[0].split
    rng, seen = np.random.default_rng(0), Counter()
    for study in split.studies * 20:
        own = {FINDINGS.index(finding.name) for finding in study.findings}
        truth = Truth(frozenset(own), frozenset({OPACITY}))
        for each in questions_for(study, truth, frozenset(), True, 1, rng):
            side = each.phrase.split()[0]
            if side in ("right", "left"):
                match = [f for f in study.findings if f.side == side]
                assert each.present == bool(each.findings)
                assert not each.present or match
                seen[each.present] += 1
    assert seen[True] > 20 and seen[False] > 20


def test_what_is_occluded_is_answered_with_none(sources: tuple[Batches, Batches]) -> None:
    split = sources[0].split
    batches = Batches(split, len(split), 0, Variation(drop=DropConfig(finding=1.0)))
    batch = batches[0, 0]
    with_one = (batch.occluded.sum(1) > 0).nonzero()[:, 0].tolist()
    assert with_one
    for row, question, answer in questions(batch, split.encoder.tokenizer):
        if row in with_one and "opacity" in question:
            assert answer == 0
