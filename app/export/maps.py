"""A map of the API's JSON drawn over an image's preview."""

import base64
from collections.abc import Sequence

import cv2
import numpy as np

from app.api.schemas import HeatmapAnswer, ImageAnswer
from model.overlay import blend

__all__ = ["map_over_image", "shares_of"]


def shares_of(heatmap: HeatmapAnswer, images: Sequence[ImageAnswer]) -> list[np.ndarray]:
    """Per image float (rows, columns), the share of the attention in each patch."""
    whole = np.frombuffer(base64.b64decode(heatmap.data), np.uint8) * heatmap.scale
    parts, first = [], 0
    for image in images:
        last = first + image.rows * image.columns
        parts.append(whole[first:last].reshape(image.rows, image.columns))
        first = last
    return parts


def map_over_image(gray: np.ndarray, image: ImageAnswer, shares: np.ndarray) -> np.ndarray:
    """uint8 (height, width, 3), blue, green, red: the shares over a preview, their highest full.

    Args:
        gray: uint8 (height, width), the preview.
        shares: (rows, columns), see `shares_of`.
    """
    height, width = gray.shape
    scale = width / image.width
    left, top = image.extent.left * scale, image.extent.top * scale
    across, down = image.extent.width * scale, image.extent.height * scale
    rows, columns = shares.shape
    # From a pixel of the preview to a patch's center: cv2 counts pixels from their centers.
    to_patch = np.array(
        [
            [columns / across, 0, (0.5 - left) * columns / across - 0.5],
            [0, rows / down, (0.5 - top) * rows / down - 0.5],
        ]
    )
    level = cv2.warpAffine(
        (shares / max(float(shares.max()), 1e-12)).astype(np.float32),
        to_patch,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return blend(gray, level)
