"""Decoding on static shapes, with CUDA graphs where it can: the texts of a cache that grows."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from tiny import tiny_images, tiny_model

from model.decoding import DecodingOptions, decode, sample_texts
from model.incremental import CachedDecoder
from model.memory import Memory
from model.network import ReportModel
from model.static_decoding import KEPT, StaticDecoder

SHAPES = {
    "one study": (1, 1, 0),
    "a batch": (5, 1, 0),
    "several images": (3, 2, 0),
    "indications": (3, 1, 5),
    "all": (6, 2, 7),
}
"""Studies, images of a study, tokens of an indication."""


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class EagerModel(ReportModel):
    """Takes no static shapes wherever it runs."""

    def incremental_decoder(self, memory: Memory, beams: int, limit: int) -> CachedDecoder:
        return CachedDecoder(self.decoder, memory.context(self.grid), beams, limit)


class StaticModel(ReportModel):
    """Takes static shapes wherever it runs."""

    def incremental_decoder(self, memory: Memory, beams: int, limit: int) -> StaticDecoder:
        context = memory.context(self.grid)
        return StaticDecoder(self._steps, self.decoder, self.config, context, beams, limit)


def both(seed: int, **changes: object) -> tuple[EagerModel, StaticModel]:
    """The same weights; texts as long as more than one span of the cache."""
    model = tiny_model(seed, max_tokens=90, views=["frontal", "lateral"], **changes)
    with torch.no_grad():
        model.decoder.tokens.weight[model.config.eos_token_id] *= 0.75
    made = EagerModel(model.config).eval(), StaticModel(model.config).eval()
    for each in made:
        each.load_state_dict(model.state_dict())
        each.to(DEVICE)
    return made


def studies_of(model: ReportModel, seed: int, shape: str) -> Memory:
    studies, images, words = SHAPES[shape]
    mask = torch.ones(studies, images, dtype=torch.bool)
    mask[::2, 1:] = False
    views = torch.arange(images).expand(studies, -1)
    prompt = torch.randint(3, 17, (studies, words))
    for row in range(studies):  # padded in front
        prompt[row, : row % (words or 1)] = model.config.pad_token_id
    arguments = (tiny_images(seed, studies, images), mask, views, prompt)
    return model.encode(*(each.to(DEVICE) for each in arguments))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("options", [
    DecodingOptions(),
    DecodingOptions(max_tokens=11),
    DecodingOptions("beam", beams=3),
    DecodingOptions("sample", temperature=1.3, seed=4),
], ids=lambda options: f"{options.strategy}-{options.max_tokens}")  # fmt: skip
def test_static_is_dynamic(shape, options) -> None:
    model, static = both(3, prompt_tokens=8)
    memory = studies_of(model, 3, shape)
    assert decode(static, memory, options) == decode(model, memory, options)


def test_the_texts_say_something() -> None:
    """They end within and beyond the first span of the cache, and not all with it."""
    model, _ = both(3, prompt_tokens=8)
    lengths = [len(text) for shape in SHAPES for text in decode(model, studies_of(model, 3, shape))]
    assert len(set(lengths)) > 5 and min(lengths) < 40 and max(lengths) == 90, lengths


def test_samples_of_a_study_go_on_without_static_shapes() -> None:
    model, static = both(6, prompt_tokens=8)
    memory = studies_of(model, 6, "all")
    options = DecodingOptions("sample", temperature=0.7, seed=5)
    assert sample_texts(static, memory, 4, options) == sample_texts(model, memory, 4, options)


def test_a_step_is_used_again_and_knows_nothing_of_before() -> None:
    model, static = both(3, prompt_tokens=8)
    for shape in SHAPES:
        used = []
        for seed in range(2):
            memory = studies_of(model, seed, shape)
            assert decode(static, memory) == decode(model, memory)
            used.append(static._steps._idle[-1])
        assert used[0] is used[1]
    assert len(static._steps._idle) == KEPT < len(SHAPES), "those used last"


def test_logits_after_tokens_that_nobody_foresaw() -> None:
    """Greedy steps run ahead; whoever goes another way gets that way's logits."""
    model, static = both(3)
    memory = studies_of(model, 3, "a batch")
    steps = [one.incremental_decoder(memory, 1, 60) for one in (model, static)]
    chosen, rng = np.ones(5, np.int64), np.random.default_rng(0)
    for place in range(40):
        likeliest = [step.likeliest(chosen) for step in steps]
        np.testing.assert_array_equal(*likeliest)
        # After its end a row is its caller's affair: here none ends.
        chosen = np.where(likeliest[0] == 2, 3, likeliest[0])
        if place % 3 == 2:
            chosen = rng.integers(3, 17, 5)
        if place % 7 == 6:
            logits = [step(chosen) for step in steps]
            np.testing.assert_allclose(*logits, atol=1e-4)
            chosen = rng.integers(3, 17, 5)


def test_a_copied_network_shares_no_step() -> None:
    _, static = both(3)
    decode(static, studies_of(static, 3, "one study"))
    assert static._steps._idle and not deepcopy(static)._steps._idle
