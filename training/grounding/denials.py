"""Whether a denial's words attend to where the finding would show, and need to see it there.

"No pleural effusion" is a statement about the costophrenic angles. Phantoms prepared with places
say where each absent finding would show. A case is a phrase that denies findings with known places:
does its map point into one of them, and does its log-probability fall when they are covered with
the image's mean, more than when as much is covered elsewhere?
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from tqdm import tqdm

from data_prep.manifest import Finding, Study
from data_prep.occlusion import cover, elsewhere
from model.torch_network import Network
from training.bootstrap import Bootstrap, Score
from training.denied_places import with_denied_places
from training.grounding.cases import Subject, patches_inside
from training.grounding.methods import shown
from training.teacher_forcing import force, log_probabilities, squares

__all__ = ["DENIALS", "measure_denials"]

DENIALS = ("pointing", "on_images", "lowered", "control_lowered", "nats", "control_nats")
"""Shares of denials whose map points into their place; of their attention that is on the images; of
those whose probability falls with the place covered, and with as much covered elsewhere; and by how
many nats it falls, the mean."""


def measure_denials(
    model: Network,
    studies: Sequence[Study],
    subjects: Sequence[Subject],
    progress: bool = True,
) -> Mapping[str, Score] | None:
    """DENIALS over the studies' own reports; None where no place of anything absent is known.

    Args:
        subjects: of the studies, in their order (cases.of_folder).
    """
    sums = {name: np.zeros((2, len(studies))) for name in DENIALS}
    denying = [subject for subject in subjects if studies[subject.row].places]
    for subject in tqdm(denying, "denials", unit=" studies", disable=not progress):
        for values in _of_study(model, studies[subject.row], subject):
            for name, value in values.items():
                sums[name][:, subject.row] += (value, 1)
    if not denying:
        return None
    bootstrap = Bootstrap(len(studies))
    return {name: bootstrap.ratio(*pair) for name, pair in sums.items()}


def _of_study(model: Network, study: Study, subject: Subject) -> list[dict[str, float]]:
    denied = with_denied_places(study)
    cases = []
    for phrase in denied.phrases:
        places = [denied.findings[k] for k in phrase.findings if denied.findings[k].absent]
        span = subject.text.tokens_of(phrase.start, phrase.end)
        if places and span.size:
            cases.append((places, span))
    if not cases:
        return []
    pixels = subject.read()
    spans = [span for _, span in cases]
    forced = force(model, [subject.row], [pixels], [subject.given], [subject.text], [spans])
    [attention] = shown(forced)
    rng = np.random.default_rng([2, subject.row])
    found = []
    for places, span in cases:
        heatmap = attention.attention[span].mean(axis=0)
        boxes = tuple((place.image, place.box) for place in places)
        inside = patches_inside(forced.placements[0], boxes, model.grid)
        values = {
            "pointing": float(inside[heatmap.argmax()]),
            "on_images": float(heatmap.sum()),
        }
        found.append(values | _covered(model, study, subject, pixels, (places, span), rng))
    return found


def _covered(
    model: Network,
    study: Study,
    subject: Subject,
    pixels: Sequence[np.ndarray],
    case: tuple[Sequence[Finding], np.ndarray],
    rng: np.random.Generator,
) -> dict[str, float]:
    """How far the denial falls with its places covered, and with as much covered elsewhere."""
    places, span = case
    own = [place.box for place in places]
    avoid = [*own, *(finding.box for finding in study.findings if finding.image == 0)]
    height, width = pixels[0].shape
    other = [elsewhere(box, avoid, (height, width), rng) for box in own]
    room = [box for box in other if box is not None]
    variants = [pixels[0], cover(pixels[0], own)]
    if len(room) == len(own):
        variants.append(cover(pixels[0], room))
    images = torch.stack([squares(model, [image, *pixels[1:]]) for image in variants])
    scores = log_probabilities(model, images, subject.given, subject.text.tokens)[:, span].sum(1)
    values = {"lowered": float(scores[1] < scores[0]), "nats": float(scores[0] - scores[1])}
    if len(variants) > 2:
        values["control_lowered"] = float(scores[2] < scores[0])
        values["control_nats"] = float(scores[0] - scores[2])
    return values
