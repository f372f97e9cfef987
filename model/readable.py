"""What every network refuses alike, whatever computes it."""

from model.errors import DataError
from model.interface import NetworkConfig

__all__ = ["check_readable"]


def check_readable(config: NetworkConfig, images: int, prompt: int) -> None:
    """What was never learned is not read.

    Args:
        images: of the study that has most.
        prompt: tokens of the longest indication.

    Raises:
        DataError: more images in a study than the network reads, or a longer indication.
    """
    most = config.images_per_study
    if most is not None and images > most:
        raise DataError(
            f"a study of {images} images: {config.name!r} reads one image a study; send the "
            "frontal one alone"
        )
    limit = config.prompt_tokens
    if prompt > limit:
        what = (
            f"this model reads {limit}: shorten it"
            if limit
            else f"{config.name!r} reads no indication: it was trained without, leave it out"
        )
        raise DataError(f"an indication of {prompt} tokens, {what}")
