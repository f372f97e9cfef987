"""A vision transformer of timm or of transformers: an image -> its patches' features."""

from functools import partial
from typing import Any

import timm
from safetensors import safe_open
from timm.layers.pos_embed_sincos import build_sincos2d_pos_embed
from timm.models.convnext import ConvNeXtBlock
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name everyone knows it by)

from model.config import ReportConfig
from model.errors import ConfigError
from model.vision import VisionTrunk

__all__ = ["Encoder", "missing_weights"]

PLACE_WIDTH = 64
LONGEST_WAVE = 100.0
"""In patches, over 2 pi: the code's slowest part distinguishes all rows of an image."""
FINE_WIDTH = 96
FINE_BLOCKS = 2


class Encoder(nn.Module):
    """Images (images, 1, size, size) in [-1, 1] -> patches (images, patches, width).

    Each patch also carries its position: a sine-cosine code of its row and column is projected and
    added to its features (as DETR does, Carion et al. 2020). The transformer's own position
    embedding is not enough: a chest is nearly its own mirror image, and words for the right side
    and the left were no better than guessed until the code was there.
    """

    main_input_name = "images"

    def __init__(
        self, config: ReportConfig, pretrained: bool = False, file: str | None = None
    ) -> None:
        """
        Args:
            pretrained: start with the weights that timm knows by these names, adapted to gray
                images of this size; it fetches them.
            file: take the transformer's from here instead, and draw the stem's.
        """
        super().__init__()
        self.stem = _stem(config, pretrained and file is None)
        if config.vision is None:
            self.trunk = _trunk(config, self.stem, pretrained, file)
            coarse = self.trunk.patch_embed.grid_size
        else:
            self.trunk = VisionTrunk(config.vision, config.image_size)
            coarse = self.trunk.grid
        self.width: int = self.trunk.num_features
        self.coarse_grid: tuple[int, int] = coarse
        self.place = nn.Linear(PLACE_WIDTH, self.width, bias=False)
        nn.init.zeros_(self.place.weight)
        self.fine: FineGrid | None = None
        self.grid: tuple[int, int] = coarse
        if self.stem is not None and config.fine_stride is not None:
            finer = config.stem_stride // config.fine_stride
            self.grid = (coarse[0] * finer, coarse[1] * finer)
            self.fine = FineGrid(self.stem.feature_info.channels()[0], self.width)

    def forward(self, images: Tensor) -> Tensor:
        features = [images] if self.stem is None else self.stem(images)
        # Class and register tokens lie on no place of the image: a map must not count them.
        patches: Tensor = self.trunk.forward_features(features[-1])
        patches = patches[:, self.trunk.num_prefix_tokens :]
        patches = patches + self.place(self._position_code(patches))
        if self.fine is None:
            return patches
        finer: Tensor = self.fine(
            patches.transpose(1, 2).unflatten(2, self.coarse_grid), features[0]
        )
        return finer

    def _position_code(self, like: Tensor) -> Tensor:
        """(patches, PLACE_WIDTH), of the type and on the device of `like`.

        Made anew each time: a buffer that is not stored is a trap.
        """
        code: Tensor = build_sincos2d_pos_embed(
            list(self.coarse_grid), PLACE_WIDTH, temperature=LONGEST_WAVE, device=like.device
        )
        return code.to(like.dtype)


class FineGrid(nn.Module):
    """The transformer's patches, refined with the stem's feature map of a smaller stride.

    As a feature pyramid does (Lin et al. 2017): the coarse map, which knows the whole image, is
    enlarged and meets the finer one, which knows where edges are; convolutions mix the two. A
    nodule of eight pixels is lost among patches of sixteen, and its heatmap with it.
    """

    def __init__(self, fine_width: int, width: int) -> None:
        super().__init__()
        self.lateral = nn.Conv2d(fine_width, FINE_WIDTH, 1)
        self.reduce = nn.Conv2d(width, FINE_WIDTH, 1, bias=False)
        self.blocks = nn.Sequential(*(ConvNeXtBlock(FINE_WIDTH) for _ in range(FINE_BLOCKS)))
        self.norm = nn.LayerNorm(FINE_WIDTH)
        self.expand = nn.Linear(FINE_WIDTH, width)
        nn.init.zeros_(self.expand.weight)
        nn.init.zeros_(self.expand.bias)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Coarse (images, width, rows, columns), the finer map -> (images, patches, width)."""
        size = fine.shape[-2:]
        mixed = self.lateral(fine) + F.interpolate(self.reduce(coarse), size=size, mode="bilinear")
        detail: Tensor = self.expand(self.norm(self.blocks(mixed).flatten(2).transpose(1, 2)))
        return F.interpolate(coarse, size=size, mode="bilinear").flatten(2).transpose(1, 2) + detail


def _stem(config: ReportConfig, pretrained: bool) -> Any:
    """The convolutional network whose maps of stem_stride, and of fine_stride before it, count."""
    if config.stem is None:
        return None
    _known(config.stem)
    make: Any = partial(timm.create_model, config.stem, features_only=True, in_chans=1)
    strides = make().feature_info.reduction()
    wanted = [config.fine_stride, config.stem_stride]
    if any(stride not in strides for stride in wanted if stride is not None):
        raise ConfigError(
            f"stem {config.stem!r} has no feature map of stride {config.stem_stride} or "
            f"{config.fine_stride}: stem_stride and fine_stride can be of {strides}"
        )
    places = sorted({strides.index(stride) for stride in wanted if stride is not None})
    try:
        return make(out_indices=tuple(places), pretrained=pretrained)
    except RuntimeError as error:
        what = "has no weights of" if pretrained else "cannot make"
        raise ConfigError(
            f"timm {what} the stem {config.stem!r} ({error}): name another"
        ) from error


def _trunk(config: ReportConfig, stem: Any, pretrained: bool, file: str | None) -> Any:
    """The timm transformer, of the image or, where there is a stem, of its last map."""
    size, channels = config.image_size, 1
    arguments: dict[str, Any] = {"global_pool": "", **config.encoder_arguments}
    if stem is not None:
        size, channels = size // config.stem_stride, stem.feature_info.channels()[-1]
        arguments = {"patch_size": 1, **arguments}
    if pretrained:
        overlay = None if file is None else {"file": file}
        arguments |= {"pretrained": True, "pretrained_cfg_overlay": overlay}
    _known(config.encoder)
    try:
        return timm.create_model(
            config.encoder, img_size=size, in_chans=channels, num_classes=0, **arguments
        )
    except (RuntimeError, TypeError, AssertionError) as error:
        if pretrained:
            message = " ".join(str(error).split())[:200]
            raise ConfigError(
                f"no weights for the encoder {config.encoder!r} in the shape that "
                f"{config.encoder_arguments} gives it ({message}): leave its own shape"
            ) from error
        raise ConfigError(
            f"timm cannot make the encoder {config.encoder!r} with {config.encoder_arguments}: "
            f"{error}; name a vision transformer of timm.list_models()"
        ) from error


def missing_weights(trunk: nn.Module, name: str, file: str | None) -> list[str]:
    """Tensors of a timm network that its weights do not hold: timm passes over them.

    Args:
        name: of the network whose weights timm has, where there is no `file`.

    Raises:
        OSError, SafetensorError: the file cannot be read.
    """
    if file is None:
        held = set(timm.create_model(name, num_classes=0).state_dict())
    else:
        with safe_open(file, "pt") as content:
            held = set(content.keys())
    return sorted(set(trunk.state_dict()) - held)


def _known(name: str) -> None:
    # A name like "hf-hub:..." would make timm fetch what it names.
    if not timm.is_model(name):
        raise ConfigError(f"{name!r} is no model of timm {timm.__version__}: see timm.list_models")
