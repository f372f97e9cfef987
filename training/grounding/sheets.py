"""Good and bad cases as sheets of images: the map, the box, the phrase and its scores.

Numbers say how often a map is right; whether it looks right has to be seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import wrap

import cv2
import numpy as np

from model.errors import DataError
from model.overlay import LINE_HEIGHT, blend, tiled, write
from model.torch_network import Network
from training.grounding.cases import Subject, whole_phrases
from training.grounding.map_scores import Ground, measure
from training.grounding.methods import Method
from training.teacher_forcing import force

__all__ = ["write_sheets"]

SIDE = 256
CAPTION_LINES = 5
LETTERS = 28
"""Of a caption's line on an image of SIDE."""
BOX = (120, 255, 120)
ACROSS = 6
BATCH = 8


@dataclass(frozen=True)
class _Exhibit:
    name: str
    tile: np.ndarray
    score: tuple[float, float]
    """What good and bad are ranked by: whether it points inside, then CNR."""


def write_sheets(
    model: Network,
    subjects: Sequence[Subject],
    method: Method,
    folder: Path,
    studies: int = 200,
) -> list[Path]:
    """Write good.png and bad.png: for each finding its best phrase and its worst one.

    A map that points inside is better than one that does not; of those the CNR decides.

    A color is the map's share of its own maximum. The green outline is the box.

    Args:
        method: which maps to show.
        studies: how many of the subjects that have cases to choose from.

    Raises:
        DataError: the folder cannot be written.
    """
    speaking = [whole_phrases(subject) for subject in subjects if subject.cases][:studies]
    exhibits: dict[str, list[_Exhibit]] = {}
    for first in range(0, len(speaking), BATCH):
        for exhibit in _exhibits(model, speaking[first : first + BATCH], method):
            kept = exhibits.setdefault(exhibit.name, [])
            kept.append(exhibit)
            # Of many, only the ends are shown.
            exhibits[exhibit.name] = sorted(kept, key=lambda one: one.score)[
                :: max(1, len(kept) - 1)
            ]
    names = sorted(exhibits)
    sheets = {
        "good.png": [exhibits[name][-1].tile for name in names],
        "bad.png": [exhibits[name][0].tile for name in names],
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, tiles in sheets.items():
            (folder / name).write_bytes(cv2.imencode(".png", tiled(tiles, ACROSS))[1].tobytes())
    except OSError as error:
        raise DataError(
            f"cannot write to the folder {str(folder)!r} ({error.strerror}): name another"
        ) from error
    return [folder / name for name in sheets]


def _exhibits(model: Network, batch: Sequence[Subject], method: Method) -> list[_Exhibit]:
    pixels = [subject.read() for subject in batch]
    cases = [
        [case.on(own) for case in subject.cases] for subject, own in zip(batch, pixels, strict=True)
    ]
    forced = force(
        model,
        [subject.row for subject in batch],
        pixels,
        [subject.given for subject in batch],
        [subject.text for subject in batch],
        [[case.span for case in of_subject] for of_subject in cases],
    )
    exhibits = []
    for number, (subject, maps) in enumerate(zip(batch, method(forced), strict=True)):
        ground = Ground.of(forced.placements[number])
        for case, flat in zip(cases[number], maps, strict=True):
            heatmap = flat.reshape(-1, *model.grid)
            scores = measure(ground.density(heatmap), ground.inside(case.places))
            image = case.places[0][0]
            boxes = [box for where, box in case.places if where == image]
            lines = [
                case.name,
                *wrap(subject.text.characters[case.start : case.end], LETTERS)[:2],
                f"CNR {scores['cnr']:.2f}  mIoU {scores['miou']:.2f}",
                f"mass {scores['mass']:.2f}  point {'hit' if scores['pointing_game'] else 'MISS'}",
            ]
            tile = _tile(pixels[number][image], heatmap[image], boxes, lines, model)
            exhibits.append(_Exhibit(case.name, tile, (scores["pointing_game"], scores["cnr"])))
    return exhibits


def _tile(
    pixels: np.ndarray,
    heatmap: np.ndarray,
    boxes: Sequence[tuple[float, float, float, float]],
    lines: Sequence[str],
    model: Network,
) -> np.ndarray:
    scale = SIDE / max(pixels.shape)
    height, width = (max(1, round(side * scale)) for side in pixels.shape)
    density = replace(model.place(*pixels.shape), height=height, width=width).restore(heatmap)
    level = density / density.max() if density.max() > 0 else density
    shown = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    image = blend(np.rint(shown.clip(0, 1) * 255).astype(np.uint8), level)
    for box in boxes:
        x0, y0, x1, y1 = (round(value * scale) for value in box)
        cv2.rectangle(image, (x0, y0), (max(x0, x1 - 1), max(y0, y1 - 1)), BOX, 1)
    tile = np.zeros((SIDE + CAPTION_LINES * LINE_HEIGHT + LINE_HEIGHT // 2, SIDE, 3), np.uint8)
    tile[:height, :width] = image
    for number, line in enumerate(lines, 1):
        plain = line.encode("ascii", "replace").decode()
        write(tile, plain, 2, SIDE + number * LINE_HEIGHT)
    return tile
