"""One study's files -> its prepared images: which are taken, how they are made smaller.

Runs in the processes of data_prep/importing/run.py. Files are of strangers, so each is read in a
child process with limits (model/imaging/sandbox.py).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from data_prep.manifest import Image
from data_prep.output import write_png
from data_prep.source import SourceImage
from model.errors import ImageError
from model.imaging.sandbox import read_image_isolated

__all__ = [
    "NOT_THERE",
    "NO_FRONTAL",
    "NO_IMAGE",
    "Job",
    "Made",
    "Outcome",
    "Task",
    "shrink",
    "write_images",
]

NOT_THERE = "not there"
NO_IMAGE = "no image could be read"
NO_FRONTAL = "no frontal image"
RANKS = {"PA": 0, "AP": 1, None: 2, "LATERAL": 3}
"""Frontal before lateral, the better kind first. What is not stated is most often frontal."""
LATERAL = RANKS["LATERAL"]


@dataclass(frozen=True)
class Job:
    """What is the same for every study of a run."""

    out: Path
    source: Path
    size: int
    images: int


@dataclass(frozen=True)
class Task:
    """One study whose images are to be made."""

    id: str
    state: str
    """What the images were made from, as the ledger records it."""
    images: tuple[SourceImage, ...]


@dataclass(frozen=True)
class Made:
    image: Image
    size: int
    """The prepared file's bytes."""


@dataclass(frozen=True)
class Outcome:
    """What became of one study's images."""

    id: str
    state: str
    made: tuple[Made, ...]
    bad: tuple[tuple[str, str], ...]
    """(file relative to the source, reason) of each that could not be read."""
    reason: str = ""
    """Why the study has no image; empty where it has one."""


@dataclass(eq=False)
class _Candidate:
    source: SourceImage
    view: str | None
    pixels: np.ndarray | None = None
    """uint8 (height, width) as prepared; None until it is read."""


def write_images(job: Job, tasks: Sequence[Task]) -> list[Outcome]:
    """Read, shrink and write the images of some studies.

    Raises:
        DataError: an image cannot be written.
        ConfigError: the reading process does not start.
    """
    return [_write_study(job, task) for task in tasks]


def _write_study(job: Job, task: Task) -> Outcome:
    taken, bad = _take(job, task.images)
    made = tuple(_write(job.out, task.id, k, candidate) for k, candidate in enumerate(taken))
    reason = ""
    if not made:
        reason = NO_IMAGE if len(bad) == len(task.images) else NO_FRONTAL
    return Outcome(task.id, task.state, made, tuple(bad), reason)


def _take(
    job: Job, images: Sequence[SourceImage]
) -> tuple[list[_Candidate], list[tuple[str, str]]]:
    """The wanted images that can be read, in their order, and the bad ones met on the way.

    A view may be known only once an image is read, and a wanted one may turn out to be bad: the
    choice is made anew after every image, and no other than wanted ones are read.
    """
    candidates = [_Candidate(image, image.view) for image in images]
    bad: list[tuple[str, str]] = []
    while unread := [c for c in _wanted(candidates, job.images) if c.pixels is None]:
        candidate = unread[0]
        try:
            radiograph = read_image_isolated(job.source / candidate.source.path)
        except ImageError as error:
            candidates.remove(candidate)
            bad.append((candidate.source.path.as_posix(), str(error)))
        else:
            candidate.pixels = shrink(radiograph.pixels, job.size)
            candidate.view = candidate.view or radiograph.view
    return _wanted(candidates, job.images), bad


def _wanted(candidates: Sequence[_Candidate], limit: int) -> list[_Candidate]:
    """The best frontal, the best lateral, then the others: at most `limit`, in order of RANKS.

    A single image is a frontal one or none.
    """
    ordered = sorted(candidates, key=lambda candidate: RANKS[candidate.view])
    if limit == 1:
        return [c for c in ordered[:1] if RANKS[c.view] != LATERAL]
    lateral = next((c for c in ordered if RANKS[c.view] == LATERAL), None)
    if lateral is None or lateral in ordered[:limit]:
        return ordered[:limit]
    return [*ordered[: limit - 1], lateral]


def shrink(pixels: np.ndarray, size: int) -> np.ndarray:
    """Average over areas, as OpenCV's INTER_AREA does, but the same to the last bit everywhere.

    Float sums round differently from one processor to another, and a manifest holds the hash of
    every image. Here all sums are of integers.

    Args:
        pixels: float32 (height, width) in [0, 1].
        size: the longest side to come to; a smaller image stays as large as it is.

    Returns:
        uint8 (height, width).
    """
    height, width = pixels.shape
    longest = max(height, width)
    if longest <= size:
        same: np.ndarray = np.rint(pixels * 255).astype(np.uint8)
        return same
    rows, columns = (max(1, (2 * side * size + longest) // (2 * longest)) for side in pixels.shape)
    stored = np.rint(pixels * 65535).astype(np.uint16)
    sums = cv2.integral(stored, sdepth=cv2.CV_64F)  # whole numbers far below 2^53: exact
    # Edges may go round 2^64; their differences, which are small, come out right.
    edges = _between(_between(sums, rows).T, columns).T
    areas = np.diff(np.diff(edges, axis=0), axis=1)
    whole = 65535 * height * width
    shrunk: np.ndarray = ((areas * 510 + whole) // (2 * whole)).astype(np.uint8)
    return shrunk


def _between(sums: np.ndarray, parts: int) -> np.ndarray:
    """Running sums (n + 1, m) -> (parts + 1, m) at the edges of equal parts, times `parts`."""
    last = len(sums) - 1
    above, rest = np.divmod(np.arange(parts + 1) * last, parts)
    below = np.minimum(above + 1, last)
    upper, lower = sums[above].astype(np.int64), sums[below].astype(np.int64)
    result: np.ndarray = upper * (parts - rest)[:, None] + lower * rest[:, None]
    return result


def _write(out: Path, study: str, number: int, candidate: _Candidate) -> Made:
    pixels = candidate.pixels
    assert pixels is not None
    # No path is built from an id: it may be "../x", and it may tell who the patient is.
    name = hashlib.sha256(study.encode()).hexdigest()[:16]
    path = f"images/{name[:2]}/{name}_{number}.png"
    (out / path).parent.mkdir(exist_ok=True)
    size = write_png(out / path, pixels)
    height, width = pixels.shape
    image = Image(
        path=path,
        width=width,
        height=height,
        view=candidate.view,
        source=_stem(candidate.source.path),
        pixels=hashlib.sha256(f"{height} x {width} ".encode() + pixels.tobytes()).hexdigest(),
    )
    return Made(image, size)


def _stem(path: Path) -> str:
    """The file's name without its ending; Kaggle's "1_IM-0001-4001.dcm.png" has two of them."""
    return Path(path.stem).stem if path.stem.lower().endswith(".dcm") else path.stem
