"""Phantoms with masks of their anatomy: what the anatomy network learns first from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data_prep.output import claim, write_json, write_png
from data_prep.phantom.anatomy import SIGNS, Anatomy
from data_prep.phantom.canvas import Plane
from data_prep.phantom.pathology import RIB_WIDTH, posterior_ribs
from data_prep.phantom.patient import Patient
from data_prep.phantom.plan import draw_plans
from data_prep.phantom.study import patient_with
from data_prep.phantom.views import draw_anatomy
from model.anatomy_parts import PARTS
from model.errors import ConfigError

__all__ = ["make_parts", "prepare_parts"]


HIDES_DIAPHRAGM = "pleural_effusion"
"""Learnt as lung, fluid teaches a network to find lungs in the abdomen."""


def prepare_parts(out: Path, count: int, seed: int, size: int = 160) -> None:
    """Write images/NAME.png and parts/NAME.png, see `make_parts`, of `count` phantoms.

    An interrupted run, started again with the same arguments, makes what is missing.

    Raises:
        ConfigError: a number out of range.
        DataError: `out` holds something that was prepared with other arguments.
    """
    if count < 1 or seed < 0 or size < 64:
        raise ConfigError(
            f"count {count}, seed {seed}, size {size}: at least 1, 0 and 64 are needed"
        )
    asked = {"source": "phantom anatomy", "count": count, "seed": seed, "size": size}
    claim(out, asked, ("images", "parts"))
    write_json(out / "prepared.json", asked)
    for index in tqdm(range(count), "drawing", unit=" phantoms", mininterval=2, disable=None):
        name = f"{index:07d}.png"
        if (out / "parts" / name).is_file():
            continue
        pixels, bits = make_parts(seed, index, size)
        write_png(out / "images" / name, np.round(pixels * 255).astype(np.uint8))
        write_png(out / "parts" / name, bits)


def make_parts(
    seed: int, index: int, size: int = 160
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A frontal image of phantom `index` of `seed`, and where its parts project.

    Half are drawn as for `make_phantom`, without effusions; the organs of the other half have sizes
    that those seldom or never have.

    Returns:
        float32 (size, size) in [0, 1], bone white; and uint8
        (size, size), of which bit k is set inside PARTS[k].
    """
    rng = np.random.default_rng([seed, index])
    plans = draw_plans(rng) if rng.random() < 0.5 else []
    plans = [plan for plan in plans if plan.name != HIDES_DIAPHRAGM]
    patient = patient_with(plans, rng)
    if rng.random() < 0.5:
        patient = _unusual(patient, rng)
    view, anatomy = draw_anatomy(patient, plans, size, rng)
    covers = _covers(anatomy)
    bits = np.zeros((size, size), np.uint8)
    for number, part in enumerate(PARTS):
        bits |= (covers[part] > 0.5).astype(np.uint8) << number
    return view.pixels, bits


def _unusual(patient: Patient, rng: np.random.Generator) -> Patient:
    """Short breaths, high and flat domes, large and shifted hearts, turned and stout patients."""
    stout = rng.uniform(0, 2)
    return replace(
        patient,
        lung_height=rng.uniform(12, 26),
        dome=rng.uniform(1.2, 6),
        cardiothoracic=rng.uniform(0.38, 0.72),
        heart_shift=rng.normal(0.3, 1.0),
        turn=rng.normal(0, 0.10),
        wall=1.4 + 3.2 * stout,
        depth=20 + 6 * stout,
        apex=rng.uniform(3, 10),
        breasts=rng.uniform(0.8, 5) if rng.random() < 0.5 else 0.0,
        bubble=rng.uniform(1.2, 4) if rng.random() < 0.6 else 0.0,
    )


def _covers(anatomy: Anatomy) -> dict[str, Plane]:
    """Cover in [0, 1] of each part. A lung is what hand-made masks outline: the field beside heart
    and mediastinum and above the dome of the diaphragm, with whatever fluid or tissue fills it."""
    beside = (1 - anatomy.heart) * (1 - anatomy.silhouettes["mediastinum"])
    lungs = {f"{side}_lung": anatomy.lungs[side] * beside for side in SIGNS}
    ribs = anatomy.canvas.strokes(posterior_ribs(anatomy), RIB_WIDTH)
    return {**lungs, **anatomy.silhouettes, "heart": anatomy.heart, "ribs": ribs}
