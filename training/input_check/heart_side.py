"""Weights and limit of model/heart_side.py, fitted anew: `crossray input-check` prints them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from model.heart_side import heart_features
from training.input_check.material import chest_images

__all__ = ["fit_heart_side"]

ALARMS = 0.005
"""Share of the images of any folder fitted with that may alarm."""
STRENGTH = 10.0
"""Of the data against the penalty on large weights."""


def fit_heart_side(folders: Sequence[Path]) -> tuple[tuple[float, ...], float]:
    """(weights, limit), of the half of the chests' patients that is not measured on.

    Every image counts as it is and mirrored.

    Raises:
        DataError: a folder without images.
    """
    parts = [_features(folder) for folder in folders]
    every = np.concatenate(parts)
    fitted = LogisticRegression(fit_intercept=False, C=STRENGTH).fit(
        np.concatenate([-every, every]), np.repeat([1, 0], len(every))
    )
    (weights,) = fitted.coef_
    limit = max(float(np.quantile(part @ weights, 1 - ALARMS)) for part in parts)
    return tuple(float(weight) for weight in weights), limit


def _features(folder: Path) -> np.ndarray:
    chests = chest_images(folder, measured=False)
    images = tqdm(chests.weights + chests.limits, desc=f"{folder.name}: hearts", disable=None)
    found = [features for pixels in images if (features := heart_features(pixels)) is not None]
    return np.array(found)
