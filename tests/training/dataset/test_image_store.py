"""The store gives what was prepared, is written once, and is written anew where that changed."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from prepared_folder import SIZE, write_prepared

from data_prep.manifest import Image, Study, read_studies
from model.errors import DataError
from model.imaging.letterbox import Letterbox, Placement
from training.dataset.image_store import ImageStore, open_store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_prepared(tmp_path / "prepared", 12)


def studies_of(folder: Path) -> tuple[Study, ...]:
    """With a second image here and there."""
    studies = read_studies(folder, "train")
    return tuple(
        replace(study, images=study.images * (1 + row % 2)) for row, study in enumerate(studies)
    )


def letterboxed(size: int) -> Callable[[Image], Placement]:
    return lambda image: Letterbox(image.height, image.width, size)


def stores(folder: Path) -> list[Path]:
    return sorted((folder / "store").iterdir())


def pixels(store: ImageStore, study: int, number: int) -> np.ndarray:
    return store.read(study, number)[0]


def test_every_image_is_the_prepared_one_and_mapped(folder: Path) -> None:
    studies = studies_of(folder)
    store = open_store(folder, studies, letterboxed(SIZE), folder / "store")
    assert isinstance(store.images, np.memmap) and isinstance(store.areas, np.memmap)
    for row, study in enumerate(studies):
        for number, image in enumerate(study.images):
            prepared = cv2.imread(str(folder / image.path), cv2.IMREAD_UNCHANGED)
            shown, areas = store.read(row, number)
            assert np.array_equal(shown, prepared)
            assert areas.any() == any(finding.image == number for finding in study.findings)


def test_it_is_written_once_and_shared_by_later_runs(folder: Path) -> None:
    studies = studies_of(folder)
    first = open_store(folder, studies, letterboxed(SIZE), folder / "store")
    [path] = stores(folder)
    written = (path / "images.npy").stat().st_mtime_ns
    again = open_store(folder, studies, letterboxed(SIZE), folder / "store")
    assert stores(folder) == [path] and (path / "images.npy").stat().st_mtime_ns == written
    assert np.array_equal(first.images, again.images)
    open_store(folder, studies, letterboxed(SIZE // 2), folder / "store")
    assert len(stores(folder)) == 2


def test_an_image_that_was_prepared_again_is_stored_again(folder: Path) -> None:
    studies = studies_of(folder)
    before = pixels(open_store(folder, studies, letterboxed(SIZE), folder / "store"), 0, 0)
    path = folder / studies[0].images[0].path
    cv2.imwrite(str(path), 255 - before)
    os.utime(path, ns=(1, 1))
    after = pixels(open_store(folder, studies, letterboxed(SIZE), folder / "store"), 0, 0)
    assert np.array_equal(after, 255 - before)


def test_nothing_is_left_of_a_store_that_could_not_be_finished(folder: Path) -> None:
    studies = studies_of(folder)
    (folder / studies[-1].images[0].path).write_bytes(b"no image")
    with pytest.raises(DataError, match="prepare the folder again"):
        open_store(folder, studies, letterboxed(SIZE), folder / "store")
    assert stores(folder) == []


def test_where_the_store_cannot_be_written_another_place_is_asked_for(folder: Path) -> None:
    (folder / "store").write_text("a file")
    with pytest.raises(DataError, match="set store to a folder with room"):
        open_store(folder, studies_of(folder), letterboxed(SIZE), folder / "store")
