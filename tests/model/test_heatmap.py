"""Maps: what the forced pass reads is where the decoder looked, and words are the text's."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from tiny import TEXTS, tiny_images, tiny_model, tiny_tokenizer

from model.decoding import DecodingOptions, decode
from model.heatmap import Word, span_of, token_attention, words
from model.memory import Memory
from model.network import ReportModel
from model.torch_network import teacher_forced

OPTIONS = [
    DecodingOptions(),
    DecodingOptions("beam", beams=3),
    DecodingOptions("sample", temperature=1.5, seed=1),
]


def watched(model: ReportModel, memory: Memory, text: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Write a given text token by token, without a cache, and look over the shoulder.

    Returns (tokens, 1 + patches), the late two of three layers and all heads averaged, the sink
    first, and each token's log probability, both read in the step that chose the token.
    """
    rows, logs = [], []
    for place, token in enumerate(text):
        so_far = torch.tensor([[1, *text[:place]]])
        step = model(so_far, encoder_outputs=memory, output_attentions=True)
        late = torch.stack(step.cross_attentions[1:])[:, 0, :, -1]
        rows.append(late.mean((0, 1)).detach().numpy())
        told = (step.logits[0, -1] / model.config.temperature).log_softmax(-1)
        logs.append(told[token].item())
    return np.stack(rows), np.array(logs)


@pytest.mark.parametrize("temperature", [1.0, 1.7])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options.strategy)
@torch.no_grad()
def test_forced_looks_are_the_looks_while_writing(options, temperature) -> None:
    model = tiny_model(6, temperature=temperature)
    mask = torch.tensor([[True, True], [True, False], [True, True]])
    memory = model.encode(tiny_images(6, 3, 2), mask)
    texts = decode(model, memory, options)
    assert len({len(text) for text in texts}) > 1
    for study, (text, look) in enumerate(
        zip(texts, token_attention(model, memory, texts), strict=True)
    ):
        alone = memory.studies(torch.tensor([study]))
        attention, logs = watched(model, alone, text)
        patches = attention[:, 1:][:, mask[study].repeat_interleave(16)]
        assert_allclose(look.attention, patches, atol=1e-5)
        assert_allclose(look.attention.sum(1) + attention[:, 0], 1, atol=1e-5)
        assert_allclose(look.log_probabilities, logs, atol=1e-4)
        without = watched(model, model.without_images(alone), text)[1]
        assert_allclose(look.prior_log_probabilities, without, atol=1e-4)
        assert np.abs(logs - without).max() > 0.01


@torch.no_grad()
def test_a_temperature_changes_what_is_told_and_not_what_is_chosen() -> None:
    cold, warm = tiny_model(6), tiny_model(6, temperature=2.5)
    memory = cold.encode(tiny_images(6, 1))
    texts = decode(cold, memory)
    assert decode(warm, memory) == texts
    [first], [second] = token_attention(cold, memory, texts), token_attention(warm, memory, texts)
    assert np.array_equal(first.attention, second.attention)
    assert (second.log_probabilities < first.log_probabilities).any()


@torch.no_grad()
def test_all_studies_at_once_are_read_as_one_by_one() -> None:
    """What a GPU does: `looks` itself takes the studies one by one on a processor."""
    model = tiny_model(6)
    mask = torch.tensor([[True, True], [True, False], [True, True]])
    memory = model.encode(tiny_images(6, 3, 2), mask)
    texts = [[5, 9, 12, 7, 2], [4, 2], [3, 3, 8]]
    attention, logs = teacher_forced(model, memory, texts)
    for row, (text, look) in enumerate(
        zip(texts, token_attention(model, memory, texts), strict=True)
    ):
        own = attention[row, : len(text), 1:][:, mask[row].repeat_interleave(16)]
        assert_allclose(look.attention, own, atol=1e-5)
        assert_allclose(look.log_probabilities, logs[row, : len(text)], atol=1e-4)


@torch.no_grad()
def test_several_texts_of_a_study_are_read_as_each_alone() -> None:
    model = tiny_model(6)
    memory = model.encode(tiny_images(6, 2))
    texts = [[5, 9, 12], [4, 2], [3, 3, 8], [5]]
    attention, logs = teacher_forced(model, memory, texts)
    for row, text in enumerate(texts):
        own, chosen = teacher_forced(model, memory.studies(slice(row // 2, row // 2 + 1)), [text])
        assert_allclose(attention[row, : len(text)], own[0], atol=1e-5)
        assert_allclose(logs[row, : len(text)], chosen[0], atol=1e-4)


@torch.no_grad()
def test_a_look_is_not_the_row_after() -> None:
    """The off by one that still looks plausible on screen."""
    model = tiny_model(0)
    memory = model.encode(tiny_images(0, 1))
    [look] = token_attention(model, memory, [[5, 9, 12, 7]])
    step = model(torch.tensor([[1, 5]]), encoder_outputs=memory, output_attentions=True)
    late = torch.stack(step.cross_attentions[1:])[:, 0].mean((0, 1))[:, 1:].numpy()
    assert_allclose(look.attention[:2], late, atol=1e-5)
    assert np.abs(look.attention[0] - late[1]).max() > 1e-3


TOKENIZER = tiny_tokenizer()
LIKE_TOKENIZER = {"vocab_size": TOKENIZER.get_vocab_size(), "max_tokens": 160}


@torch.no_grad()
def test_words_are_places_in_the_text_and_maps_and_sink_sum_to_one() -> None:
    model = tiny_model(1, **LIKE_TOKENIZER)
    mask = torch.tensor([[True, True], [True, False]])
    memory = model.encode(tiny_images(1, 2, 2), mask)
    texts = [[*TOKENIZER.encode(text).ids, 2] for text in TEXTS]
    for row, (text, images, told) in enumerate(
        zip(TEXTS, (2, 1), words(model, memory, texts, TOKENIZER), strict=True)
    ):
        assert [text[word.start : word.end] for word in told] == [word.text for word in told]
        assert all(word.heatmap.shape == (images, 4, 4) for word in told)
        assert all(word.heatmap.dtype == np.float32 for word in told)
        assert all(0 < word.probability <= 1 for word in told)
        sink = teacher_forced(model, memory.studies(slice(row, row + 1)), [texts[row]])[0][
            0, :, 0
        ].numpy()
        offsets = TOKENIZER.encode(text).offsets
        for word in told:
            own = [k for k, (a, b) in enumerate(offsets) if a < word.end and b > word.start]
            assert_allclose(word.heatmap.sum() + sink[own].mean(), 1, rtol=1e-5)
    assert [word.text for word in told] == [
        *("Findings", "Well-defined", "opacity", "in", "the", "patient's", "left", "base"),
        *("Impression", "Pneumonia", "2", "weeks"),
    ]


@torch.no_grad()
def test_what_a_word_carries_is_its_tokens() -> None:
    model = tiny_model(1, **LIKE_TOKENIZER)
    memory = model.encode(tiny_images(1, 1))
    pieces = ["Find", "ings", ":", " ", "opa", "city", "."]
    cut = [TOKENIZER.encode(piece).ids for piece in pieces]
    tokens = [token for piece in cut for token in piece]
    [look] = token_attention(model, memory, [tokens])
    with_images = watched(model, memory, tokens)[1]
    without = watched(model, model.without_images(memory), tokens)[1]
    [[first, second]] = words(model, memory, [tokens], TOKENIZER)
    ends = np.cumsum([len(piece) for piece in cut])
    for word, own in ((first, slice(0, ends[1])), (second, slice(ends[3], ends[5]))):
        assert own.stop - own.start > 1
        assert_allclose(word.heatmap.ravel(), look.attention[own].mean(0), rtol=1e-4)
        assert_allclose(word.probability, np.exp(with_images[own].sum()), rtol=1e-3)
        assert_allclose(word.evidence, (with_images - without)[own].sum(), atol=1e-3)


@torch.no_grad()
def test_a_word_is_grounded_from_the_configured_share_on() -> None:
    model = tiny_model(1, **LIKE_TOKENIZER)
    memory = model.encode(tiny_images(1, 1))
    tokens = TOKENIZER.encode(TEXTS[0]).ids
    [told] = words(model, memory, [tokens], TOKENIZER)
    shares = sorted(float(word.heatmap.sum()) for word in told)
    model.config.grounded_share = (shares[4] + shares[5]) / 2
    [told] = words(model, memory, [tokens], TOKENIZER)
    grounded = [word for word in told if word.state == "grounded"]
    assert len(grounded) == len(told) - 5
    assert all(word.heatmap.sum() >= model.config.grounded_share for word in grounded)


def said(text: str, share: float, evidence: float, probability: float) -> Word:
    """A word at its place in "no small effusion", all its attention on one patch."""
    start = "no small effusion".index(text)
    heatmap = np.zeros((1, 2, 2), np.float32)
    heatmap[0, start % 2, start // 2 % 2] = share
    state = "grounded" if share >= 0.5 else "not grounded"
    return Word(text, start, start + len(text), probability, evidence, state, heatmap)


TOLD = [said("no", 0.1, -0.5, 0.5), said("small", 0.6, 2.0, 0.5), said("effusion", 0.8, 1.0, 0.9)]


def test_a_span_is_its_words() -> None:
    span = span_of("no small effusion", 3, 17, TOLD, [1, 2], (1, 2, 2))
    assert (span.text, span.words, span.state) == ("small effusion", (1, 2), "grounded")
    assert_allclose(span.probability, 0.45)
    assert_allclose(span.evidence, 3.0)
    assert_allclose(span.heatmap, (TOLD[1].heatmap + TOLD[2].heatmap) / 2)


def test_a_spans_map_leaves_out_what_is_not_grounded() -> None:
    span = span_of("no small effusion", 0, 8, TOLD, [0, 1], (1, 2, 2))
    assert_allclose(span.heatmap, TOLD[1].heatmap)
    assert_allclose(span.evidence, 1.5)
    alone = span_of("no small effusion", 0, 2, TOLD, [0], (1, 2, 2))
    assert alone.state == "not grounded"
    assert_allclose(alone.heatmap, TOLD[0].heatmap)


def test_a_span_without_words_has_no_map_and_no_evidence() -> None:
    span = span_of("no small effusion", 2, 3, TOLD, [], (1, 2, 2))
    assert (span.state, span.probability, span.evidence) == ("not grounded", 1, 0)
    assert_allclose(span.heatmap, np.zeros((1, 2, 2)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" . , -- ' _", []),
        ("T4-T5, 3.5 cm", ["T4-T5", "3", "5", "cm"]),
        ("patient\u2019s d\u00e9j\u00e0 vu", ["patient\u2019s", "d\u00e9j\u00e0", "vu"]),
        ("\u5fc3\u81df ok", ["\u5fc3\u81df", "ok"]),
        ("'left' -base-", ["left", "base"]),
        ("bad\ufffdbyte", ["bad", "byte"]),
    ],
)
@torch.no_grad()
def test_words_are_letters_and_digits_in_any_script(text, expected) -> None:
    model = tiny_model(1, **LIKE_TOKENIZER)
    memory = model.encode(tiny_images(1, 1))
    tokens = [*TOKENIZER.encode(text).ids, 2]
    [told] = words(model, memory, [tokens], TOKENIZER)
    assert [word.text for word in told] == expected
    assert [text[word.start : word.end] for word in told] == expected


@torch.no_grad()
def test_every_byte_of_a_letter_counts_for_its_word() -> None:
    model = tiny_model(1, **LIKE_TOKENIZER)
    memory = model.encode(tiny_images(1, 1))
    tokens = TOKENIZER.encode("\u5fc3").ids
    [look], [[word]] = (
        token_attention(model, memory, [tokens]),
        words(model, memory, [tokens], TOKENIZER),
    )
    assert len(tokens) == 3
    assert_allclose(word.heatmap.ravel(), look.attention.mean(0), rtol=1e-4)


@torch.no_grad()
def test_a_token_that_is_not_text_disturbs_no_place() -> None:
    model = tiny_model(1, **LIKE_TOKENIZER)
    memory = model.encode(tiny_images(1, 1))
    heart, lungs = TOKENIZER.encode("heart").ids, TOKENIZER.encode(" lungs").ids
    broken = TOKENIZER.encode("\u5fc3").ids[:1]
    tokens = [*heart, 0, *broken, *lungs, 2]
    text = TOKENIZER.decode(tokens)
    [told] = words(model, memory, [tokens], TOKENIZER)
    assert [word.text for word in told] == ["heart", "lungs"]
    assert [text[word.start : word.end] for word in told] == ["heart", "lungs"]
