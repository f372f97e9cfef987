"""Box files of public data sets, as they are downloaded -> which boxes a phrase speaks of.

    NIH ChestX-ray14    BBox_List_2017.csv
    MS-CXR              MS_CXR_Local_Alignment_*.csv, or the COCO JSON of version 0.1
    VinDr-CXR           annotations_train.csv, annotations_test.csv
    PadChest-GR         grounded_reports_20240819.json

Reads no images. Which of the layouts a file has is seen from its columns, or its form as JSON. That
of PadChest-GR was read from its paper (Castro et al. 2024, arXiv:2411.05085) and from programs that
use it, not from the file itself, which is given on request only.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from data_prep.tables import Row, read_json, read_rows
from model.errors import DataError

__all__ = ["Region", "read_boxes"]

NIH_SIDE = 1024
"""Boxes are in pixels of the released images, which are of this size."""
NIH = ("Image Index", "Finding Label", "Bbox [x", "y", "w", "h]")
"""The header's "Bbox [x,y,w,h]" is not in quotes, so it is four columns; empty ones follow."""
MS_CXR = (
    *("category_name", "label_text", "path", "x", "y", "w", "h"),
    *("image_width", "image_height", "dicom_id"),
)
VINDR = ("image_id", "class_name", "x_min", "y_min", "x_max", "y_max")
LAYOUTS = {"NIH": NIH, "MS-CXR": MS_CXR, "VinDr-CXR": VINDR}
IN_WORDS = {"effusion": "pleural effusion", "infiltrate": "infiltration"}
"""Where a label is not what a report would call it."""
NOTHING = "no finding"


@dataclass(frozen=True)
class Region:
    """What one phrase speaks of on one image."""

    image: str
    """The image's file name without folders and ending."""
    label: str
    """The finding, as the file calls it."""
    phrase: str
    """What a report may say: MS-CXR's own words, else the finding's name in words."""
    boxes: tuple[tuple[float, float, float, float], ...]
    """(x0, y0, x1, y1) in pixels of the image they were drawn on, all that have this phrase: of
    VinDr-CXR those of all its readers, of PadChest-GR those of the first."""
    size: tuple[int, int] | None
    """(width, height) of that image; None where the file does not say. (1, 1) where the boxes are
    shares of it."""


@dataclass(frozen=True)
class _Box:
    image: str
    label: str
    phrase: str
    box: tuple[float, float, float, float]
    size: tuple[int, int] | None


def read_boxes(path: Path) -> list[Region]:
    """The regions of a box file, in its order.

    Raises:
        DataError: no such file, columns of none of the layouts, a box that is none, no box at all.
    """
    if not path.is_file():
        raise DataError(f"there is no box file {str(path)!r}: name a CSV or JSON file")
    boxes = list(_of_json(path) if path.suffix == ".json" else _of_csv(path))
    if not boxes:
        raise DataError(f"{path.name} holds no box: there is nothing to hold a map against")
    return _gathered(boxes)


def _gathered(boxes: Iterable[_Box]) -> list[Region]:
    groups: dict[tuple[str, str, str], list[_Box]] = {}
    for box in boxes:
        groups.setdefault((box.image, box.label, box.phrase), []).append(box)
    return [
        Region(*key, tuple(each.box for each in group), group[0].size)
        for key, group in groups.items()
    ]


def _of_csv(path: Path) -> Iterator[_Box]:
    rows = read_rows(path)
    first = next(rows, None)
    if first is None and path.stat().st_size:
        return
    header = [column for column in first[1] if column] if first else []
    layout = next((kind for kind, names in LAYOUTS.items() if set(names) <= set(header)), None)
    if layout is None:
        wanted = "; ".join(f"{kind} {', '.join(names)}" for kind, names in LAYOUTS.items())
        found = ", ".join(header)
        raise DataError(
            f"{path.name} has the columns {found!r}, expected those of one of: {wanted}"
        )
    read = {"NIH": _nih, "MS-CXR": _ms_cxr, "VinDr-CXR": _vindr}[layout]
    for origin, row in chain([first] if first else [], rows):
        try:
            box = read(row)
        except (KeyError, ValueError) as error:
            raise DataError(f"{origin} is no box of {layout}: {error}") from error
        if box is not None:
            yield box


def _nih(row: Row) -> _Box:
    box = _corners(*(float(row[column]) for column in NIH[2:]))
    label = row["Finding Label"]
    return _Box(_stem(row["Image Index"]), label, _words(label), box, (NIH_SIDE, NIH_SIDE))


def _ms_cxr(row: Row) -> _Box:
    box = _corners(*(float(row[column]) for column in ("x", "y", "w", "h")))
    size = (int(float(row["image_width"])), int(float(row["image_height"])))
    return _Box(row["dicom_id"], row["category_name"], row["label_text"], box, size)


def _vindr(row: Row) -> _Box | None:
    label = row["class_name"]
    if label.lower() == NOTHING:
        return None
    x0, y0, x1, y1 = (float(row[column]) for column in VINDR[2:])
    return _Box(row["image_id"], label, _words(label), _corners(x0, y0, x1 - x0, y1 - y0), None)


def _of_json(path: Path) -> Iterator[_Box]:
    """The COCO JSON of MS-CXR, or PadChest-GR's."""
    try:
        content = read_json(path)
    except DataError as error:
        raise DataError(f"{error}; expected the COCO JSON of MS-CXR, or PadChest-GR's") from error
    read = _padchest if isinstance(content, list) else _coco
    yield from read(path.name, content)


def _padchest(name: str, studies: list[Any]) -> Iterator[_Box]:
    """PadChest-GR: boxes [x0, y0, x1, y1] as shares of width and height, of abnormal findings.

    A finding has several labels for one sentence and one place; the first one stands for it. The
    boxes of a second reader (`extra_boxes`) are of the same findings, and are passed over.
    """
    for number, study in enumerate(studies):
        try:
            for finding in study["findings"]:
                label = (finding.get("labels") or ["unlabeled"])[0]
                for x0, y0, x1, y1 in finding.get("boxes") or ():
                    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
                        raise ValueError(f"{[x0, y0, x1, y1]} is not in shares of the image")
                    yield _Box(
                        image=_stem(study["ImageID"]),
                        label=label,
                        phrase=finding["sentence_en"].strip(),
                        box=(x0, y0, x1, y1),
                        size=(1, 1),
                    )
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise DataError(
                f"{name} study {number} is not of PadChest-GR: {error!r}; expected ImageID and "
                "findings with sentence_en, labels and boxes"
            ) from error


def _coco(name: str, content: dict[str, Any]) -> Iterator[_Box]:
    """MS-CXR in the manner of COCO, each annotation with its label_text."""
    try:
        images = {image["id"]: image for image in content["images"]}
        categories = {category["id"]: category["name"] for category in content["categories"]}
        annotations = list(content["annotations"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{name} is not MS-CXR's COCO JSON ({error!r}): it has images, categories and "
            "annotations"
        ) from error
    for number, annotation in enumerate(annotations):
        try:
            image = images[annotation["image_id"]]
            yield _Box(
                image=_stem(image["file_name"]),
                label=categories[annotation["category_id"]],
                phrase=annotation["label_text"],
                box=_corners(*map(float, annotation["bbox"])),
                size=(int(image["width"]), int(image["height"])),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{name} annotation {number} is no box: {error!r}") from error


def _corners(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    if not (0 < width < math.inf and 0 < height < math.inf and abs(x) + abs(y) < math.inf):
        raise ValueError(f"a box of width {width:g} and height {height:g}")
    return x, y, x + width, y + height


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _words(label: str) -> str:
    """ "Pleural_Thickening" -> "pleural thickening"."""
    words = label.replace("_", " ").lower()
    return IN_WORDS.get(words, words)
