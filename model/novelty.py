"""How far an image lies from those a checkpoint was fitted on, by the encoder's own features.

The mean of an image's patch features is held against the mean and covariance of known images, by
the Mahalanobis distance (Lee et al. 2018, A Simple Unified Framework for Detecting
Out-of-Distribution Samples). It costs nothing: the decoder needs the same features.
training/calibration/fit.py fits what is compared with.
"""

import torch
from torch import Tensor

from model.config import VIEWS
from model.imaging.radiograph import ImageWarning
from model.memory import Memory
from model.network import ReportModel

__all__ = ["distances", "image_features", "novelty_warnings"]


def image_features(model: ReportModel, memory: Memory) -> Tensor:
    """Mean patch of every image, float32 (batch, images, encoder width).

    NaN where an image is absent, and where it is no frontal one of the study itself: those are
    not what the distances were fitted on.
    """
    rows, columns = model.grid
    patches = memory.last_hidden_state[:, 1:].unflatten(1, (-1, rows * columns)).float()
    frontal = _present(model, memory) & (memory.views == VIEWS.index("frontal"))
    return patches.mean(dim=2).where(frontal[:, :, None], torch.nan)


def _present(model: ReportModel, memory: Memory) -> Tensor:
    """Which images a study has, bool (batch, images)."""
    rows, columns = model.grid
    return memory.patch_mask[:, 1:].unflatten(1, (-1, rows * columns))[:, :, 0]


def distances(model: ReportModel, features: Tensor) -> Tensor:
    """Mahalanobis distance, 0 or more, of features (..., encoder width) -> (...).

    0 for all where nothing was fitted; NaN stays NaN.
    """
    away = features - model.feature_mean
    squared = ((away @ model.feature_precision) * away).sum(-1)
    return squared.clamp(min=0).sqrt()  # rounding may bring it below 0


def novelty_warnings(model: ReportModel, memory: Memory) -> list[tuple[ImageWarning | None, ...]]:
    """Per study and image a warning where the image is unlike those the model knows.

    A warning never refuses. There is none at all where config.novelty_threshold was not fitted.

    Returns:
        one entry an image that is there, None where it is familiar or was not asked.
    """
    limit = model.config.novelty_threshold
    far = distances(model, image_features(model, memory))
    return [
        # Comparing with NaN is False.
        tuple(_warning_of(d, limit) if 0 < limit < d else None for d in study[there].tolist())
        for study, there in zip(far, _present(model, memory), strict=True)
    ]


def _warning_of(distance: float, limit: float) -> ImageWarning:
    return ImageWarning(
        "out_of_distribution",
        f"This image is unlike those the model was trained on (distance {distance:.1f}, of those "
        f"99 in 100 lie within {limit:.1f}): do not trust the report, or use a checkpoint trained "
        "on such images.",
    )
