"""A published checkpoint's shape in each engine, beside transformers' generate with attentions.

    python tests/benchmarks/bench_imported.py [base|tiny]

ViT-B/16 and a GPT-2 of 6 layers (DistilGPT2's size) with drawn weights, an image to 100 tokens with
all maps. Turns, threads and times as in bench_engine.py. "tiny" only shows that it runs.
"""

import os
import sys

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from contestants import TOKENS, medians, read, say, squares, table, with_maps
from transformers import (
    GPT2Config,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
)

from model.decoding import decode
from model.engine.convert import convert_network
from model.engine.openvino_engine import OpenVinoEngine, ready
from model.imported.config import ImportedConfig
from model.imported.network import ImportedNetwork
from model.imported.processing import Processing
from model.vision import VisionModel

END = 0
SHAPES = {"base": (768, 12, 12, 6, 50_257), "tiny": (64, 2, 2, 2, 300)}
"""Width, heads, layers of the encoder and of the decoder, vocabulary."""


def drawn(shape: str) -> tuple[VisionEncoderDecoderModel, ImportedNetwork]:
    """transformers' model, and the adapter around its parts. Never ends by itself."""
    width, heads, encoder_layers, layers, vocabulary = SHAPES[shape]
    torch.manual_seed(0)
    sizes = {"hidden_size": width, "num_attention_heads": heads, "intermediate_size": 4 * width}
    encoder = ViTConfig(num_hidden_layers=encoder_layers, **sizes)
    ids = {"bos_token_id": 1, "eos_token_id": END, "pad_token_id": END}
    decoder = GPT2Config(n_embd=width, n_layer=layers, n_head=heads, vocab_size=vocabulary, **ids)
    joined = VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    model = VisionEncoderDecoderModel(joined).eval()
    model.set_attn_implementation("eager")
    with torch.no_grad():
        model.decoder.transformer.wte.weight.normal_(std=0.5)
        model.decoder.transformer.wte.weight[END] = 0
    config = ImportedConfig(
        name=shape,
        notice="",
        source="",
        encoder=encoder.to_dict(),
        decoder=model.decoder.config.to_dict(),
        processing=Processing(224, "stretch", 224, "bilinear", 1.0, (0.5,) * 3, (0.5,) * 3),
        pad_token_id=END,
        bos_token_id=1,
        eos_token_id=END,
        max_tokens=TOKENS,
    )
    return model, ImportedNetwork(config, VisionModel(model.encoder), None, model.decoder).eval()


@torch.inference_mode()
def generated(model: VisionEncoderDecoderModel, images: list[np.ndarray]) -> list[int]:
    written = model.generate(
        torch.from_numpy(np.concatenate(images)),
        decoder_start_token_id=1,
        max_new_tokens=TOKENS,
        do_sample=False,
        output_attentions=True,
        return_dict_in_generate=True,
    )
    tokens: list[int] = written.sequences[0, 1:].tolist()
    return tokens


def stepwise(network: ImportedNetwork) -> OpenVinoEngine:
    """Reads nothing ahead: the same text each round would be drafted as a whole."""
    engine = ready(convert_network(network), threads=1)
    engine._drafts.learn = lambda text: None  # type: ignore[method-assign]
    return engine


def main() -> None:
    torch.set_num_threads(1)
    shape = sys.argv[1] if len(sys.argv) > 1 else "base"
    model, network = drawn(shape)
    engine = stepwise(network)
    one = [np.repeat(squares(network, 1)[0], 3, axis=1)]
    texts = [decode(each, read(each, one))[0] for each in (network, engine)]
    equal = [generated(model, one) == text for text in texts]
    say(f"texts equal to transformers': PyTorch {equal[0]}, OpenVINO {equal[1]}")
    found = medians(
        {
            "transformers generate": lambda _: generated(model, one),
            "CrossRay, PyTorch": lambda _: with_maps(network, one),
            "CrossRay, OpenVINO": lambda _: with_maps(engine, one),
        }
    )
    table(f"{shape}, image to {TOKENS} tokens with all maps", found, "transformers generate")


if __name__ == "__main__":
    main()
