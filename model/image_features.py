"""What novelty.py compares images by, the mean of an image's patch features."""

import torch
from torch import Tensor

from model.interface import VIEWS
from model.memory import Memory

__all__ = ["image_features", "mahalanobis_distances"]


def image_features(memory: Memory, prefix: int, grid: tuple[int, int]) -> Tensor:
    """Mean patch of every image, float32 (batch, images, encoder width).

    NaN where an image is absent, and where it is no frontal one of the study itself: those are
    not what the distances were fitted on.

    Args:
        prefix: Engine.prefix, how many positions come before the patches.
        grid: (rows, columns) of patches on one image.
    """
    patches = memory.last_hidden_state[:, prefix:]
    images = patches.view(len(patches), -1, grid[0] * grid[1], patches.shape[2]).float()
    present = memory.patch_mask[:, prefix :: grid[0] * grid[1]]
    frontal = present & (memory.views == VIEWS.index("frontal"))
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
