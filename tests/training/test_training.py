"""Training learns from the image, looks where it is told, and goes on as if never stopped."""

import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from paths import ROOT
from prepared_folder import SIZE, write_prepared, write_settings
from torch import Tensor

from model.checkpoint import load_checkpoint
from model.errors import CheckpointError, ConfigError
from training.config import TrainConfig, load_config
from training.dataset.batches import Batch
from training.losses import (
    attention_targets,
    dense_loss,
    dense_targets,
    guidance_loss,
    guided,
    inside,
    presence_loss,
    searching,
    sink_loss,
    token_loss,
)
from training.train import Training, run
from training.validation import pointing


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("blobs"))


@pytest.fixture
def settings(tmp_path: Path, prepared: Path) -> Path:
    return write_settings(
        tmp_path, prepared, steps=8, workers=0, validate_every=100, save_every=100, depth=1
    )


def config(settings: Path, *overrides: str) -> TrainConfig:
    return load_config(settings, overrides)


def test_the_right_images_explain_the_reports_better_than_others_do(settings: Path) -> None:
    training = Training(config(settings, "steps=90", "batch=16", "augment=false"))
    losses = list(training.steps())
    assert losses[-1]["tokens"] < losses[0]["tokens"] / 4
    training.setup.model.eval()
    [batches] = training.setup.validate_batches.values()
    batch = batches.make(range(len(batches.split)), step=0)
    sides = batch.tokens.unique(dim=0, return_inverse=True)[1]
    squares = training.setup.model.normalize(batch.images / 255)
    # Every study gets the image of one that reads differently.
    others = [int((sides != side).nonzero()[0]) for side in sides]
    with torch.no_grad():
        right, wrong = (
            float(
                token_loss(
                    training.setup.model(batch.tokens[:, :-1], images=images).logits,
                    batch.tokens[:, 1:],
                    batches.split.pad,
                    0.0,
                )
            )
            for images in (squares, squares[others])
        )
    assert right < wrong / 2


def looked(settings: TrainConfig) -> tuple[Training, Batch, tuple[Tensor, ...]]:
    """A short training, some studies it has not seen, and where it looks on them."""
    training = Training(settings.changed(steps=45, batch=16, augment=False))
    list(training.steps())
    training.setup.model.eval()
    batch = next(iter(training.setup.validate_batches.values())).make(range(10), step=0)
    with torch.no_grad():
        output = training.setup.model(
            batch.tokens[:, :-1],
            images=training.setup.model.normalize(batch.images / 255),
            output_attentions=True,
        )
    return training, batch, output.cross_attentions


def test_where_what_has_no_box_may_be_there_nothing_teaches_that_it_is_not(
    settings: Path, prepared: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "imported"
    shutil.copytree(prepared, folder)
    whole = next(Training(config(settings, "steps=1")).steps())
    assert {"sink", "dense", "presence"} <= whole.keys()
    (folder / "prepared.json").write_text(json.dumps({"source": "mimic-cxr"}))
    asked = (f'data="{folder}"', f'output="{tmp_path / "other"}"', "steps=1")
    part = next(Training(config(settings, *asked)).steps())
    assert {"sink", "dense"}.isdisjoint(part) and part["guidance"] > 0 < part["presence"]


def test_guidance_makes_the_decoder_look_at_the_finding(settings: Path) -> None:
    scores = {}
    for weight in ("0.0", "0.3"):
        asked = (f"losses.guidance={weight}", f"output={settings.parent / weight}")
        training, batch, attentions = looked(config(settings, *asked))
        attention = guided(attentions)
        area = attention_targets(batch.coverage, training.setup.model.grid)
        scores[weight] = float(guidance_loss(attention, batch.mentions, area))
        assert training.setup.model.config.attention_guidance == float(weight)
    assert scores["0.3"] < scores["0.0"] / 2


def test_a_run_that_was_stopped_goes_on_exactly(settings: Path, tmp_path: Path) -> None:
    whole = list(Training(config(settings)).steps())
    part = Training(config(settings, f"output={tmp_path / 'stopped'}"))
    steps = part.steps()
    first = [next(steps) for _ in range(3)]
    part.save()
    torch.rand(7)  # whatever else has drawn since must not matter
    again = Training(config(settings, f"output={tmp_path / 'stopped'}", "workers=1"))
    assert again.step == 3
    assert first + list(again.steps()) == whole


def test_a_run_goes_on_only_with_its_own_settings(settings: Path) -> None:
    Training(config(settings)).save()
    with pytest.raises(CheckpointError, match="another optimizer"):
        Training(config(settings, "optimizer.learning_rate=0.1"))
    assert Training(config(settings, "save_every=3")).step == 0
    (settings.parent / "run" / "resume.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="remove it to start anew"):
        Training(config(settings))


def test_sigterm_stops_between_steps_and_the_same_command_finishes(settings: Path) -> None:
    snapshot = settings.parent / "run" / "resume.safetensors"
    overrides = ["steps=100000", "save_every=1", "workers=1"]

    def terminate() -> None:
        while not snapshot.is_file():  # written only once the handler is in place
            time.sleep(0.01)
        for worker in multiprocessing.active_children():  # a whole group may be signalled
            os.kill(worker.pid or 0, signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=terminate)
    thread.start()
    outcome = run(settings, overrides)
    thread.join()
    assert not outcome.finished
    assert outcome.step < 100_000
    assert Training(config(settings, *overrides)).step == outcome.step
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_the_checkpoint_loads_and_says_how_it_came_to_be(settings: Path, prepared: Path) -> None:
    outcome = run(settings, ["steps=4", "validate_every=2", "precision=bf16"])
    assert outcome.finished
    model, tokenizer, _ = load_checkpoint(outcome.checkpoint)
    assert model.config.attention_guidance == 0.3
    assert tokenizer.get_vocab_size() == model.config.vocab_size
    record = json.loads((outcome.checkpoint / "training.json").read_text())
    manifest = json.loads((prepared / "prepared.json").read_text())["manifest_sha256"]
    assert record["data"]["manifest_sha256"] == manifest
    assert record["settings"]["optimizer"]["learning_rate"] == 3e-3
    assert [scores["step"] for scores in record["validation"]] == [2, 4]
    assert record["step"] == 4
    card = (outcome.checkpoint / "README.md").read_text()
    assert "Not for diagnosis" in card
    assert "Apache-2.0" in card
    assert list((settings.parent / "run" / "tensorboard").iterdir())


def test_larger_images_can_start_from_the_weights_of_smaller_ones(
    settings: Path, tmp_path: Path
) -> None:
    first = run(settings, ["steps=2"])
    overrides = [f"initial={first.checkpoint}", f"output={tmp_path / 'larger'}"]
    same = Training(config(settings, *overrides))
    for name, weight in load_checkpoint(first.checkpoint)[0].state_dict().items():
        assert torch.equal(weight, same.setup.model.state_dict()[name])
    larger = Training(config(settings, *overrides, f"model.image_size={2 * SIZE}"))
    assert larger.setup.model.grid == (16, 16)
    assert torch.isfinite(torch.tensor([step["tokens"] for step in larger.steps()])).all()
    with pytest.raises(ConfigError, match="do not fit"):
        Training(config(settings, *overrides, "model.layers=4"))


def test_guidance_reads_the_row_that_chose_the_token() -> None:
    """labels[1] speaks of patch 2. Row 1 chose it, whatever rows 0 and 2 look at."""
    attention = torch.full((1, 3, 1 + 4), 0.0)
    attention[..., 0, 1] = attention[..., 1, 3] = attention[..., 2, 4] = 1.0
    mentions = torch.tensor([[[0.0], [1.0], [0.0]]])
    coverage = torch.tensor([[[0.0, 0.0, 0.5, 0.0]]])
    assert guidance_loss(attention, mentions, coverage) == pytest.approx(0.0, abs=1e-6)
    assert pointing(attention, mentions, coverage) == (1, 1)
    late = attention.roll(1, dims=1)  # as if each row were read one position too late
    assert guidance_loss(late, mentions, coverage) > 5
    assert pointing(late, mentions, coverage) == (0, 1)


def test_what_falls_on_the_sink_is_missing_from_the_finding_and_right_for_other_words() -> None:
    attention = torch.tensor([0.5, 0.25, 0.25, 0.0, 0.0]).expand(1, 2, 5)
    mentions = torch.tensor([[[1.0], [0.0]]])
    area = torch.tensor([[[1.0, 1.0, 0.0, 0.0]]])
    half = torch.tensor(0.5).log().neg().item()
    assert guidance_loss(attention, mentions, area) == pytest.approx(half)
    assert sink_loss(attention, ~mentions.any(-1)) == pytest.approx(half)
    assert sink_loss(attention, torch.zeros(1, 2, dtype=torch.bool)) == 0


def test_a_map_should_cover_the_finding_and_less_strongly_its_box() -> None:
    diagonal = torch.diag(torch.tensor([0.4, 0.4, 0.0])).flatten()[None, None]
    wanted = attention_targets(diagonal, (3, 3))[0, 0].reshape(3, 3)
    assert wanted.tolist() == [[1.5, 0.5, 0.0], [0.5, 1.5, 0.0], [0.0, 0.0, 0.0]]


def test_the_guided_layers_are_the_late_ones() -> None:
    layers = tuple(torch.full((1, 1, 1, 1), float(i)) for i in range(3))
    assert guided(layers).item() == 1.5


def test_the_first_layers_search_for_the_finding_before_it_is_named(settings: Path) -> None:
    layers = tuple(torch.full((1, 1, 1, 1), float(i)) for i in range(3))
    assert searching(layers).item() == 0.0 and searching(layers[:2]) is None
    scores = {}
    for weight in ("0.0", "0.3"):
        asked = (f"losses.search={weight}", f"output={settings.parent / weight}")
        _, batch, attentions = looked(config(settings, *asked))
        early = searching(attentions)
        scores[weight] = float(guidance_loss(early, batch.leads, batch.coverage))
    assert scores["0.3"] < scores["0.0"] / 2


def test_a_search_without_layers_to_search_with_is_refused(settings: Path) -> None:
    with pytest.raises(ConfigError, match=r"losses\.search = 0"):
        config(settings, "model.layers=2")
    assert config(settings, "model.layers=2", "losses.search=0").losses.search == 0


def test_a_finding_out_of_the_image_guides_nothing() -> None:
    attention = torch.full((1, 2, 1 + 4), 0.2)
    mentions = torch.ones(1, 2, 1)
    assert guidance_loss(attention, mentions, torch.zeros(1, 1, 4)) == 0
    seen = guidance_loss(attention, mentions, torch.tensor([[[0.0, 0.0, 0.1, 0.0]]]))
    assert seen == pytest.approx(-torch.tensor(0.2).log().item())


def test_thin_findings_are_wholly_inside_the_patches_they_cross() -> None:
    thin = torch.tensor([0.0, 0.1, 0.08, 0.02])
    assert inside(thin).tolist() == pytest.approx([0.0, 1.0, 1.0, 0.4])
    assert inside(torch.zeros(4)).tolist() == [0.0] * 4


def test_dense_targets_join_the_findings_of_a_kind() -> None:
    coverage = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]])
    kinds = torch.tensor([[2, 2, -1]])
    targets = dense_targets(coverage, kinds, 4)
    assert targets.tolist() == [[[0, 0, 1, 0], [0, 0, 1, 0]]]


def test_one_certain_patch_is_enough_for_presence() -> None:
    logits = torch.full((1, 9, 2), -12.0)
    logits[0, 4, 1] = 8.0
    everywhere, known = torch.ones(1, 9, dtype=torch.bool), torch.ones(1, 2)
    assert presence_loss(logits, torch.tensor([[0.0, 1.0]]), known, everywhere) < 0.01
    assert presence_loss(logits, torch.tensor([[1.0, 0.0]]), known, everywhere) > 5
    # What is not known is not learned.
    known[0, 1] = 0
    assert presence_loss(logits, torch.tensor([[0.0, 0.0]]), known, everywhere) < 0.01


def test_patches_of_absent_images_do_not_count() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 9, 3), torch.rand(2, 9, 3)
    there = torch.arange(9).expand(2, 9) < torch.tensor([[9], [4]])
    targets[~there] = 0
    both = [dense_loss(logits[k:, :n], targets[k:, :n], there[k:, :n]) for k, n in ((0, 9), (1, 4))]
    noise = torch.where(there[..., None], logits, torch.randn(2, 9, 3) * 9)
    assert dense_loss(noise, targets, there) == pytest.approx(float(both[0]))
    assert dense_loss(noise[1:], targets[1:], there[1:]) == pytest.approx(float(both[1]))
    present, known = torch.tensor([[1.0, 0.0, 1.0]]), torch.ones(1, 3)
    alone = presence_loss(logits[1:, :4], present, known, there[1:, :4])
    assert presence_loss(noise[1:], present, known, there[1:]) == pytest.approx(float(alone))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stepz=5", "'stepz'"),
        ("losses.dance=1", r"'losses\.dance'"),
        ("steps=many", "'steps' = 'many': expected a valid integer"),
        ("steps=true", "'steps' = True: expected a valid integer"),
        ("model.stem=3", r"'model\.stem' = 3: expected a valid string"),
        ("steps=0", "'steps' = 0: expected greater than 0"),
        ("optimizer.decay_steps=2", r"optimizer\.decay_steps = 2"),
        ("precision=float16", "'precision' = 'float16': expected 'auto', 'bf16' or 'float32'"),
        ("steps", "key=value"),
        ("steps.many=1", "'steps' is not a table"),
    ],
)
def test_settings_that_cannot_work_are_quoted(settings: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(settings, [override])


def test_settings_files_that_cannot_work_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "none.toml")
    path = tmp_path / "bad.toml"
    path.write_text("steps = ")
    with pytest.raises(ConfigError, match="not TOML"):
        load_config(path)
    path.write_text("steps = 3")
    with pytest.raises(ConfigError, match="'data' is missing"):
        load_config(path)


def test_overrides_win_and_keep_their_types(settings: Path) -> None:
    given: dict[str, Any] = {"losses.guidance": 0, "data": "a/b", "model.name": '"5"'}
    made = config(settings, *(f"{key}={value}" for key, value in given.items()))
    assert made.losses.guidance == 0.0
    assert made.data == "a/b"
    assert made.model.name == "5"
    assert made.model.layers == 3


def test_the_learning_rate_rises_in_a_line_and_falls_to_nothing(settings: Path) -> None:
    asked = ("steps=12", "optimizer.decay_steps=20", "optimizer.warm_up=4")
    asked += ("optimizer.learning_rate=0.01",)
    rates = [step["learning_rate"] for step in Training(config(settings, *asked)).steps()]
    assert rates[:5] == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[-1] > 0.005  # another run goes on from here
    whole = Training(config(settings, "steps=12", f"output={settings.parent / 'whole'}"))
    assert list(whole.steps())[-1]["learning_rate"] < 0.0002


@pytest.mark.parametrize(
    "name", ["phantom-small.toml", "phantom.toml", "phantom-views.toml", "phantom-hidden.toml"]
)
def test_the_shipped_settings_are_read(name: str) -> None:
    made = load_config(ROOT / "training" / "configs" / name)
    assert made.augment
    assert made.losses.guidance > 0
    assert "never seen a real patient" in made.model.notice


def test_the_settings_for_labels_are_read_and_say_what_they_are() -> None:
    made = load_config(ROOT / "training" / "configs" / "joint.toml")
    assert "not for diagnosis" in made.model.notice and "labels" in made.model.notice
    assert made.losses.answers > 0 and sum(made.mix.values()) < made.batch
