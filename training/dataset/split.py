"""A split of a prepared folder: its studies in memory, their images in a memory-mapped store."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from data_prep.manifest import Study, read_studies
from model.errors import DataError
from training.dataset.image_store import ImageStore, open_store
from training.dataset.samples import StudyEncoder
from training.folds import Fold
from training.study_inputs import readable

__all__ = ["Split", "load_split"]


@dataclass(frozen=True, eq=False)
class Split:
    """What batches are made of."""

    studies: Sequence[Study]
    """With those of their images that the model reads."""
    images: ImageStore
    encoder: StudyEncoder

    def __len__(self) -> int:
        return len(self.studies)

    @property
    def pad(self) -> int:
        """The token that fills up."""
        return self.encoder.config.pad_token_id


def load_split(
    folder: Path,
    split: str,
    encoder: StudyEncoder,
    limit: int = 0,
    store: Path | None = None,
    fold: Fold | None = None,
) -> Split:
    """Read a split of a prepared folder; its images are stored first where they are not yet.

    Args:
        encoder: the images that are read are those of the views its config names. A study without
            any of its own is left out.
        limit: only the first so many studies; 0 for all.
        store: folder of the image stores; None is `store` in the prepared folder.
        fold: "validate" is this fold, and "train" the others, instead of the folder's own splits.

    Raises:
        DataError: no studies, a missing image, a report too long, no room for the store.
    """
    config, grid = encoder.config, encoder.grid
    size = config.image_size
    if size % 2 or size % grid[0] or size % grid[1]:
        raise DataError(f"size {size} must be even and a multiple of the grid {grid}")
    found = read_studies(folder, split) if fold is None else fold.read(folder, split)
    studies = tuple(islice(readable(found, config.views), limit or None))
    if not studies:
        raise DataError(
            f"no {split!r} studies with {' or '.join(config.views)} images in "
            f"{str(folder)!r}: prepare more of them"
        )
    for study in studies:
        encoder.sample(study)  # what cannot be learned from is reported now, not in the tenth hour
    images = open_store(folder, studies, encoder.placement, store or folder / "store")
    return Split(studies, images, encoder)
