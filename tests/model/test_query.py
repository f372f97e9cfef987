"""Asking: of reports sampled from a model, how many assert it, and where."""

import numpy as np
import pytest
import torch
from material import chest
from numpy.testing import assert_allclose
from tiny import TEXTS, tiny_images, tiny_model, tiny_tokenizer

from data_prep.tokenizer import train_tokenizer
from model.checkpoint_folder import ModelIdentity
from model.decoding import DecodingOptions, decode, sample_texts
from model.errors import DataError, UnknownFinding
from model.generator import ReportGenerator
from model.imaging.radiograph import Radiograph
from model.network import ReportModel
from model.query import ask, asserting_sentence, log_odds, report_words, stripped
from model.report_text.question_forms import without_negation
from model.sampled_reports import SAMPLES, LanguagePrior, sampled

TOKENIZER = train_tokenizer(TEXTS, 1024)
"""With every word of TEXTS in one token, as a model's own words are."""


def model(**changes) -> ReportModel:
    shape = {"vocab_size": TOKENIZER.get_vocab_size(), "max_tokens": 60, **changes}
    return tiny_model(4, **shape)


REPORT = (
    "Findings: There is a small left pleural effusion. No focal opacity or pneumothorax. "
    "The heart is enlarged. Bones are intact. Impression: Effusion at the left base."
)


@pytest.mark.parametrize(
    ("phrase", "sentence"),
    [
        ("pleural effusion", "There is a small left pleural effusion."),
        ("effusions", "There is a small left pleural effusion."),
        ("left effusion", "There is a small left pleural effusion."),
        ("right effusion", None),
        ("pneumothorax", None),
        ("opacity", None),
        ("cardiomegaly", "The heart is enlarged."),
        ("intact bones", "Bones are intact."),
        ("intact heart", None),
        ("focal", None),
        ("no pneumothorax", "No focal opacity or pneumothorax."),
        ("no effusion", None),
    ],
)
def test_what_a_report_asserts(phrase, sentence) -> None:
    found = asserting_sentence(REPORT, phrase)
    assert (found and REPORT[slice(*found)]) == sentence


@torch.no_grad()
def test_drafts_of_a_study_differ_and_do_not_depend_on_the_batch() -> None:
    net = model()
    images = tiny_images(3, 3)
    options = DecodingOptions("sample", seed=7)
    together = sample_texts(net, net.encode(images), 6, options)
    assert all(len({tuple(text) for text in texts}) > 3 for texts in together)
    for row, texts in enumerate(together):
        assert sample_texts(net, net.encode(images[row : row + 1]), 6, options) == [texts]
    [single] = sample_texts(net, net.encode(images[:1]), 1, options)
    assert single == decode(net, net.encode(images[:1]), options)


@torch.no_grad()
def test_drafts_are_drawn_as_the_model_would_choose() -> None:
    """The first token's share among many samples is its probability."""
    net = model()
    memory = net.encode(tiny_images(3, 1))
    [texts] = sample_texts(net, memory, 4000, DecodingOptions("sample", max_tokens=1))
    shares = np.bincount([text[0] for text in texts], minlength=net.config.vocab_size) / 4000
    logits = net(torch.tensor([[1]]), encoder_outputs=memory).logits[0, 0]
    assert np.abs(shares - logits.softmax(-1).numpy()).max() < 0.03


@torch.no_grad()
def test_the_probability_counts_samples_and_the_evidence_those_without_images() -> None:
    net = model(temperature=1.3, ask_scale=0.7, ask_offset=-1.2)
    memory = net.encode(tiny_images(3, 1))
    # What an untrained model says is noise: ask for a word that some samples hold.
    texts = [text for _, text in sampled(net, memory, TOKENIZER)[0]]
    counted = {
        word: sum(bool(asserting_sentence(text, word)) for text in texts)
        for word in ("acute", "heart", "left", "clear", "size")
    }
    word = max(counted, key=lambda each: counted[each])
    [found] = ask(net, memory, TOKENIZER, word)
    [image_dropout] = sampled(net, net.without_images(memory), TOKENIZER)
    prior = sum(bool(asserting_sentence(text, word)) for _, text in image_dropout)
    assert (found.matches, found.samples) == (counted[word], SAMPLES)
    assert_allclose(found.evidence, np.log((found.matches + 0.5) / (prior + 0.5)))
    odds = 0.7 * log_odds(found.matches) - 1.2
    assert found.probability == pytest.approx(1 / (1 + np.exp(-odds)))
    assert all(found.text[w.start : w.end] == w.text for w in found.words)


@torch.no_grad()
def test_what_is_sampled_without_images_is_the_same_for_every_study() -> None:
    net = model()
    memory = net.encode(tiny_images(3, 2))
    first, second = (memory.studies(np.array([study])) for study in range(2))
    prior = LanguagePrior().of(net, first, TOKENIZER, "")
    for study, expected in zip((first, second), ask(net, memory, TOKENIZER, "heart"), strict=True):
        [found] = ask(net, study, TOKENIZER, "heart", prior)
        assert (found.matches, found.evidence) == (expected.matches, expected.evidence)


@torch.no_grad()
def test_what_no_sample_asserts_is_read_in_a_sentence_made_for_it() -> None:
    spelling = tiny_tokenizer()  # of which samples by chance hold no word so long
    net = model(vocab_size=spelling.get_vocab_size())
    [found] = ask(net, net.encode(tiny_images(3, 1, 2)), spelling, "Is there pneumonia?")
    assert (found.matches, found.phrase, found.state) == (0, "pneumonia", "not grounded")
    assert found.text == "There is a pneumonia."
    assert [word.text for word in found.words] == ["pneumonia"]
    assert found.heatmap.shape == (2, 4, 4) and 0 < found.heatmap.sum() <= 1


@torch.no_grad()
def test_each_study_of_a_batch_is_asked_as_alone() -> None:
    net = model()
    images = tiny_images(3, 3, 2)
    mask = torch.tensor([[True, True], [True, False], [True, True]])
    together = ask(net, net.encode(images, mask), TOKENIZER, "left base")
    for row, found in enumerate(together):
        count = int(mask[row].sum())
        [alone] = ask(net, net.encode(images[row : row + 1, :count]), TOKENIZER, "left base")
        assert (alone.text, alone.state, alone.matches) == (found.text, found.state, found.matches)
        assert alone.heatmap.shape == found.heatmap.shape == (count, 4, 4)
        assert_allclose(alone.heatmap, found.heatmap, atol=1e-5)


def test_an_answer_knows_its_images() -> None:
    write = ReportGenerator(model(), TOKENIZER, ModelIdentity("tiny", "0" * 64))
    images = [Radiograph(chest(seed).astype(np.float32) / 255, "PA") for seed in (1, 2)]
    found = write.ask(images, "Is there an opacity?")
    assert found.phrase == "opacity"
    assert found.views == ("PA", "PA")
    assert found.warnings == ((), ())
    assert [placement.height for placement in found.placements] == [80, 80]
    assert found.heatmap.shape == (2, 4, 4)
    assert found.model == write.identity
    alone = write.ask(images[0], "opacity")
    assert alone.heatmap.shape == (1, 4, 4)


@pytest.mark.parametrize(
    ("question", "phrase"),
    [
        ("pleural effusion", "pleural effusion"),
        ("  Right   pleural effusion.", "Right pleural effusion"),
        ("is there a fracture?", "fracture"),
        ("Is there any evidence of a pneumothorax?", "pneumothorax"),
        ("Are there nodules in the image?", "nodules"),
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
    memory = net.encode(tiny_images(3, 1))
    with pytest.raises(DataError, match=r"takes \d+ tokens, more than the 60"):
        ask(net, memory, TOKENIZER, "opacity in the heart " * 20)
    for unknown in ("\u5fc3\u81df", "qwz"):
        with pytest.raises(DataError, match="is unknown to it"):
            ask(net, memory, TOKENIZER, unknown)


@torch.no_grad()
@pytest.mark.parametrize(
    "unknown", ["banana", "asdfgh", "tuberculosis", "Is there a banana in the left lung?"]
)
def test_what_no_report_can_have_held_is_no_finding(unknown: str) -> None:
    net = model()
    with pytest.raises(UnknownFinding, match=r"no such finding as .* The nearest that it has: \w+"):
        ask(net, net.encode(tiny_images(3, 1)), TOKENIZER, unknown)


@torch.no_grad()
def test_a_word_of_the_training_reports_can_be_asked_for_however_it_is_split() -> None:
    reports = ["Bronchiectasis is seen.", "Mild bronchiectasis of 2019.", "bronchiectasis, seen."]
    words = report_words(reports)
    assert words == ["bronchiectasis"], "neither rare words nor numbers"
    assert len(TOKENIZER.encode(" bronchiectasis").ids) > 1
    net = model()
    memory = net.encode(tiny_images(3, 1))
    with pytest.raises(UnknownFinding):
        ask(net, memory, TOKENIZER, "bronchiectasis")
    net.config.report_words = words
    [found] = ask(net, memory, TOKENIZER, "is there Bronchiectasis?")
    assert found.phrase == "Bronchiectasis"
    with pytest.raises(UnknownFinding):
        ask(net, memory, TOKENIZER, "banana")


@torch.no_grad()
@pytest.mark.parametrize("question", ["no heart?", "Is there no heart?", "without heart"])
def test_a_negated_question_is_answered_by_the_absence(question: str) -> None:
    net = model()
    memory = net.encode(tiny_images(3, 1))
    [present], [absent] = (ask(net, memory, TOKENIZER, each) for each in ("heart", question))
    assert absent.phrase == "no heart"
    assert present.matches is not None and absent.matches == SAMPLES - present.matches
    assert absent.probability == pytest.approx(1 - present.probability)
    assert absent.evidence == pytest.approx(-present.evidence)
    assert_allclose(absent.heatmap, present.heatmap)


@pytest.mark.parametrize(
    ("question", "phrase", "negated"),
    [
        ("Is there no pneumothorax?", "pneumothorax", True),
        ("no evidence of effusion", "effusion", True),
        ("Is the heart not enlarged?", "the heart is enlarged", True),
        ("are the lungs free of nodules?", "nodules", True),
        ("Isn't there a fracture?", "fracture", False),
        ("effusion", "effusion", False),
        ("nodule", "nodule", False),
    ],
)
def test_what_a_question_denies(question: str, phrase: str, negated: bool) -> None:
    assert without_negation(stripped(question)) == (phrase, negated)
