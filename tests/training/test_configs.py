"""The settings that a stranger trains with are read, and a step of them runs on tiny data."""

from pathlib import Path

import pytest
import torch
from paths import ROOT
from prepared_folder import SIZE, write_prepared

from training.config import load_config
from training.train import Training

CONFIGS = ROOT / "training" / "configs"
TINY = (
    *('pretrained=""', "batch=4", "validate_studies=2", "workers=0", 'precision="float32"'),
    *("model.encoder_arguments={ depth = 1, embed_dim = 48, num_heads = 3, patch_size = 16 }",),
    *(f"model.image_size={SIZE}", "model.width=48", "model.layers=3", "model.heads=3"),
    *("augment=false", "steps=1"),
)
"""A net and a step that a test can afford; there is no network to fetch weights from."""


@pytest.mark.parametrize("name", ["iu-xray.toml", "mimic-cxr.toml", "folder.toml"])
def test_a_step_of_the_settings_for_real_reports(name: str, tmp_path: Path) -> None:
    whole = load_config(CONFIGS / name)
    assert whole.pretrained == "timm" and "not for diagnosis" in whole.model.notice
    folder = write_prepared(tmp_path / "prepared", 8)
    (folder / "prepared.json").write_text('{"source": "folder"}')
    places = (f'data="{folder}"', f'output="{tmp_path / "run"}"')
    training = Training(load_config(CONFIGS / name, (*TINY, *places)))
    [losses] = training.steps()
    assert {"tokens", "presence"} <= losses.keys() and "dense" not in losses
    assert torch.isfinite(torch.tensor(list(losses.values()))).all()
