"""A checkpoint folder: what was saved comes back, and nothing else gets in."""

import errno
import hashlib
import json
import subprocess
from pathlib import Path

import pytest
import safetensors.torch
import torch
from tiny import tiny_images, tiny_model, tiny_tokenizer

from model.checkpoint import load_checkpoint, save_checkpoint
from model.checkpoint_folder import FILES, SUMS, ModelIdentity
from model.errors import CheckpointError
from model.network import ReportModel

TOKENIZER = tiny_tokenizer()
SHAPE = {"vocab_size": TOKENIZER.get_vocab_size(), "notice": "Not for diagnosis."}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "tiny", tiny_model(0, **SHAPE), TOKENIZER, {"f1": 0.5}, "# Tiny")
    return tmp_path / "tiny"


def reseal(folder: Path) -> None:
    """Write sums that fit what lies there, as someone would who changes a file on purpose."""
    lines = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in FILES]
    (folder / SUMS).write_text("".join(lines))


def edit_config(folder: Path, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    reseal(folder)


@pytest.mark.parametrize("encoder", ["vit_tiny_patch16_224", "vit_small_patch16_dinov3"])
def test_what_was_saved_comes_back_to_the_bit(tmp_path, encoder) -> None:
    model = tiny_model(3, **SHAPE, encoder=encoder)
    saved = save_checkpoint(tmp_path, model, TOKENIZER, {}, "")
    again, tokenizer, identity = load_checkpoint(tmp_path)
    digest = hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert identity == saved == ModelIdentity("tiny", digest)
    assert not again.training
    named = {**model.config.to_dict(), "architectures": ["ReportModel"]}
    assert again.config.to_dict() == named
    assert tokenizer.get_vocab() == TOKENIZER.get_vocab()
    tokens, images = torch.tensor([[1, 5, 9]]), tiny_images(0, 1)
    assert torch.equal(again(tokens, images).logits, model(tokens, images).logits)


def test_the_folder_holds_what_it_should_and_sha256sum_agrees(folder) -> None:
    assert {path.name for path in folder.iterdir()} == {*FILES, SUMS}
    assert json.loads((folder / "training.json").read_text()) == {"f1": 0.5}
    assert (folder / "README.md").read_text() == "# Tiny"
    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=folder, check=True)


def test_transformers_loads_the_folder_too(folder) -> None:
    model, _, _ = load_checkpoint(folder)
    theirs = ReportModel.from_pretrained(folder).eval()
    tokens, images = torch.tensor([[1, 5, 9]]), tiny_images(0, 1)
    assert torch.equal(theirs(tokens, images).logits, model(tokens, images).logits)


def test_saving_again_replaces_and_leaves_other_files(folder) -> None:
    (folder / "resume.safetensors").write_bytes(b"training's own")
    identity = save_checkpoint(folder, tiny_model(7, **SHAPE), TOKENIZER, {}, "")
    assert load_checkpoint(folder)[2] == identity
    assert (folder / "resume.safetensors").read_bytes() == b"training's own"


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_found_in_every_file(folder, name) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{name} is damaged.*copy the whole checkpoint"):
        load_checkpoint(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, name) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} cannot be read.*copy the whole"):
        load_checkpoint(folder)


def test_a_folder_that_is_none_is_named(tmp_path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CheckpointError, match=f"no {SUMS} in {str(folder)!r}"):
            load_checkpoint(folder)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"{'0' * 64}  ../../etc/passwd\n", r"line 6 names '\.\./\.\./etc/passwd'"),
        (f"{'0' * 64}  /etc/passwd\n", "line 6 names '/etc/passwd'"),
        (f"{'0' * 64}  pytorch_model.bin\n", r"line 6 names 'pytorch_model\.bin'"),
        (f"{'0' * 64}  config.json\n", r"line 6 names 'config\.json'"),
        ("no sum at all\n", "line 6 is not a sum and a file"),
    ],
)
def test_sums_that_speak_of_something_else_are_refused(folder, line, words) -> None:
    with (folder / SUMS).open("a") as sums:
        sums.write(line)
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(folder)


def test_sums_that_leave_a_file_out_are_refused(folder) -> None:
    lines = (folder / SUMS).read_text().splitlines(keepends=True)
    (folder / SUMS).write_text("".join(line for line in lines if "tokenizer" not in line))
    with pytest.raises(CheckpointError, match=r"no line for \['tokenizer\.json'\]"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "vision-encoder-decoder"}, "model_type 'vision-encoder-decoder'"),
        ({"heads": 5}, "heads must divide width"),
        ({"encoder": "hf-hub:someone/something"}, "no model of timm"),
        ({"encoder_arguments": {"checkpoint_path": "weights.pth"}}, "checkpoint_path"),
        ({"width": 64}, "model.safetensors does not fit config.json"),
        ({"layers": 9}, "model.safetensors does not fit config.json"),
        ({"layers": "three"}, "config.json cannot work"),
        ({"vocab_size": 1000}, "tokenizer.json has .* the config expects 1000"),
        ({"eos_token_id": 7}, "tokenizer.json has .*use the tokenizer the model was trained with"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_though_its_sum_is_right(
    folder, changes, words
) -> None:
    edit_config(folder, **changes)
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", b"[]", "config.json is no model's config"),
        ("config.json", b"<!doctype html>", "config.json is no model's config"),
        ("tokenizer.json", b"{}", "tokenizer.json is no tokenizer"),
        ("model.safetensors", b"\x80\x04pickle", "model.safetensors does not fit"),
    ],
)
def test_another_kind_of_file_is_refused_though_its_sum_is_right(
    folder, name, content, words
) -> None:
    (folder / name).write_bytes(content)
    reseal(folder)
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(folder)


def test_a_model_is_not_saved_with_anothers_tokenizer(tmp_path) -> None:
    with pytest.raises(CheckpointError, match="the config expects 17"):
        save_checkpoint(tmp_path, tiny_model(0), TOKENIZER, {}, "")
    assert not list(tmp_path.iterdir())


def test_writing_cut_short_does_not_load(folder, monkeypatch) -> None:
    def full(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "the disk is full")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="the disk is full"):
        save_checkpoint(folder, tiny_model(5, **SHAPE), TOKENIZER, {}, "")
    with pytest.raises(CheckpointError, match="cut short"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"width": 10**9, "heads": 1},
        {"layers": 10**6},
        {"max_tokens": 10**9},
        {"image_size": 10**9},
        {"encoder_arguments": {"depth": 10**7}},
        {"width": 4096, "heads": 4},
        {"image_size": 1024},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"ask_scale": float("nan")},
        {"finding_scale": float("inf")},
        {"novelty_threshold": float("inf")},
    ],
    ids=lambda change: "-".join(change),
)
def test_numbers_that_no_network_has_are_refused_before_memory_is_taken(folder, change) -> None:
    """The sums match; the weights are those of a tiny network."""
    edit_config(folder, **change)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_checkpoint(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(folder, value: float) -> None:
    path = folder / "model.safetensors"
    weights = safetensors.torch.load(path.read_bytes())
    weights["sink"][3] = value
    path.write_bytes(safetensors.torch.save(weights, metadata={"format": "pt"}))
    reseal(folder)
    with pytest.raises(CheckpointError, match=r"sink of .* is not finite"):
        load_checkpoint(folder)
