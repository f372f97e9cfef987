"""A run is the same in one process or two, killed or not; its parts learn as they are told."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from parts import language_folder, vision_folder
from paths import ROOT
from prepared_folder import write_prepared, write_settings
from safetensors.torch import load_file
from torch import Tensor, nn

from data_prep.manifest import read_studies, write_studies
from model.errors import ConfigError
from training.config import ENCODER_ALONE, TrainConfig, load_config
from training.objective import LOSSES
from training.optimizer import clip_gradients, make_optimizer, part_of
from training.train import Training, run

TIMES_OUT = 240


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    return write_settings(folder, write_prepared(folder / "blobs"))


def config(settings: Path, output: str, *overrides: str) -> TrainConfig:
    return load_config(settings, [f"output={settings.parent / output}", *overrides])


def command(settings: Path, output: str, *overrides: str) -> list[str]:
    """`crossray train`, for a process of its own."""
    asked = [f"output={settings.parent / output}", *overrides]
    program = ["-c", "from app.cli.main import main; main()"]
    sets = [word for each in asked for word in ("--set", each)]
    return [*program, "train", str(settings), *sets]


def weights(settings: Path, output: str) -> dict[str, Tensor]:
    return load_file(settings.parent / output / "checkpoint" / "model.safetensors")


@pytest.fixture(scope="module", params=["own", "pretrained"])
def network(request: pytest.FixtureRequest, settings: Path) -> tuple[str, ...]:
    """Settings of CrossRay's own network, and of pretrained parts."""
    if request.param == "own":
        return ()
    vit, gpt2 = vision_folder(settings.parent / "vit"), settings.parent / "gpt2"
    language_folder(gpt2, [study.report for study in read_studies(settings.parent / "blobs")])
    table = f'{{ encoder = "{vit}", decoder = "{gpt2}", max_tokens = 60 }}'
    return (f"model={table}",)


def test_two_processes_learn_what_one_does_that_takes_its_studies_in_two_parts(
    settings: Path, network: tuple[str, ...]
) -> None:
    kind = "-pretrained" if network else ""
    script = settings.parent / "train.py"
    script.write_text("from app.cli.main import main\n\nmain()\n")
    asked = command(settings, f"two{kind}", *network)[2:]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *launch, *asked],
        capture_output=True,
        text=True,
        timeout=TIMES_OUT,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    asked_alone = [f"output={settings.parent / f'one{kind}'}", "accumulate=2", *network]
    run(settings, asked_alone)
    two, one = weights(settings, f"two{kind}"), weights(settings, f"one{kind}")
    assert two.keys() == one.keys()
    for name, value in one.items():
        assert torch.allclose(two[name], value, rtol=1e-3, atol=2e-5), name
    records = [
        json.loads((settings.parent / each / "checkpoint" / "training.json").read_text())
        for each in (f"two{kind}", f"one{kind}")
    ]
    for name, value in records[1]["losses"].items():
        assert records[0]["losses"][name] == pytest.approx(value, rel=1e-2, abs=1e-4), name


def test_killed_without_warning_it_goes_on_to_the_same_weights(settings: Path) -> None:
    overrides = ["ema=0.9", "steps=12"]
    run(settings, [f"output={settings.parent / 'whole'}", *overrides])
    snapshot = settings.parent / "killed" / "resume.safetensors"
    asked = [sys.executable, *command(settings, "killed", *overrides)]
    process = subprocess.Popen(asked, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    began = time.monotonic()
    while not snapshot.is_file() and time.monotonic() - began < TIMES_OUT:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL, "it was done before it could be killed"
    outcome = run(settings, [f"output={settings.parent / 'killed'}", *overrides])
    assert outcome.finished
    whole, killed = weights(settings, "whole"), weights(settings, "killed")
    for name, value in whole.items():
        assert torch.equal(killed[name], value), name


def test_a_batch_that_cannot_be_shared_is_told(settings: Path) -> None:
    with pytest.raises(ConfigError, match=r"batch = 8 does not divide into 3 parts \(1 processes"):
        Training(config(settings, "parts", "accumulate=3"))


def test_the_average_is_of_the_steps_weights_and_is_what_is_exported(settings: Path) -> None:
    training = Training(config(settings, "ema", "ema=0.5", "steps=4"))
    name = "decoder.norm.weight"
    expected = dict(training.setup.model.state_dict())[name].clone()
    # timm's warm-up: less weight to what came before while there is little of it.
    for step, _ in enumerate(training.steps()):
        decay = training.setup.average.get_decay(step)
        now = training.setup.model.state_dict()[name]
        expected = decay * expected + (1 - decay) * now
    assert torch.allclose(
        training.setup.average.module.model.state_dict()[name], expected, atol=1e-6
    )
    training.export({})
    exported = weights(settings, "ema")
    assert torch.allclose(exported[name], expected, atol=1e-6)
    assert not torch.allclose(exported[name], training.setup.model.state_dict()[name], atol=1e-6)


def test_layers_learn_the_slower_the_earlier_and_a_part_at_its_own_rate(settings: Path) -> None:
    overrides = ("optimizer.layer_decay=0.5", "optimizer.rates.decoder=0", "steps=1")
    asked = config(settings, "rates", *overrides)
    training = Training(asked)
    scale = {
        id(parameter): group["scale"]
        for group in make_optimizer(training.setup.objective, asked).param_groups
        for parameter in group["params"]
    }
    learns = training.setup.objective.named_parameters()
    of = {name: scale[id(each)] for name, each in learns if each.requires_grad}
    assert not any(part_of(name) == "decoder" for name in of)
    trunk = "model.encoder.trunk"
    first, second = (of[f"{trunk}.blocks.{k}.mlp.fc1.weight"] for k in (0, 1))
    assert of[f"{trunk}.patch_embed.proj.weight"] < first < second <= of[f"{trunk}.norm.weight"]
    assert second / first == pytest.approx(2)
    assert of["model.encoder.place.weight"] == of["head.linear.weight"] == 1
    before = {name: each.clone() for name, each in training.setup.objective.named_parameters()}
    list(training.steps())
    for name, each in training.setup.objective.named_parameters():
        if part_of(name) == "decoder":
            assert torch.equal(each, before[name]), name
    assert not torch.equal(training.setup.model.sink, before["model.sink"])


def test_pretraining_teaches_the_encoder_alone_from_what_reports_assert(settings: Path) -> None:
    folder = settings.parent / "labeled"
    if not folder.is_dir():
        write_prepared(folder, 60)
    bare = [replace(s, findings=(), phrases=()) for s in read_studies(folder)]
    write_studies(folder, bare)
    (folder / "prepared.json").write_text('{"source": "nih"}')
    asked = (*ENCODER_ALONE, f'data="{folder}"', "augment=false", "batch=16")
    training = Training(config(settings, "pretrained", *asked, "steps=60"))
    before = {name: each.clone() for name, each in training.setup.objective.named_parameters()}
    losses = list(training.steps())
    assert [name for name in losses[0] if name in LOSSES] == ["presence"]
    assert losses[-1]["presence"] < losses[0]["presence"] / 3
    for name, each in training.setup.objective.named_parameters():
        if part_of(name) in ("decoder", "cross_attention"):
            assert torch.equal(each, before[name]), name
    training.save()
    training.export({})
    initial = f"initial={settings.parent / 'pretrained' / 'checkpoint'}"
    on = Training(config(settings, "on", initial))
    name = "encoder.trunk.blocks.0.mlp.fc1.weight"
    assert torch.equal(on.setup.model.state_dict()[name], training.setup.model.state_dict()[name])


def test_gradients_of_the_parts_are_told_and_make_up_the_whole(settings: Path) -> None:
    losses = next(Training(config(settings, "norms")).steps())
    parts = [value for name, value in losses.items() if name.startswith("gradient/")]
    assert len(parts) == 4 and min(parts) > 0
    assert sum(value**2 for value in parts) ** 0.5 == pytest.approx(losses["gradient"], rel=1e-4)


def test_gradients_are_clipped_as_torch_clips(settings: Path) -> None:
    objective = Training(config(settings, "norms")).setup.objective
    assert set(clip_gradients(objective, 1.0).values()) == {0.0}, "there are none yet"
    drawn = [torch.randn_like(each) for each in objective.parameters()]
    whole = float(nn.utils.get_total_norm(drawn))
    for limit in (whole / 3, 3 * whole):
        for each, gradient in zip(objective.parameters(), drawn, strict=True):
            each.grad = gradient.clone()
        expected = [each.clone().requires_grad_() for each in drawn]
        for each, gradient in zip(expected, drawn, strict=True):
            each.grad = gradient.clone()
        nn.utils.clip_grad_norm_(expected, limit)
        assert clip_gradients(objective, limit)["gradient"] == pytest.approx(whole, rel=1e-4)
        for ours, theirs in zip(objective.parameters(), expected, strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=0)


def test_dependence_tells_a_model_that_looks_from_one_that_does_not(settings: Path) -> None:
    plain = ("augment=false", "steps=120", "batch=16", "validate_every=120", "save_every=120")
    looks = run(settings, [f"output={settings.parent / 'looks'}", *plain]).scores
    image_dropout = run(
        settings, [f"output={settings.parent / 'image_dropout'}", *plain, "image_dropout=0.99"]
    ).scores
    assert looks["dependence"] > max(0.1, 5 * abs(image_dropout["dependence"]))


def test_with_every_loss_off_it_says_so(settings: Path) -> None:
    off = ("losses.dense=0", "losses.presence=0", *ENCODER_ALONE)
    with pytest.raises(ConfigError, match="every weight in \\[losses\\] is 0"):
        next(Training(config(settings, "off", *off)).steps())


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("losses.dense=-1", "'losses.dense' = -1: expected greater than or equal to 0"),
        ("optimizer.clip=0", "'optimizer.clip' = 0: expected greater than 0"),
        ("ema=1.0", "'ema' = 1.0: expected less than 1"),
        ("accumulate=0", "'accumulate' = 0: expected greater than 0"),
        ("optimizer.layer_decay=0", "'optimizer.layer_decay' = 0: expected greater than 0"),
        (
            "optimizer.rates.lungs=1",
            "'optimizer.rates.lungs': known are cross_attention",
        ),
        (
            "optimizer.rates.head=-1",
            "'optimizer.rates.head' = -1: expected greater than",
        ),
    ],
)
def test_settings_that_cannot_work_are_named(settings: Path, override: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config(settings, "x", override)
