"""What is given of a study before its report, and studies of different sizes as one batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.config import VIEWS
from model.imaging.radiograph import Radiograph
from model.memory import Memory
from model.network import ReportModel

__all__ = ["Exam", "encode_studies", "kind_of"]


@dataclass(frozen=True)
class Exam:
    """What is known of one study before its report."""

    images: Sequence[Radiograph]
    """Of the study itself."""
    indication: str = ""
    """Why they were taken, as the request says it; no part of the report."""
    priors: Sequence[Radiograph] = ()
    """Frontal images of an earlier study of the same patient. In a report's maps and lists they
    come after the study's own."""

    @property
    def shown(self) -> list[Radiograph]:
        """All images, as reports count them."""
        return [*self.images, *self.priors]

    @property
    def prior(self) -> tuple[bool, ...]:
        """Of `shown`, True where an image is of an earlier study."""
        return (False,) * len(self.images) + (True,) * len(self.priors)


def kind_of(view: str | None, prior: bool) -> int:
    """What an image is to its study, a place in VIEWS.

    Args:
        view: "PA", "AP", "LATERAL" or None; what says nothing counts as frontal.
    """
    if prior:
        return VIEWS.index("prior")
    return VIEWS.index("lateral" if view == "LATERAL" else "frontal")


def encode_studies(
    model: ReportModel,
    images: Sequence[Sequence[Tensor] | Tensor],
    kinds: Sequence[Sequence[int]],
    prompts: Sequence[Sequence[int]],
) -> Memory:
    """ReportModel.encode of studies with different numbers of images and lengths of indication.

    Args:
        images: per study one or more of (1, size, size) in [-1, 1].
        kinds: per study what each image is, a place in VIEWS.
        prompts: per study the tokens of its indication, which may be none.

    Raises:
        DataError: as `encode`.
    """
    config = model.config
    most, longest = max(map(len, images)), max(map(len, prompts))
    size = (1, config.image_size, config.image_size)
    stacked = torch.zeros(len(images), most, *size)
    mask = torch.zeros(len(images), most, dtype=torch.bool)
    views = torch.zeros(len(images), most, dtype=torch.long)
    prompt = torch.full((len(images), longest), config.pad_token_id)
    for row, (own, of_kind, tokens) in enumerate(zip(images, kinds, prompts, strict=True)):
        mask[row, : len(own)] = True
        views[row, : len(own)] = torch.tensor(of_kind, dtype=torch.long)
        prompt[row, longest - len(tokens) :] = torch.tensor(tokens, dtype=torch.long)
        for column, image in enumerate(own):
            stacked[row, column] = image
    device = model.device
    there = None if mask.all() else mask.to(device)
    return model.encode(stacked.to(device), there, views.to(device), prompt.to(device))
