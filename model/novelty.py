"""How far an image is from those a checkpoint was fitted on, by the encoder's own features.

The mean of an image's patch features is compared with the mean and covariance of known images, by
the Mahalanobis distance (Lee et al. 2018, A Simple Unified Framework for Detecting
Out-of-Distribution Samples). It costs nothing: the decoder needs the same features.
training/calibration/fit.py fits what is compared with.
"""

import torch
from torch import Tensor

from model.config import VIEWS
from model.imaging.radiograph import ImageWarning
from model.interface import Network
from model.memory import Memory

__all__ = ["image_features", "mahalanobis_distances", "novelty_warnings"]

_UNLIKE = ImageWarning(
    "out_of_distribution",
    "This image is unlike the images this model was trained on: do not rely on the draft; use a "
    "model trained on images like this one.",
)


def image_features(memory: Memory, prefix: int, grid: tuple[int, int]) -> Tensor:
    """Mean patch of every image, float32 (batch, images, encoder width).

    NaN where an image is absent, and where it is no frontal one of the study itself: those are
    not what the distances were fitted on.

    Args:
        prefix: Network.prefix, how many positions come before the patches.
        grid: (rows, columns) of patches on one image.
    """
    patches = memory.last_hidden_state[:, prefix:]
    images = patches.view(len(patches), -1, grid[0] * grid[1], patches.shape[2]).float()
    frontal = _present(memory, prefix, grid) & (memory.views == VIEWS.index("frontal"))
    return images.mean(dim=2).where(frontal[:, :, None], torch.nan)


def mahalanobis_distances(features: Tensor, mean: Tensor, precision: Tensor) -> Tensor:
    """Distances, 0 or more, of features (..., width) -> (...); NaN stays NaN.

    Args:
        mean: (width,).
        precision: the inverse of the covariance, (width, width); zeros give 0 for all.
    """
    difference = features - mean.float()
    squared = ((difference @ precision.float()) * difference).sum(-1)
    return squared.clamp(min=0).sqrt()  # rounding may bring it below 0


def novelty_warnings(network: Network, memory: Memory) -> list[tuple[ImageWarning | None, ...]]:
    """Per study and image a warning where the image is unlike those the model knows.

    A warning never rejects. There is none at all where config.novelty_threshold was not fitted.

    Returns:
        one entry an image of a study, None where it is familiar or was not compared.
    """
    limit = network.config.novelty_threshold
    distances = network.novelty_distances(memory)
    present = _present(memory, network.prefix, network.grid)
    return [
        # Comparing with NaN is False.
        tuple(_UNLIKE if 0 < limit < d else None for d in study[images].tolist())
        for study, images in zip(distances, present, strict=True)
    ]


def _present(memory: Memory, prefix: int, grid: tuple[int, int]) -> Tensor:
    """Which images a study has, bool (batch, images)."""
    patches = memory.patch_mask[:, prefix:]
    return patches.view(len(patches), -1, grid[0] * grid[1])[:, :, 0]
