"""A network of timm as the encoder of a decoder of transformers, with what its maps need."""

from typing import Any

import timm
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from model.config import REFUSED_ARGUMENTS
from model.encoder import missing_weights
from model.errors import CheckpointError
from model.imported.config import TIMM
from model.imported.processing import Processing

__all__ = ["TimmModel", "pretrained_timm", "timm_model"]


class TimmModel(nn.Module):
    """Images (batch, 3, size, size), normalized -> features (batch, positions, width)."""

    def __init__(self, trunk: Any) -> None:
        super().__init__()
        self.trunk = trunk
        self.channels_last = getattr(trunk, "output_fmt", "NCHW") == "NHWC"

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.trunk.forward_features(images)
        if features.ndim == 4:
            features = features.flatten(1, 2) if self.channels_last else _rows(features)
        return features

    def grid(self, size: int) -> tuple[int, int]:
        """(rows, columns) of patches on an image of this size."""
        with torch.no_grad():
            found = self.trunk.forward_features(torch.zeros(1, 3, size, size))
        if found.ndim == 4:
            rows, columns = found.shape[1:3] if self.channels_last else found.shape[2:]
            return int(rows), int(columns)
        side = round((found.shape[1] - self.prefix) ** 0.5)
        return side, side

    @property
    def prefix(self) -> int:
        """Class and register tokens before the patches."""
        return int(getattr(self.trunk, "num_prefix_tokens", 0))


def _rows(features: Tensor) -> Tensor:
    """(batch, width, rows, columns) -> (batch, patches, width)."""
    return features.flatten(2).transpose(1, 2)


def timm_model(config: dict[str, Any]) -> TimmModel:
    """The network that an ImportedConfig.encoder of this kind describes, its weights drawn.

    Raises:
        CheckpointError: timm has no such network, or not in this shape.
    """
    return TimmModel(_made(config["architecture"], config["image_size"], config["arguments"]))


def pretrained_timm(
    name: str, size: int, arguments: dict[str, Any], source: str
) -> tuple[TimmModel, dict[str, Any], Processing]:
    """A network of timm with its weights, its config, and how its images are made.

    Args:
        source: "timm" for the weights that timm has of the name, from its hub or its cache; a
            safetensors file of them in timm's form; or "" for drawn ones.

    Raises:
        CheckpointError: no such network, weights that cannot be had or are another's.
    """
    file = source if source not in ("", TIMM) else None
    overlay = {"pretrained_cfg_overlay": {"file": file}} if file else {}
    try:
        trunk = _made(name, size, arguments, pretrained=bool(source), **overlay)
        lacking = missing_weights(trunk, name, file) if source else []
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"the weights of {source!r} cannot be had ({' '.join(str(error).split())[:150]}): give "
            "a safetensors file of them"
        ) from error
    if lacking:
        raise CheckpointError(
            f"the weights of {source!r} lack {len(lacking)} tensors of {name!r}, such as "
            f"{lacking[0]!r}: name the network they are of"
        )
    model = TimmModel(trunk).eval()
    config = {
        "model_type": TIMM,
        "architecture": name,
        "arguments": arguments,
        "image_size": size,
        "prefix": model.prefix,
        "grid": list(model.grid(size)),
    }
    made = trunk.pretrained_cfg
    processing = Processing(
        size=size,
        fit="stretch",
        shortest=size,
        interpolation="bilinear" if made.get("interpolation") == "bilinear" else "bicubic",
        scale=1.0,
        mean=tuple(made["mean"]),
        std=tuple(made["std"]),
    )
    return model, config, processing


def _made(name: str, size: int, arguments: dict[str, Any], **weights: Any) -> Any:
    # A name like "hf-hub:..." would make timm fetch what it names.
    if not timm.is_model(name):
        raise CheckpointError(f"{name!r} is no model of timm {timm.__version__}")
    if refused := REFUSED_ARGUMENTS & arguments.keys():
        raise CheckpointError(f"the encoder's arguments may not hold {sorted(refused)}")
    given: dict[str, Any] = {"num_classes": 0, **arguments, **weights}
    try:
        try:
            return timm.create_model(name, img_size=size, **given)
        except TypeError as error:
            if "img_size" not in str(error):  # convolutional ones have none
                raise
            return timm.create_model(name, **given)
    except (RuntimeError, TypeError, AssertionError) as error:
        message = " ".join(str(error).split())[:150]
        raise CheckpointError(
            f"timm cannot make {name!r} of {size} pixels with {arguments} ({message})"
        ) from error
