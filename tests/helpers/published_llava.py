"""Tiny decoder-only checkpoints with random weights, written by transformers itself."""

from pathlib import Path
from typing import Any

import torch
from published import CARD, SIZE, TEXTS
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    SiglipVisionConfig,
)

IMAGE = "<image>"
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {% for c in m['content'] %}{% if c['type'] == 'image' "
    "%}<image>{% else %}{{ c['text'] }}{% endif %}{% endfor %}\n{% endfor %}assistant:"
)
SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
LARGE = {"intermediate_size": 48, "initializer_range": 0.3}
TOWERS: dict[str, Any] = {"clip": CLIPVisionConfig, "siglip": SiglipVisionConfig}
LANGUAGE: dict[str, Any] = {"llama": LlamaConfig, "mistral": MistralConfig, "qwen2": Qwen2Config}
KINDS = [
    ("clip", "llama", "default"),
    ("clip", "mistral", "full"),
    ("siglip", "qwen2", "full"),
]
"""Vision tower, language model, and which of the tower's positions become tokens."""


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE that begins every text with its start token; one token is the image's."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>", IMAGE]
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer: Any = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=letters
    )
    made.train_from_iterator(TEXTS * 3, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    names = dict(zip(("pad_token", "bos_token", "eos_token"), special, strict=False))
    return PreTrainedTokenizerFast(tokenizer_object=made, **names)


def published_llava(
    folder: Path,
    tower: str = "clip",
    language: str = "llama",
    strategy: str = "default",
    template: str | None = TEMPLATE,
) -> Path:
    """A folder as LlavaForConditionalGeneration and its processor write it."""
    torch.manual_seed(len(tower) + len(language))
    words = tokenizer()
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "vocab_size": len(words)}
    config = LlavaConfig(
        vision_config=TOWERS[tower](image_size=SIZE, patch_size=8, **SMALL, **LARGE),
        text_config=LANGUAGE[language](
            **ids, **SMALL, **LARGE, num_key_value_heads=1, max_position_embeddings=256
        ),
        image_token_index=3,
        vision_feature_layer=-2,
        vision_feature_select_strategy=strategy,
    )
    model: Any = LlavaForConditionalGeneration(config)
    for module in model.model.vision_tower.modules():
        if isinstance(module, torch.nn.Linear):  # or images would hardly differ
            torch.nn.init.normal_(module.weight, std=0.3)
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = 2, 0
    model.save_pretrained(folder)
    class_token = int(tower == "clip")
    LlavaProcessor(
        image_processor=CLIPImageProcessor(
            size={"height": SIZE, "width": SIZE}, do_center_crop=False
        ),
        tokenizer=words,
        patch_size=8,
        vision_feature_select_strategy=strategy,
        chat_template=template,
        num_additional_image_tokens=class_token,
    ).save_pretrained(folder)
    (folder / "README.md").write_text(CARD)
    return folder
