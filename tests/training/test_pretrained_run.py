"""A run of 200 steps from a small pretrained GPT-2 and ViT on phantoms: learns, loads, resumes."""

import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from parts import language_folder, vision_folder

from data_prep.manifest import read_studies
from data_prep.phantom.prepare import PhantomOptions, prepare_phantom
from model.generator import ReportGenerator
from model.imaging.read import read_image
from training.config import TrainConfig, load_config
from training.train import Training
from training.validation import validate

STEPS, STOP, MORE = 200, 100, 5
SETTINGS = f"""
steps = {STEPS}
batch = 4
workers = 0
precision = "float32"
validate_studies = 12
validate_every = {STEPS}
save_every = {STEPS}

[optimizer]
learning_rate = 3e-3
warm_up = 20
layer_decay = 0.75

[model]
name = "joined"
max_tokens = 400
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrained-run")
    phantoms = folder / "phantoms"
    prepare_phantom(phantoms, PhantomOptions(240, 5, 64), workers=1, progress=False)
    language_folder(folder / "gpt2", [s.report for s in read_studies(phantoms)], positions=400)
    vision_folder(folder / "vit")
    (folder / "run.toml").write_text(f'data = "{phantoms}"\n{SETTINGS}')
    return folder


def config(home: Path, output: Path) -> TrainConfig:
    parts = f"model.encoder={home / 'vit'}", f"model.decoder={home / 'gpt2'}"
    return load_config(home / "run.toml", [f"output={output}", *parts])


@pytest.fixture(scope="module")
def learned(home: Path) -> tuple[Training, list[dict[str, float]], Path]:
    """The finished run, its losses, and the output folder as it was after STOP steps."""
    training = Training(config(home, home / "run"))
    losses = []
    for step in training.steps():
        losses.append(step)
        if training.step == STOP:
            training.save()
            shutil.copytree(home / "run", home / "stopped")
    training.export(losses[-1])
    return training, losses, home / "stopped"


def reports(training: Training, name: str) -> Iterator[list[int]]:
    """The tokens that are to be written for each study, its end with them."""
    batches = training.setup.train_batches
    split = batches.split if name == "train" else _validate(training).split
    for study in split.studies:
        yield split.encoder.sample(study).tokens[1:].tolist()


def _validate(training: Training):
    [batches] = training.setup.validate_batches.values()
    return batches


def test_it_learns_more_than_how_frequent_words_are(learned) -> None:
    training, _, _ = learned
    counts = np.ones(training.setup.model.config.vocab_size)  # none is impossible
    for report in reports(training, "train"):
        np.add.at(counts, report, 1)
    frequency = np.log(counts / counts.sum())
    unseen = [token for report in reports(training, "validate") for token in report]
    unigram = -frequency[unseen].mean()
    averaged = training.setup.averaged
    scores = validate(averaged.model, averaged.head, _validate(training), torch.device("cpu"))
    assert scores["loss"] < unigram / 2, (scores["loss"], unigram)


def test_its_checkpoint_writes_reports_with_maps(learned, home: Path) -> None:
    training, _, _ = learned
    generator = ReportGenerator.load(home / "run" / "checkpoint")
    [study] = islice(read_studies(home / "phantoms", "validate"), 1)
    report = generator(read_image(home / "phantoms" / study.images[0].path), input_check=False)
    assert report.text.startswith("Findings:") and len(report.words) > 10
    assert report.grid == (8, 8)
    for word in report.words:
        assert word.heatmap.shape == (1, 8, 8)
        assert 0 < word.heatmap.sum() <= 1
    assert report.model.name == "joined"
    batch = _validate(training).make([0], step=0)
    network = training.setup.model.eval()
    with torch.no_grad():
        logits = [
            each.teacher_forced(batch.read_by(each), batch.tokens[:, :-1], None)[0]
            for each in (network, generator.model)
        ]
    assert torch.allclose(*logits, atol=1e-5)


def test_where_it_was_stopped_it_goes_on_exactly(learned, home: Path) -> None:
    _, losses, stopped = learned
    again = Training(config(home, stopped))
    assert again.step == STOP
    assert list(islice(again.steps(), MORE)) == losses[STOP : STOP + MORE]
