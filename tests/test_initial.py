"""What a new model's encoder starts with: drawn, timm's, or a file's weights."""

from pathlib import Path

import pytest
import timm
import torch
from prepared_folder import write_prepared
from safetensors.torch import save_file

from model.errors import ConfigError
from training.config import ModelConfig, TrainConfig
from training.initial import first_model

NAME = "vit_tiny_patch16_224"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("initial") / "prepared", 8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As somebody's training left them: colour pictures of 224 pixels, a head of 1000 classes."""
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("timm") / "vit.safetensors"
    save_file(timm.create_model(NAME).state_dict(), path)
    return path


def _config(data: Path, pretrained: str, **model: object) -> TrainConfig:
    shape = {"image_size": 64, "width": 48, "heads": 3, "max_tokens": 40, **model}
    return TrainConfig(
        data=str(data), output="unused", pretrained=pretrained, model=ModelConfig(**shape)
    )


def test_a_files_weights_are_adapted_to_gray_pictures_of_another_size(
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
    with pytest.raises(ConfigError, match="timm cannot make the encoder"):
        first_model(_config(data, str(weights), encoder_arguments={"embed_dim": 96}))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="pretrained = 'timm' cannot be had"):
        first_model(_config(data, "timm"))


def test_two_sources_of_weights_are_one_too_many(data: Path) -> None:
    with pytest.raises(ConfigError, match="leave one out"):
        TrainConfig(data=str(data), output="unused", pretrained="timm", initial="model/default")
