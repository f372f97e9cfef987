"""OpenVINO computes what PyTorch does: the same texts, maps, probabilities and answers."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tiny import tiny_model, tiny_tokenizer

from model.decoding import DecodingOptions, decode, sample_texts
from model.engine.convert import convert_network
from model.engine.decoding import Decoding
from model.engine.drafts import LONGER, Drafts
from model.engine.openvino_engine import OpenVinoEngine, ready
from model.engine.self_test import compared
from model.errors import DataError
from model.exam import encode_studies
from model.heatmap import token_attention
from model.interface import VIEWS, Engine
from model.network import ReportModel
from model.query import ask
from model.questions import answer_log_odds

TOKENIZER = tiny_tokenizer()
MAPS = 1e-5
LOGS = 1e-4
OPTIONS = [
    DecodingOptions(),
    DecodingOptions("beam", beams=3),
    DecodingOptions("beam", beams=4, length_penalty=0.5, max_tokens=9),
    DecodingOptions("sample", temperature=1.3, top_p=0.9, seed=4),
]
STUDIES = (((0,), 0), ((0, 1), 3), ((1,), 0), ((0, 2, 1), 5), ((0,), 6))
"""Of each study what its images are, and how many tokens its indication has."""


@pytest.fixture(scope="module", params=["frontal", "seeing"])
def pair(request: pytest.FixtureRequest) -> tuple[ReportModel, OpenVinoEngine]:
    """A network and what it was converted to: of frontal images only, and of everything."""
    changes: dict[str, Any] = {}
    if request.param == "seeing":
        changes = {"views": list(VIEWS), "prompt_tokens": 6}
    network = tiny_model(6, **changes)
    if network.decoder.prompt_positions is not None:
        network.views.weight.data.normal_(std=0.5)
    return network, ready(convert_network(network), threads=1)


def read(engine: Engine[Any], rows: range = range(len(STUDIES))) -> Any:
    config = engine.config
    whole = config.prompt_tokens > 0
    images, kinds, prompts = [], [], []
    for row in rows:
        rng = np.random.default_rng(row)
        of_study, length = STUDIES[row]
        size = config.image_size
        images.append(rng.uniform(-1, 1, (len(of_study), 1, size, size)).astype(np.float32))
        kinds.append(of_study if whole else [0] * len(of_study))
        prompts.append(rng.integers(3, config.vocab_size, length * whole).tolist())
    return encode_studies(engine, images, kinds, prompts)


def test_reading_ahead_changes_no_text_and_no_map(
    pair: tuple[ReportModel, OpenVinoEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was drafted: nothing, what is then written, or what is not."""
    network, engine = pair
    runs: list[int] = []
    run = Decoding._run
    monkeypatch.setattr(Decoding, "_run", lambda self, chosen: runs.append(1) or run(self, chosen))
    drafts = engine._drafts = Drafts()
    rng = np.random.default_rng(0)
    for row in range(len(STUDIES)):
        memory = read(network, range(row, row + 1))
        texts = decode(network, memory)
        expected = network.read_texts(memory, texts, True)
        for knowledge in ("nothing", "what is written", "half of it wrong"):
            if knowledge == "nothing":
                drafts._following.clear()
            if knowledge == "half of it wrong":
                for context in list(drafts._following)[::2]:
                    drafts._following[context] = int(rng.integers(network.config.vocab_size))
            runs.clear()
            own = read(engine, range(row, row + 1))
            assert decode(engine, own) == texts, knowledge
            if knowledge == "what is written" and len(texts[0]) > 2 * LONGER:
                assert len(runs) < len(texts[0]) / 2
            found = engine.read_texts(own, texts, True)
            length = len(texts[0])
            np.testing.assert_allclose(
                found.attention[0, :length], expected.attention[0, :length], atol=MAPS
            )
            np.testing.assert_allclose(
                found.log_probabilities[0, :length],
                expected.log_probabilities[0, :length],
                atol=LOGS,
            )


def test_a_study_has_the_same_numbers_whatever_is_beside_it_or_came_before(
    pair: tuple[ReportModel, OpenVinoEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit: a batch that is gone on with, or divided otherwise, has the same bytes."""
    engine = pair[1]
    size, rng = engine.config.image_size, np.random.default_rng(7)
    images = [rng.uniform(-1, 1, (1, 1, size, size)).astype(np.float32) for _ in range(4)]

    def numbers(rows: Sequence[int]) -> list[tuple[list[int], bytes]]:
        chosen = [images[row] for row in rows]
        memory = encode_studies(engine, chosen, [[0]] * len(rows), [[]] * len(rows))
        texts = decode(engine, memory)
        found = engine.read_texts(memory, texts, True)
        assert found.attention is not None
        pairs = zip(texts, found.attention, found.log_probabilities, strict=True)
        return [(t, a[: len(t)].tobytes() + logs[: len(t)].tobytes()) for t, a, logs in pairs]

    engine._drafts = Drafts()
    monkeypatch.setattr(engine, "alone", 1)
    together = numbers(range(4))
    monkeypatch.setattr(engine, "alone", 4)
    assert numbers(range(4)) == together
    assert [numbers([row])[0] for row in range(4)] == together
    assert numbers([2, 0, 3]) == [together[2], together[0], together[3]]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_texts_are_watched_as_they_are_written(pair, options) -> None:
    """What was told never changes in greedy decoding and sampling, and the last is the result."""
    for engine in pair:
        told: list[list[list[int]]] = []
        texts = decode(engine, read(engine), options, told.append)
        assert told[-1] == texts
        lengths = [len(text) for text in texts]
        one_by_one = options.strategy == "greedy" and engine.alone >= len(texts)
        expected = sum(lengths) if one_by_one else max(lengths)
        assert len(told) == (1 if options.strategy == "beam" else expected)
        for so_far in told:
            assert all(text[: len(own)] == own for own, text in zip(so_far, texts, strict=True))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_same_texts(pair, options, monkeypatch: pytest.MonkeyPatch) -> None:
    """Together or one after another."""
    network, engine = pair
    texts = decode(network, read(network), options)
    for alone in (1, len(texts)):
        monkeypatch.setattr(engine, "alone", alone)
        assert decode(engine, read(engine), options) == texts
    assert len({tuple(text) for text in texts}) > 1
    if not network.config.prompt_tokens:
        assert len({len(text) for text in texts}) > 1, "some end before others"


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_text_does_not_depend_on_its_batch(pair, options) -> None:
    engine = pair[1]
    together = decode(engine, read(engine), options)
    for row, text in enumerate(together):
        assert decode(engine, read(engine, range(row, row + 1)), options) == [text]


def test_the_same_maps_and_probabilities(pair) -> None:
    network, engine = pair
    memories = read(network), read(engine)
    texts = decode(network, memories[0])
    expected, found = (token_attention(*both, texts) for both in zip(pair, memories, strict=True))
    for reference, own in zip(expected, found, strict=True):
        assert own.attention.shape == reference.attention.shape
        np.testing.assert_allclose(own.attention, reference.attention, atol=MAPS)
        np.testing.assert_allclose(own.log_probabilities, reference.log_probabilities, atol=LOGS)
        np.testing.assert_allclose(
            own.prior_log_probabilities, reference.prior_log_probabilities, atol=LOGS
        )


def test_what_steps_have_read_is_what_one_pass_reads(pair) -> None:
    engine = pair[1]
    memory = read(engine)
    texts = decode(engine, memory)
    of_steps = engine.read_texts(memory, texts, maps=True)
    of_pass = engine.read_texts(read(engine), texts, maps=True)
    for row, text in enumerate(texts):
        for kind in ("attention", "log_probabilities"):
            one, other = (
                getattr(reading, kind)[row, : len(text)] for reading in (of_steps, of_pass)
            )
            np.testing.assert_allclose(one, other, atol=MAPS if kind == "attention" else LOGS)


def test_a_text_that_was_not_written_is_read(pair) -> None:
    """What the steps have read must not be taken for another text's."""
    network, engine = pair
    memories = read(network), read(engine)
    decode(engine, memories[1])
    texts = [[5, 9, 12, 7], [3], [8, 2], [4, 4, 4], [11, 6, 5]]
    expected, found = (
        one.read_texts(memory, texts, True) for one, memory in zip(pair, memories, strict=True)
    )
    for row, text in enumerate(texts):
        np.testing.assert_allclose(
            found.attention[row, : len(text)], expected.attention[row, : len(text)], atol=MAPS
        )


def test_the_same_samples_and_next_tokens(pair) -> None:
    network, engine = pair
    options = DecodingOptions("sample", temperature=0.8, seed=3)
    expected, found = (sample_texts(one, read(one), 4, options) for one in pair)
    assert found == expected
    texts = [[5, 9], [7], [3, 3, 3], [4], [6, 5, 4, 3], [2]] * 5
    logits = [one.next_logits(read(one), texts) for one in (network, engine)]
    np.testing.assert_allclose(logits[1], logits[0], atol=1e-3)


@pytest.mark.parametrize("answers", [True, False])
def test_the_same_answers(answers) -> None:
    network = tiny_model(3, vocab_size=TOKENIZER.get_vocab_size(), answers=answers, max_tokens=40)
    engine = ready(convert_network(network), threads=1)
    for phrase in ("pneumonia", "no pleural effusion"):
        [[expected], [found]] = (
            ask(one, read(one, range(1)), TOKENIZER, phrase) for one in (network, engine)
        )
        assert found.matches == expected.matches
        assert (found.text, found.state) == (expected.text, expected.state)
        assert found.probability == pytest.approx(expected.probability, abs=1e-4)
        assert found.evidence == pytest.approx(expected.evidence, abs=1e-3)
        np.testing.assert_allclose(found.heatmap, expected.heatmap, atol=MAPS)
    phrases = ["pneumonia", "left pleural effusion"]
    odds = [answer_log_odds(one, read(one), TOKENIZER, phrases) for one in (network, engine)]
    np.testing.assert_allclose(odds[1], odds[0], atol=1e-3)


def test_the_same_novelty() -> None:
    network = tiny_model(2, views=list(VIEWS), prompt_tokens=6)
    rng = np.random.default_rng(0)
    network.feature_mean.copy_(network.feature_mean + rng.normal())
    network.feature_precision.copy_(network.feature_precision + rng.normal() ** 2)
    fitted = ready(convert_network(network), threads=1)
    expected, found = (one.novelty_distances(read(one)) for one in (network, fitted))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert np.nanmax(expected) > 0


def test_threads_do_not_meet(pair) -> None:
    engine = pair[1]
    expected = [decode(engine, read(engine, range(row, row + 1))) for row in range(len(STUDIES))]
    with ThreadPoolExecutor(4) as pool:
        rows = [row for row in range(len(STUDIES)) for _ in range(6)]
        found = pool.map(lambda row: decode(engine, read(engine, range(row, row + 1))), rows)
        assert list(found) == [expected[row] for row in rows]


def test_what_cannot_be_read_is_refused_alike(pair) -> None:
    for engine in pair:
        size, long = engine.config.image_size, engine.config.prompt_tokens + 1
        square = np.zeros((1, 1, 1, size, size), np.float32)
        views, prompt = np.zeros((1, 1), np.int64), np.zeros((1, 0), np.int64)
        with pytest.raises(DataError, match="images must be"):
            engine.read_images(square[..., :-1], None, views, prompt)
        with pytest.raises(DataError, match="without an image"):
            engine.read_images(square, np.zeros((1, 1), bool), views, prompt)
        with pytest.raises(DataError, match=f"indication of {long} tokens"):
            engine.read_images(square, None, views, np.full((1, long), 5))


def test_the_self_test_finds_another_network(pair) -> None:
    """One weight of the reference moved: every kind of difference is noticed."""
    network, engine = pair
    assert not compared(network, engine).failures
    weight = network.decoder.layers[2].cross_attention.query.weight
    kept = weight.detach().clone()
    weight.data[0] *= 1.5
    found = compared(network, engine).failures
    weight.data.copy_(kept)
    assert any(each.startswith("attention") for each in found)
    assert not compared(network, engine).failures
