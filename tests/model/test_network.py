"""The net: attention by its formula, one memory per study, and what a checkpoint brings back."""

import math

import numpy as np
import pytest
import torch
from tiny import tiny_config, tiny_images, tiny_model
from torch.testing import assert_close

from model.attention import attend
from model.config import ReportConfig
from model.decoding import decode
from model.errors import ConfigError, DataError
from model.heatmap import token_attention
from model.network import ReportModel

TOKENS = torch.tensor([[1, 5, 6, 7], [1, 8, 3, 11]])
PAIR = torch.tensor([[1, 5, 6, 7]])


def test_attend_is_the_formula_worked_by_hand() -> None:
    queries = torch.tensor([[[[2.0, 0.0, 0.0, 0.0]]]])
    keys = torch.tensor([[[[math.log(3.0), 0, 0, 0], [0, 5.0, 0, 0]]]])
    values = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    mixed, attention = attend(queries, keys, values)
    assert_close(attention, torch.tensor([[[[0.75, 0.25]]]]))
    assert_close(mixed, torch.tensor([[[[0.75, 0.25]]]]))


def test_attention_asked_for_changes_no_score() -> None:
    model = tiny_model(1)
    mask = torch.tensor([[True, True], [True, False]])
    memory = model.encode(tiny_images(0, 2, 2), mask)
    fused = model(TOKENS, encoder_outputs=memory)
    explicit = model(TOKENS, encoder_outputs=memory, output_attentions=True)
    assert fused.cross_attentions is None
    assert_close(fused.logits, explicit.logits, atol=1e-5, rtol=1e-5)


def test_attention_sums_to_one_over_the_sink_and_present_patches() -> None:
    model = tiny_model(1)
    memory = model.encode(tiny_images(0, 2, 2), torch.tensor([[True, True], [True, False]]))
    output = model(TOKENS, encoder_outputs=memory, output_attentions=True)
    assert len(output.cross_attentions) == model.config.layers
    for attention in output.cross_attentions:
        assert attention.shape == (2, 2, 4, 1 + 32)
        assert_close(attention.sum(-1), torch.ones(2, 2, 4))
        assert (attention[1, :, :, 17:] == 0).all()
        assert (attention[:, :, :, :17] > 0).all()


def test_without_images_no_image_matters() -> None:
    """And the sink gets it all: what is left is what the text alone suggests."""
    model = tiny_model(1)
    image_dropout = [model.without_images(model.encode(tiny_images(seed, 2))) for seed in (0, 1)]
    outputs = [
        model(TOKENS, encoder_outputs=memory, output_attentions=True) for memory in image_dropout
    ]
    assert torch.equal(outputs[0].logits, outputs[1].logits)
    assert all((attention == 1).all() for attention in outputs[0].cross_attentions)
    masked = model.encode(tiny_images(0, 2))
    masked.patch_mask[:, 1:] = False  # as training leaves out a study's image
    assert_close(model(TOKENS, encoder_outputs=masked).logits, outputs[0].logits)


def test_a_token_is_scored_without_those_after_it() -> None:
    model = tiny_model(2)
    memory = model.encode(tiny_images(0, 2))
    changed = TOKENS.clone()
    changed[:, 3] = 9
    logits = model(TOKENS, encoder_outputs=memory).logits
    assert_close(model(changed, encoder_outputs=memory).logits[:, :3], logits[:, :3])
    assert not torch.allclose(model(changed, encoder_outputs=memory).logits[:, 3], logits[:, 3])


def test_the_same_image_twice_reads_as_once() -> None:
    model = tiny_model(3)
    once = tiny_images(4, 1)
    twice = once.repeat(1, 2, 1, 1, 1)
    read = [model(PAIR, images, output_attentions=True) for images in (once, twice)]
    assert_close(read[1].logits, read[0].logits, atol=1e-5, rtol=1e-5)
    for alone, double in zip(read[0].cross_attentions, read[1].cross_attentions, strict=True):
        assert_close(double[..., 0], alone[..., 0])
        assert_close(double[..., 1:17] + double[..., 17:], alone[..., 1:])


def test_a_study_reads_the_same_in_a_batch_with_more_images() -> None:
    model = tiny_model(3)
    one, three = tiny_images(1, 1, 1), tiny_images(2, 1, 3)
    batch = torch.full((2, 3, *one.shape[2:]), torch.nan)
    batch[0, :1], batch[1] = one[0], three[0]
    mask = torch.tensor([[True, False, False], [True, True, True]])
    together = model(TOKENS, batch, mask).logits
    assert_close(together[:1], model(TOKENS[:1], one).logits, atol=1e-5, rtol=1e-5)
    assert_close(together[1:], model(TOKENS[1:], three).logits, atol=1e-5, rtol=1e-5)


def test_absent_images_do_not_reach_batch_norm() -> None:
    model = tiny_model(0, **STEM).train()
    image = torch.rand(1, 1, 1, 32, 32) * 2 - 1
    padded = torch.cat((image, torch.full_like(image, torch.nan)), dim=1)
    model.encode(padded, torch.tensor([[True, False]]))
    assert all(buffer.isfinite().all() for buffer in model.buffers())


def test_beams_share_their_studys_memory() -> None:
    model = tiny_model(5)
    memory = model.encode(tiny_images(0, 2))
    beams = torch.randint(3, 17, (6, 4), generator=torch.Generator().manual_seed(0))
    shared = model(beams, encoder_outputs=memory, output_attentions=True)
    repeated = memory.studies(torch.tensor([0, 0, 0, 1, 1, 1]))
    alone = model(beams, encoder_outputs=repeated, output_attentions=True)
    assert_close(shared.logits, alone.logits, atol=1e-5, rtol=1e-5)
    assert_close(shared.cross_attentions, alone.cross_attentions)


def test_loss_counts_neither_pad_nor_ignored() -> None:
    model = tiny_model(0)
    memory = model.encode(tiny_images(0, 2))
    labels = torch.tensor([[5, 6, 7, 0], [8, -100, 11, 2]])
    output = model(TOKENS, encoder_outputs=memory, labels=labels)
    log = output.logits.log_softmax(-1)
    counted = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (1, 3)]
    expected = -torch.stack([log[r, c, labels[r, c]] for r, c in counted]).mean()
    assert_close(output.loss, expected)


def test_bfloat16_autocast_trains_close_to_float32() -> None:
    model = tiny_model(0).to(memory_format=torch.channels_last).train()
    labels = TOKENS.roll(-1, 1)
    plain = model(TOKENS, tiny_images(0, 2), labels=labels, output_attentions=True)
    with torch.autocast("cpu", torch.bfloat16):
        half = model(TOKENS, tiny_images(0, 2), labels=labels, output_attentions=True)
    assert all(a.dtype == torch.float32 for a in half.cross_attentions)
    assert_close(half.loss, plain.loss, atol=0.1, rtol=0.05)
    (half.loss + half.cross_attentions[-1][..., 0].mean()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.decoder.parameters())


def test_initial_scores_are_near_uniform() -> None:
    torch.manual_seed(0)
    model = ReportModel(tiny_config(vocab_size=1000)).eval()
    memory = model.encode(tiny_images(0, 2))
    labels = TOKENS.roll(-1, 1)
    loss = model(TOKENS, encoder_outputs=memory, labels=labels).loss
    assert abs(loss.item() - math.log(1000)) < 0.1
    assert all((layer.mlp.input.bias == 0).all() for layer in model.decoder.layers)


STEM = {
    "encoder_arguments": {"depth": 1, "embed_dim": 32, "num_heads": 2, "class_token": False},
    "stem": "test_resnet",
    "stem_stride": 8,
}
FINE = {**STEM, "fine_stride": 4}
ROTARY = {
    "encoder": "vit_small_patch16_dinov3",
    "encoder_arguments": {"depth": 1, "embed_dim": 32, "num_heads": 2, "patch_size": 8},
}


@pytest.mark.parametrize(
    ("shape", "grid"),
    [({}, (4, 4)), (STEM, (4, 4)), (FINE, (8, 8)), (ROTARY, (4, 4))],
    ids=["class token", "stem", "fine", "rotary"],
)
def test_any_encoder_gives_patches_only_and_comes_back(shape, grid, tmp_path) -> None:
    model = tiny_model(0, **shape)
    model.save_pretrained(tmp_path)
    again = ReportModel.from_pretrained(tmp_path).eval()
    images = tiny_images(0, 2)
    assert model.grid == grid
    assert model.encode(images).last_hidden_state.shape == (2, 1 + grid[0] * grid[1], 32)
    assert again.config.encoder_arguments == model.config.encoder_arguments
    assert torch.equal(again(TOKENS, images).logits, model(TOKENS, images).logits)


@pytest.mark.parametrize(("shape", "place"), [(STEM, (2, 0)), (FINE, (5, 1))])
def test_patches_follow_the_images_rows(shape, place) -> None:
    encoder = tiny_model(0, **shape).encoder
    torch.nn.init.normal_(encoder.fine.expand.weight) if encoder.fine else None
    black = torch.full((1, 1, 32, 32), -1.0)
    bright = black.clone()
    bright[..., 20:22, 4:6] = 1.0
    with torch.no_grad():
        before, after = (encoder(image)[0] for image in (black, bright))
    brightest = int((after - before).square().sum(-1).argmax())
    assert divmod(brightest, encoder.grid[1]) == place


def test_a_finer_grid_begins_as_the_coarse_one_enlarged() -> None:
    """So that a model trained without it can go on with it."""
    fine, coarse = tiny_model(0, **FINE).encoder, tiny_model(0, **STEM).encoder
    fine.load_state_dict(coarse.state_dict(), strict=False)
    image = tiny_images(0, 1)[0]
    with torch.no_grad():
        patches = coarse(image).transpose(1, 2).unflatten(2, (4, 4))
        enlarged = torch.nn.functional.interpolate(patches, size=(8, 8), mode="bilinear")
        assert_close(fine(image), enlarged.flatten(2).transpose(1, 2))


def test_another_size_gives_another_grid() -> None:
    assert tiny_model(0, image_size=48).grid == (6, 6)
    assert tiny_model(0, **{**STEM, "image_size": 64}).grid == (8, 8)
    assert tiny_model(0, **{**FINE, "image_size": 64}).grid == (16, 16)


def test_memory_of_generate_is_left_alone() -> None:
    model = tiny_model(0)
    memory = model.encode(tiny_images(0, 2))
    kept = {name: field.clone() for name, field in memory.items()}
    model.generate(encoder_outputs=memory, num_beams=3, do_sample=False, max_new_tokens=3)
    assert_close(dict(memory.items()), kept)


@pytest.mark.parametrize("beams", [1, 3])
def test_generate_with_and_without_cache_and_from_images(beams) -> None:
    model = tiny_model(6)
    images = tiny_images(6, 3)
    arguments = {"num_beams": beams, "do_sample": False}
    cached = model.generate(images=images, **arguments)
    memory = model.encode(images)
    uncached = model.generate(encoder_outputs=memory, use_cache=False, **arguments)
    assert cached.shape[1] > 4
    assert torch.equal(cached, uncached)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"heads": 5}, "heads must divide width, got 5"),
        ({"stem": "test_resnet", "stem_stride": 7}, "multiple of stem_stride, got 32 and 7"),
        ({"encoder_arguments": {"pretrained": True}}, "pretrained"),
        ({"encoder_arguments": {"checkpoint_path": "x.pt"}}, "checkpoint_path"),
        ({"encoder": "hf-hub:someone/something"}, "no model of timm"),
        ({"encoder_arguments": {"nonsense": 1}}, "nonsense"),
        ({**STEM, "stem": "vit_huge_of_mine"}, "no model of timm"),
        ({**STEM, "stem_stride": 1}, "no feature map of stride 1"),
    ],
)
def test_a_shape_that_cannot_work_says_why(changes, words) -> None:
    with pytest.raises(ConfigError, match=words):
        ReportModel(tiny_config(**changes))


def test_inputs_that_cannot_work_say_why() -> None:
    model = tiny_model(0)
    with pytest.raises(DataError, match=r"got \(2, 1, 32, 32\)"):
        model.encode(tiny_images(0, 2)[:, 0])
    with pytest.raises(DataError, match="without an image"):
        model.encode(tiny_images(0, 2), torch.tensor([[True], [False]]))
    with pytest.raises(DataError, match="25 tokens"):
        model(torch.ones(2, 25, dtype=torch.long), tiny_images(0, 2))
    with pytest.raises(DataError, match="images"):
        model(TOKENS)


def test_config_comes_back_from_json(tmp_path) -> None:
    config = tiny_config(notice="Not for diagnosis.", attention_guidance=0.3, **STEM)
    config.save_pretrained(tmp_path)
    assert ReportConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()


def test_it_reads_and_writes_in_bfloat16() -> None:
    model = tiny_model(0).to(torch.bfloat16)
    memory = model.encode(tiny_images(0, 2).to(torch.bfloat16))
    assert memory.last_hidden_state.dtype == torch.bfloat16
    for attention in token_attention(model, memory, decode(model, memory)):
        shares = attention.attention.sum(axis=1)
        assert ((shares > 0) & (shares < 1.01)).all()
    assert np.isfinite(model.novelty_distances(memory)).all()
