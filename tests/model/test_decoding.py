"""Decoding: the tokens of transformers' generate, and a study's text is its own."""

import numpy as np
import pytest
import torch
from tiny import generated, tiny_images, tiny_model

from model.decoding import DecodingOptions, _Sampler, decode, sample_texts
from model.errors import ConfigError
from model.memory import Memory
from model.network import ReportModel

SEEDS = [0, 1, 4, 6]


def uncached(model: ReportModel, memory: Memory, study: int, tokens: int) -> list[int]:
    """Greedy by the definition: the whole text so far through the net for each token."""
    alone = memory.studies(torch.tensor([study]))
    text = [1]
    while len(text) <= tokens and (text[-1] != 2 or len(text) == 1):
        logits = model(torch.tensor([text]), encoder_outputs=alone).logits
        text.append(int(logits[0, -1].argmax()))
    return text[1:]


@pytest.mark.parametrize("seed", SEEDS)
def test_greedy_is_generates_and_the_uncached_text(seed) -> None:
    model = tiny_model(seed)
    memory = model.encode(tiny_images(seed, 5))
    texts = decode(model, memory)
    assert texts == generated(model, memory)
    assert texts == [uncached(model, memory, study, 24) for study in range(5)]


def test_the_seeds_end_at_different_times() -> None:
    """Otherwise the laws here would say little."""
    lengths = {
        len(text)
        for seed in SEEDS
        for text in decode(tiny_model(seed), tiny_model(seed).encode(tiny_images(seed, 5)))
    }
    assert len(lengths) > 6 and 24 in lengths


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("beams", [1, 2, 3, 5])
def test_beam_search_is_generates(seed, beams) -> None:
    model = tiny_model(seed)
    memory = model.encode(tiny_images(seed, 5))
    for penalty in (1.0, 0.0, -0.5, 2.0):
        options = DecodingOptions("beam", beams=beams, length_penalty=penalty)
        expected = generated(model, memory, num_beams=beams, length_penalty=penalty)
        assert decode(model, memory, options) == expected, penalty


def test_beam_search_stops_at_max_tokens_as_generate_does() -> None:
    model = tiny_model(6)
    memory = model.encode(tiny_images(6, 5))
    for tokens in (1, 2, 7):
        options = DecodingOptions("beam", beams=3, max_tokens=tokens)
        expected = generated(model, memory, num_beams=3, max_new_tokens=tokens)
        assert decode(model, memory, options) == expected


OPTIONS = [
    DecodingOptions(),
    DecodingOptions("beam", beams=3),
    DecodingOptions("sample", temperature=1.3, top_p=0.9, seed=4),
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options.strategy)
def test_a_text_does_not_depend_on_its_batch(options) -> None:
    model = tiny_model(6)
    mask = torch.ones(6, 2, dtype=torch.bool)
    mask[::2, 1] = False
    memory = model.encode(tiny_images(9, 6, 2), mask)
    together = decode(model, memory, options)
    assert len({len(text) for text in together}) > 1
    for study, text in enumerate(together):
        assert decode(model, memory.studies(torch.tensor([study])), options) == [text]
    backwards = decode(model, memory.studies(torch.arange(5, -1, -1)), options)
    assert backwards[::-1] == together


def test_sampling_repeats_by_its_seed_and_varies_without() -> None:
    model = tiny_model(0)
    memory = model.encode(tiny_images(0, 3))
    runs = {seed: decode(model, memory, DecodingOptions("sample", seed=seed)) for seed in range(8)}
    assert decode(model, memory, DecodingOptions("sample", seed=5)) == runs[5]
    assert len({str(run) for run in runs.values()}) > 4


def test_samples_as_a_tree_are_the_samples_one_by_one() -> None:
    """Each text goes through the network whole at every token, and none is shared."""
    model = tiny_model(6)
    memory = model.encode(tiny_images(6, 3))
    options, count = DecodingOptions("sample", temperature=0.7, seed=5), 8
    choose = _Sampler(options, count)
    texts = [[1] for _ in range(3 * count)]
    every = memory.studies(np.arange(3).repeat(count))
    for _ in range(model.config.max_tokens):
        with torch.no_grad():
            logits = model(torch.tensor(texts), encoder_outputs=every).logits[:, -1].numpy()
        chosen = choose(logits, np.arange(3 * count))
        texts = [[*text, token] for text, token in zip(texts, chosen.tolist(), strict=True)]
    expected = [text[1 : text.index(2) + 1] if 2 in text[1:] else text[1:] for text in texts]
    found = sample_texts(model, memory, count, options)
    assert [text for of_study in found for text in of_study] == expected
    shared = {tuple(text[:2]) for text in expected[:count]}
    assert 1 < len(shared) < count, "some begin alike, and not all"


def test_sampling_draws_from_the_models_distribution() -> None:
    model = tiny_model(0)
    memory = model.encode(tiny_images(0, 1))
    scores = model(torch.tensor([[1]]), encoder_outputs=memory).logits[0, -1]
    wanted = torch.softmax(scores / 2.0, -1)
    draws = 600
    counts = torch.zeros(17)
    for seed in range(draws):
        options = DecodingOptions("sample", temperature=2.0, seed=seed, max_tokens=1)
        counts[decode(model, memory, options)[0][0]] += 1
    # Seeds are fixed, so this holds or does not: five standard deviations of a fair draw.
    spread = (wanted * (1 - wanted) / draws).sqrt()
    assert ((counts / draws - wanted).abs() <= 5 * spread + 1e-6).all()


def test_top_p_leaves_the_smallest_set_that_reaches_it() -> None:
    model = tiny_model(0)
    memory = model.encode(tiny_images(0, 1))
    scores = model(torch.tensor([[1]]), encoder_outputs=memory).logits[0, -1]
    shares, order = torch.softmax(scores / 3.0, -1).sort(descending=True)
    nucleus = order[: int((shares.cumsum(0) < 0.6).sum()) + 1].tolist()
    drawn = {
        decode(
            model,
            memory,
            DecodingOptions("sample", temperature=3.0, top_p=0.6, seed=seed, max_tokens=1),
        )[0][0]
        for seed in range(200)
    }
    assert drawn == set(nucleus)


def test_nearly_no_temperature_or_mass_is_greedy() -> None:
    model = tiny_model(6)
    memory = model.encode(tiny_images(6, 5))
    greedy = decode(model, memory)
    assert decode(model, memory, DecodingOptions("sample", temperature=1e-4)) == greedy
    assert decode(model, memory, DecodingOptions("sample", top_p=1e-6)) == greedy


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("strategy", "oracle"),
        ("beams", 0),
        ("max_tokens", 0),
        ("temperature", 0.0),
        ("top_p", 0.0),
        ("top_p", 1.1),
    ],
)
def test_options_out_of_range_are_named(name, value) -> None:
    with pytest.raises(ConfigError, match=f"{name} cannot be {value!r}"):
        DecodingOptions(**{name: value})


def test_more_than_the_model_can_is_refused() -> None:
    model = tiny_model(0)
    memory = model.encode(tiny_images(0, 1))
    with pytest.raises(ConfigError, match="max_tokens is 25"):
        decode(model, memory, DecodingOptions(max_tokens=25))
    with pytest.raises(ConfigError, match="beams is 9"):
        decode(model, memory, DecodingOptions("beam", beams=9))
