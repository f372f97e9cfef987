"""Whether left and right of a frontal chest are exchanged, by its heart.

The input check (input_check.py) sees 32 x 32 pixels and alarms only where they are clear. Where it
leaves it open, the anatomy network says how heart and lungs lie, and both are weighed together.
Dextrocardia looks the same: this is a warning, never a refusal.
"""

import math

import numpy as np

from model.anatomy import Segmenter, segment
from model.imaging.radiograph import ImageWarning, Radiograph
from model.input_check import load_input_check, thumbnail

__all__ = ["LIMIT", "WEIGHTS", "heart_features", "heart_warning", "log_odds"]

WEIGHTS = (-14.7, 3.4, 0.71)
"""Of `heart_features`, to log-odds in nats that the image is mirrored. There is no constant: a
mirror image has the same features with the other sign. Fitted as training/input_check/heart_side.py
does, on images of 512 pixels; `crossray input-check` prints what it gives on halved ones."""
LIMIT = 3.62
"""Log-odds above which there is a warning: those of 1 in 200 images fitted with."""
DECIDED = -2.5
"""The input check's log-odds below which hardly any heart brings the sum above LIMIT: three of four
images need no anatomy."""


def heart_features(
    pixels: np.ndarray, network: Segmenter | None = None, least: float = -math.inf
) -> tuple[float, float, float] | None:
    """What speaks for an exchange of left and right.

    Args:
        pixels: (height, width) in [0, 1], bone white: `Radiograph.pixels`.
        network: as for `segment`.
        least: the input check's log-odds below which the heart is not looked for.

    Returns:
        how much further the heart reaches to the patient's left than to the right, in widths of
        the lungs; by how much the right lung is the larger one, as a share of both; the input
        check's log-odds that the image is mirrored. None of a blank image, where heart, lungs or
        spine are not found, and below `least`.
    """
    seen = thumbnail(pixels)
    if seen is None:
        return None
    mirrored = min(max(load_input_check().judge(seen[None])[0].mirrored, 1e-9), 1 - 1e-9)
    checked = math.log(mirrored / (1 - mirrored))
    if checked < least:
        return None
    lie = segment(pixels, network, closer=False).heart_lie
    return None if lie is None else (*lie, checked)


def log_odds(features: tuple[float, float, float]) -> float:
    """In nats, that the image is mirrored."""
    return float(np.dot(WEIGHTS, features))


def heart_warning(image: Radiograph, network: Segmenter | None = None) -> ImageWarning | None:
    """The warning of a frontal, upright image whose heart seems to lie on the patient's right."""
    features = heart_features(image.pixels, network, least=DECIDED)
    if features is None or log_odds(features) <= LIMIT:
        return None
    against = " against the header's PatientOrientation" if image.grid.turn.directions[0] else ""
    return ImageWarning(
        "mirrored",
        f"The heart seems to lie on the patient's right{against} (mirrored "
        f"{log_odds(features):.1f} nats, limit {LIMIT:.1f}): left and right may be exchanged; "
        "compare the side marker, and think of dextrocardia.",
    )
