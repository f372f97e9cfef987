"""Varies an image and, in the same way, the map of where its findings lie.

albumentations is imported when the first augmentation is made, so that training without it works
where it is not installed.
"""

import os
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from model.errors import ConfigError
from training.config import AugmentConfig

__all__ = ["Augmentation"]


class Augmentation:
    """Turns, scales and shifts; brightness, contrast, gamma; noise and blur. It never flips."""

    def __init__(self, config: AugmentConfig) -> None:
        # Read at its import, when it would otherwise ask the network for a newer version.
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
        try:
            import albumentations
        except ImportError as error:
            raise ConfigError(
                "augment = true needs albumentations: install the extra `train`, or set it to false"
            ) from error

        self._compose: Any = albumentations.Compose(_transforms(albumentations, config), seed=0)

    def seed(self, seed: int) -> None:
        """What follows depends on this 32-bit number alone."""
        self._compose.set_random_seed(seed)

    def __call__(
        self, image: NDArray[np.uint8], areas: NDArray[np.uint16]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        """Both (size, size), moved together; what comes in from outside is black and empty."""
        varied = self._compose(image=image, mask=areas)
        return varied["image"], varied["mask"]


def _transforms(albumentations: Any, config: AugmentConfig) -> list[Any]:
    moved = max(config.rotate, config.scale, config.translate) > 0
    transforms = []
    if moved:
        transforms.append(
            albumentations.Affine(
                rotate=(-config.rotate, config.rotate),
                scale=(1 - config.scale, 1 + config.scale),
                translate_percent=(-config.translate, config.translate),
                border_mode=cv2.BORDER_CONSTANT,
                fill=0,
                fill_mask=0,
                mask_interpolation=cv2.INTER_NEAREST,  # bits must not be averaged
                p=0.9,
            )
        )
    if config.brightness or config.contrast:
        transforms.append(
            albumentations.RandomBrightnessContrast(config.brightness, config.contrast, p=0.7)
        )
    if config.gamma:
        limits = (100 * (1 - config.gamma), 100 * (1 + config.gamma))
        transforms.append(albumentations.RandomGamma(limits, p=0.5))
    if config.noise:
        transforms.append(
            albumentations.GaussNoise(std_range=(0, config.noise), mean_range=(0, 0), p=0.3)
        )
    if config.blur:
        transforms.append(
            albumentations.GaussianBlur(blur_limit=0, sigma_limit=(0.1, config.blur), p=0.2)
        )
    return transforms
