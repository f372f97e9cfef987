"""What a machine can do, and how it is set up before training."""

import ctypes

import torch
from torch import nn

from model.errors import ConfigError

__all__ = ["chosen_device", "chosen_precision", "keep_memory", "plain_attention"]


def chosen_device(name: str) -> torch.device:
    """What torch calls a device; "auto" is CUDA where there is one.

    Raises:
        ConfigError: torch knows no such device, or has none here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
        return device
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device = {name!r} cannot be used here ({str(error)[:100]}): 'auto' or 'cpu'"
        ) from error


def chosen_precision(name: str, device: torch.device) -> str:
    """ "bf16" or "float32"; "auto" is bf16 where the device computes in it and does not emulate."""
    if name != "auto":
        return name
    if device.type == "cpu":
        found = torch.cpu.get_capabilities()
        return "bf16" if any(found.get(name) for name in BF16) else "float32"
    return "bf16" if device.type != "cuda" or torch.cuda.is_bf16_supported() else "float32"


BF16 = ("avx512_bf16", "amx_bf16", "arm_bf16")
"""Names that torch.cpu.get_capabilities() has for instructions on it."""


def plain_attention(model: nn.Module) -> None:
    """Written-out attention in timm's blocks: torch's fused one goes back slowly on a CPU."""
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            vars(module)["fused_attn"] = False


def keep_memory() -> None:
    """Tell glibc to keep freed memory: giving it back and asking anew takes half of a step."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 1 << 30), (M_TOP_PAD, 1 << 28)):
            mallopt(option, value)


M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Of malloc.h."""
