"""Where the findings that a phantom does not have would show on its frontal image.

"No pleural effusion" is a statement about the costophrenic angles: the text of a normal report
has places too, and a decoder can be taught and asked to inspect them.
"""

from collections.abc import Collection, Iterator

from data_prep.manifest import Finding
from data_prep.occlusion import Box
from data_prep.phantom.anatomy import SIGNS, Anatomy

__all__ = ["absent_places"]

Region = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in cm."""
APEX = 0.25
"""Share of a lung's height in which a small pneumothorax of an upright patient lies."""
ANGLE_WIDTH, ANGLE_HEIGHT = 0.4, 4.2
"""Of a costophrenic angle: share of the half width, and cm, the most that mild fluid fills."""
RIM = 0.8
"""Centimetres by which the rib cage is wider than the lungs."""


def absent_places(anatomy: Anatomy, present: Collection[str]) -> tuple[Finding, ...]:
    """One place a side for each finding that reports deny and that is not there.

    Args:
        present: names of the findings that are there; of those no place is given.
    """
    places = []
    for name, side, region in _regions(anatomy):
        if name not in present:
            box = _pixels(anatomy, region)
            places.append(Finding(name, None, side, None, box, absent=True))
    return tuple(places)


def _regions(anatomy: Anatomy) -> Iterator[tuple[str, str | None, Region]]:
    p = anatomy.patient
    heart = anatomy.canvas.box(anatomy.heart > 0.5)
    if heart is not None:
        yield "cardiomegaly", None, anatomy.canvas.region(heart)
    for side, sign in SIGNS.items():
        outline = sign * anatomy.outlines[side][:, 0]
        inner, outer = float(outline.min()), float(outline.max())
        top, bottom = p.apex, float(anatomy.outlines[side][:, 1].max())
        height = bottom - top
        angle = outer - ANGLE_WIDTH * p.half_width
        yield "pleural_effusion", side, _sided(sign, angle, bottom - ANGLE_HEIGHT, outer, bottom)
        yield "pneumothorax", side, _sided(sign, inner, top, outer, top + APEX * height)
        yield "opacity", side, _sided(sign, inner, top, outer, bottom)
        hilum = p.carina + 0.17 * p.lung_height
        reach = 0.2 * p.lung_height
        hila = (inner, hilum - reach, 0.7 * p.half_width, hilum + reach)
        yield "edema", side, _sided(sign, *hila)
        yield "rib_fracture", side, _sided(sign, inner, top - RIM, outer + RIM, bottom)


def _sided(sign: int, inner: float, top: float, outer: float, bottom: float) -> Region:
    """From distances to the middle to a region of the patient's right or left."""
    x0, x1 = sorted((sign * inner, sign * outer))
    return x0, top, x1, bottom


def _pixels(anatomy: Anatomy, region: Region) -> Box:
    canvas = anatomy.canvas
    edges = []
    for place, corner in enumerate(region):
        pixel = round((corner - float(canvas.origin[place % 2])) * canvas.scale)
        edges.append(min(max(pixel, 0), canvas.size))
    x0, y0, x1, y1 = edges
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)
