"""A vision transformer of timm, by name: a picture -> its patches' features."""

from functools import partial

import timm
from timm.layers import HybridEmbed
from torch import Tensor, nn

from model.config import ReportConfig
from model.errors import ConfigError

__all__ = ["Encoder"]


class Encoder(nn.Module):
    """Pictures (pictures, 1, size, size) in [-1, 1] -> patches (pictures, patches, width).

    Where a patch lies is in its features: the transformer's own position embedding says so.
    """

    main_input_name = "pictures"

    def __init__(self, config: ReportConfig) -> None:
        super().__init__()
        self.trunk = _trunk(config)
        self.width: int = self.trunk.num_features
        size = (config.image_size, config.image_size)
        self.grid: tuple[int, int] = tuple(self.trunk.patch_embed.dynamic_feat_size(size))

    def forward(self, pictures: Tensor) -> Tensor:
        # Class and register tokens lie nowhere on the picture: a map must not count them.
        return self.trunk.forward_features(pictures)[:, self.trunk.num_prefix_tokens :]


def _trunk(config: ReportConfig) -> nn.Module:
    """The timm transformer, its patches cut by a convolutional stem where there is one."""
    arguments = {"global_pool": "", **config.encoder_arguments}
    if config.stem is not None:
        arguments = {"patch_size": 1, **arguments, "embed_layer": _stem(config)}
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


def _stem(config: ReportConfig) -> partial:
    """The patch embedding: a convolutional network up to the stride asked for."""
    _known(config.stem)
    make = partial(timm.create_model, config.stem, features_only=True, in_chans=1)
    strides = make().feature_info.reduction()
    if config.stem_stride not in strides:
        raise ConfigError(
            f"stem {config.stem!r} has no feature map of stride {config.stem_stride}: "
            f"stem_stride can be one of {strides}"
        )
    side = config.image_size // config.stem_stride
    return partial(
        HybridEmbed,
        backbone=make(out_indices=(strides.index(config.stem_stride),)),
        feature_size=side,  # given, or HybridEmbed measures it with a forward pass
        feature_ratio=config.stem_stride,
    )
