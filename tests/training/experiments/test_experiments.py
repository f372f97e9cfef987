"""A tiny run of each experiment, and the laws of what they are made of."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from grounding_material import save, write_phantoms

from model.errors import ConfigError
from model.torch_network import teacher_forced
from training.experiments import noise
from training.experiments.command import EXPERIMENTS, run_experiment
from training.experiments.heads import _without
from training.experiments.phantoms import forced_phantoms, loaded
from training.experiments.results import Options
from training.experiments.toy import GRID, KINDS, SIDES, WORDS, make_toys, read
from training.experiments.toy_network import FUSIONS, ToyNetwork
from training.experiments.toy_training import Recipe, generate, token_loss, trained

TINY = Options(studies=4, steps=2, seeds=1)
ON_PHANTOMS = ("heads", "noise")


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Options:
    folder = tmp_path_factory.mktemp("phantoms")
    studies = write_phantoms(folder / "data", 5)
    return Options(save(folder / "model", studies), folder / "data", studies=5, steps=2, seeds=1)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_tiny_run(name: str, phantoms: Options, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(noise, "LEVELS", (0.0, 0.4))
    printed = run_experiment(name, phantoms if name in ON_PHANTOMS else TINY, tmp_path)
    numbers = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    assert numbers["title"] in printed and "minutes" in printed
    assert all(table["rows"] for table in numbers["tables"])
    assert (tmp_path / f"{name}.png").is_file() == bool(numbers["panels"])


def test_what_lacks_a_checkpoint_or_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="--model"):
        run_experiment("heads", TINY)
    with pytest.raises(ConfigError, match="fusion"):
        run_experiment("alchemy", TINY)


def test_toys_say_what_they_show() -> None:
    toys = make_toys(np.random.default_rng(0), 50)
    columns = np.arange(GRID * GRID) % GRID
    for row in range(50):
        asserted = read(toys.tokens[row].tolist())
        there = {kind: int(side) for kind, side in enumerate(toys.sides[row]) if side >= 0}
        assert asserted == there
        for kind, side in there.items():
            inside = columns[toys.inside[row, kind].numpy()]
            assert len(inside) and ((inside >= GRID // 2) == bool(side)).all()
    assert {WORDS[int(token)] for token in toys.tokens.unique()} >= {*SIDES, *KINDS, "no"}


@pytest.mark.parametrize("fusion", FUSIONS)
def test_no_word_reads_a_later_one_nor_an_absent_patch(fusion) -> None:
    torch.manual_seed(0)
    network, toys = ToyNetwork(fusion).eval(), make_toys(np.random.default_rng(1), 3, views=2)
    present = torch.ones(3, 2 * GRID * GRID, dtype=torch.bool)
    present[:, GRID * GRID :] = False
    tokens = toys.tokens[:, :-1]
    logits, _ = network(toys.images, tokens, present)
    later, other = tokens.clone(), toys.images.clone()
    later[:, 5:] = 3
    other[:, 1] += 1
    torch.testing.assert_close(network(toys.images, later, present)[0][:, :5], logits[:, :5])
    torch.testing.assert_close(network(other, tokens, present)[0], logits)
    assert not torch.equal(network(toys.images.flip(0), tokens, present)[0], logits)


def test_fusions_have_nearly_equal_parameters() -> None:
    sizes = [sum(p.numel() for p in ToyNetwork(fusion).parameters()) for fusion in FUSIONS]
    assert max(sizes) < 1.1 * min(sizes)


def test_training_learns_and_repeats() -> None:
    toys = make_toys(np.random.default_rng(5), 8)
    losses, texts = [], []
    for steps in (1, 25, 25):
        torch.manual_seed(3)
        network = trained(ToyNetwork("pooled"), 3, Recipe(steps))
        logits, _ = network(toys.images, toys.tokens[:, :-1])
        losses.append(token_loss(logits, toys.tokens[:, 1:]).item())
        texts.append(generate(network, network.encode(toys.images)))
    assert losses[1] < 0.8 * losses[0] and losses[1] == losses[2] and texts[1] == texts[2]


def test_a_layer_without_the_image_changes_that_layer_alone(phantoms: Options) -> None:
    model, _, subjects = loaded(phantoms)
    _, forced = next(iter(forced_phantoms(model, subjects)))
    texts = [text.tokens for text in forced.texts]
    every = range(model.config.layers)
    whole = teacher_forced(model, forced.memory, texts, maps=False)[1]
    none = teacher_forced(model, _without(forced.memory, ()), texts, maps=False)[1]
    blind = teacher_forced(model, _without(forced.memory, every), texts, maps=False)[1]
    torch.testing.assert_close(none, whole)
    shuffled = forced.memory.studies(np.arange(len(texts))[::-1].copy())
    again = teacher_forced(model, _without(shuffled, every), texts, maps=False)[1]
    torch.testing.assert_close(again, blind)  # nothing of any image is left
    assert not torch.allclose(blind, whole)


def test_the_crossing_lies_between_levels(monkeypatch) -> None:
    monkeypatch.setattr(noise, "LEVELS", (0.0, 0.1, 0.2))
    assert noise._crossing([1.0, 0.8, 0.4], 0.6) == pytest.approx(0.15)
    assert noise._crossing([1.0, 0.9, 0.8], 0.5) is None
