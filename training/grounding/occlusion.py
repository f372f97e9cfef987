"""The probability of a text while parts of its image are occluded or shown.

Occlusion makes maps of it, deletion and insertion measure maps by it.

Knows no boxes: places are the cells of the model's grid, in the square it sees.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name everyone knows it by)

from model.imaging.letterbox import Placement
from training.teacher_forcing import TeacherForced, log_probabilities

__all__ = ["STEPS", "areas_under", "occlusion"]

STEPS = 8
"""Of deletion and insertion: each occludes or shows an eighth of the cells."""
WINDOWS = 8
"""Of occlusion: to each side of the square."""


def occlusion(forced: TeacherForced) -> list[np.ndarray]:
    """Reference: by how much occluding a window makes a case's log-probability fall.

    Zeiler and Fergus 2014. Coarse, WINDOWS windows a side in the image's mean, one pass each.
    """
    return [_occlude(forced, number) for number in range(len(forced.texts))]


def _occlude(forced: TeacherForced, number: int) -> np.ndarray:
    spans = forced.spans[number]
    count = len(forced.placements[number])
    whole = forced.images[number]
    inner, means = _inner(forced.placements[number]), _means(whole, forced.placements[number])
    windows = torch.eye(count * WINDOWS**2, dtype=torch.bool)
    windows = windows.view(-1, count, WINDOWS, WINDOWS)
    occluded = torch.where(_enlarge(windows, whole.shape[-1]) & inner, means, whole)
    variants = torch.cat((whole[None], occluded))
    tokens = forced.texts[number].tokens
    scores = log_probabilities(forced.model, variants, forced.given[number], tokens)
    falls = [(scores[0, span].sum() - scores[1:, span].sum(axis=1)).clip(0) for span in spans]
    coarse = torch.tensor(np.array(falls), dtype=torch.float32).view(-1, count, WINDOWS, WINDOWS)
    return F.interpolate(coarse, size=forced.model.grid, mode="bilinear").flatten(1).numpy()


def areas_under(
    forced: TeacherForced,
    number: int,
    span: np.ndarray,
    maps: Mapping[str, np.ndarray],
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Deletion and insertion area of one case under several maps.

    Petsiuk et al. 2018, RISE: the cells of the images are occluded with the image's mean in the
    order of the map, the highest first (deletion), or uncovered in that order (insertion); the
    area lies under the curve of the case's probability over the share of cells, in STEPS steps.
    A map that found what matters has a small deletion area and a large insertion area.

    Args:
        span: positions of the case's tokens.
        maps: name -> (patches,). Cells of equal height come in random order, from `seed`.
    """
    places = forced.placements[number]
    whole = forced.images[number]
    inner, means = _inner(places), _means(whole, places)
    cells = _cells_on(places, forced.model.grid)
    shuffled = np.random.default_rng(seed).permutation(cells)
    ends = torch.stack((whole, torch.where(inner, means, whole)))
    variants = [ends]
    for heights in maps.values():
        order = shuffled[np.argsort(-heights[shuffled], kind="stable")]
        first = _first_cells(order, (len(places), *forced.model.grid))
        mask = _enlarge(first, whole.shape[-1]) & inner
        variants += [torch.where(mask, means, whole), torch.where(inner & ~mask, means, whole)]
    tokens = forced.texts[number].tokens[: int(span.max()) + 1]
    scores = log_probabilities(forced.model, torch.cat(variants), forced.given[number], tokens)
    probability = np.exp(scores[:, span].sum(axis=1, dtype=np.float64))
    areas = {}
    for k, name in enumerate(maps):
        inside = probability[2:].reshape(len(maps), 2, STEPS - 1)[k]
        deletion = np.concatenate((probability[:1], inside[0], probability[1:2]))
        insertion = np.concatenate((probability[1:2], inside[1], probability[:1]))
        areas[name] = (_area(deletion), _area(insertion))
    return areas


def _area(curve: np.ndarray) -> float:
    return float(np.trapezoid(curve, dx=1 / STEPS))


def _first_cells(order: np.ndarray, shape: tuple[int, int, int]) -> Tensor:
    """bool (STEPS - 1, images, rows, columns): the first eighth of the cells, two eighths, ..."""
    first = np.zeros((STEPS - 1, int(np.prod(shape))), bool)
    for step in range(1, STEPS):
        first[step - 1, order[: round(len(order) * step / STEPS)]] = True
    return torch.from_numpy(first).view(-1, *shape)


def _enlarge(cells: Tensor, size: int) -> Tensor:
    """bool (variants, images, rows, columns) -> (variants, images, 1, size, size)."""
    return F.interpolate(cells.float(), size=(size, size), mode="nearest").bool()[:, :, None]


def _inner(places: Sequence[Placement]) -> Tensor:
    """bool (images, 1, size, size): where the square shows the image."""
    return torch.stack([_on_image(place, (place.size, place.size)) for place in places])[:, None]


def _cells_on(places: Sequence[Placement], grid: tuple[int, int]) -> np.ndarray:
    """Numbers of the cells whose center lies on an image."""
    return np.flatnonzero(torch.stack([_on_image(place, grid) for place in places]).numpy())


def _on_image(place: Placement, grid: tuple[int, int]) -> Tensor:
    """bool (rows, columns): whether the center of a cell of the square lies on the image."""
    left, top = place.to_model(0, 0)
    right, bottom = place.to_model(place.width, place.height)
    down, across = ((torch.arange(n) + 0.5) * place.size / n for n in grid)
    rows = (down > top) & (down < bottom)
    columns = (across > left) & (across < right)
    return rows[:, None] & columns[None, :]


def _means(whole: Tensor, places: Sequence[Placement]) -> Tensor:
    """(images, 1, 1, 1): each image's mean, its padding left out."""
    inner = _inner(places)
    return ((whole * inner).sum((2, 3)) / inner.sum((2, 3)))[..., None, None]
