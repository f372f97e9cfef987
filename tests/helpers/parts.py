"""Tiny pretrained parts for a training, written by transformers itself."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BitImageProcessor,
    ConvNextConfig,
    ConvNextModel,
    DeiTConfig,
    DeiTModel,
    Dinov2Config,
    Dinov2Model,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    SwinConfig,
    SwinModel,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

END = "<|endoftext|>"
SMALL = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3}
PATCHES = {**SMALL, "patch_size": 8, "intermediate_size": 96}
SWIN = {"embed_dim": 24, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4, "patch_size": 4}
VISION: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    # As it is found on the hub, with the head it was trained with.
    "vit": (ViTForImageClassification, ViTConfig, PATCHES),
    "deit": (DeiTModel, DeiTConfig, PATCHES),
    "dinov2": (Dinov2Model, Dinov2Config, {**SMALL, "patch_size": 8}),
    "dinov3_vit": (DINOv3ViTModel, DINOv3ViTConfig, {**PATCHES, "num_register_tokens": 2}),
    "swin": (SwinModel, SwinConfig, SWIN),
    "convnext": (
        ConvNextModel,
        ConvNextConfig,
        {"depths": [1, 1], "hidden_sizes": [24, 48], "num_stages": 2},
    ),
}


def vision_folder(folder: Path, kind: str = "vit", size: int = 64, crop: bool = False) -> Path:
    """A vision model and its image processor; `crop`: which cuts out the middle."""
    torch.manual_seed(len(kind))
    model, config, values = VISION[kind]
    model(config(image_size=size, **values)).save_pretrained(folder)
    square = {"height": size, "width": size}
    if crop:
        BitImageProcessor(size={"shortest_edge": size + 8}, crop_size=square).save_pretrained(
            folder
        )
    else:
        ViTImageProcessor(size=square).save_pretrained(folder)
    return folder


def language_folder(
    folder: Path, texts: Iterable[str], kind: str = "gpt2", positions: int = 256, layers: int = 3
) -> Path:
    """A language model and its tokenizer; of GPT-2 one token ends texts and begins them."""
    torch.manual_seed(7)
    tokenizer = _wordpiece(texts) if kind == "bert" else _bytes(texts, kind)
    ids = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if kind == "gpt2":
        sizes = {"n_embd": 48, "n_layer": layers, "n_head": 3, "n_positions": positions}
        model: Any = GPT2LMHeadModel(GPT2Config(**sizes, **ids))
    else:
        values = {**SMALL, "num_hidden_layers": layers, "intermediate_size": 96}
        values["max_position_embeddings"] = positions
        made = {
            "bert": (BertForMaskedLM, BertConfig),
            "roberta": (RobertaForMaskedLM, RobertaConfig),
        }
        model = made[kind][0](made[kind][1](**values, **ids))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _bytes(texts: Iterable[str], kind: str) -> PreTrainedTokenizerFast:
    special = [END] if kind == "gpt2" else ["<s>", "<pad>", "</s>"]
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    if kind == "gpt2":
        return PreTrainedTokenizerFast(tokenizer_object=made, bos_token=END, eos_token=END)
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", pad_token="<pad>", eos_token="</s>"
    )


def _wordpiece(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    trainer: Any = trainers.WordPieceTrainer(
        vocab_size=400, special_tokens=special, show_progress=False
    )
    made.train_from_iterator(texts, trainer)
    # As a BERT's: it has no bos and no eos, but a token of a class and one that separates.
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
