"""What a new model's encoder starts with: drawn, timm's, or a file's weights."""

from pathlib import Path

import pytest
import timm
import torch
from prepared_folder import write_prepared
from safetensors.torch import load_file, save_file

from model.checkpoint import load_checkpoint
from model.config import ReportConfig
from model.errors import ConfigError
from training.config import LossConfig, TrainConfig
from training.initialization import first_model
from training.train import Training

NAME = "vit_tiny_patch16_224"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("initial") / "prepared", 8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As somebody's training left them: color images of 224 pixels, a head of 1000 classes."""
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("timm") / "vit.safetensors"
    save_file(timm.create_model(NAME).state_dict(), path)
    return path


def _config(data: Path, pretrained: str, **model: object) -> TrainConfig:
    shape = {"image_size": 64, "width": 48, "heads": 3, "max_tokens": 40, **model}
    return TrainConfig(
        data=str(data), output="unused", pretrained=pretrained, model=ReportConfig(**shape)
    )


def test_a_files_weights_are_adapted_to_gray_images_of_another_size(
    data: Path, weights: Path
) -> None:
    theirs = timm.create_model(NAME, checkpoint_path=str(weights)).state_dict()
    model, _ = first_model(_config(data, str(weights)))
    own = model.encoder.trunk.state_dict()
    inner = [name for name in own if name.startswith("blocks.")]
    assert len(inner) > 100 and all(torch.equal(own[name], theirs[name]) for name in inner)
    assert torch.allclose(
        own["patch_embed.proj.weight"][:, 0], theirs["patch_embed.proj.weight"].sum(1), atol=1e-6
    )
    assert own["pos_embed"].shape[1] == 1 + 4 * 4
    drawn, _ = first_model(_config(data, ""))
    matrix = "blocks.0.attn.qkv.weight"
    assert not torch.equal(drawn.encoder.trunk.state_dict()[matrix], own[matrix])


def test_weights_that_cannot_be_had_are_named(
    data: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="no such safetensors file"):
        first_model(_config(data, str(tmp_path / "elsewhere.safetensors")))
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"<html>")
    with pytest.raises(ConfigError, match="cannot be had"):
        first_model(_config(data, str(broken)))
    with pytest.raises(ConfigError, match=r"in the shape that .* leave its own shape"):
        first_model(_config(data, str(weights), encoder_arguments={"embed_dim": 96}))
    # One that timm would pass over, leaving drawn weights behind.
    with pytest.raises(ConfigError, match=r"lack 24 tensors .*blocks\.12"):
        first_model(_config(data, str(weights), encoder_arguments={"depth": 14}))
    named = tmp_path / "named.safetensors"
    save_file({f"encoder.{n}": t for n, t in load_file(weights).items()}, named)
    with pytest.raises(ConfigError, match="lack 150 tensors"):
        first_model(_config(data, str(named)))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="pretrained = 'timm' cannot be had"):
        first_model(_config(data, "timm"))


def test_two_sources_of_weights_are_one_too_many(data: Path) -> None:
    with pytest.raises(ConfigError, match="leave one out"):
        TrainConfig(data=str(data), output="unused", pretrained="timm", initial="model/default")


def test_behind_a_stem_the_layers_are_the_files(data: Path, weights: Path) -> None:
    shape = {"stem": "regnetx_002", "encoder_arguments": {"patch_size": 1}}
    model, _ = first_model(_config(data, str(weights), **shape))
    theirs = load_file(weights)
    own = model.encoder.trunk.state_dict()
    assert torch.equal(own["blocks.3.mlp.fc1.weight"], theirs["blocks.3.mlp.fc1.weight"])


def test_a_run_that_goes_on_does_not_ask_for_the_weights_again(
    data: Path, weights: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(weights.read_bytes())
    config = _config(data, str(copy), layers=3, heads=3).changed(
        output=str(tmp_path / "run"),
        steps=2,
        batch=2,
        workers=0,
        validate_studies=2,
        precision="float32",
    )
    first = Training(config)
    assert first.setup.initial is not None
    assert [len(digest) for digest in first.setup.initial["sha256"].values()] == [64]
    first.save()
    copy.unlink()
    again = Training(config)
    matrix = "encoder.trunk.blocks.0.attn.qkv.weight"
    again._resume()
    assert torch.equal(again.setup.model.state_dict()[matrix], load_file(weights)[matrix[14:]])


def test_a_model_without_prompts_goes_on_from_one_with_them(
    data: Path, seeing_checkpoint: Path
) -> None:
    earlier, _, _ = load_checkpoint(seeing_checkpoint)
    shape = {"layers": 1, "heads": 2, "encoder_arguments": dict(earlier.config.encoder_arguments)}
    config = TrainConfig(
        data=str(data),
        output="unused",
        initial=str(seeing_checkpoint),
        model=ReportConfig(image_size=64, width=48, max_tokens=earlier.config.max_tokens, **shape),
        losses=LossConfig(search=0),
    )
    model, _ = first_model(config)
    assert model.config.prompt_tokens == 0 < earlier.config.prompt_tokens
    kept, there = model.state_dict(), earlier.state_dict()
    kept.pop("views.weight")  # of views that neither has seen
    assert all(torch.equal(kept[name], there[name]) for name in kept)


def test_a_view_that_no_study_has_is_warned_of(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = _config(data, "", layers=3, views=["frontal", "lateral"], prompt_tokens=4).changed(
        output=str(tmp_path / "run"),
        workers=0,
        precision="float32",
    )
    Training(config)
    told = [record.getMessage() for record in caplog.records if "no train study" in record.msg]
    assert [message.split(":")[0] for message in told] == [
        "no train study has lateral images",
        "no train study has indications",
    ]
