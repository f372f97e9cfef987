"""The settings that a stranger trains with are read, and two steps of them give a checkpoint."""

from pathlib import Path

import pytest
import torch
from parts import language_folder, vision_folder
from paths import ROOT
from prepared_folder import write_prepared
from published import radiograph

from data_prep.manifest import read_studies
from model.generator import ReportGenerator
from training.config import load_config
from training.model_settings import PretrainedModel
from training.train import run

CONFIGS = ROOT / "training" / "configs"
TINY = (
    *("batch=4", "validate_studies=2", "workers=0", 'precision="float32"', "augment=false"),
    *("steps=2", "validate_every=2"),
)
"""A step that a test can afford."""


@pytest.mark.parametrize("name", ["iu-xray.toml", "mimic-cxr.toml", "folder.toml"])
def test_the_settings_for_real_reports_give_a_checkpoint(name: str, tmp_path: Path) -> None:
    """With tiny parts in the place of those of the hub, which cannot be reached here."""
    whole = load_config(CONFIGS / name)
    assert isinstance(whole.model, PretrainedModel) and "not for diagnosis" in whole.model.notice
    assert whole.model.encoder.startswith("hf:") and whole.model.decoder.startswith("hf:")
    folder = write_prepared(tmp_path / "prepared", 8)
    (folder / "prepared.json").write_text('{"source": "folder"}')
    texts = [study.report for study in read_studies(folder)]
    vision_folder(tmp_path / "vit")
    language_folder(tmp_path / "gpt2", texts, positions=whole.model.max_tokens)
    places = (
        *(f'data="{folder}"', f'output="{tmp_path / "run"}"'),
        *(f'model.encoder="{tmp_path / "vit"}"', f'model.decoder="{tmp_path / "gpt2"}"'),
    )
    outcome = run(CONFIGS / name, [*TINY, *places])
    assert outcome.finished and torch.isfinite(torch.tensor(outcome.scores["loss"]))
    generator = ReportGenerator.load(outcome.checkpoint)
    assert generator.model.config.views == whole.model.views
    assert generator(radiograph(1, 64, 64), input_check=False).model.name == whole.model.name
