"""Asking: what a phrase is worth is read off texts that hold it, with the pictures and without."""

import re

import numpy as np
import pytest
import torch
from material import chest
from numpy.testing import assert_allclose
from tiny import tiny_model, tiny_pictures, tiny_tokenizer

from model.ask import ask, evidence, stripped
from model.checkpoint import ModelIdentity
from model.decoding import decode
from model.errors import DataError
from model.image import Radiograph
from model.network import Memory, ReportModel
from model.report import ReportGenerator

TOKENIZER = tiny_tokenizer()
PHRASES = ["opacity", "acute abnormality", "well-defined opacity in the left base", "heart"]


def model(**changes) -> ReportModel:
    shape = {"vocab_size": TOKENIZER.get_vocab_size(), "max_tokens": 60, **changes}
    return tiny_model(4, **shape)


def logs(net: ReportModel, memory: Memory, before: list[int], tokens: list[int]) -> np.ndarray:
    """Log-probabilities of tokens that follow others, read with all before them and no cache."""
    whole = torch.tensor([[1, *before, *tokens]])
    logits = net(whole[:, :-1], encoder_outputs=memory).logits[0] / net.config.temperature
    told = logits.log_softmax(-1).gather(1, whole[0, 1:, None])[:, 0]
    return told[len(before) :].numpy()


def log_sum(values: list[float]) -> float:
    return torch.tensor(np.array(values)).logsumexp(0).item()


REPORT = "Findings: Lungs are clear. Opacity in the left base. Impression: Pneumonia."


@pytest.mark.parametrize("phrase", PHRASES)
@torch.no_grad()
def test_evidence_is_what_the_picture_adds_to_the_chance_of_saying_it(phrase) -> None:
    """In each sentence of the report and each way of saying it, found by hand and without cache."""
    net = model(temperature=1.3, max_tokens=100)
    memory = net.encode(tiny_pictures(3, 1))
    written = [*TOKENIZER.encode(REPORT).ids, 2]
    openings = ["Findings:", "Findings: Lungs are clear.", REPORT.removesuffix(" Pneumonia.")]
    capital, article = phrase[0].upper() + phrase[1:], "an" if phrase[0] in "ao" else "a"
    ways = [
        (f" {capital}", "."),
        (f" There is {phrase}", "."),
        (f" There is {article} {phrase}", "."),
        (f" Small {phrase}", "."),
        (f" There is a small {phrase}", "."),
    ]
    if "left" not in phrase:
        for side in ("right", "left"):
            ways += [
                (f" {side.capitalize()} {phrase}", "."),
                (f" Small {side} {phrase}", "."),
                (f" There is a {side} {phrase}", "."),
            ]
    seen, unseen, gains = [], [], {}
    for opening in openings:
        before = TOKENIZER.encode(opening).ids
        assert written[: len(before)] == before
        for said, end in ways:
            tokens = TOKENIZER.encode(said + end).ids
            through = sum(start < len(said) for start, _ in TOKENIZER.encode(said + end).offsets)
            told = logs(net, memory, before, tokens)[:through]
            prior = logs(net, memory.without_pictures(), before, tokens)[:through]
            seen.append(told.sum())
            unseen.append(prior.sum())
            gains[told.sum() - prior.sum()] = said + end
    [found] = ask(net, memory, TOKENIZER, phrase, [written])
    assert_allclose(found.evidence, log_sum(seen) - log_sum(unseen), atol=1e-3)
    assert found.text == gains[max(gains)]
    assert [word.text.lower() for word in found.words] == re.findall(r"[\w-]+", phrase)
    assert all(found.text[word.start : word.end] == word.text for word in found.words)


@torch.no_grad()
def test_a_report_that_is_not_given_is_written() -> None:
    net = model()
    memory = net.encode(tiny_pictures(3, 2))
    texts = decode(net, memory)
    given, written = (ask(net, memory, TOKENIZER, "opacity", each) for each in (texts, None))
    assert [each.evidence for each in given] == [each.evidence for each in written]


@torch.no_grad()
def test_a_report_with_no_room_left_is_asked_where_there_is() -> None:
    net = model(max_tokens=30)
    memory = net.encode(tiny_pictures(3, 1))
    for text in ([2], [5] * 30, TOKENIZER.encode("Lungs are clear. " * 5).ids[:30]):
        [found] = ask(net, memory, TOKENIZER, "heart", [text])
        assert np.isfinite(found.evidence)
        assert found.heatmap.shape == (1, 4, 4)


@torch.no_grad()
def test_each_study_of_a_batch_is_asked_as_alone() -> None:
    net = model()
    pictures, mask = (
        tiny_pictures(3, 3, 2),
        torch.tensor([[True, True], [True, False], [True, True]]),
    )
    together = ask(net, net.encode(pictures, mask), TOKENIZER, "left base")
    for row, found in enumerate(together):
        count = int(mask[row].sum())
        [alone] = ask(net, net.encode(pictures[row : row + 1, :count]), TOKENIZER, "left base")
        assert (alone.text, alone.state) == (found.text, found.state)
        assert_allclose(alone.evidence, found.evidence, atol=1e-4)
        assert alone.heatmap.shape == found.heatmap.shape == (count, 4, 4)
        assert_allclose(alone.heatmap, found.heatmap, atol=1e-5)
    assert len({round(found.evidence, 3) for found in together}) == 3
    told = evidence(net, net.encode(pictures, mask), TOKENIZER, "left base")
    assert_allclose(told, [found.evidence for found in together], atol=1e-6)


@torch.no_grad()
def test_the_chance_is_the_fitted_function_of_the_evidence() -> None:
    net = model(ask_scale=0.7, ask_offset=-1.2)
    [found] = ask(net, net.encode(tiny_pictures(3, 1)), TOKENIZER, "opacity")
    assert found.probability == pytest.approx(1 / (1 + np.exp(-(0.7 * found.evidence - 1.2))))


def test_an_answer_knows_its_pictures() -> None:
    write = ReportGenerator(model(), TOKENIZER, ModelIdentity("tiny", "0" * 64))
    pictures = [Radiograph(chest(seed).astype(np.float32) / 255, "PA") for seed in (1, 2)]
    found = write.ask(pictures, "Is there an opacity?")
    assert found.phrase == "opacity"
    assert found.views == ("PA", "PA")
    assert found.concerns == ((), ())
    assert [placement.height for placement in found.placements] == [80, 80]
    assert found.heatmap.shape == (2, 4, 4)
    assert found.model == write.identity
    alone = write.ask(pictures[0], "opacity")
    assert alone.heatmap.shape == (1, 4, 4)


@pytest.mark.parametrize(
    ("question", "phrase"),
    [
        ("pleural effusion", "pleural effusion"),
        ("  Right   pleural effusion.", "Right pleural effusion"),
        ("is there a fracture?", "fracture"),
        ("Is there any evidence of a pneumothorax?", "pneumothorax"),
        ("Are there nodules in the picture?", "nodules"),
        ("Do you see an opacity at the left base?", "opacity at the left base"),
        ("can you find signs of edema here?", "edema"),
        ("Does the patient have cardiomegaly", "cardiomegaly"),
        ("does this radiograph show a pacemaker?", "pacemaker"),
        ("Show me the endotracheal tube", "endotracheal tube"),
        ("where is the central line?", "central line"),
        ("Is the heart enlarged?", "the heart is enlarged"),
        ("are the lungs clear", "the lungs are clear"),
        ("no effusion", "no effusion"),
        ("ET tube", "ET tube"),
    ],
)
def test_the_form_of_a_question_is_taken_off(question, phrase) -> None:
    assert stripped(question) == phrase


@pytest.mark.parametrize("question", ["", "   ", "?", "is there a?", "12", "\u2014"])
def test_a_question_for_nothing_is_refused(question) -> None:
    with pytest.raises(DataError, match="names nothing"):
        stripped(question)


@torch.no_grad()
def test_what_the_model_cannot_take_is_refused() -> None:
    net = model()
    memory = net.encode(tiny_pictures(3, 1))
    with pytest.raises(DataError, match=r"takes \d+ tokens, more than the 60"):
        ask(net, memory, TOKENIZER, "opacity in the heart " * 20)
    for unknown in ("\u5fc3\u81df", "qwz"):
        with pytest.raises(DataError, match="unknown to this model"):
            ask(net, memory, TOKENIZER, unknown)
