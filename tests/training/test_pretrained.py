"""Pretrained parts learn, are frozen or adapted as asked, and become a checkpoint that is read."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch
from parts import language_folder, vision_folder
from prepared_folder import SIZE, write_prepared
from published import published, radiograph
from safetensors.torch import load_file
from transformers import GPT2LMHeadModel, ViTForImageClassification

from data_prep.manifest import read_studies
from model.errors import ConfigError
from model.generator import ReportGenerator
from model.imaging.radiograph import Radiograph
from model.imported.network import ImportedNetwork
from model.loading import load_network
from training.config import TrainConfig, load_config
from training.losses import token_loss
from training.train import Training, run

SETTINGS = """
steps = 8
batch = 8
workers = 0
precision = "float32"
augment = false
validate_studies = 10
validate_every = 100
save_every = 100

[optimizer]
learning_rate = 2e-3
warm_up = 4

[model]
name = "joined"
notice = "Not for diagnosis. Joined in a test."
max_tokens = 60
"""
ENCODERS = ("vit", "deit", "dinov2", "dinov3_vit", "swin", "convnext")
KINDS = list(zip(ENCODERS, ("gpt2", "roberta", "bert", "gpt2", "bert", "gpt2"), strict=True))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared blobs, parts of each kind, and settings."""
    folder = tmp_path_factory.mktemp("pretrained")
    blobs = write_prepared(folder / "blobs")
    texts = [study.report for study in read_studies(blobs)]
    for vision, language in KINDS:
        vision_folder(folder / vision, vision)
        if not (folder / language).is_dir():
            language_folder(folder / language, texts, language)
    (folder / "run.toml").write_text(f'data = "{blobs}"\noutput = "{folder / "run"}"\n{SETTINGS}')
    return folder


@pytest.fixture
def config(home: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    def make(*overrides: str, encoder: str = "vit", decoder: str = "gpt2") -> TrainConfig:
        parts = f"model.encoder={home / encoder}", f"model.decoder={home / decoder}"
        return load_config(home / "run.toml", [f"output={tmp_path / 'run'}", *parts, *overrides])

    return make


def trained(config: TrainConfig) -> tuple[Training, list[dict[str, float]]]:
    training = Training(config)
    losses = list(training.steps())
    training.export(losses[-1])
    training.setup.model.eval()
    return training, losses


@pytest.mark.parametrize(("encoder", "decoder"), KINDS)
def test_what_is_exported_is_what_was_trained(config, tmp_path, encoder, decoder) -> None:
    """Every pair of parts: the same logits and maps after it was written and read again."""
    off = () if encoder not in ("swin", "convnext") else ("losses.sink=0",)
    training, _ = trained(config("steps=2", *off, encoder=encoder, decoder=decoder))
    generator = ReportGenerator.load(tmp_path / "run" / "checkpoint")
    assert "Joined in a test" in generator.notice
    [batches] = training.setup.validate_batches.values()
    batch = batches.make(range(4), step=0)
    with torch.no_grad():
        before, after = (
            network.teacher_forced(batch.read_by(network), batch.tokens[:, :-1], 0)
            for network in (training.setup.model, generator.model)
        )
    assert torch.allclose(before[0], after[0], atol=1e-5)
    assert all(torch.allclose(*pair, atol=1e-5) for pair in zip(before[1], after[1], strict=True))
    report = generator(radiograph(1, 64, 80), input_check=False)
    assert all(word.heatmap is not None for word in report.words)


def test_what_is_pretrained_is_kept_and_the_cross_attention_is_new(home, config) -> None:
    setup = Training(config()).setup
    theirs = GPT2LMHeadModel.from_pretrained(home / "gpt2").state_dict()
    own = setup.model.decoder.state_dict()
    vocabulary = len(theirs["transformer.wte.weight"])
    for name, weight in theirs.items():
        rows = vocabulary if name in ("transformer.wte.weight", "lm_head.weight") else None
        assert torch.equal(own[name][:rows], weight), name
    assert {n.split(".")[3] for n in own.keys() - theirs.keys()} == {
        "crossattention",
        "ln_cross_attn",
    }
    assert len(own["transformer.wte.weight"]) == vocabulary + 1, "padding is none of GPT-2's"
    vision = ViTForImageClassification.from_pretrained(home / "vit").vit.state_dict()
    for name, weight in setup.model.encoder.trunk.state_dict().items():
        assert torch.equal(weight, vision[name]), name


def test_it_learns_from_the_images(config, tmp_path) -> None:
    training, losses = trained(config("steps=200", "batch=16", "optimizer.learning_rate=3e-3"))
    assert losses[-1]["tokens"] < losses[0]["tokens"] / 10
    [batches] = training.setup.validate_batches.values()
    batch = batches.make(range(len(batches.split)), step=0)
    sides = batch.tokens.unique(dim=0, return_inverse=True)[1]
    others = torch.tensor([int((sides != side).nonzero()[0]) for side in sides])
    network = training.setup.model
    with torch.no_grad():
        memory = batch.read_by(network)
        right, wrong = (
            float(token_loss(logits, batch.tokens[:, 1:], batches.split.pad, 0.0))
            for logits, _ in (
                network.teacher_forced(each, batch.tokens[:, :-1], None)
                for each in (memory, memory.studies(others))
            )
        )
    assert right < wrong / 2
    generator = ReportGenerator.load(tmp_path / "run" / "checkpoint")
    study = batches.split.studies[0]
    pixels = batches.split.images.read(0, 0)[0] / 255
    report = generator(Radiograph(pixels.astype("float32"), "PA"), input_check=False)
    assert report.text == study.report


def test_a_run_that_was_stopped_goes_on_exactly(config, tmp_path) -> None:
    whole = list(Training(config("lora.rank=2")).steps())
    part = Training(config("lora.rank=2", f"output={tmp_path / 'stopped'}"))
    steps = part.steps()
    first = [next(steps) for _ in range(3)]
    part.save()
    torch.rand(7)
    again = Training(config("lora.rank=2", f"output={tmp_path / 'stopped'}"))
    assert again.step == 3
    assert first + list(again.steps()) == whole


def test_a_frozen_encoder_and_adapters_leave_the_pretrained_weights(home, config, tmp_path) -> None:
    asked = ("lora.rank=4", "optimizer.rates.encoder=0", "optimizer.learning_rate=0.02")
    training = Training(config(*asked))
    before = {name: each.clone() for name, each in training.setup.model.named_parameters()}
    list(training.steps())
    changed = {
        name
        for name, each in training.setup.model.named_parameters()
        if not torch.equal(each, before[name])
    }
    drawn = ("lora_", "crossattention", "ln_cross_attn")
    assert changed and all(any(part in name for part in drawn) for name in changed)
    assert any("lora_B" in name for name in changed)
    assert not training.setup.model.encoder.training
    training.export({})
    training.setup.model.eval()
    after, _, _ = load_network(tmp_path / "run" / "checkpoint")
    assert not any("lora" in name for name in after.state_dict())
    [batches] = training.setup.validate_batches.values()
    batch = batches.make(range(4), step=0)
    with torch.no_grad():
        pair = [
            network.teacher_forced(batch.read_by(network), batch.tokens[:, :-1], None)[0]
            for network in (training.setup.model, after)
        ]
    assert torch.allclose(*pair, atol=1e-4)


@pytest.mark.parametrize("encoder", ["vit", "swin"])
def test_layers_of_the_encoder_learn_the_slower_the_earlier(config, encoder) -> None:
    asked = config("optimizer.layer_decay=0.5", "losses.sink=0", encoder=encoder)
    training = Training(asked)
    scale = {
        id(parameter): group["scale"]
        for group in training.setup.optimizer.param_groups
        for parameter in group["params"]
    }
    names = {
        n.removeprefix("model."): scale[id(p)]
        for n, p in training.setup.objective.named_parameters()
    }
    layers = {
        "vit": ["layers.0.mlp.fc1.weight", "layers.1.mlp.fc1.weight"],
        "swin": [f"encoder.layers.{k}.blocks.0.mlp.fc1.weight" for k in (0, 1)],
    }[encoder]
    first, second = (names[f"encoder.trunk.{name}"] for name in layers)
    embeddings = names["encoder.trunk.embeddings.patch_embeddings.projection.weight"]
    assert embeddings < first < second < names["encoder.trunk.layernorm.weight"] == 1
    assert second / first >= 2 and names["decoder.transformer.wte.weight"] == 1


def test_a_run_goes_on_from_the_checkpoint_of_another(config, tmp_path) -> None:
    training, _ = trained(config("steps=2"))
    initial = f"initial={tmp_path / 'run' / 'checkpoint'}"
    on = Training(config(initial, f"output={tmp_path / 'on'}"))
    assert isinstance(on.setup.model, ImportedNetwork)
    for name, weight in training.setup.model.state_dict().items():
        assert torch.equal(on.setup.model.state_dict()[name], weight), name
    assert all(torch.isfinite(torch.tensor(step["tokens"])) for step in on.steps())
    published(tmp_path / "theirs", "vit", "bert")
    theirs = f"initial={tmp_path / 'theirs'}", f"output={tmp_path / 'more'}", "model.max_tokens=47"
    more = Training(config(*theirs, "steps=1"))
    assert [step["tokens"] > 0 for step in more.steps()] == [True]
    more.export({})
    assert "trained elsewhere" in (tmp_path / "more" / "checkpoint" / "README.md").read_text()


def test_an_encoder_of_timm_goes_with_it_too(home, config, tmp_path) -> None:
    shape = "{ depth = 1, embed_dim = 48, num_heads = 3, patch_size = 8 }"
    asked = (
        *("model.encoder=vit_tiny_patch16_224", f"model.encoder_arguments={shape}"),
        *(f"model.image_size={SIZE}", "steps=2"),
    )
    training, _ = trained(config(*asked))
    assert training.setup.model.grid == (8, 8) and training.setup.model.prefix == 1
    after, _, _ = load_network(tmp_path / "run" / "checkpoint")
    for name, weight in training.setup.model.state_dict().items():
        assert torch.equal(after.state_dict()[name], weight), name


@pytest.mark.parametrize("name", ["convnext_atto", "swin_tiny_patch4_window7_224"])
def test_encoders_of_timm_that_have_no_class_token(name, home, config, tmp_path) -> None:
    asked = (f"model.encoder={name}", "model.image_size=224", "steps=1", "losses.sink=0", "batch=2")
    training, _ = trained(config(*asked))
    assert training.setup.model.grid == (7, 7) and training.setup.model.prefix == 0
    assert load_network(tmp_path / "run" / "checkpoint")[0].grid == (7, 7)


def test_what_is_read_without_the_image_is_read_of_a_black_one(config) -> None:
    network = Training(config()).setup.model.eval()
    images = torch.rand(3, 2, 3, SIZE, SIZE)
    mask = torch.tensor([[True, True], [True, False], [True, True]])
    dropped = torch.tensor([False, True, True])
    with torch.no_grad():
        memory = network.encode(images, mask)
        mixed = network.drop_images(memory, dropped)
        tokens = torch.randint(3, 40, (3, 6))
        logits, _ = network.teacher_forced(mixed, tokens, None)
        whole, _ = network.teacher_forced(memory, tokens, None)
        black, _ = network.teacher_forced(network.without_images(memory), tokens, None)
    assert torch.allclose(logits[0], whole[0], atol=1e-5)
    assert torch.allclose(logits[1:], black[1:], atol=1e-5)
    assert not torch.allclose(whole[1:], black[1:], atol=1e-3)


def test_an_absent_image_changes_nothing(config) -> None:
    network = Training(config()).setup.model.eval()
    images, tokens = torch.rand(2, 2, 3, SIZE, SIZE), torch.randint(3, 40, (2, 6))
    mask = torch.tensor([[True, True], [True, False]])
    with torch.no_grad():
        both, maps = network.teacher_forced(network.encode(images, mask), tokens, 0)
        alone, _ = network.teacher_forced(network.encode(images[1:, :1]), tokens[1:], None)
    assert torch.allclose(both[1], alone[0], atol=1e-5)
    assert maps[0].shape[-1] == network.prefix + 2 * 64
    assert maps[0][1, ..., network.prefix + 64 :].max() == 0


def test_images_are_stored_as_the_encoders_processor_places_them(home, config, tmp_path) -> None:
    vision_folder(tmp_path / "crop", crop=True)
    training = Training(config(f"model.encoder={tmp_path / 'crop'}"))
    [batches] = training.setup.validate_batches.values()
    network, split = training.setup.model, batches.split
    for row, study in enumerate(split.studies[:4]):
        pixels, area = split.images.read(row, 0)
        gray = cv2.imread(str(home / "blobs" / study.images[0].path), cv2.IMREAD_UNCHANGED)
        wanted = network.place(*gray.shape).square(gray.astype("float32") / 255)[0] * 255
        assert abs(wanted - pixels).max() <= 0.5
        if area.any():  # what is covered is bright: the crop moved both alike
            assert pixels[area > 0].mean() > 150 > pixels[area == 0].mean() + 60


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.width=64", r"model\.width = 64 is a setting of CrossRay's own decoder"),
        ("model.prompt_tokens=8", r"model\.prompt_tokens = 8 is a setting of CrossRay's own"),
        ("model.views=['frontal','prior']", r"'model\.views\.1' = 'prior'"),
        ("losses.answers=1", r"losses\.answers = 1.* set losses\.answers = 0"),
        ("losses.tokens=0", r"losses\.tokens = 0 teaches the encoder alone"),
        ("model.max_tokens=999", r"model\.max_tokens = 999: .* has 256 positions"),
        ("pretrained=timm", r"pretrained = 'timm' is of an encoder of timm, and model\.encoder"),
        ("model.image_size=96", r"model\.image_size = 96 is of an encoder of timm"),
        ("model.decoder=nowhere", r"model\.decoder = 'nowhere': there is no folder"),
        ("model.encoder=nowhere", r"model\.encoder = 'nowhere'.* no model of timm"),
        ("initial=model/default", r"initial = 'model/default' has CrossRay's own decoder"),
    ],
)
def test_settings_that_do_not_go_with_it_are_named(config, override, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Training(config(override))


def test_losses_that_this_decoder_has_no_place_for_are_named(home, config, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"losses\.sink = 0\.1: .* set losses\.sink = 0"):
        Training(config(encoder="swin"))
    texts = [study.report for study in read_studies(home / "blobs")]
    language_folder(tmp_path / "short", texts, layers=2)
    with pytest.raises(ConfigError, match=r"losses\.search = 0\.1 .* a decoder of 2"):
        Training(config(f"model.decoder={tmp_path / 'short'}"))


def test_adapters_need_a_pretrained_decoder(home) -> None:
    with pytest.raises(ConfigError, match=r"lora\.rank = 4 is for a pretrained decoder"):
        load_config(home / "run.toml", ["lora.rank=4"])


def test_parts_that_are_none_are_named(home, config, tmp_path) -> None:
    llama = shutil.copytree(home / "gpt2", tmp_path / "llama")
    (llama / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ConfigError, match=r"model\.decoder = .*'llama', read are gpt2, bert"):
        Training(config(f"model.decoder={llama}"))
    bare = shutil.copytree(home / "vit", tmp_path / "bare")
    (bare / "preprocessor_config.json").unlink()
    with pytest.raises(ConfigError, match=r"model\.encoder = .*no image processor"):
        Training(config(f"model.encoder={bare}"))
    pickled = shutil.copytree(home / "gpt2", tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"model\.decoder = .*pickles are not opened"):
        Training(config(f"model.decoder={pickled}"))


def test_the_card_and_the_record_name_the_parts(home, tmp_path) -> None:
    parts = [f"model.encoder={home / 'vit'}", f"model.decoder={home / 'gpt2'}"]
    outcome = run(home / "run.toml", [*parts, "steps=2", f"output={tmp_path / 'run'}"])
    card = (outcome.checkpoint / "README.md").read_text()
    assert "Joined in a test" in card and str(home / "gpt2") in card
    record = json.loads((outcome.checkpoint / "training.json").read_text())
    assert record["settings"]["model"]["decoder"] == str(home / "gpt2")
    assert len(record["initial"]["sha256"]) == 2
    assert {"loss", "pointing"} <= outcome.scores.keys()


@pytest.mark.parametrize("kind", ["vit", "dinov2", "dinov3_vit", "swin", "convnext"])
def test_crossrays_own_decoder_reads_a_vision_model(home, tmp_path, kind) -> None:
    """In images of another size than it was pretrained on."""
    size = 96
    own = ("model.width=48", "model.heads=3", f"model.image_size={size}", "steps=2")
    places = f"model.encoder={home / kind}", f"output={tmp_path / 'run'}"
    asked = load_config(home / "run.toml", [*own, *places])
    before = Training(asked).setup.model
    theirs = before.encoder.trunk.model.trunk.state_dict()
    stored = load_file(home / kind / "model.safetensors")
    assert sum(any(torch.equal(w, s) for s in stored.values()) for w in theirs.values()) >= (
        0.9 * len(theirs)
    )
    training, _ = trained(asked.changed(optimizer={"layer_decay": 0.5}))
    scales = {group["scale"] for group in training.setup.optimizer.param_groups}
    assert len(scales) >= 3
    generator = ReportGenerator.load(tmp_path / "run" / "checkpoint")
    [batches] = training.setup.validate_batches.values()
    batch = batches.make(range(4), step=0)
    with torch.no_grad():
        pair = [
            network.teacher_forced(batch.read_by(network), batch.tokens[:, :-1], 0)
            for network in (training.setup.model, generator.model)
        ]
    assert torch.allclose(pair[0][0], pair[1][0], atol=1e-5)
    assert generator.model.grid == (12, 12) and generator.model.prefix == 1
    assert generator(radiograph(1, 64, 80), input_check=False).grid == (12, 12)
    initial = f"initial={tmp_path / 'run' / 'checkpoint'}", f"output={tmp_path / 'on'}"
    on = load_config(home / "run.toml", [*own, places[0], *initial])
    again = Training(on).setup.model.state_dict()
    assert all(torch.equal(again[n], w) for n, w in training.setup.model.state_dict().items())


def test_a_vision_model_brings_its_own_weights(home, tmp_path) -> None:
    places = f"model.encoder={home / 'vit'}", f"output={tmp_path}", "pretrained=timm"
    with pytest.raises(ConfigError, match="pretrained = 'timm' is of an encoder of timm"):
        Training(load_config(home / "run.toml", places))
    with pytest.raises(ConfigError, match=r"stem 'regnetx_002'.* leave them out"):
        Training(load_config(home / "run.toml", [*places[:2], "model.stem=regnetx_002"]))


def test_several_images_of_a_study_have_maps_each(config, tmp_path) -> None:
    trained(config("steps=2", "model.views=['frontal','lateral']"))
    generator = ReportGenerator.load(tmp_path / "run" / "checkpoint")
    frontal, lateral = radiograph(1, 64, 80), replace(radiograph(2, 90, 64), view="LATERAL")
    both = generator([frontal, lateral], input_check=False)
    one, batch = generator.reports([[frontal], [frontal, lateral]], input_check=False)
    assert batch.text == both.text
    for word, alone in zip(batch.words, both.words, strict=True):
        assert word.heatmap.shape == (2, 8, 8) and word.heatmap[1].sum() > 0
        assert abs(word.heatmap - alone.heatmap).max() < 1e-5
    assert all(word.heatmap.shape == (1, 8, 8) for word in one.words)
