"""Tiny published checkpoints with random weights, written by transformers itself."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import nn
from torch.nn import functional as F  # noqa: N812 (the name everyone knows it by)
from transformers import (
    BertConfig,
    BitImageProcessor,
    ConvNextConfig,
    ConvNextImageProcessor,
    CvtConfig,
    CvtModel,
    DeiTConfig,
    Dinov2Config,
    Dinov2WithRegistersConfig,
    GPT2Config,
    PreTrainedTokenizerFast,
    RobertaConfig,
    SwinConfig,
    Swinv2Config,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTImageProcessor,
)

from model.imaging.radiograph import Radiograph

SIZE = 32
WIDTH = 32
TEXTS = [
    "Findings: the heart is normal in size. No pleural effusion, and no pneumothorax.",
    "Impression: small left pleural effusion. The lungs aren't clear; there's edema (mild).",
    "the lungs are clear bilaterally without focal consolidation",
]
CARD = """---
license: mit
datasets:
- an-archive/of-chests
---
# A tiny one
"""
SMALL = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2}
SWIN = {"embed_dim": 16, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4, "patch_size": 4}
LARGE = {"initializer_range": 0.3}


def _swin(kind: Any) -> Any:
    return kind(image_size=SIZE, **SWIN, **LARGE)


def _plain(kind: Any, **more: Any) -> Any:
    return kind(image_size=SIZE, patch_size=8, intermediate_size=48, **SMALL, **LARGE, **more)


ENCODERS = {
    "vit": lambda: _plain(ViTConfig),
    "deit": lambda: _plain(DeiTConfig),
    "dinov2": lambda: _plain(Dinov2Config),
    "dinov2_with_registers": lambda: _plain(Dinov2WithRegistersConfig, num_register_tokens=4),
    "swin": lambda: _swin(SwinConfig),
    "swinv2": lambda: _swin(Swinv2Config),
}
ARCHITECTURES = [
    ("vit", "gpt2"),
    ("deit", "gpt2"),
    ("dinov2", "gpt2"),
    ("dinov2_with_registers", "gpt2"),
    ("swin", "bert"),
    ("swinv2", "bert"),
    ("vit", "roberta"),
]


def _decoder(kind: str, vocabulary: int, width: int) -> Any:
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "vocab_size": vocabulary}
    roles = {"is_decoder": True, "add_cross_attention": True}
    if kind == "gpt2":
        sizes = {"n_embd": width, "n_layer": 3, "n_head": 2, "n_positions": 48}
        return GPT2Config(**sizes, **ids, **roles, **LARGE)
    sizes = {"hidden_size": width, "num_hidden_layers": 3, "num_attention_heads": 2}
    common = {**sizes, "intermediate_size": 48, "max_position_embeddings": 48}
    if kind == "bert":
        return BertConfig(**common, **ids, **roles, **LARGE)
    return RobertaConfig(**common, **ids, **roles, **LARGE)


def tokenizer_of(kind: str, sections: bool = False) -> PreTrainedTokenizerFast:
    """WordPiece for BERT, byte-level BPE for the others; padding, start and end are 0, 1 and 2.

    Args:
        sections: a token of its own separates findings and impression, as in CXRMate.
    """
    if kind == "bert":
        ends = ["[EOS]", "[UNK]", "[SEP]"] if sections else ["[SEP]", "[UNK]"]
        special = ["[PAD]", "[CLS]", *ends]
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.normalizer = normalizers.BertNormalizer(lowercase=True)
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        made.decoder = decoders.WordPiece(prefix="##", cleanup=True)
        trainer: Any = trainers.WordPieceTrainer(vocab_size=120, special_tokens=special)
    else:
        special = ["<pad>", "<s>", "</s>"]
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        # Only the bytes of TEXTS: what random weights write is then made of letters.
        trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=special)
    made.train_from_iterator(TEXTS * 3, trainer)
    names = dict(zip(("pad_token", "bos_token", "eos_token"), special, strict=False))
    return PreTrainedTokenizerFast(tokenizer_object=made, **names)


def published(
    folder: Path, encoder: str, decoder: str, width: int = WIDTH, talkative: bool = False
) -> Path:
    """A folder as VisionEncoderDecoderModel writes it, its processor, tokenizer and card beside.

    Args:
        width: of the decoder; where it is not the encoder's, there is a projection between them.
        talkative: its texts go on to the longest length.
    """
    torch.manual_seed(len(encoder) + len(decoder))
    tokenizer = tokenizer_of(decoder)
    configs = ENCODERS[encoder](), _decoder(decoder, len(tokenizer), width)
    model = VisionEncoderDecoderModel(
        VisionEncoderDecoderConfig.from_encoder_decoder_configs(*configs)
    )
    _start(model)
    if talkative:
        _never_end(model.decoder)
    model.save_pretrained(folder)
    _beside(folder, ViTImageProcessor(size={"height": SIZE, "width": SIZE}), tokenizer)
    return folder


def published_by_hand(folder: Path, encoder: str) -> tuple[Path, nn.Module]:
    """ConvNeXt, or CvT in CXRMate's structure: no class of transformers holds both halves.

    Returns:
        The folder, and the decoder.
    """
    torch.manual_seed(3)
    kind = "bert" if encoder == "cvt" else "gpt2"
    tokenizer = tokenizer_of(kind, sections=encoder == "cvt")
    decoder = VisionEncoderDecoderModel(
        VisionEncoderDecoderConfig.from_encoder_decoder_configs(
            ENCODERS["vit"](), _decoder(kind, len(tokenizer), WIDTH)
        )
    ).decoder.eval()
    _never_end(decoder)
    if encoder == "cvt":
        shape = {"embed_dim": [8, 16, 24], "num_heads": [1, 1, 2], "depth": [1, 2, 3]}
        config: Any = CvtConfig(**shape, **LARGE)
        trunk: Any = CvtModel(config, add_pooling_layer=False)
        head = {
            "encoder.projection_head.layer_norm.weight": torch.rand(24),
            "encoder.projection_head.layer_norm.bias": torch.rand(24),
            "encoder.projection_head.projection.weight": torch.randn(WIDTH, 24),
        }
        processor: Any = ConvNextImageProcessor(size={"shortest_edge": 64})
    else:
        stages = {"depths": [1, 1], "hidden_sizes": [16, WIDTH], "num_stages": 2}
        config = ConvNextConfig(**stages, **LARGE, image_size=SIZE)
        trunk, head = config_model(config), {}
        processor = ConvNextImageProcessor(size={"shortest_edge": SIZE}, crop_pct=0.875)
    weights = dict(head)
    for part, name in (
        (trunk, "encoder.cvt." if encoder == "cvt" else "encoder."),
        (decoder, "decoder."),
    ):
        part.save_pretrained(folder / "part")
        stored = load_file(folder / "part" / "model.safetensors")
        weights |= {name + key: value for key, value in stored.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    for path in (folder / "part").iterdir():
        path.unlink()
    (folder / "part").rmdir()
    halves = {"encoder": config.to_dict(), "decoder": decoder.config.to_dict()}
    if encoder == "cvt":
        halves["encoder"]["projection_size"] = WIDTH
    whole = {"model_type": "vision-encoder-decoder", "decoder_start_token_id": 1, **halves}
    whole |= {"eos_token_id": 2, "pad_token_id": 0, "architectures": ["Any"]}
    (folder / "config.json").write_text(json.dumps(whole))
    _beside(folder, processor, tokenizer)
    return folder, decoder


def config_model(config: Any) -> Any:
    from transformers import AutoModel

    return AutoModel.from_config(config)


def radiograph(seed: int, height: int = 40, width: int = 60) -> Radiograph:
    """A smooth random image."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((1, 1, 6, 6), np.float32))
    pixels = F.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)
    return Radiograph(pixels[0, 0].numpy(), "PA")


def rewritten(folder: Path, name: str, **fields: object) -> Path:
    """A JSON file of the folder, with other values."""
    values = json.loads((folder / name).read_text()) | fields
    (folder / name).write_text(json.dumps(values))
    return folder


def square_of(folder: Path) -> BitImageProcessor:
    """A processor that crops instead of stretching, written over the folder's."""
    processor = BitImageProcessor(
        size={"shortest_edge": SIZE + 8}, crop_size={"height": SIZE, "width": SIZE}
    )
    processor.save_pretrained(folder)
    return processor


def _never_end(decoder: Any) -> None:
    """No score of the end token is the highest."""
    with torch.no_grad():
        decoder.get_output_embeddings().weight[2] = 0


def _start(model: VisionEncoderDecoderModel) -> None:
    for config in (model.config, model.generation_config):
        config.decoder_start_token_id, config.eos_token_id, config.pad_token_id = 1, 2, 0


def _beside(folder: Path, processor: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    processor.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(CARD)
