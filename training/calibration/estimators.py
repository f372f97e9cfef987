"""What calibration fits, each from plain arrays: temperature, threshold, probability, novelty."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit
from torch import Tensor

from model.errors import DataError

__all__ = ["Novelty", "fit_novelty", "fit_platt", "fit_share", "fit_temperature", "platt_targets"]

CLOSE = 0.01
FOLDS = 5
IN_DISTRIBUTION_SHARE = 0.99
"""Of held-out images that count as in distribution."""


@dataclass(frozen=True)
class Novelty:
    mean: np.ndarray
    """(width,)"""
    precision: np.ndarray
    """(width, width), inverse of the shrunk covariance."""
    limit: float
    """Mahalanobis distance within which IN_DISTRIBUTION_SHARE of held-out images lie."""


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature at which the labels are likeliest.

    Args:
        logits: (tokens, vocabulary); labels: int64 (tokens,).
    """

    def loss(log_temperature: float) -> float:
        scaled = logits / float(np.exp(log_temperature))
        return float(torch.nn.functional.cross_entropy(scaled, labels))

    # Convex in 1 / temperature, so that the one valley there is is found.
    found = minimize_scalar(loss, bounds=(np.log(0.1), np.log(10)), method="bounded")
    return float(np.exp(found.x))


def fit_share(shares: np.ndarray, spoken: np.ndarray) -> tuple[float, float]:
    """(threshold, F1) where `shares >= threshold` decides which words are `spoken`.

    The lowest threshold whose F1 is within CLOSE of the best, halfway between two words' shares:
    the best lies near 1, and words of images unlike those fitted on have less sharp attention.

    Raises:
        DataError: no word is spoken, or every one.
    """
    if not spoken.any() or spoken.all():
        raise DataError(
            f"{spoken.sum()} of {len(spoken)} words speak of a finding: a threshold needs words "
            "that do and words that do not; prepare phantoms"
        )
    order = np.argsort(-shares, kind="stable")
    ranked, right = shares[order], np.cumsum(spoken[order])
    f1 = 2 * right / (np.arange(1, len(right) + 1) + spoken.sum())
    # Words of the same share are called together: only the last of them counts.
    f1[:-1][ranked[:-1] == ranked[1:]] = -1
    best = int(np.flatnonzero(f1 >= f1.max() - CLOSE)[-1])
    below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    return float(ranked[best] + below) / 2, float(f1[best])


def fit_platt(evidence: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """(scale, offset) at which sigmoid(scale * evidence + offset) predicts the truth best.

    Logistic regression against Platt's targets, which keep a set without overlap from giving an
    infinite scale (Platt 1999).

    Args:
        evidence: float, any shape; truth: bool of the same shape.
    """
    scores, there = evidence.ravel(), truth.ravel()
    target = platt_targets(there)
    spread = max(float(scores.std()), 1e-6)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        score = weights[0] * scores / spread + weights[1]
        gap = (expit(score) - target) / len(scores)
        value = np.mean(np.logaddexp(0, score) - target * score)
        return float(value), np.array([gap @ scores / spread, gap.sum()])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS")
    return float(found.x[0] / spread), float(found.x[1])


def platt_targets(truth: np.ndarray) -> np.ndarray:
    """What a logistic fit aims at instead of 0 and 1 (Platt 1999), of bool (cases,)."""
    positive, negative = int(truth.sum()), int((~truth).sum())
    return np.where(truth, (positive + 1) / (positive + 2), 1 / (negative + 2))


def fit_novelty(features: np.ndarray) -> Novelty:
    """Mean and precision of images' features, and how far a held-out image lies from them.

    Distances are cross-fitted: each fold's are measured with the mean and precision of the others.

    Args:
        features: (images, width), at least FOLDS images.
    """
    fold = np.arange(len(features)) % FOLDS
    distances = np.empty(len(features))
    for k in range(FOLDS):
        distances[fold == k] = _distances(features[fold == k], *_gaussian(features[fold != k]))
    mean, precision = _gaussian(features)
    return Novelty(mean, precision, float(np.quantile(distances, IN_DISTRIBUTION_SHARE)))


def _distances(features: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
    away = features - mean
    result: np.ndarray = np.sqrt(np.einsum("ni,ij,nj->n", away, precision, away).clip(0))
    return result


def _gaussian(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and precision, of the covariance shrunk as Ledoit and Wolf (2004) do.

    Their estimate of how far to shrink towards a multiple of the identity has no free number.
    """
    count, width = features.shape
    mean = features.mean(axis=0)
    away = features - mean
    covariance = away.T @ away / count
    level = np.trace(covariance) / width
    distance = ((covariance - level * np.eye(width)) ** 2).sum()
    # Mean over images of |x x' - covariance|^2, over their count, without the outer products.
    noise = ((away**2).sum(axis=1) ** 2).mean() - (covariance**2).sum()
    share = min(1.0, noise / count / distance) if distance else 1.0
    shrunk = (1 - share) * covariance + share * max(level, 1e-12) * np.eye(width)
    return mean, np.linalg.inv(shrunk)
