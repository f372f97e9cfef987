"""How far an image is from those a checkpoint was fitted on, by the encoder's own features.

The mean of an image's patch features is compared with the mean and covariance of known images, by
the Mahalanobis distance (Lee et al. 2018, A Simple Unified Framework for Detecting
Out-of-Distribution Samples). It costs nothing: the decoder needs the same features.
training/calibration/fit.py fits what is compared with.
"""

from model.imaging.radiograph import ImageWarning
from model.interface import Engine, M

__all__ = ["novelty_warnings"]

_UNLIKE = ImageWarning(
    "out_of_distribution",
    "This image is unlike the images this model was trained on: do not rely on the draft; use a "
    "model trained on images like this one.",
)


def novelty_warnings(engine: Engine[M], memory: M) -> list[tuple[ImageWarning | None, ...]]:
    """Per study and image a warning where the image is unlike those the model knows.

    A warning never rejects. There is none at all where config.novelty_threshold was not fitted.

    Returns:
        one entry an image of a study, None where it is familiar or was not compared.
    """
    limit = engine.config.novelty_threshold
    distances = engine.novelty_distances(memory)
    rows, columns = engine.grid
    images = memory.present[:, engine.prefix :: rows * columns]
    return [
        # Comparing with NaN is False.
        tuple(_UNLIKE if 0 < limit < d else None for d in study[present].tolist())
        for study, present in zip(distances, images, strict=True)
    ]
