"""Imported checkpoints in OpenVINO: the same texts, maps and probabilities as in PyTorch."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from published import published, published_by_hand, radiograph
from published_llava import published_llava

from model.decoding import DecodingOptions, decode, sample_texts
from model.engine import convert
from model.engine.convert import convert_network
from model.engine.entry import SelfTestFailed
from model.engine.load import EngineOptions, load_engine
from model.engine.openvino_engine import OpenVinoEngine, ready
from model.engine.runtime import has_bfloat16
from model.engine.self_test import compared
from model.errors import ConfigError, DataError
from model.exam import encode_studies
from model.generator import ReportGenerator
from model.heatmap import token_attention
from model.imported.decoder_only import DecoderOnlyNetwork
from model.imported.export import export
from model.imported.network import ImportedNetwork
from model.interface import Engine
from model.loading import load_network, read_published

MAPS = 1e-5
LOGS = 1e-4
OPTIONS = [
    DecodingOptions(),
    DecodingOptions("beam", beams=3, max_tokens=20),
    DecodingOptions("sample", temperature=1.3, top_p=0.9, seed=4, max_tokens=20),
]
STUDIES = (1, 2, 1, 3)
"""Images of each, where the network reads more than one."""

Pair = tuple[ImportedNetwork, OpenVinoEngine]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ViT and GPT-2 as `crossray import-checkpoint` writes them."""
    made = tmp_path_factory.mktemp("vit-gpt2")
    export(read_published(published(made / "published", "vit", "gpt2")), made / "imported")
    return made / "imported"


@pytest.fixture(scope="module", params=["vit-gpt2", "vit-roberta", "cvt-bert"])
def pair(
    request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Pair:
    """A network and what it was converted to.

    The one with RoBERTa is as training joins and calibration fits one, its encoder's features
    projected to another width; that with CvT writes sections.
    """
    if request.param == "vit-gpt2":
        return network_of(folder), engine_of(folder)
    made = tmp_path_factory.mktemp(request.param)
    if request.param == "cvt-bert":
        network = network_of(published_by_hand(made, "cvt")[0])
        separator = network.config.section_token_id
        assert separator is not None
        # Likelier, or random weights would hardly write it.
        network.decoder.get_output_embeddings().bias[separator] += 3.0  # type: ignore[operator]
    else:
        network = network_of(published(made, "vit", "roberta", width=24))
        network.config.images_per_study, network.config.novelty_threshold = None, 5.0
        rng = np.random.default_rng(0)
        network.feature_mean += rng.normal()
        network.feature_precision += rng.normal() ** 2
    return network, ready(convert_network(network), threads=1)


def network_of(folder: Path) -> ImportedNetwork:
    network = load_network(folder)[0]
    assert isinstance(network, ImportedNetwork)
    return network


def engine_of(folder: Path, name: Any = "auto") -> Any:
    return load_engine(folder, EngineOptions(name, "cpu", 1)).engine


def read(engine: Engine[Any], rows: Sequence[int] = range(len(STUDIES))) -> Any:
    config = engine.config
    images = []
    for row in rows:
        count = STUDIES[row] if config.images_per_study is None else 1
        radiographs = [radiograph(10 * row + number, 80, 64).pixels for number in range(count)]
        images.append([engine.place(80, 64).apply(pixels) for pixels in radiographs])
    kinds = [[0] * len(of_study) for of_study in images]
    return encode_studies(engine, images, kinds, [[] for _ in rows])


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options.strategy)
def test_the_same_texts_in_a_batch_and_alone(pair: Pair, options: DecodingOptions) -> None:
    network, engine = pair
    texts = decode(network, read(network), options)
    assert decode(engine, read(engine), options) == texts
    assert [decode(engine, read(engine, [row]), options)[0] for row in range(4)] == texts
    assert len({tuple(text) for text in texts}) > 1


def test_the_same_maps_and_evidence(pair: Pair) -> None:
    network, engine = pair
    memories = read(network), read(engine)
    texts = decode(network, memories[0])
    expected, found = (token_attention(*both, texts) for both in zip(pair, memories, strict=True))
    alone = [token_attention(engine, read(engine, [row]), [texts[row]])[0] for row in range(4)]
    for reference, *others in zip(expected, found, alone, strict=True):
        for own in others:
            np.testing.assert_allclose(own.attention, reference.attention, atol=MAPS)
            for kind in ("log_probabilities", "prior_log_probabilities"):
                np.testing.assert_allclose(getattr(own, kind), getattr(reference, kind), atol=LOGS)
    assert engine.prefix == network.prefix and engine.grid == network.grid


def test_the_same_samples_and_novelty(pair: Pair) -> None:
    network = pair[0]
    options = DecodingOptions("sample", temperature=0.8, seed=3, max_tokens=12)
    expected, found = (sample_texts(one, read(one), 3, options) for one in pair)
    assert found == expected
    distances, own = (one.novelty_distances(read(one)) for one in pair)
    np.testing.assert_allclose(own, distances, rtol=1e-4)
    known = network.config.novelty_threshold > 0
    assert np.isfinite(own[:, 0]).all() == known


@pytest.mark.parametrize("pair", ["cvt-bert"], indirect=True)
def test_sections_have_types_of_their_own(pair: Pair) -> None:
    """On either side of the separator, step by step and in one pass."""
    network, engine = pair
    separator = network.config.section_token_id
    assert separator is not None
    texts = decode(network, read(network))
    assert any(separator in text[:-1] for text in texts)
    wrong = network.config.eos_token_id
    engine.config.section_token_id = wrong
    assert compared(network, engine).failures, "types count"
    engine.config.section_token_id = separator


def test_the_self_test_finds_another_network(pair: Pair) -> None:
    network, engine = pair
    weights = dict(network.decoder.named_parameters())
    name = next(name for name in weights if "crossattention" in name and name.endswith("weight"))
    kept = weights[name].detach().clone()
    weights[name].data *= 1.5
    found = compared(network, engine).failures
    weights[name].data.copy_(kept)
    assert any(each.startswith("attention") for each in found)
    assert not compared(network, engine).failures


def test_what_cannot_be_read_is_refused_alike(pair: Pair) -> None:
    for engine in pair:
        size, views = engine.config.image_size, np.zeros((1, 2), np.int64)
        images = np.zeros((1, 2, 3, size, size), np.float32)
        with pytest.raises(DataError, match="reads no indication"):
            engine.read_images(images[:, :1], None, views[:, :1], np.full((1, 3), 5))
        if engine.config.images_per_study == 1:
            with pytest.raises(DataError, match="reads one image a study"):
                engine.read_images(images, None, views, np.zeros((1, 0), np.int64))


def test_it_is_converted_once_and_gives_pytorchs_report(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(network: object, precision: str) -> None:
        raise AssertionError("converted again")

    engine_of(folder)
    monkeypatch.setattr(convert, "convert_network", never)
    image = radiograph(1)
    expected = ReportGenerator.load(folder)(image, input_check=False)
    generator = ReportGenerator.load(folder, engine="openvino", threads=1)
    assert isinstance(generator.model, OpenVinoEngine)
    report = generator(image, input_check=False)
    assert (report.text, report.grid, report.model) == (
        expected.text,
        expected.grid,
        expected.model,
    )
    assert report.placements == expected.placements
    for own, word in zip(report.words, expected.words, strict=True):
        np.testing.assert_allclose(own.heatmap, word.heatmap, atol=MAPS)
        assert own.probability == pytest.approx(word.probability, abs=1e-4)
        assert own.evidence == pytest.approx(word.evidence, abs=1e-3)


def test_what_is_not_computed_right_is_pytorchs(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def wrong(network: ImportedNetwork, precision: str) -> None:
        raise SelfTestFailed("OpenVINO does not compute what PyTorch does: attention 0.5")

    monkeypatch.setenv("CROSSRAY_CACHE", str(tmp_path))
    monkeypatch.setattr(convert, "convert_network", wrong)
    with caplog.at_level(logging.WARNING, "crossray"):
        assert isinstance(engine_of(folder), ImportedNetwork)
    assert "attention 0.5: PyTorch computes instead" in caplog.text
    assert not list(tmp_path.rglob("decoder.bin"))
    with pytest.raises(ConfigError, match=r"attention 0\.5, found before .*; use --engine auto"):
        engine_of(folder, "openvino")


def test_decoder_only_models_are_pytorchs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    published_llava(tmp_path, "clip", "llama")
    with caplog.at_level(logging.INFO, "crossray"):
        assert isinstance(engine_of(tmp_path), DecoderOnlyNetwork)
    assert "PyTorch computes: a decoder-only model is not converted" in caplog.text
    with pytest.raises(ConfigError, match="shares of self-attention"):
        engine_of(tmp_path, "openvino")


@pytest.mark.skipif(not has_bfloat16(), reason="this processor has no bfloat16")
def test_bfloat16_is_near_and_reports(folder: Path) -> None:
    entry = convert_network(network_of(folder), "bf16")
    test = entry.self_test
    assert 0 < test["divergence"] <= test["allowed_divergence"] and test["attention"] < 0.05
    engine = ready(entry, threads=1)
    memory = read(engine, [2, 1])
    for one in (memory, engine.without_images(memory)):
        reading = engine.read_texts(one, decode(engine, memory), True)
        assert reading.attention is not None
        assert np.isfinite(reading.log_probabilities).all()
        np.testing.assert_allclose(reading.attention.sum(axis=-1), 1, atol=0.02)
