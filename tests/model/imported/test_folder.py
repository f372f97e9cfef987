"""What of a published folder is read, what is refused and why, and the same after its export."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from published import (
    SIZE,
    TEXTS,
    published,
    published_by_hand,
    radiograph,
    rewritten,
    square_of,
    tokenizer_of,
)
from transformers import AutoImageProcessor

from model.errors import CheckpointError
from model.generator import ReportGenerator
from model.heatmap import _token_spans
from model.imported.export import export
from model.imported.folder import read_hugging_face
from model.imported.hub import fetch
from model.loading import load_network, read_published


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(tmp_path_factory.mktemp("published") / "vit-gpt2", "vit", "gpt2")


@pytest.fixture
def copy(vit: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(vit, tmp_path / "copy"))


def refused(folder: Path | str, words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        load_network(folder)


def test_its_card_speaks_in_the_notice(vit: Path) -> None:
    generator = ReportGenerator.load(vit)
    assert "trained on an-archive/of-chests, license mit" in generator.notice
    assert "not for diagnosis" in generator.notice
    assert generator.identity.name == "vit-gpt2"


def test_no_state_and_no_novelty_is_claimed(vit: Path) -> None:
    report = ReportGenerator.load(vit)(radiograph(2), input_check=False)
    assert {word.state for word in report.words} == {"unknown"}
    assert {span.state for span in report.sentences} <= {"unknown", "not grounded"}
    assert "out_of_distribution" not in {w.code for image in report.warnings for w in image}
    assert report.grid == (4, 4)
    for word in report.words:
        assert 0 < word.heatmap.sum() < 1
        assert 0 < word.probability <= 1


@pytest.mark.parametrize("kind", ["gpt2", "bert", "roberta"])
def test_tokens_cover_the_characters_they_decode_to(kind: str) -> None:
    """Also of WordPiece, whose tokens decoded alone lose the space or the ## before them."""
    tokenizer = tokenizer_of(kind).backend_tokenizer
    for sentence in TEXTS:
        tokens = tokenizer.encode(sentence, add_special_tokens=False).ids
        text = tokenizer.decode(tokens)
        starts, ends = _token_spans(tokenizer, tokens)
        assert (starts[0], ends[-1]) == (0, len(text))
        assert (starts[1:] == ends[:-1]).all()
        for token, start, end in zip(tokens, starts, ends, strict=True):
            own = tokenizer.decode([token]).removeprefix("##").strip()
            assert text[start:end].strip() == own


@pytest.mark.parametrize("shape", [(50, 70), (90, 40), (32, 32)])
@pytest.mark.parametrize("processor", ["stretch", "crop", "nearest"])
def test_images_are_processed_as_its_processor_does(copy: Path, shape, processor) -> None:
    if processor == "crop":
        square_of(copy)
    if processor == "nearest":
        rewritten(copy, "preprocessor_config.json", resample=0)
    network = load_network(copy)[0]
    smooth = np.add.outer(np.linspace(0, 150, shape[0]), np.linspace(0, 100, shape[1]))
    gray = smooth.astype(np.uint8)
    theirs = AutoImageProcessor.from_pretrained(copy)(
        np.repeat(gray[:, :, None], 3, axis=2), return_tensors="pt"
    ).pixel_values[0]
    ours = network.place(*shape).apply(gray.astype(np.float32) / 255)
    assert ours.shape == theirs.shape == (3, SIZE, SIZE)
    # They round to whole steps of 255 after resizing.
    step = 1 / 255 / min(network.config.processing.std)
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1.01 * step)


def test_convnext_crops_as_its_processor_does(tmp_path: Path) -> None:
    folder, _ = published_by_hand(tmp_path, "convnext")
    network = load_network(folder)[0]
    gray = np.add.outer(np.linspace(0, 150, 60), np.linspace(0, 100, 45)).astype(np.uint8)
    theirs = AutoImageProcessor.from_pretrained(folder)(
        np.repeat(gray[:, :, None], 3, axis=2), return_tensors="pt"
    ).pixel_values[0]
    ours = network.place(60, 45).apply(gray.astype(np.float32) / 255)
    step = 1 / 255 / min(network.config.processing.std)
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1.01 * step)


@pytest.mark.parametrize("processor", ["stretch", "crop"])
def test_maps_come_back_to_where_the_pixels_were(copy: Path, processor: str) -> None:
    """A bright square put through the processor lies in the patch that its map is brought from."""
    if processor == "crop":
        square_of(copy)
    network = load_network(copy)[0]
    height, width = 80, 64
    placement = network.place(height, width)
    pixels = np.zeros((height, width), np.float32)
    pixels[44:52, 20:28] = 1.0
    seen = placement.apply(pixels)[0]
    patches = (seen - seen.min()).reshape(4, 8, 4, 8).mean(axis=(1, 3))
    restored = placement.restore(patches / patches.sum())
    row, column = np.unravel_index(restored.argmax(), restored.shape)
    left, _, across, down = placement.extent()
    assert abs(row - 48) <= down / 4
    assert abs(column - 24) <= across / 4
    assert (left > 0) == (processor == "crop")


def test_an_exported_folder_gives_the_same_report(vit: Path, tmp_path: Path) -> None:
    before = ReportGenerator.load(vit)
    identity = export(read_published(vit), tmp_path / "out")
    after = ReportGenerator.load(tmp_path / "out")
    assert after.identity == identity
    assert after.notice == before.notice
    one, other = (each(radiograph(1), input_check=False) for each in (before, after))
    assert one.text == other.text
    for ours, theirs in zip(one.words, other.words, strict=True):
        assert (ours.heatmap == theirs.heatmap).all()
        assert ours.evidence == theirs.evidence
    card = (tmp_path / "out" / "README.md").read_text()
    assert "# A tiny one" in card
    weights = tmp_path / "out" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    refused(tmp_path / "out", "model.safetensors is damaged")


def test_a_crossray_checkpoint_is_not_imported(vit: Path, tmp_path: Path) -> None:
    export(read_published(vit), tmp_path / "out")
    with pytest.raises(CheckpointError, match="a CrossRay checkpoint already"):
        read_published(tmp_path / "out")


def test_no_folder(tmp_path: Path) -> None:
    refused(tmp_path / "absent", "there is no folder .*absent")


def test_a_file(vit: Path) -> None:
    refused(vit / "config.json", "is a file: give the checkpoint folder")


def test_an_empty_folder(tmp_path: Path) -> None:
    refused(tmp_path, "is no checkpoint folder: neither SHA256SUMS")


def test_a_training_output(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    copy.rename(tmp_path / "run" / "checkpoint")
    refused(tmp_path / "run", "output of a training run: its checkpoint is .*run/checkpoint")


def test_a_crossray_folder_cut_short(copy: Path) -> None:
    refused(rewritten(copy, "config.json", model_type="crossray"), "no SHA256SUMS .* cut short")


def test_a_decoder_only_model(copy: Path) -> None:
    architectures = ["Qwen2VLForConditionalGeneration"]
    rewritten(copy, "config.json", model_type="qwen2_vl", architectures=architectures)
    refused(copy, "'qwen2_vl' .*decoder-only.*CrossRay reads 'vision-encoder-decoder'")


def test_an_encoder_alone(copy: Path) -> None:
    rewritten(copy, "config.json", model_type="dinov2", architectures=["Dinov2Model"])
    refused(copy, "'dinov2' .*no report generator")


def test_an_encoder_that_is_not_read(copy: Path) -> None:
    refused(rewritten(copy, "config.json", encoder={"model_type": "donut-swin"}), "'donut-swin'")


def test_weights_as_pickles(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    refused(copy, "'pytorch_model.bin', a format that can run code .*safetensors only")


def test_weights_that_are_missing(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    refused(copy, "no weights: neither model.safetensors")


def test_a_processor_that_is_missing(copy: Path) -> None:
    (copy / "preprocessor_config.json").unlink()
    refused(copy, "no image processor: none of preprocessor_config.json")


def test_a_tokenizer_that_is_missing(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    refused(copy, "no tokenizer: none of tokenizer.json")


def test_weights_of_another_shape(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    rewritten(copy, "config.json", decoder=config["decoder"] | {"n_layer": 4})
    refused(copy, "weights of the decoder are missing, first 'transformer.h.3")


def test_a_processor_of_another_size(copy: Path) -> None:
    """As after training at another size: the positions are interpolated."""
    assert load_network(copy)[0].grid == (4, 4)
    rewritten(copy, "preprocessor_config.json", size={"height": 64, "width": 64})
    assert load_network(copy)[0].grid == (8, 8)
    rewritten(copy, "preprocessor_config.json", size={"height": 4, "width": 4})
    refused(copy, "4 x 4")


def test_code_in_the_folder_is_never_run(copy: Path) -> None:
    (copy / "evil.py").write_text("raise SystemExit('run')\n")
    code = {"AutoModel": "evil.Model", "AutoConfig": "evil.Config", "AutoImageProcessor": "evil.P"}
    rewritten(copy, "config.json", auto_map=code)
    rewritten(copy, "preprocessor_config.json", auto_map=code)
    assert load_network(copy)[0].grid == (4, 4)


def test_a_start_token_that_is_missing(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    for values in (config, config["decoder"]):
        for name in ("decoder_start_token_id", "bos_token_id"):
            values.pop(name, None)
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "generation_config.json").write_text("{}")
    refused(copy, "has a decoder_start_token_id")


def test_sharded_weights(copy: Path, vit: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    halves = sorted(weights)[::2], sorted(weights)[1::2]
    names = [f"model-0000{k}-of-00002.safetensors" for k in (1, 2)]
    for name, keys in zip(names, halves, strict=True):
        save_file({key: weights[key] for key in keys}, copy / name, metadata={"format": "pt"})
    where = {key: name for name, keys in zip(names, halves, strict=True) for key in keys}
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    (copy / "model.safetensors").unlink()
    whole, sharded = (ReportGenerator.load(folder) for folder in (vit, copy))
    reports = [each(radiograph(3), input_check=False).text for each in (whole, sharded)]
    assert reports[0] == reports[1]
    rewritten(copy, "model.safetensors.index.json", weight_map={"a": "../model.safetensors"})
    refused(copy, "names '../model.safetensors', which is not a file beside it")


def test_offline_the_hub_is_not_waited_for(monkeypatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    refused("hf:owner/name", "not in the cache, and the hub cannot be reached")
    refused("hf:owner", "not of the form hf:owner/name")


def test_what_the_hub_cached_is_read_offline_and_pinned(monkeypatch, vit, tmp_path: Path) -> None:
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "models--owner--name"
    shutil.copytree(vit, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    folder, origin = fetch("owner/name")
    assert origin == f"owner/name@{commit}"
    assert read_hugging_face(folder, origin).config.name == "owner/name"
