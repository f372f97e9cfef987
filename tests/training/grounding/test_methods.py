"""Laws of the methods, on a tiny real model: what each map must be whatever the weights are."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from grounding_material import HEADS, LAYERS, saying, write_phantoms
from tiny import tiny_images, tiny_model

from model.errors import ConfigError
from model.heatmap import words
from model.memory import Memory
from model.network import ReportModel
from training.grounding.cases import Subject, of_folder
from training.grounding.gradients import grad_cam, gradient
from training.grounding.methods import (
    METHODS,
    ChosenHeads,
    head_maps,
    late_layers,
    methods_for,
    rollout,
    shown,
)
from training.grounding.occlusion import areas_under, occlusion
from training.teacher_forcing import FRONTAL, TeacherForced, Text, force, log_probabilities, text_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "prepared"
    write_phantoms(folder, 8)
    return folder


@pytest.fixture(scope="module")
def forced(folder: Path) -> TeacherForced:
    model, tokenizer = saying(of_folder_studies(folder))
    _, subjects = of_folder(folder, tokenizer, model.config)
    return _force(model, [subject for subject in subjects if subject.cases])


def of_folder_studies(folder: Path) -> list:
    from data_prep.manifest import read_studies

    return list(read_studies(folder))


def _force(model: ReportModel, subjects: Sequence[Subject]) -> TeacherForced:
    return force(
        model,
        [subject.row for subject in subjects],
        [subject.read() for subject in subjects],
        [subject.given for subject in subjects],
        [subject.text for subject in subjects],
        [[case.span for case in subject.cases] for subject in subjects],
    )


def test_every_method_gives_every_case_a_map(forced: TeacherForced) -> None:
    methods = methods_for(forced.model, METHODS)
    assert len(methods) == len(METHODS) - 2 + LAYERS
    patches = forced.memory.patch_mask.shape[1] - 1
    for name, method in methods.items():
        for maps, spans in zip(method(forced), forced.spans, strict=True):
            assert maps.shape == (len(spans), patches), name
            assert np.isfinite(maps).all() and maps.min() >= 0, name


def test_the_default_is_what_reports_show(folder: Path, forced: TeacherForced) -> None:
    model, tokenizer = saying(of_folder_studies(folder))
    _, subjects = of_folder(folder, tokenizer, model.config)
    subjects = [subject for subject in subjects if subject.cases]
    told = words(model, forced.memory, [s.text.tokens for s in subjects], tokenizer)
    for subject, maps, of_text in zip(subjects, late_layers(forced), told, strict=True):
        by_place = {(word.start, word.end): word.heatmap.ravel() for word in of_text}
        for case, heatmap in zip(subject.cases, maps, strict=True):
            np.testing.assert_allclose(heatmap, by_place[case.start, case.end], atol=1e-5)


def test_all_layers_are_the_mean_of_each_layer(forced: TeacherForced) -> None:
    methods = methods_for(forced.model, ("all layers", "each layer"))
    together = methods.pop("all layers")(forced)
    apart = np.mean([np.concatenate(method(forced)) for method in methods.values()], axis=0)
    np.testing.assert_allclose(np.concatenate(together), apart, atol=1e-6)


def test_rollout_moves_attention_and_loses_none(forced: TeacherForced) -> None:
    for moved, maps in zip(rollout(forced), late_layers(forced), strict=True):
        np.testing.assert_allclose(moved.sum(axis=1), maps.sum(axis=1), rtol=1e-4)
        assert np.abs(moved - maps).max() > 1e-5


def test_rollout_leaves_the_encoder_as_it_was(forced: TeacherForced) -> None:
    attention = forced.model.encoder.trunk.blocks[0].attn
    fused, before = attention.fused_attn, forced.model.encoder(forced.images[0])
    rollout(forced)
    assert attention.fused_attn == fused and not attention.attn_drop._forward_hooks
    assert torch.equal(forced.model.encoder(forced.images[0]), before)


def test_what_comes_after_a_word_does_not_change_its_gradient(forced: TeacherForced) -> None:
    number = 0
    first = forced.spans[number][:1]
    text = forced.texts[number]
    end = int(first[0].max()) + 1
    short = Text(text.characters, text.tokens[:end], text.starts[:end], text.ends[:end])
    for method in (gradient, grad_cam):
        maps = []
        for own in (text, short):
            one = TeacherForced(
                forced.model,
                [0],
                forced.images[:1],
                forced.given[:1],
                forced.placements[:1],
                forced.memory.studies(slice(0, 1)),
                [own],
                [first],
            )
            maps.append(method(one)[0])
        np.testing.assert_allclose(maps[0], maps[1], atol=1e-6)


def test_gradient_times_attention_is_what_finite_differences_say() -> None:
    """One layer and one head: more attention on a patch adds so much of that patch's values."""
    model = tiny_model(seed=3, layers=1, heads=1)
    images = tiny_images(3, 1)
    with torch.no_grad():
        read = model.encode(images)
    model.double()
    doubled = {
        name: part.double() if part.is_floating_point() else part for name, part in read.items()
    }
    memory = Memory(**doubled)
    tokens, place = [5, 6, 7, 8], 2
    text = Text("", tokens, np.arange(4), np.arange(4) + 1)
    forced = TeacherForced(
        model, [0], images, [FRONTAL], [()], memory, [text], [[np.array([place])]]
    )
    found = gradient(forced)[0][0]
    attention = forced.attentions[0, 0, 0, place, 1:]
    layer = model.decoder.layers[0].cross_attention
    before = torch.tensor([[model.config.bos_token_id, *tokens[:-1]]])

    def told(patch: int, step: float) -> float:
        def add(_, args):
            hidden = args[0].clone()
            hidden[0, place] += step * memory.cross_values_layers[0, 0, 0, 1 + patch]
            return (hidden,)

        hook = layer.output.register_forward_pre_hook(add)
        with torch.no_grad():
            logits = model(before, encoder_outputs=memory).logits
        hook.remove()
        return float(logits[0, place].log_softmax(-1)[tokens[place]])

    step = 1e-3
    slopes = [(told(p, step) - told(p, -step)) / (2 * step) for p in range(len(found))]
    expected = np.maximum(0, np.array(slopes) * attention.numpy())
    assert expected.max() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-3 * expected.max())


def test_heads_are_chosen_on_the_other_half() -> None:
    inside = np.zeros((4, 9), bool)
    inside[:, 4] = True
    noise = np.random.default_rng(0).random((4, 3, 9)) / 10
    even, odd = noise.copy(), noise.copy()
    even[:, 0, 4] += 1
    odd[:, 2, 4] += 1
    chosen = ChosenHeads.chosen((even, odd), (inside, inside))
    assert 2 in chosen.of_half[0] and 0 in chosen.of_half[1]
    assert 0 not in chosen.of_half[0] and 2 not in chosen.of_half[1]


def test_chosen_heads_are_the_mean_of_what_was_chosen(forced: TeacherForced) -> None:
    every = range(LAYERS * HEADS)
    maps = ChosenHeads(([1], every))(forced)
    for number, (row, spans) in enumerate(zip(forced.rows, forced.spans, strict=True)):
        heads = head_maps(forced, number, spans)
        expected = heads.mean(axis=1) if row % 2 else heads[:, 1]
        np.testing.assert_allclose(maps[number], expected, atol=1e-6)


def test_an_unknown_method_is_an_error(forced: TeacherForced) -> None:
    with pytest.raises(ConfigError, match="guess"):
        methods_for(forced.model, ("uniform", "guess"))


# What covering tells


def _on(pixels: np.ndarray, seed: int = 0) -> TeacherForced:
    model = tiny_model(seed=seed)
    text = Text("", [5, 6, 7], np.arange(3), np.arange(3) + 1)
    return force(model, [0], [[pixels]], [FRONTAL], [text], [[np.array([0, 1])]])


def test_covering_a_flat_image_changes_nothing() -> None:
    forced = _on(np.full((32, 24), 0.4, np.float32))
    np.testing.assert_allclose(occlusion(forced)[0], 0, atol=1e-5)
    told = float(np.exp(shown(forced)[0].log_probabilities[:2].sum()))
    heights = np.random.default_rng(0).random(16)
    deletion, insertion = areas_under(forced, 0, forced.spans[0][0], {"any": heights})["any"]
    assert deletion == pytest.approx(insertion) == pytest.approx(told, rel=1e-4)


def test_inserting_is_deleting_in_the_other_order() -> None:
    rng = np.random.default_rng(1)
    forced = _on(rng.random((32, 32), np.float32))
    heights = rng.permutation(16).astype(float)
    areas = areas_under(forced, 0, forced.spans[0][0], {"map": heights, "other": -heights})
    assert areas["map"][1] == pytest.approx(areas["other"][0], rel=1e-5)
    assert areas["map"][0] == pytest.approx(areas["other"][1], rel=1e-5)
    assert areas["map"][0] != pytest.approx(areas["map"][1], rel=1e-3)


def test_probabilities_of_many_images_are_those_of_each() -> None:
    model = tiny_model(temperature=2.0)
    images = torch.rand(20, 1, 1, 32, 32) * 2 - 1
    tokens = [5, 9, 2]
    told = log_probabilities(model, images, FRONTAL, tokens)
    before = torch.tensor([[model.config.bos_token_id, *tokens[:-1]]])
    for image, scores in zip(images[::7], told[::7], strict=True):
        with torch.no_grad():
            logits = model(before, images=image[None]).logits[0] / 2.0
        expected = logits.log_softmax(-1)[torch.arange(3), torch.tensor(tokens)]
        np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_a_text_is_cut_where_the_model_ends(folder: Path) -> None:
    study = of_folder_studies(folder)[0]
    _, tokenizer = saying([study])
    whole, cut = (text_of(tokenizer, study.report, limit) for limit in (10_000, 5))
    assert whole.tokens[:5] == cut.tokens and len(cut.starts) == 5
    for start, end in whole.words():
        span = whole.tokens_of(start, end)
        assert (
            tokenizer.decode([whole.tokens[k] for k in span])
            .strip()
            .startswith(study.report[start:end])
        )
