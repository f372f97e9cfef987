"""A vision transformer of timm, by name: a picture -> its patches' features."""

from functools import partial
from typing import Any

import timm
import torch
from timm.layers import HybridEmbed, build_sincos2d_pos_embed
from torch import Tensor, nn

from model.config import ReportConfig
from model.errors import ConfigError

__all__ = ["Encoder"]

PLACE_WIDTH = 64
LONGEST_WAVE = 100.0
"""In patches, over 2 pi: the code's slowest part tells all rows of a picture apart."""


class Encoder(nn.Module):
    """Pictures (pictures, 1, size, size) in [-1, 1] -> patches (pictures, patches, width).

    Each patch also says where it lies: a sine-cosine code of its row and column is projected and
    added to its features (as DETR does, Carion et al. 2020). The transformer's own position
    embedding is not enough: a chest is nearly its own mirror image, and words for the right side
    and the left were at chance until the code was there.
    """

    main_input_name = "pictures"

    def __init__(self, config: ReportConfig) -> None:
        super().__init__()
        trunk = _trunk(config)
        self.trunk = trunk
        self.width: int = trunk.num_features
        size = (config.image_size, config.image_size)
        self.grid: tuple[int, int] = trunk.patch_embed.dynamic_feat_size(size)
        self.place = nn.Linear(PLACE_WIDTH, self.width, bias=False)
        nn.init.zeros_(self.place.weight)

    def forward(self, pictures: Tensor) -> Tensor:
        # Class and register tokens lie nowhere on the picture: a map must not count them.
        patches = self.trunk.forward_features(pictures)[:, self.trunk.num_prefix_tokens :]
        return patches + self.place(self._places(patches.device))

    def _places(self, device: torch.device) -> Tensor:
        """(patches, PLACE_WIDTH). Made anew each time: a buffer that is not stored is a trap."""
        return build_sincos2d_pos_embed(
            list(self.grid), PLACE_WIDTH, temperature=LONGEST_WAVE, device=device
        )


def _trunk(config: ReportConfig) -> Any:
    """The timm transformer, its patches cut by a convolutional stem where there is one."""
    arguments: dict[str, Any] = {"global_pool": "", **config.encoder_arguments}
    if config.stem is not None:
        patches = _stem(config.stem, config.stem_stride, config.image_size)
        arguments = {"patch_size": 1, **arguments, "embed_layer": patches}
    _known(config.encoder)
    try:
        return timm.create_model(
            config.encoder,
            img_size=config.image_size,
            in_chans=1,
            num_classes=0,
            **arguments,
        )
    except (RuntimeError, TypeError, AssertionError) as error:
        raise ConfigError(
            f"timm cannot make the encoder {config.encoder!r} with {config.encoder_arguments}: "
            f"{error}; name a vision transformer of timm.list_models()"
        ) from error


def _known(name: str) -> None:
    # A name like "hf-hub:..." would make timm fetch what it names.
    if not timm.is_model(name):
        raise ConfigError(f"{name!r} is no model of timm {timm.__version__}: see timm.list_models")


def _stem(name: str, stride: int, image_size: int) -> partial:
    """The patch embedding: a convolutional network up to the stride asked for."""
    _known(name)
    make: Any = partial(timm.create_model, name, features_only=True, in_chans=1)
    strides = make().feature_info.reduction()
    if stride not in strides:
        raise ConfigError(
            f"stem {name!r} has no feature map of stride {stride}: stem_stride can be one of "
            f"{strides}"
        )
    return partial(
        HybridEmbed,
        backbone=make(out_indices=(strides.index(stride),)),
        feature_size=image_size // stride,  # given, or HybridEmbed measures it by a forward pass
        feature_ratio=stride,
    )
