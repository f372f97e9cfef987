"""Questions: an answer is the decoder's next token, and its probability that of the report."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from tiny import tiny_config, tiny_images, tiny_model, tiny_tokenizer

from model.errors import DataError
from model.query import ask
from model.questions import (
    ANSWERS,
    answer_log_odds,
    finding_phrase,
    finding_probability,
    named_log_odds,
    phrase_of,
    question_of,
)
from model.report_text.parser import read_findings

TOKENIZER = tiny_tokenizer()
PHRASES = ["pleural effusion", "left pleural effusion", "opacity"]


def model(**changes):
    return tiny_model(4, vocab_size=TOKENIZER.get_vocab_size(), max_tokens=60, **changes)


def test_both_answers_go_on_from_the_same_question() -> None:
    for phrase in PHRASES:
        question = question_of(TOKENIZER, phrase)
        assert question.answers[0] != question.answers[1]
        for answer, token in zip(ANSWERS, question.answers, strict=True):
            whole = TOKENIZER.encode(f"{phrase}:{answer}").ids
            assert tuple(whole[: len(question.tokens)]) == question.tokens
            assert whole[len(question.tokens)] == token


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("A small left effusion.", "left pleural effusion"),
        ("Bilateral pleural effusions.", "bilateral pleural effusion"),
        ("Opacity in the right upper lobe.", "right upper opacity"),
        ("The heart is enlarged.", "cardiomegaly"),
    ],
)
def test_a_finding_is_asked_for_in_one_way(text: str, phrase: str) -> None:
    assert phrase_of(read_findings(text)[0]) == phrase


@torch.no_grad()
def test_the_log_odds_are_those_of_the_next_token() -> None:
    net = model()
    memory = net.encode(tiny_images(3, 2))
    odds = answer_log_odds(net, memory, TOKENIZER, PHRASES)
    assert odds.shape == (2, 3)
    for row in range(2):
        for column, phrase in enumerate(PHRASES):
            question = question_of(TOKENIZER, phrase)
            tokens = torch.tensor([[net.config.bos_token_id, *question.tokens]])
            own = net(tokens, encoder_outputs=memory.studies(slice(row, row + 1))).logits[0, -1]
            none, present = own[list(question.answers)]
            assert_allclose(odds[row, column], float(present - none), atol=1e-4)


@torch.no_grad()
def test_reports_are_asked_about_what_they_assert_and_no_more() -> None:
    net = model()
    memory = net.encode(tiny_images(3, 3))
    texts = ["Left effusion. No opacity.", "Lungs are clear.", "Effusion. Cardiomegaly."]
    odds = named_log_odds(net, memory, TOKENIZER, texts)
    assert [set(of_text) for of_text in odds] == [
        {"pleural_effusion"},
        set(),
        {"pleural_effusion", "cardiomegaly"},
    ]
    whole = answer_log_odds(net, memory, TOKENIZER, ["pleural effusion"])
    assert_allclose([odds[0]["pleural_effusion"], odds[2]["pleural_effusion"]], whole[[0, 2], 0])


def test_no_probability_where_none_was_calibrated() -> None:
    config = tiny_config(ask_scale=2.0, ask_offset=-1.0)
    assert finding_probability(config, "edema", 1.5) == pytest.approx(1 / (1 + np.exp(-2)))
    assert finding_probability(config, "edema", -1e6) == 0
    config.answer_scales = {"nodule": [1.0, -1.5]}
    assert finding_probability(config, "nodule", 1.5) == 0.5
    config.calibrated = ["opacity"]
    assert finding_probability(config, "edema", 1.5) is None
    assert finding_probability(config, "opacity", 1.5) is not None
    assert finding_probability(config, "opacity", 1.5, placed=True) is None


@torch.no_grad()
def test_a_model_that_answers_is_asked_and_not_sampled() -> None:
    net = model(answers=True, ask_scale=0.7, ask_offset=-1.2)
    memory = net.encode(tiny_images(3, 2))
    odds = answer_log_odds(net, memory, TOKENIZER, ["left pleural effusion"])[:, 0]
    found = ask(net, memory, TOKENIZER, "Is there an effusion on the left?")
    without = answer_log_odds(net, net.without_images(memory), TOKENIZER, ["left pleural effusion"])
    for row, answer in enumerate(found):
        assert answer.text == "left pleural effusion: present"
        assert (answer.matches, answer.samples) == (None, None)
        chance = 1 / (1 + np.exp(1.2 - 0.7 * float(odds[row])))
        assert answer.probability == pytest.approx(chance, abs=1e-5)
        assert answer.evidence == pytest.approx(float(odds[row] - without[row, 0]), abs=1e-4)
        assert answer.heatmap.shape == (1, *net.grid)
        assert [word.text for word in answer.words] == ["present"]


@torch.no_grad()
@pytest.mark.parametrize("phrase", ["clavicle", "clear lungs"])
def test_what_it_was_not_taught_to_answer_is_refused(phrase: str) -> None:
    net = model(answers=True)
    with pytest.raises(
        DataError,
        match=r"names no finding .* ask for one of hiatal hernia|no such finding as .* The nearest",
    ):
        ask(net, net.encode(tiny_images(3, 1)), TOKENIZER, phrase)


def test_a_side_and_a_zone_stand_before_the_name() -> None:
    assert finding_phrase("nodule", frozenset({"right"}), "upper") == "right upper nodule"
    assert finding_phrase("pleural_effusion", frozenset({"right", "left"})) == (
        "bilateral pleural effusion"
    )
