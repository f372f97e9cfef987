"""A split of a prepared folder in memory: images, what findings cover, and texts as tokens.

Every image of a split lies in memory from the start, letterboxed to the model's square, one byte
a pixel: 50 kB an image at 224 pixels, 2 GB for 40,000. What findings cover is kept at half that
size, 25 kB for each image that has any. Worker processes share both with their parent.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tqdm import tqdm

from data_prep.manifest import Finding, Image, Study, read_studies
from model.config import ReportConfig
from model.errors import DataError
from model.imaging.letterbox import Letterbox
from model.report_text.parser import sentences
from training.dataset.targets import readable
from training.dataset.truth import Truth, kind_of, truth_of

__all__ = ["Sample", "Split", "load_split", "sample_of"]

MOST_FINDINGS = 16
"""On one image: a pixel's findings are the bits of 16."""


@dataclass(frozen=True)
class Sample:
    """One study's text, ready for the model."""

    tokens: NDArray[np.int64]
    """bos, the report, eos."""
    prompt: NDArray[np.int64]
    """The indication."""
    mentions: NDArray[np.uint64]
    """For each token but bos: bit j is set where it speaks of the study's finding j."""
    leads: NDArray[np.uint64]
    """The same where it leads up to the words that do: "There is a" before "small nodule"."""
    kinds: tuple[int, ...]
    """For each finding of the study its place in FINDINGS."""
    truth: Truth
    """Which findings the study is known to have, and not to have."""


@dataclass(frozen=True)
class Split:
    """All of a split in memory."""

    studies: tuple[Study, ...]
    """With those of their images that the model reads."""
    first: tuple[int, ...]
    """Row of `images` where each study's begin."""
    images: NDArray[np.uint8]
    """(images, size, size), bone white."""
    areas: NDArray[np.uint16]
    """(images with findings, size / 2, size / 2); bit k is the image's k-th finding."""
    area_of: tuple[int, ...]
    """For each image its row of `areas`, -1 where there is nothing to see."""
    tokenizer: Tokenizer
    config: ReportConfig
    grid: tuple[int, int]
    """(rows, columns) of patches on one image."""
    complete: bool
    """Whether what has no box is not there."""

    def __len__(self) -> int:
        return len(self.studies)

    @property
    def pad(self) -> int:
        return self.config.pad_token_id


def load_split(
    folder: Path,
    split: str,
    tokenizer: Tokenizer,
    config: ReportConfig,
    grid: tuple[int, int],
    limit: int = 0,
    complete: bool = True,
) -> Split:
    """Read a split of a prepared folder into memory.

    Args:
        config: the model's; of its views are the images that are read. A study without any of
            its own is left out.
        grid: (rows, columns) of patches on one image.
        limit: only the first so many studies; 0 for all.
        complete: what has no box is not there, as in phantoms; see training/dataset/truth.py.

    Raises:
        DataError: no studies, a missing image, a report too long.
    """
    size = config.image_size
    if size % 2 or size % grid[0] or size % grid[1]:
        raise DataError(f"size {size} must be even and a multiple of the grid {grid}")
    own = readable(read_studies(folder, split), config.views)
    studies = list(islice(own, limit or None))
    if not studies:
        raise DataError(
            f"no {split!r} studies with {' or '.join(config.views)} images in "
            f"{str(folder)!r}: prepare more of them"
        )
    first, images, areas, area_of = _images(folder, studies, size, f"reading {split}")
    loaded = Split(
        studies=tuple(studies),
        first=tuple(first),
        images=images,
        areas=areas,
        area_of=tuple(area_of),
        tokenizer=tokenizer,
        config=config,
        grid=grid,
        complete=complete,
    )
    for study in studies:
        sample_of(study, loaded)  # what cannot be learnt from is told now, not in the tenth hour
    return loaded


def _images(
    folder: Path, studies: Sequence[Study], size: int, told: str
) -> tuple[list[int], NDArray[np.uint8], NDArray[np.uint16], list[int]]:
    """Split.first, .images, .areas and .area_of.

    Args:
        told: beside the progress bar.
    """
    count = sum(len(study.images) for study in studies)
    images = np.empty((count, size, size), np.uint8)
    areas: list[NDArray[np.uint16]] = []
    area_of: list[int] = []
    first = []
    with _one_thread():
        for study in tqdm(studies, told, unit=" studies", leave=False, mininterval=2):
            first.append(len(area_of))
            for number, image in enumerate(study.images):
                pixels = _read(folder / image.path, image, np.uint8)
                images[len(area_of)] = _square(pixels, size)
                shown = [finding for finding in study.findings if finding.image == number]
                area_of.append(len(areas) if shown else -1)
                if shown:
                    areas.append(_areas(folder, shown, image, size))
    stacked = np.stack(areas) if areas else np.zeros((0, size // 2, size // 2), np.uint16)
    return first, images, stacked, area_of


def _special(tokenizer: Tokenizer, name: str) -> int:
    number = tokenizer.token_to_id(name)
    if number is None:
        raise DataError(f"the tokenizer has no {name}: make it with `crossray prepare`")
    return number


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


def _square(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    square = Letterbox(pixels.shape[0], pixels.shape[1], size).apply(
        pixels.astype(np.float32) / 255
    )
    return ((square[0] + 1) * 127.5).round().to(torch.uint8).numpy()


def sample_of(study: Study, split: Split) -> Sample:
    """A study's texts as tokens, and which of them speak of what.

    Raises:
        DataError: more tokens or findings than there is room for.
    """
    tokenizer, config = split.tokenizer, split.config
    encoding = tokenizer.encode(study.report)
    bos, eos = _special(tokenizer, "<bos>"), _special(tokenizer, "<eos>")
    tokens = np.array([bos, *encoding.ids, eos], np.int64)
    if len(tokens) - 1 > config.max_tokens:
        raise DataError(
            f"a report of {len(tokens) - 1} tokens, the model writes {config.max_tokens}: raise "
            "model.max_tokens or shorten the reports"
        )
    if len(study.findings) > 64:  # the bits of a token
        raise DataError(f"a study with {len(study.findings)} findings: at most 64")
    mentions, leads = np.zeros((2, len(tokens) - 1), np.uint64)
    starts, ends = np.array(encoding.offsets, np.int64).reshape(-1, 2).T
    phrases = sorted(study.phrases, key=lambda phrase: phrase.start)
    borders = sorted({0, *(s for s, _ in sentences(study.report)), *(p.end for p in phrases)})
    for phrase in phrases:
        findings = np.uint64(sum({1 << finding for finding in phrase.findings}))
        begins = borders[bisect_right(borders, phrase.start) - 1]
        mentions[:-1][(starts < phrase.end) & (ends > phrase.start)] |= findings
        leads[:-1][(starts >= begins) & (ends <= phrase.start)] |= findings
    leads[mentions > 0] = 0
    # A long indication is cut: what matters comes first, and the report can be learnt without.
    prompt = tokenizer.encode(study.indication).ids[: config.prompt_tokens]
    kinds = tuple(kind_of(finding.name) for finding in study.findings)
    truth = truth_of(study, split.complete)
    return Sample(tokens, np.array(prompt, np.int64), mentions, leads, kinds, truth)


def _areas(
    folder: Path, findings: Sequence[Finding], image: Image, size: int
) -> NDArray[np.uint16]:
    """Where each finding of an image is, (size / 2, size / 2), bit k for the k-th.

    A mask says only what kind is where, so it is cut with the box: the right and the left
    effusion share a bit. Where the mask shows none of the kind in the box, the box it is.
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
    return _shrink(areas, size)


def _shrink(areas: NDArray[np.uint16], size: int) -> NDArray[np.uint16]:
    """Letterbox to (size, size), then 2 x 2 to 1 by union, so that thin lines survive."""
    height, width = areas.shape
    place = Letterbox(height, width, size)
    (left, top), (right, bottom) = place.to_model(0, 0), place.to_model(width, height)
    inner = cv2.resize(
        areas, (round(right - left), round(bottom - top)), interpolation=cv2.INTER_NEAREST
    )
    square = np.zeros((size, size), np.uint16)
    square[round(top) : round(bottom), round(left) : round(right)] = inner
    return square[::2, ::2] | square[1::2, ::2] | square[::2, 1::2] | square[1::2, 1::2]
