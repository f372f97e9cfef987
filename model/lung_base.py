"""The lower end of a lung's mask: its hemidiaphragm as a line, its costophrenic angle as a point.

Nothing is learned: both follow from the outline. The costophrenic angle is the point of the lung
farthest down and outwards, the cardiophrenic one that farthest down and inwards, both at 45
degrees; the hemidiaphragm is the lowest point of the lung in each column between them. So a blunted
angle is where the lung's mask ends, not where the ribs and the diaphragm meet.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["LungBase", "Side", "lung_base"]

Side = Literal["right", "left"]
"""Of the patient."""


@dataclass(frozen=True)
class LungBase:
    """In pixels of the mask, x to the right and y down."""

    costophrenic_angle: tuple[int, int]
    """(x, y)"""
    cardiophrenic_angle: tuple[int, int]
    """(x, y)"""
    hemidiaphragm: NDArray[np.int64]
    """(points, 2): x, y, from left to right on the image, one a column, both angles included."""


def lung_base(lung: NDArray[np.bool_], side: Side) -> LungBase | None:
    """The base of one lung of a frontal radiograph; None of an empty mask.

    Args:
        lung: bool (height, width), in one piece.
        side: of the patient; the right lung lies on the image's left.
    """
    columns = np.flatnonzero(lung.any(axis=0))
    if not columns.size:
        return None
    height = len(lung)
    lowest = height - 1 - lung[::-1, columns].argmax(axis=0)
    outwards = columns if side == "left" else -columns
    # Of equal ones the lower: a flat base ends in its corner.
    costal = int(np.lexsort((lowest, lowest + outwards))[-1])
    cardial = int(np.lexsort((lowest, lowest - outwards))[-1])
    first, last = sorted((costal, cardial))
    return LungBase(
        costophrenic_angle=(int(columns[costal]), int(lowest[costal])),
        cardiophrenic_angle=(int(columns[cardial]), int(lowest[cardial])),
        hemidiaphragm=np.column_stack((columns, lowest))[first : last + 1].astype(np.int64),
    )
