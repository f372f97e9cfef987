"""How far a picture lies from those a checkpoint was fitted on, by the encoder's own features.

The mean of a picture's patch features is held against the mean and covariance of known pictures, by
the Mahalanobis distance (Lee et al. 2018, A Simple Unified Framework for Detecting
Out-of-Distribution Samples). It costs nothing: the decoder needs the same features.
training/calibrate.py fits what is compared with.
"""

import math

import torch
from torch import Tensor

from model.gate import Concern
from model.memory import Memory
from model.network import ReportModel

__all__ = ["distances", "picture_features", "unfamiliar"]


def picture_features(model: ReportModel, memory: Memory) -> Tensor:
    """Mean patch of every picture, float32 (batch, pictures, encoder width); NaN where absent."""
    rows, columns = model.grid
    patches = memory.last_hidden_state[:, 1:].unflatten(1, (-1, rows * columns)).float()
    there = memory.patch_mask[:, 1:].unflatten(1, (-1, rows * columns))[:, :, :1]
    return patches.mean(dim=2).where(there, torch.nan)


def distances(model: ReportModel, features: Tensor) -> Tensor:
    """Mahalanobis distance, 0 or more, of features (..., encoder width) -> (...).

    0 for all where nothing was fitted; NaN stays NaN.
    """
    away = features - model.feature_mean
    squared = ((away @ model.feature_precision) * away).sum(-1)
    return squared.clamp(min=0).sqrt()  # rounding may bring it below 0


def unfamiliar(model: ReportModel, memory: Memory) -> list[tuple[Concern | None, ...]]:
    """Per study and picture a warning where the picture is unlike those the model knows.

    A warning never refuses. There is none at all where config.familiar_distance was not fitted.

    Returns:
        one entry a picture that is there, None where it is familiar.
    """
    limit = model.config.familiar_distance
    told = []
    for study in distances(model, picture_features(model, memory)).tolist():
        there = [distance for distance in study if not math.isnan(distance)]
        told.append(tuple(_concern(d, limit) if 0 < limit < d else None for d in there))
    return told


def _concern(distance: float, limit: float) -> Concern:
    return Concern(
        "unfamiliar",
        False,
        f"This picture is unlike those the model was trained on (distance {distance:.1f}, of those "
        f"99 in 100 lie within {limit:.1f}): do not trust the report, or use a checkpoint trained "
        "on such pictures.",
    )
