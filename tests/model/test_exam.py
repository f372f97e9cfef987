"""Views, priors and indications: what is given of a study is read, and in any batch alike."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import generated, tiny_config, tiny_images, tiny_model
from torch.testing import assert_close

from model.decoding import DecodingOptions, decode, sample_texts
from model.errors import ConfigError, DataError
from model.exam import encode_studies, kind_of
from model.heatmap import token_attention
from model.image_features import image_features
from model.interface import VIEWS
from model.memory import Memory
from model.network import ReportModel
from model.torch_network import teacher_forced

PROMPTS = ([], [7], [5, 9, 3, 11], [5, 9, 3], [])
COUNTS = (1, 2, 1, 3, 2)
STRATEGIES = [
    DecodingOptions(),
    DecodingOptions("beam", beams=3),
    DecodingOptions("sample", temperature=1.3, seed=4),
]


def seeing(seed: int) -> ReportModel:
    """A model that tells views apart and reads indications."""
    model = tiny_model(seed, views=list(VIEWS), prompt_tokens=6)
    with torch.no_grad():
        model.views.weight.normal_(generator=torch.Generator().manual_seed(seed))
    return model


def studies(model: ReportModel, rows: list[int]) -> Memory:
    images = [tiny_images(row, 1, COUNTS[row])[0].numpy() for row in rows]
    kinds = [[0, 1, 2][: COUNTS[row]] for row in rows]
    return encode_studies(model, images, kinds, [PROMPTS[row] for row in rows])


@pytest.mark.parametrize("options", STRATEGIES, ids=lambda options: options.strategy)
@pytest.mark.parametrize("seed", [0, 6])
def test_a_text_does_not_depend_on_its_batch(options: DecodingOptions, seed: int) -> None:
    model = seeing(seed)
    together = decode(model, studies(model, [0, 1, 2, 3, 4]), options)
    assert len({str(text) for text in together}) > 2
    for row, text in enumerate(together):
        assert decode(model, studies(model, [row]), options) == [text]
    every = sample_texts(model, studies(model, [0, 1, 2, 3, 4]), 4, STRATEGIES[2])
    assert sample_texts(model, studies(model, [3]), 4, STRATEGIES[2]) == [every[3]]


@pytest.mark.parametrize("beams", [1, 3])
def test_texts_after_an_indication_are_those_of_generate(beams: int) -> None:
    for seed in (0, 6):
        model = seeing(seed)
        memory = studies(model, [0, 1, 2, 3, 4])
        options = DecodingOptions("beam", beams=beams) if beams > 1 else DecodingOptions()
        assert decode(model, memory, options) == generated(model, memory, num_beams=beams)


def test_what_was_written_is_what_is_read_back() -> None:
    """Cached steps and one pass over the whole text choose and look alike."""
    model = seeing(6)
    memory = studies(model, [0, 1, 2, 3, 4])
    texts = decode(model, memory)
    for row, text in enumerate(texts):
        before = torch.tensor([[1, *text[:-1]]])
        alone = studies(model, [row])
        scores = model(before, encoder_outputs=alone).logits[0]
        assert scores.argmax(-1).tolist() == text
        [look] = token_attention(model, alone, [text])
        attention, chosen = teacher_forced(model, memory, texts)
        patches = look.attention.shape[1]
        assert_close(attention[row, : len(text), 1 : 1 + patches], torch.from_numpy(look.attention))
        assert_close(chosen[row, : len(text)], torch.from_numpy(look.log_probabilities))


def test_an_indication_and_a_view_change_what_is_said() -> None:
    model = seeing(6)
    image = tiny_images(1, 1)[0].numpy()
    before = torch.tensor([[1, 5, 9]])

    def scores(kind: int, prompt: list[int]) -> torch.Tensor:
        return model(before, encoder_outputs=encode_studies(model, [image], [[kind]], [prompt]))[0]

    plain = scores(0, [])
    assert_close(plain, model(before, images=tiny_images(1, 1)).logits)
    changed = [scores(0, [7]), scores(0, [7, 8]), scores(0, [8, 7]), scores(1, []), scores(2, [])]
    for number, one in enumerate([plain, *changed]):
        assert not any((one - other).abs().max() < 1e-3 for other in changed[number:])


def test_a_model_that_knows_frontal_views_only_reads_all_alike_and_no_indication() -> None:
    model = tiny_model(6)
    image = tiny_images(1, 1)[0].numpy()
    one, other = (encode_studies(model, [image], [[kind]], [[]]) for kind in (0, 1))
    assert torch.equal(one.last_hidden_state, other.last_hidden_state)
    with pytest.raises(DataError, match="trained without"):
        encode_studies(model, [image], [[0]], [[7]])
    with pytest.raises(DataError, match="7 tokens, this model reads 6"):
        encode_studies(seeing(0), [image], [[0]], [[7] * 7])


def test_only_frontal_images_of_the_study_are_held_against_the_familiar() -> None:
    model = seeing(0)
    features = image_features(studies(model, [3, 0]), model.prefix, model.grid)
    assert features.isnan().all(-1).tolist() == [[False, True, True], [False, True, True]]


def test_what_says_nothing_is_frontal() -> None:
    views = [kind_of(view, False) for view in (None, "PA", "AP", "LATERAL")]
    assert [VIEWS[kind] for kind in views] == ["frontal", "frontal", "frontal", "lateral"]
    assert VIEWS[kind_of("PA", True)] == "prior"


def test_views_without_a_frontal_one_are_refused() -> None:
    for wrong in (["lateral"], ["frontal", "oblique"]):
        with pytest.raises(ConfigError, match="frontal"):
            tiny_config(views=wrong)
    with pytest.raises(ConfigError, match="prompt_tokens"):
        tiny_config(prompt_tokens=-1)


def test_transformers_loads_weights_from_before_there_were_views(tmp_path: Path) -> None:
    seeing(0).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    for name in ("views.weight", "decoder.prompt_positions.weight"):
        del weights[name]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded = ReportModel.from_pretrained(tmp_path)
    assert (loaded.views.weight == 0).all()
    assert loaded.decoder.prompt_positions.weight.abs().max() < 0.1
    assert all(weight.isfinite().all() for weight in loaded.state_dict().values())
