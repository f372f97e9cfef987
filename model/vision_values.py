"""What a vision model of transformers is, read from the values of its config: needs no PyTorch."""

import math
from typing import Any

__all__ = ["VISION_TYPES", "grid_of", "prefix_of", "width_of"]

VISION_TYPES = (
    *("vit", "deit", "dinov2", "dinov2_with_registers", "dinov3_vit"),
    *("swin", "swinv2", "convnext", "cvt"),
)
"""model_type of the vision models that are read, the keys of VISION_MODELS (vision.py)."""


def prefix_of(values: dict[str, Any]) -> int:
    """Class, distillation and register tokens before the patches."""
    kind = values["model_type"]
    registers = int(values.get("num_register_tokens", 0))
    fixed = {"vit": 1, "dinov2": 1, "deit": 2}
    if kind in ("dinov2_with_registers", "dinov3_vit"):
        return 1 + registers
    return fixed.get(kind, 0)


def grid_of(values: dict[str, Any], size: int) -> tuple[int, int]:
    """(rows, columns) of patches on an image of `size` pixels a side."""
    if values["model_type"] == "cvt":
        stride = math.prod(values["patch_stride"])
    else:
        # Swin and ConvNeXt halve the grid before every stage but the first.
        stride = values["patch_size"] * 2 ** max(0, len(values.get("depths", ())) - 1)
    side = size // int(stride)
    return side, side


def width_of(values: dict[str, Any]) -> int:
    """Of the features."""
    kind = values["model_type"]
    if kind == "convnext":
        return int(values["hidden_sizes"][-1])
    if kind in ("swin", "swinv2"):
        doublings: int = 2 ** (len(values["depths"]) - 1)
        return int(values["embed_dim"]) * doublings
    return int(values["embed_dim"][-1] if kind == "cvt" else values["hidden_size"])
