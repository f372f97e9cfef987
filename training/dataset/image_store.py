"""The images of a split as one memory-mapped file, written once: data larger than memory trains.

Images lie in the model's square as the network places them, one byte a pixel: 50 kB an image at
224 pixels, 260 kB at 512. What findings cover is kept at half that size, for each image that has
any. The operating system keeps in memory what fits and reads the rest from disk; all processes
share it.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from tqdm import tqdm

from data_prep.manifest import Finding, Image, Study
from model.errors import DataError
from model.imaging.letterbox import Placement
from training.denied_places import MOST_FINDINGS
from training.truth import kind_of

__all__ = ["ImageStore", "open_store"]

FORMAT = 2
"""Raise it when what is written changes."""


@dataclass(frozen=True, eq=False)
class ImageStore:
    """The images of some studies, in their order."""

    first: NDArray[np.int64]
    """(studies,) row of `images` where each study's begin."""
    images: NDArray[np.uint8]
    """(images, size, size), bone white."""
    areas: NDArray[np.uint16]
    """(images with findings, size / 2, size / 2); bit k is the image's k-th finding."""
    area_of: NDArray[np.int64]
    """(images,) row of `areas`, -1 where there is no finding."""

    def read(self, study: int, number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        """One image of a study and what findings cover on it, (size, size) each, copied."""
        row = int(self.first[study]) + number
        image, area = np.array(self.images[row]), int(self.area_of[row])
        if area < 0:
            return image, np.zeros_like(image, np.uint16)
        return image, np.array(self.areas[area]).repeat(2, axis=0).repeat(2, axis=1)


def open_store(
    folder: Path, studies: Sequence[Study], placed: Callable[[Image], Placement], store: Path
) -> ImageStore:
    """The store of these studies' images, written first where there is none.

    Args:
        folder: prepared folder that the images' paths are relative to.
        placed: how an image lies in the model's square, whose side is even.
        store: folder that stores of several splits and sizes can share.

    Raises:
        DataError: a missing or changed image, too many findings on one, no room for the store.
    """
    path = store / _key(folder, studies, placed)
    size = placed(studies[0].images[0]).size
    if not path.is_dir():
        try:
            _write(folder, studies, placed, path)
        except OSError as error:
            raise DataError(
                f"cannot write the images to {str(store)!r} ({error.strerror}): set store to a "
                f"folder with room for {_count(studies) * size**2 / 1e9:.1f} GB"
            ) from error
    counts = np.array([len(study.images) for study in studies], np.int64)
    area_of, areas = np.full(counts.sum(), -1, np.int64), 0
    for row, (study, number) in enumerate(_images(studies)):
        if any(finding.image == number for finding in study.findings):
            area_of[row], areas = areas, areas + 1
    return ImageStore(
        first=counts.cumsum() - counts,
        images=np.load(path / "images.npy", mmap_mode="r"),
        areas=np.load(path / "areas.npy", mmap_mode="r"),
        area_of=area_of,
    )


def _key(folder: Path, studies: Sequence[Study], placed: Callable[[Image], Placement]) -> str:
    """Of the store's name: whatever decides what it holds, and when each file was last written."""
    digest = hashlib.sha256(f"{FORMAT}".encode())
    for study, number in _images(studies):
        image = study.images[number]
        boxes = [(f.name, f.box) for f in study.findings if f.image == number]
        written = []
        for name in filter(None, (image.path, image.mask)):
            path = folder / name
            written.append(path.stat().st_mtime_ns if path.is_file() else None)
        held = [image.path, image.mask, boxes, written, repr(placed(image))]
        digest.update(json.dumps(held).encode())
    return digest.hexdigest()[:16]


def _write(
    folder: Path, studies: Sequence[Study], placed: Callable[[Image], Placement], path: Path
) -> None:
    """Write the store's folder, whole or not at all."""
    size = placed(studies[0].images[0]).size
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f"{path.name}.", dir=path.parent))
    try:
        with_findings = [len({f.image for f in study.findings}) for study in studies]
        images = _array(part / "images.npy", np.uint8, (_count(studies), size, size))
        areas = _array(part / "areas.npy", np.uint16, (sum(with_findings), size // 2, size // 2))
        area = 0
        with _one_thread():
            bar = tqdm(_images(studies), "storing images", _count(studies), unit=" images")
            for row, (study, number) in enumerate(bar):
                image = study.images[number]
                place = placed(image)
                images[row] = _square(_read(folder / image.path, image, np.uint8), place)
                shown = [finding for finding in study.findings if finding.image == number]
                if shown:
                    areas[area] = _areas(folder, shown, image, place)
                    area += 1
        del images, areas  # written out
        try:
            part.rename(path)
        except OSError:
            if not path.is_dir():  # unless another process was faster
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _array(path: Path, kind: type, shape: tuple[int, ...]) -> NDArray[Any]:
    if 0 in shape:  # nothing that could be mapped
        array: NDArray[Any] = np.zeros(shape, kind)
        np.save(path, array)
        return array
    return open_memmap(path, "w+", kind, shape)


def _images(studies: Sequence[Study]) -> Iterator[tuple[Study, int]]:
    for study in studies:
        for number in range(len(study.images)):
            yield study, number


def _count(studies: Sequence[Study]) -> int:
    return sum(len(study.images) for study in studies)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small images one by one: threads that wait for each other cost more than they do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _read(path: Path, image: Image, kind: type) -> NDArray[Any]:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    wanted = (image.height, image.width)
    if pixels is None or pixels.shape != wanted or pixels.dtype != kind:
        found = "nothing readable" if pixels is None else f"{pixels.dtype} {pixels.shape}"
        raise DataError(
            f"expected {np.dtype(kind)} {wanted} in {path.parent.name}/, found {found}: "
            "prepare the folder again"
        )
    return pixels


def _square(pixels: NDArray[np.uint8], place: Placement) -> NDArray[np.uint8]:
    square = place.square(pixels.astype(np.float32) / 255)
    stored: NDArray[np.uint8] = (square[0] * 255).round().astype(np.uint8)
    return stored


def _areas(
    folder: Path, findings: Sequence[Finding], image: Image, place: Placement
) -> NDArray[np.uint16]:
    """Where each finding of an image is, (size / 2, size / 2), bit k for the k-th.

    A mask says only what kind is where, so it is cut with the box: the right and the left
    effusion share a bit. Where the mask shows none of the kind in the box, it is the box.
    """
    if len(findings) > MOST_FINDINGS:
        raise DataError(f"an image with {len(findings)} findings: at most {MOST_FINDINGS}")
    mask = None
    if image.mask is not None:
        mask = _read(folder / image.mask, image, np.uint16)
    areas = np.zeros((image.height, image.width), np.uint16)
    for k, finding in enumerate(findings):
        x0, y0, x1, y1 = finding.box
        part = np.ones((y1 - y0, x1 - x0), bool)
        if mask is not None:
            shown = (mask[y0:y1, x0:x1] >> kind_of(finding.name)) & 1 > 0
            part = shown if shown.any() else part
        areas[y0:y1, x0:x1] |= part.astype(np.uint16) << np.uint16(k)
    return _shrink(areas, place)


def _shrink(areas: NDArray[np.uint16], place: Placement) -> NDArray[np.uint16]:
    """Into the model's square, then 2 x 2 to 1 by union, so that thin lines survive."""
    height, width = areas.shape
    (left, top), (right, bottom) = place.to_model(0, 0), place.to_model(width, height)
    x, y = round(left), round(top)
    inner = cv2.resize(
        areas, (round(right) - x, round(bottom) - y), interpolation=cv2.INTER_NEAREST
    )
    square = np.zeros((place.size, place.size), np.uint16)
    # What a crop cuts off lies outside: x and y are then negative.
    part = inner[max(0, -y) : place.size - y, max(0, -x) : place.size - x]
    x, y = max(0, x), max(0, y)
    square[y : y + part.shape[0], x : x + part.shape[1]] = part
    return square[::2, ::2] | square[1::2, ::2] | square[::2, 1::2] | square[1::2, 1::2]
