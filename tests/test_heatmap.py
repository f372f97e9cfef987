"""Maps: what the forced pass reads is where the decoder looked, and words are the text's."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from tiny import TEXTS, tiny_model, tiny_pictures, tiny_tokenizer

from model.decoding import DecodingOptions, decode
from model.heatmap import looks, words
from model.network import Memory, ReportModel

OPTIONS = [
    DecodingOptions(),
    DecodingOptions("beam", beams=3),
    DecodingOptions("sample", temperature=1.5, seed=1),
]


def watched(model: ReportModel, memory: Memory, text: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Write a given text token by token, without a cache, and look over the shoulder.

    Returns (tokens, patches), the late two of three layers and all heads averaged, and each
    token's log probability, both read in the step that chose the token.
    """
    rows, logs = [], []
    for place, token in enumerate(text):
        so_far = torch.tensor([[1, *text[:place]]])
        step = model(so_far, encoder_outputs=memory, output_attentions=True)
        late = torch.stack(step.cross_attentions[1:])[:, 0, :, -1]
        rows.append(late.mean((0, 1)).detach().numpy())
        logs.append(step.logits[0, -1].log_softmax(-1)[token].item())
    return np.stack(rows), np.array(logs)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options.strategy)
@torch.no_grad()
def test_forced_looks_are_the_looks_while_writing(options) -> None:
    model = tiny_model(6)
    mask = torch.tensor([[True, True], [True, False], [True, True]])
    memory = model.encode(tiny_pictures(6, 3, 2), mask)
    texts = decode(model, memory, options)
    assert len({len(text) for text in texts}) > 1
    for study, (text, look) in enumerate(zip(texts, looks(model, memory, texts), strict=True)):
        alone = memory.studies(torch.tensor([study]))
        attention, logs = watched(model, alone, text)
        assert_allclose(look.attention, attention[:, mask[study].repeat_interleave(16)], atol=1e-5)
        assert_allclose(look.log_probabilities, logs, atol=1e-4)


@torch.no_grad()
def test_a_look_is_not_the_row_after() -> None:
    """The off by one that still looks plausible on screen."""
    model = tiny_model(0)
    memory = model.encode(tiny_pictures(0, 1))
    [look] = looks(model, memory, [[5, 9, 12, 7]])
    step = model(torch.tensor([[1, 5]]), encoder_outputs=memory, output_attentions=True)
    late = torch.stack(step.cross_attentions[1:])[:, 0].mean((0, 1)).numpy()
    assert_allclose(look.attention[:2], late, atol=1e-5)
    assert np.abs(look.attention[0] - late[1]).max() > 1e-3


TOKENIZER = tiny_tokenizer()
LIKE_TOKENIZER = {"vocab_size": TOKENIZER.get_vocab_size(), "max_tokens": 160}


@torch.no_grad()
def test_words_are_places_in_the_text_and_maps_sum_to_one() -> None:
    model = tiny_model(1, **LIKE_TOKENIZER)
    mask = torch.tensor([[True, True], [True, False]])
    memory = model.encode(tiny_pictures(1, 2, 2), mask)
    texts = [[*TOKENIZER.encode(text).ids, 2] for text in TEXTS]
    for text, pictures, told in zip(
        TEXTS, (2, 1), words(model, memory, texts, TOKENIZER), strict=True
    ):
        assert [text[word.start : word.end] for word in told] == [word.text for word in told]
        assert all(word.heatmap.shape == (pictures, 4, 4) for word in told)
        assert all(word.heatmap.dtype == np.float32 for word in told)
        assert_allclose([word.heatmap.sum() for word in told], 1.0, rtol=1e-5)
        assert all(0 < word.probability <= 1 for word in told)
    assert [word.text for word in told] == [
        *("Findings", "Well-defined", "opacity", "in", "the", "patient's", "left", "base"),
        *("Impression", "Pneumonia", "2", "weeks"),
    ]


@torch.no_grad()
def test_a_words_map_and_probability_are_its_tokens() -> None:
    model = tiny_model(1, **LIKE_TOKENIZER)
    memory = model.encode(tiny_pictures(1, 1))
    pieces = ["Find", "ings", ":", " ", "opa", "city", "."]
    cut = [TOKENIZER.encode(piece).ids for piece in pieces]
    tokens = [token for piece in cut for token in piece]
    [look] = looks(model, memory, [tokens])
    [[first, second]] = words(model, memory, [tokens], TOKENIZER)
    ends = np.cumsum([len(piece) for piece in cut])
    for word, own in ((first, slice(0, ends[1])), (second, slice(ends[3], ends[5]))):
        assert own.stop - own.start > 1
        assert_allclose(word.heatmap.ravel(), look.attention[own].mean(0), rtol=1e-4)
        assert_allclose(word.probability, np.exp(look.log_probabilities[own].sum()), rtol=1e-4)


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
    memory = model.encode(tiny_pictures(1, 1))
    tokens = [*TOKENIZER.encode(text).ids, 2]
    [told] = words(model, memory, [tokens], TOKENIZER)
    assert [word.text for word in told] == expected
    assert [text[word.start : word.end] for word in told] == expected


@torch.no_grad()
def test_every_byte_of_a_letter_counts_for_its_word() -> None:
    model = tiny_model(1, **LIKE_TOKENIZER)
    memory = model.encode(tiny_pictures(1, 1))
    tokens = TOKENIZER.encode("\u5fc3").ids
    [look], [[word]] = looks(model, memory, [tokens]), words(model, memory, [tokens], TOKENIZER)
    assert len(tokens) == 3
    assert_allclose(word.heatmap.ravel(), look.attention.mean(0), rtol=1e-4)


@torch.no_grad()
def test_a_token_that_is_not_text_disturbs_no_place() -> None:
    model = tiny_model(1, **LIKE_TOKENIZER)
    memory = model.encode(tiny_pictures(1, 1))
    heart, lungs = TOKENIZER.encode("heart").ids, TOKENIZER.encode(" lungs").ids
    broken = TOKENIZER.encode("\u5fc3").ids[:1]
    tokens = [*heart, 0, *broken, *lungs, 2]
    text = TOKENIZER.decode(tokens)
    [told] = words(model, memory, [tokens], TOKENIZER)
    assert [word.text for word in told] == ["heart", "lungs"]
    assert [text[word.start : word.end] for word in told] == ["heart", "lungs"]
