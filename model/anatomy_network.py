"""The network behind anatomy.py, a small U-Net (Ronneberger et al. 2015), and its weights."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from model.anatomy_parts import PARTS
from model.errors import CheckpointError
from model.weights_file import read_weights, write_weights

__all__ = ["AnatomyNetwork", "load_anatomy", "save_anatomy"]

WIDTHS = (16, 32, 64, 96, 96)
WEIGHTS = Path(__file__).with_name("anatomy.safetensors")


class _Block(nn.Sequential):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class AnatomyNetwork(nn.Module):
    """(batch, 1, SIZE, SIZE) in [-1, 1] -> logits (batch, PARTS, SIZE, SIZE).

    It works at half the resolution: the outlines of organs are smooth, and a fourth of the work
    is left.
    """

    def __init__(self) -> None:
        super().__init__()
        inputs = (4, *WIDTHS)
        self.down = nn.ModuleList(map(_Block, inputs, WIDTHS))
        deep, shallow = WIDTHS[:0:-1], WIDTHS[-2::-1]
        self.up = nn.ModuleList(_Block(a + b, b) for a, b in zip(deep, shallow, strict=True))
        self.head = nn.Conv2d(WIDTHS[0], len(PARTS), 1)

    @torch.inference_mode()
    def logits(self, squares: NDArray[np.float32]) -> NDArray[np.float32]:
        """See anatomy.Segmenter."""
        found: NDArray[np.float32] = self(torch.from_numpy(squares)).numpy()
        return found

    def forward(self, squares: Tensor) -> Tensor:
        return self.decode(self.encode(squares))

    def encode(self, squares: Tensor) -> list[Tensor]:
        """Features of each level, from fine to coarse."""
        features = F.pixel_unshuffle(squares, 2)
        levels = []
        for number, block in enumerate(self.down):
            features = block(F.max_pool2d(features, 2) if number else features)
            levels.append(features)
        return levels

    def decode(self, levels: Sequence[Tensor]) -> Tensor:
        """The logits of what `encode` returned."""
        features = levels[-1]
        for block, level in zip(self.up, levels[-2::-1], strict=True):
            features = block(torch.cat([F.interpolate(features, scale_factor=2.0), level], 1))
        return F.interpolate(self.head(features), scale_factor=2.0, mode="bilinear")


def save_anatomy(network: AnatomyNetwork, path: Path = WEIGHTS) -> str:
    """Write the weights in float16 and, beside them, their SHA-256, which is returned."""
    tensors = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    digest = write_weights(save(tensors), path)
    load_anatomy.cache_clear()
    return digest


@cache
def load_anatomy(path: Path = WEIGHTS) -> AnatomyNetwork:
    """The trained network.

    Raises:
        CheckpointError: the weights or their sum are missing or altered.
    """
    way_out = "install CrossRay again, or train it anew with `crossray anatomy --fit`"
    content = read_weights(path, way_out)
    network = AnatomyNetwork()
    try:
        network.load_state_dict(load(content))
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{path.name} holds another network; {way_out}") from error
    return network.eval().to(memory_format=torch.channels_last)
