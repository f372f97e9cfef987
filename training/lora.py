"""Low-rank adapters in a pretrained decoder (Hu et al. 2022), by peft.

They sit in the linear layers of the language model itself; the cross-attention is new and learns
whole.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from model.errors import ConfigError
from training.config import LoraConfig

__all__ = ["add_adapters", "merged_weights"]

NAME = "default"
"""Of the adapters, as peft keeps them."""
DRAWN = ("crossattention", "cross_attn")


def add_adapters(decoder: nn.Module, config: LoraConfig) -> None:
    """Put adapters into a decoder, and let nothing of it learn but them and the cross-attention.

    Raises:
        ConfigError: peft is missing.
    """
    try:  # not on every machine that trains
        from peft import LoraConfig as PeftConfig
        from peft import inject_adapter_in_model
    except ImportError as error:
        raise ConfigError(
            f"lora.rank = {config.rank} needs peft: install the extra `lora`, or set it to 0"
        ) from error
    learns = {name for name, _ in decoder.named_parameters() if _is_drawn(name)}
    settings = PeftConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]
        lora_dropout=config.dropout,
        target_modules=list(_linear_layers(decoder)),
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in decoder.modules()),
    )
    inject_adapter_in_model(settings, decoder)
    for name, parameter in decoder.named_parameters():
        parameter.requires_grad_(name in learns or "lora_" in name)


def _linear_layers(decoder: Any) -> Iterator[str]:
    head = decoder.get_output_embeddings()
    for name, module in decoder.named_modules():
        if isinstance(module, nn.Linear | Conv1D) and module is not head and not _is_drawn(name):
            yield name


def _is_drawn(name: str) -> bool:
    return any(part in name for part in DRAWN)


@torch.no_grad()
def merged_weights(network: nn.Module) -> dict[str, Tensor]:
    """A network's weights by their own names, its adapters added to the layers they are on."""
    weights = dict(network.state_dict())
    for name, module in network.named_modules():
        if not hasattr(module, "get_delta_weight"):
            continue
        own = {key: weights.pop(key) for key in list(weights) if key.startswith(f"{name}.")}
        base = f"{name}.base_layer."
        for key, value in own.items():
            if key.startswith(base):
                weights[f"{name}.{key.removeprefix(base)}"] = value
        weights[f"{name}.weight"] = own[f"{base}weight"] + module.get_delta_weight(NAME)
    return weights
