"""Published checkpoints of every architecture: tokens and maps of generate, batch as single."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published import ARCHITECTURES, SIZE, published, published_by_hand
from torch import Tensor
from transformers import BertLMHeadModel, VisionEncoderDecoderModel

from model.decoding import DecodingOptions, decode, sample_texts
from model.heatmap import token_attention
from model.imported.network import ImportedNetwork
from model.loading import load_network

STEPS = 14
BEAM = DecodingOptions("beam", beams=3, max_tokens=STEPS)
GREEDY = DecodingOptions(max_tokens=STEPS)


def images(count: int, size: int = SIZE) -> Tensor:
    return torch.randn(count, 1, 3, size, size, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module", params=ARCHITECTURES, ids="-".join)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    narrow = request.param == ("swin", "bert")
    made = tmp_path_factory.mktemp("-".join(request.param))
    return published(made, *request.param, width=24 if narrow else 32)


@pytest.fixture(scope="module")
def network(folder: Path) -> ImportedNetwork:
    loaded = load_network(folder)[0]
    assert isinstance(loaded, ImportedNetwork)
    return loaded


@pytest.fixture(scope="module")
def original(folder: Path) -> VisionEncoderDecoderModel:
    return VisionEncoderDecoderModel.from_pretrained(folder, attn_implementation="eager").eval()


def trimmed(rows: Tensor) -> list[list[int]]:
    """Without the start token, up to and with the end token."""
    texts = [row[1:] for row in rows.tolist()]
    return [text[: text.index(2) + 1] if 2 in text else text for text in texts]


@pytest.mark.parametrize("options", [GREEDY, BEAM], ids=["greedy", "beam"])
def test_same_tokens_as_generate(network, original, options) -> None:
    pixels = images(3)
    beams = options.beams if options.strategy == "beam" else 1
    theirs = original.generate(pixels[:, 0], max_new_tokens=STEPS, num_beams=beams, do_sample=False)
    texts = decode(network, network.encode(pixels), options)
    assert texts == trimmed(theirs)
    assert len(set(map(tuple, texts))) > 1 or len({len(text) for text in texts}) > 1


@pytest.mark.parametrize("beams", [1, 3])
def test_maps_are_the_cross_attentions_of_generate(network, original, beams) -> None:
    """Prefix tokens cut, beams gathered, each token's row that which chose it."""
    pixels = images(2)
    written = original.generate(
        pixels[:, 0],
        max_new_tokens=STEPS,
        num_beams=beams,
        do_sample=False,
        output_attentions=True,
        return_dict_in_generate=True,
    )
    texts = trimmed(written.sequences)
    found = token_attention(network, network.encode(pixels), texts)
    rows, columns = network.grid
    for study, text in enumerate(texts):
        for step in range(len(text)):
            row = int(written.beam_indices[study, step]) if beams > 1 else study
            late = [layer[row, :, -1] for layer in written.cross_attentions[step][1:]]
            theirs = torch.stack(late).mean(dim=(0, 1))
            assert len(theirs) == network.prefix + rows * columns
            ours = torch.from_numpy(found[study].attention[step])
            torch.testing.assert_close(ours, theirs[network.prefix :], atol=1e-5, rtol=0)


@pytest.mark.parametrize("options", [GREEDY, BEAM], ids=["greedy", "beam"])
def test_a_batch_is_its_studies_one_by_one(network, options) -> None:
    pixels = images(4)
    together = decode(network, network.encode(pixels), options)
    assert together == [decode(network, network.encode(one[None]), options)[0] for one in pixels]
    memory = network.encode(pixels)
    for study, both in enumerate(token_attention(network, memory, together)):
        alone = network.encode(pixels[study : study + 1])
        [single] = token_attention(network, alone, [together[study]])
        for ours, own in zip(vars(both).values(), vars(single).values(), strict=True):
            torch.testing.assert_close(torch.from_numpy(ours), torch.from_numpy(own))


def test_it_reads_and_writes_in_bfloat16(network) -> None:
    half = deepcopy(network).bfloat16()
    texts = decode(half, half.encode(images(2)), GREEDY)
    for memory in (half.encode(images(2)), half.without_images(half.encode(images(2)))):
        for attention in token_attention(half, memory, texts):
            shares = attention.attention.sum(axis=1)
            assert ((shares >= 0) & (shares < 1.01)).all()


def test_a_text_that_begins_with_padding_is_read_as_it_is_written(network) -> None:
    """Many checkpoints begin texts with their padding token."""
    memory, text = network.encode(images(1)), [network.config.pad_token_id, 5, 6, 7]
    step = network.incremental_decoder(memory, 1, len(text))
    logits = [step(np.array([token]))[0] for token in text]
    whole, _ = network.teacher_forced(memory, torch.tensor([text]), None)
    np.testing.assert_allclose(whole[0].detach(), np.stack(logits), atol=1e-4)


def test_samples_do_not_depend_on_the_batch(network) -> None:
    pixels = images(2)
    options = DecodingOptions("sample", max_tokens=6)
    together = sample_texts(network, network.encode(pixels), 3, options)
    assert together[1] == sample_texts(network, network.encode(pixels[1:]), 3, options)[0]


def test_without_images_is_a_black_image(network) -> None:
    memory = network.encode(images(2))
    size = network.config.image_size
    black = network.place(size, size).apply(torch.zeros(size, size).numpy())
    expected = network.encode(torch.from_numpy(black)[None, None])
    found = network.without_images(memory)
    for layer in (found.cross_keys_layers, found.cross_values_layers):
        assert len(layer) == 2
    torch.testing.assert_close(found.cross_keys_layers[1], expected.cross_keys_layers[0])


@pytest.mark.parametrize("encoder", ["convnext", "cvt"])
def test_encoders_that_no_class_of_transformers_joins(tmp_path: Path, encoder: str) -> None:
    """Greedily, by the decoder alone: token after token with the whole text, without a cache."""
    folder, decoder = published_by_hand(tmp_path, encoder)
    network = load_network(folder)[0]
    assert isinstance(network, ImportedNetwork)
    assert network.grid == (4, 4)
    assert network.prefix == 0
    pixels = images(3, network.config.image_size)
    memory = network.encode(pixels)
    texts = decode(network, memory, GREEDY)
    separator = network.config.section_token_id
    assert (separator is None) == (encoder == "convnext")
    decoder.set_attn_implementation("eager")
    for study, text in enumerate(texts):
        tokens = torch.tensor([[1, *text]])
        types = {}
        if separator is not None:
            after = (tokens == separator).cumsum(1) - (tokens == separator).long()
            types = {"token_type_ids": (after > 0).long()}
        with torch.no_grad():
            output = decoder(
                tokens,
                encoder_hidden_states=memory.last_hidden_state[study : study + 1],
                output_attentions=True,
                **types,
            )
        assert output.logits[0, :-1].argmax(-1).tolist() == text
        [found] = token_attention(network, memory.studies(slice(study, study + 1)), [text])
        theirs = torch.stack(output.cross_attentions[1:]).mean(dim=(0, 2))[0, :-1]
        torch.testing.assert_close(torch.from_numpy(found.attention), theirs, atol=1e-5, rtol=0)


def test_what_follows_the_separator_of_sections_is_of_another_type(tmp_path: Path) -> None:
    """Step by step as in one pass, and read as findings and impression."""
    folder, decoder = published_by_hand(tmp_path, "cvt")
    network, tokenizer, _ = load_network(folder)
    assert isinstance(network, ImportedNetwork)
    separator = network.config.section_token_id
    assert separator not in (None, network.config.eos_token_id)
    memory = network.encode(images(2, network.config.image_size))
    [words] = [tokenizer.encode("the heart is normal").ids]
    text = [*words, separator, *words]
    tokens = torch.tensor([[1, *text], [1, *words, *words, 5]])
    logits, _ = network.teacher_forced(memory, tokens, None)
    step = network.incremental_decoder(memory, 1, len(text))
    with torch.no_grad():
        for position in range(tokens.shape[1]):
            own = torch.from_numpy(step(tokens[:, position].numpy()))
            torch.testing.assert_close(own, logits[:, position], atol=1e-4, rtol=0)
        types = torch.zeros_like(tokens)
        types[0, len(words) + 2 :] = 1
        theirs = decoder(
            tokens, encoder_hidden_states=memory.last_hidden_state, token_type_ids=types
        ).logits
    torch.testing.assert_close(logits, theirs, atol=1e-4, rtol=0)
    assert tokenizer.decode(text) == "the heart is normal Impression: the heart is normal"


def test_the_convnext_beams_are_those_of_its_decoder(tmp_path: Path) -> None:
    folder, decoder = published_by_hand(tmp_path, "convnext")
    network = load_network(folder)[0]
    memory = network.encode(images(2))
    theirs = decoder.generate(
        torch.ones(2, 1, dtype=torch.long),
        encoder_hidden_states=memory.last_hidden_state,
        attention_mask=torch.ones(2, 1, dtype=torch.long),
        max_new_tokens=STEPS,
        num_beams=3,
        do_sample=False,
        eos_token_id=2,
        pad_token_id=0,
    )
    assert decode(network, memory, BEAM) == trimmed(theirs)


class Typed(BertLMHeadModel):
    """CXRMate's decoder under generate: what follows the separator of sections is of type 1."""

    separator: int

    def prepare_inputs_for_generation(self, input_ids: Tensor, **kwargs: Any) -> dict[str, Any]:
        after = (input_ids == self.separator).cumsum(1) - (input_ids == self.separator).long()
        return {
            "input_ids": input_ids,
            "token_type_ids": (after > 0).long(),
            "attention_mask": torch.ones_like(input_ids),
            "encoder_hidden_states": kwargs["encoder_hidden_states"],
            "use_cache": False,
        }


def test_the_cvt_beams_are_those_of_generate(tmp_path: Path) -> None:
    """Beams on either side of the separator are reordered among each other."""
    folder, decoder = published_by_hand(tmp_path, "cvt")
    network = load_network(folder)[0]
    assert isinstance(network, ImportedNetwork)
    decoder.__class__ = Typed
    decoder.separator = separator = network.config.section_token_id
    likelier = 8.0  # or random weights would hardly write it
    for each in (decoder, network.decoder):
        with torch.no_grad():
            each.get_output_embeddings().bias[separator] += likelier
    memory = network.encode(images(4, network.config.image_size))
    theirs = decoder.generate(
        torch.ones(4, 1, dtype=torch.long),
        encoder_hidden_states=memory.last_hidden_state,
        max_new_tokens=STEPS,
        num_beams=3,
        do_sample=False,
        eos_token_id=2,
        pad_token_id=0,
        use_cache=False,
    )
    texts = decode(network, memory, BEAM)
    assert texts == trimmed(theirs)
    assert any(separator in text[:-1] for text in texts)
