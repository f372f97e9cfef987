"""Decoder-only checkpoints: tokens of generate, maps of its self-attention, batch as single."""

from pathlib import Path
from typing import Any

import pytest
import torch
from published import SIZE, radiograph, rewritten
from published_llava import IMAGE, KINDS, TEMPLATE, published_llava
from torch import Tensor
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from model.decoding import DecodingOptions, decode, sample_texts
from model.errors import CheckpointError, DataError
from model.generator import ReportGenerator
from model.heatmap import token_attention
from model.imported.decoder_only import DecoderOnlyNetwork
from model.imported.decoder_only_folder import INSTRUCTION
from model.imported.export import export, save_joined
from model.imported.tokenizer import ImportedTokenizer
from model.loading import load_network, read_published

STEPS = 12
BEAM = DecodingOptions("beam", beams=3, max_tokens=STEPS)
GREEDY = DecodingOptions(max_tokens=STEPS)


def images(count: int) -> Tensor:
    return torch.randn(count, 1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published_llava(tmp_path_factory.mktemp("-".join(request.param)), *request.param)


@pytest.fixture(scope="module")
def network(folder: Path) -> DecoderOnlyNetwork:
    loaded = load_network(folder)[0]
    assert isinstance(loaded, DecoderOnlyNetwork)
    return loaded


def generated(folder: Path, pixels: Tensor, beams: int) -> tuple[Any, int]:
    """What transformers writes for normalized images, and how long its prompt is."""
    model: Any = LlavaForConditionalGeneration.from_pretrained(folder, attn_implementation="eager")
    processor: Any = LlavaProcessor.from_pretrained(folder)
    content = [{"type": "image"}, {"type": "text", "text": INSTRUCTION}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True
    )
    gray = [torch.zeros(3, SIZE, SIZE)] * len(pixels)
    inputs = processor(images=gray, text=[text] * len(pixels), return_tensors="pt")
    written = model.eval().generate(
        **{**inputs, "pixel_values": pixels[:, 0]},
        max_new_tokens=STEPS,
        num_beams=beams,
        do_sample=False,
        output_attentions=True,
        return_dict_in_generate=True,
    )
    return written, inputs["input_ids"]


def trimmed(rows: Tensor) -> list[list[int]]:
    return [row[: row.index(2) + 1] if 2 in row else row for row in rows.tolist()]


@pytest.mark.parametrize("beams", [1, 3], ids=["greedy", "beam"])
def test_tokens_and_maps_are_those_of_generate(folder: Path, network, beams: int) -> None:
    pixels = images(2)
    written, prompts = generated(folder, pixels, beams)
    texts = decode(network, network.encode(pixels), BEAM if beams > 1 else GREEDY)
    assert texts == trimmed(written.sequences[:, prompts.shape[1] :])
    assert texts[0] != texts[1]
    found = token_attention(network, network.encode(pixels), texts)
    at = (prompts[0] == 3).nonzero()[:, 0][-16:]  # after a class token, where there is one
    for study, text in enumerate(texts):
        for step in range(len(text)):
            row = int(written.beam_indices[study, step]) if beams > 1 else study
            late = [layer[row, :, -1] for layer in written.attentions[step][1:]]
            theirs = torch.stack(late).mean(dim=(0, 1))[at]
            ours = torch.from_numpy(found[study].attention[step])
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("options", [GREEDY, BEAM], ids=["greedy", "beam"])
def test_a_batch_is_its_studies_one_by_one(network, options) -> None:
    pixels = images(3)
    memory = network.encode(pixels)
    together = decode(network, memory, options)
    assert together == [decode(network, network.encode(one[None]), options)[0] for one in pixels]
    some = DecodingOptions("sample", max_tokens=6)
    alone = sample_texts(network, network.encode(pixels[1:]), 3, some)[0]
    assert sample_texts(network, memory, 3, some)[1] == alone


def test_it_reads_one_image_and_no_indication(network) -> None:
    with pytest.raises(DataError, match="reads one image a study"):
        network.encode(images(2)[:, 0][None])
    with pytest.raises(DataError, match="reads no indication"):
        network.encode(images(1), prompt=torch.ones(1, 1, dtype=torch.long))


def test_an_export_writes_the_same_report(folder: Path, tmp_path: Path) -> None:
    original = ReportGenerator.load(folder)
    export(read_published(folder), tmp_path / "own")
    exported = ReportGenerator.load(tmp_path / "own")
    image = radiograph(3)
    ours, theirs = (each(image, input_check=False) for each in (exported, original))
    assert ours.text == theirs.text
    assert ours.text.strip()
    assert "self-attention on image tokens, not cross-attention" in exported.model.config.notice
    assert {word.state for word in ours.words} == {"unknown"}
    for one, other in zip(ours.words, theirs.words, strict=True):
        torch.testing.assert_close(one.heatmap, other.heatmap)


def test_a_calibrated_copy_is_saved_whole(network, folder: Path, tmp_path: Path) -> None:
    """As `crossray calibrate` saves it: weights by the names that transformers stores."""
    tokenizer = load_network(folder)[1]
    assert isinstance(tokenizer, ImportedTokenizer)
    save_joined(tmp_path / "own", network, network.state_dict(), tokenizer, {}, "# A card")
    again = load_network(tmp_path / "own")[0]
    pixels = images(2)
    assert decode(again, again.encode(pixels)) == decode(network, network.encode(pixels))


def test_a_prompt_without_a_template_is_that_of_llava(tmp_path: Path) -> None:
    network, tokenizer, _ = load_network(published_llava(tmp_path, template=None))
    prompt = network.config.connector.prompt
    assert prompt[0] == 1
    assert prompt.count(3) == 1
    assert tokenizer.backend.decode(prompt) == f"USER: \n{INSTRUCTION} ASSISTANT:"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text_config": {"model_type": "gpt2"}}, "language model is of model_type 'gpt2'"),
        ({"vision_config": {"model_type": "vit"}}, "vision tower is of model_type 'vit'"),
        ({"vision_feature_layer": [-2, -1]}, r"layers \[-2, -1\] together"),
        ({"model_type": "llava_next"}, "'llava_next'.*CrossRay reads"),
    ],
)
def test_what_is_not_read_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    rewritten(published_llava(tmp_path), "config.json", **change)
    with pytest.raises(CheckpointError, match=message):
        load_network(tmp_path)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (TEMPLATE.replace(IMAGE, ""), "with 0 image tokens: one is needed"),
        ("{{ raise_exception('no') }}", "chat template cannot be read"),
    ],
)
def test_a_template_that_shows_no_image(tmp_path: Path, template: str, message: str) -> None:
    published_llava(tmp_path, template=template)
    with pytest.raises(CheckpointError, match=message):
        load_network(tmp_path)
