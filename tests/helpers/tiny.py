"""A real model, small enough for tests: 16 patches, two decoder layers, weights from a seed."""

from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from data_prep.tokenizer import train_tokenizer
from model.config import ReportConfig
from model.memory import Memory
from model.network import ReportModel

SIZE = 32
TEXTS = [
    "Findings: The heart is normal in size. Lungs are clear. Impression: No acute abnormality.",
    "Findings: Well-defined opacity in the patient's left base. Impression: Pneumonia, 2 weeks.",
]


def tiny_config(**changes: Any) -> ReportConfig:
    shape: dict[str, Any] = {
        "name": "tiny",
        "encoder": "vit_tiny_patch16_224",
        "encoder_arguments": {"depth": 1, "embed_dim": 32, "num_heads": 2, "patch_size": 8},
        "image_size": SIZE,
        "vocab_size": 17,
        "width": 32,
        "layers": 3,
        "heads": 2,
        "max_tokens": 24,
        "dropout": 0.0,
    }
    return ReportConfig(**{**shape, **changes})


def tiny_model(seed: int = 0, **changes: Any) -> ReportModel:
    """Untrained but opinionated: texts differ by image and position, and end at any time."""
    torch.manual_seed(seed)
    model = ReportModel(tiny_config(**changes)).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.decoder.named_parameters():
            spread = {"tokens": 0.5, "positions": 2.0}.get(name.split(".")[0], 0.3)
            if "norm" not in name:
                weight.normal_(std=spread, generator=generator)
        model.decoder.tokens.weight[model.config.eos_token_id] *= 1.6
    return model


def tiny_images(seed: int, studies: int, count: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(studies, count, 1, SIZE, SIZE, generator=generator) * 2 - 1


def tiny_tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, 300)


def generated(model: ReportModel, memory: Memory, **arguments) -> list[list[int]]:
    rows = model.generate(encoder_outputs=memory, do_sample=False, **arguments)[:, 1:].tolist()
    return [row[: row.index(2) + 1] if 2 in row else row for row in rows]
