"""What a score is worth: reports that anyone could give without looking, or by looking it up."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from data_prep.manifest import Study, read_studies
from model.errors import DataError
from model.imaging.letterbox import Letterbox
from model.imaging.radiograph import Radiograph
from model.imaging.read import read_image
from model.report_text.parser import read_findings
from training.folds import Fold

__all__ = ["best_constant", "nearest", "thumbnail", "train_studies"]

THUMBNAIL = 32
MOST_STUDIES = 5000
"""Train studies that the baselines are chosen from, evenly spaced; more would only cost time."""


def train_studies(folder: Path, fold: Fold | None = None) -> list[Study]:
    """At most MOST_STUDIES studies of the train split, or of the other folds than the one given.

    Raises:
        DataError: there are none.
    """
    studies = list(fold.read(folder, "train") if fold else read_studies(folder, "train"))
    if not studies:
        raise DataError(
            f"no train studies in {str(folder)!r}: the baselines need some, so name the folder the "
            "model was trained on with --train"
        )
    step = -(-len(studies) // MOST_STUDIES)
    return studies[::step]


def best_constant(train: Sequence[Study]) -> str:
    """The train report that, given for every train study, has the highest macro F1.

    Said of every study, a finding of prevalence p has precision p and recall 1, so F1 2p / (1 + p);
    one that is not said has 0. Of equal reports the first wins.
    """
    cases = Counter(name for study in train for name in {f.name for f in study.findings})
    f1 = {name: 2 * count / (len(train) + count) for name, count in cases.items()}

    def total(report: str) -> float:
        return sum(f1.get(name, 0) for name in {a.name for a in read_findings(report)})

    return max(dict.fromkeys(study.report for study in train), key=total)


def thumbnail(radiograph: Radiograph) -> np.ndarray:
    """float32 (1024,): 32x32 pixels of mean 0 and deviation 1, so exposure does not count."""
    height, width = radiograph.pixels.shape
    small = Letterbox(height, width, THUMBNAIL).apply(radiograph.pixels).flatten()
    deviation = max(float(small.std(ddof=1)), 1e-6)
    standardized: np.ndarray = ((small - small.mean()) / deviation).astype(np.float32)
    return standardized


def nearest(
    folder: Path, train: Sequence[Study], thumbnails: Sequence[np.ndarray], itself: bool = False
) -> list[str]:
    """For every thumbnail the report of the train study whose first image is the nearest.

    Args:
        folder: the prepared folder that holds the train studies' images.
        thumbnails: (1024,) each, of the evaluated studies' first images.
        itself: these are the train studies, in their order; each takes the nearest other one.

    Raises:
        DataError: `itself` with one study, which has no other.
    """
    if itself and len(train) < 2:
        raise DataError("one study alone has no nearest other: evaluate more, or give --train")
    known = np.stack([thumbnail(read_image(folder / study.images[0].path)) for study in train])
    distances = torch.cdist(torch.from_numpy(np.stack(thumbnails)), torch.from_numpy(known))
    if itself:
        distances.fill_diagonal_(torch.inf)
    return [train[int(k)].report for k in distances.argmin(dim=1)]
