"""Vision models of transformers as encoders: an image -> the features of its patches.

What each one is, is read from its config as values; no code comes with it.
"""

from typing import Any

from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    ConvNextModel,
    CvtModel,
    DeiTModel,
    Dinov2Model,
    Dinov2WithRegistersModel,
    DINOv3ViTModel,
    SwinModel,
    Swinv2Model,
    ViTModel,
)

from model.errors import ConfigError
from model.vision_values import grid_of, prefix_of, width_of

__all__ = [
    "VISION_MODELS",
    "VisionModel",
    "VisionTrunk",
    "pooler_arguments",
]

VISION_MODELS: dict[str, Any] = {
    "vit": ViTModel,
    "deit": DeiTModel,
    "dinov2": Dinov2Model,
    "dinov2_with_registers": Dinov2WithRegistersModel,
    "dinov3_vit": DINOv3ViTModel,
    "swin": SwinModel,
    "swinv2": Swinv2Model,
    "convnext": ConvNextModel,
    "cvt": CvtModel,
}
"""By model_type of transformers' config; VISION_TYPES are its keys."""
_WITH_POOLER = ("vit", "deit", "swin", "swinv2", "cvt")


class VisionModel(nn.Module):
    """Images (batch, 3, size, size), normalized -> features (batch, positions, width)."""

    def __init__(self, trunk: nn.Module, head: nn.Module | None = None) -> None:
        """
        Args:
            trunk: one of VISION_MODELS.
            head: from its width to another.
        """
        super().__init__()
        self.trunk = trunk
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        config: Any = self.trunk.config
        # Those of DINOv2 and DINOv3 are always of the images' size, Swin has none.
        other = config.model_type in ("vit", "deit") and config.image_size != images.shape[-1]
        arguments = {"interpolate_pos_encoding": True} if other else {}
        features: Tensor = self.trunk(pixel_values=images, **arguments).last_hidden_state
        if features.ndim == 4:  # convolutional: (batch, width, rows, columns)
            features = features.flatten(2).transpose(1, 2)
        return features if self.head is None else self.head(features)


class VisionTrunk(nn.Module):
    """A vision model behind what Encoder asks of a transformer of timm: gray images in [-1, 1]."""

    def __init__(self, values: dict[str, Any], size: int) -> None:
        """
        Args:
            values: see ReportConfig.vision.
            size: of the images, in pixels.

        Raises:
            ConfigError: a kind that is not read, or values that cannot work.
        """
        super().__init__()
        kind = values.get("model_type")
        if kind not in VISION_MODELS:
            raise ConfigError(
                f"a vision model of model_type {kind!r}: known are {', '.join(VISION_MODELS)}"
            )
        own = {name: value for name, value in values.items() if name not in ("mean", "std")}
        try:
            made = VISION_MODELS[kind](_transformers_config(own), **pooler_arguments(kind))
        except (KeyError, TypeError, ValueError, AttributeError, StrictDataclassError) as error:
            message = " ".join(str(error).split())[:150]
            raise ConfigError(f"a vision model that transformers cannot make: {message}") from error
        self.model = VisionModel(made)
        self.mean, self.std = values["mean"], values["std"]
        self.num_features = width_of(values)
        self.num_prefix_tokens = prefix_of(values)
        self.grid = grid_of(values, size)

    def forward_features(self, images: Tensor) -> Tensor:
        """(images, 1, size, size) in [-1, 1] -> (images, positions, width)."""
        mean, std = (images.new_tensor(each)[:, None, None] for each in (self.mean, self.std))
        features: Tensor = self.model(((images + 1) / 2 - mean) / std)
        return features


def _transformers_config(values: dict[str, Any]) -> Any:
    """transformers' config of a vision model, from what a config.json holds."""
    given = {name: value for name, value in values.items() if name != "model_type"}
    return AutoConfig.for_model(values["model_type"], **given)


def pooler_arguments(kind: str) -> dict[str, bool]:
    """What leaves out the pooler of a model_type: nothing reads it."""
    return {"add_pooling_layer": False} if kind in _WITH_POOLER else {}
