"""A prepared folder -> batches, the same ones for every run of the same seed.

Every picture of a split lies in memory from the start, letterboxed to the model's square, one byte
a pixel: 50 kB a picture at 224 pixels, 2 GB for 40,000. What findings cover is kept at half that
size, 25 kB for each picture that has any. Worker processes share both with their parent.
"""

import signal
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from data_prep.study import FINDINGS, Finding, Picture, Study, read_studies
from model.errors import DataError
from model.geometry import Letterbox
from model.reader import sentences
from training.augment import Augmentation
from training.config import AugmentConfig

__all__ = ["Batch", "Batches", "Sample", "Split", "load_split", "stream"]

MOST_FINDINGS = 16
"""In one study: a pixel's findings are the bits of 16."""


@dataclass(frozen=True)
class Sample:
    """One study's text, ready for the model."""

    tokens: NDArray[np.int64]
    """bos, the report, eos."""
    mentions: NDArray[np.uint16]
    """For each token but bos: bit j is set where it speaks of the study's finding j."""
    leads: NDArray[np.uint16]
    """The same where it leads up to the words that do: "There is a" before "small nodule"."""
    kinds: tuple[int, ...]
    """For each finding of the study its place in FINDINGS."""
    area: int
    """Row of Split.areas, or -1 where there is nothing to see."""


@dataclass(frozen=True)
class Split:
    """All of a split in memory."""

    pictures: NDArray[np.uint8]
    """(studies, size, size), bone white."""
    areas: NDArray[np.uint16]
    """(studies with findings, size / 2, size / 2); bit j is the study's finding j."""
    samples: tuple[Sample, ...]
    grid: tuple[int, int]
    """(rows, columns) of patches."""
    pad: int

    def __len__(self) -> int:
        return len(self.samples)


@dataclass(frozen=True)
class Batch:
    """Some studies, padded to the longest report and to the most findings."""

    pictures: Tensor
    """uint8 (batch, 1, 1, size, size), bone white."""
    tokens: Tensor
    """int64 (batch, 1 + tokens), from bos to eos. The decoder reads [:, :-1] and is asked for
    [:, 1:], the labels."""
    mentions: Tensor
    """float32 (batch, tokens, findings), 1 where labels[t] speaks of the finding."""
    leads: Tensor
    """The same where labels[t] leads up to the words that do."""
    coverage: Tensor
    """float32 (batch, findings, patches), share of each patch the finding covers."""
    kinds: Tensor
    """int64 (batch, findings), place in FINDINGS; -1 where a study has fewer findings."""

    def to(self, device: torch.device) -> "Batch":
        return Batch(**{name: value.to(device) for name, value in vars(self).items()})

    def model_pictures(self) -> Tensor:
        """float32 (batch, 1, 1, size, size) in [-1, 1]."""
        return self.pictures.float().mul_(2 / 255).sub_(1)

    def present(self) -> Tensor:
        """float32 (batch, kinds of finding), 1 where the study has it."""
        table = torch.zeros(len(self.kinds), len(FINDINGS) + 1, device=self.kinds.device)
        table.scatter_(1, self.kinds.where(self.kinds >= 0, len(FINDINGS)), 1.0)
        return table[:, :-1]


def load_split(
    folder: Path,
    split: str,
    tokenizer: Tokenizer,
    *,
    size: int,
    grid: tuple[int, int],
    max_tokens: int,
    limit: int = 0,
) -> Split:
    """Read a split of a prepared folder into memory.

    Args:
        size: side of the model's square, even and a multiple of the grid's.
        grid: (rows, columns) of patches.
        max_tokens: longest report, its end counted.
        limit: only the first so many studies; 0 for all.

    Raises:
        DataError: no studies, a missing picture, a report too long, several pictures a study.
    """
    if size % 2 or size % grid[0] or size % grid[1]:
        raise DataError(f"size {size} must be even and a multiple of the grid {grid}")
    studies = list(read_studies(folder, split))
    studies = studies[: limit or None]
    if not studies:
        raise DataError(f"no {split!r} studies in {str(folder)!r}: prepare more of them")
    pictures = np.empty((len(studies), size, size), np.uint8)
    areas: list[NDArray[np.uint16]] = []
    samples = []
    bar = tqdm(studies, f"reading {split}", unit=" studies", leave=False, mininterval=2)
    with _one_thread():
        for row, study in enumerate(bar):
            picture = _only_picture(study)
            pictures[row] = _square(_read(folder / picture.path, picture, np.uint8), size)
            sample = _sample(study, tokenizer, max_tokens)
            if study.findings:
                sample = replace(sample, area=len(areas))
                areas.append(_areas(folder, study, picture, size))
            samples.append(sample)
    stacked = np.stack(areas) if areas else np.zeros((0, size // 2, size // 2), np.uint16)
    return Split(pictures, stacked, tuple(samples), grid, _special(tokenizer, "<pad>"))


def _special(tokenizer: Tokenizer, name: str) -> int:
    number = tokenizer.token_to_id(name)
    if number is None:
        raise DataError(f"the tokenizer has no {name}: make it with `crossray prepare`")
    return number


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small pictures one by one: threads that wait for each other cost more than they do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _only_picture(study: Study) -> Picture:
    if len(study.pictures) != 1:
        raise DataError(
            f"a study with {len(study.pictures)} pictures: training reads one a study, "
            "prepare the folder with the frontal one"
        )
    return study.pictures[0]


def _read(path: Path, picture: Picture, kind: type) -> NDArray[Any]:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    wanted = (picture.height, picture.width)
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


def _sample(study: Study, tokenizer: Tokenizer, max_tokens: int) -> Sample:
    if len(study.findings) > MOST_FINDINGS:
        raise DataError(f"a study with {len(study.findings)} findings: at most {MOST_FINDINGS}")
    encoding = tokenizer.encode(study.report)
    bos, eos = _special(tokenizer, "<bos>"), _special(tokenizer, "<eos>")
    tokens = np.array([bos, *encoding.ids, eos], np.int64)
    if len(tokens) - 1 > max_tokens:
        raise DataError(
            f"a report of {len(tokens) - 1} tokens, the model writes {max_tokens}: raise "
            "model.max_tokens or shorten the reports"
        )
    mentions, leads = np.zeros((2, len(tokens) - 1), np.uint16)
    starts, ends = np.array(encoding.offsets, np.int64).reshape(-1, 2).T
    phrases = sorted(study.phrases, key=lambda phrase: phrase.start)
    borders = sorted({0, *(s for s, _ in sentences(study.report)), *(p.end for p in phrases)})
    for phrase in phrases:
        findings = np.uint16(sum({1 << finding for finding in phrase.findings}))
        begins = borders[bisect_right(borders, phrase.start) - 1]
        mentions[:-1][(starts < phrase.end) & (ends > phrase.start)] |= findings
        leads[:-1][(starts >= begins) & (ends <= phrase.start)] |= findings
    leads[mentions > 0] = 0
    kinds = tuple(_kind(finding) for finding in study.findings)
    return Sample(tokens, mentions, leads, kinds, -1)


def _kind(finding: Finding) -> int:
    try:
        return FINDINGS.index(finding.name)
    except ValueError:
        raise DataError(f"finding {finding.name!r} is none of {FINDINGS}") from None


def _areas(folder: Path, study: Study, picture: Picture, size: int) -> NDArray[np.uint16]:
    """Where each finding is, (size / 2, size / 2), bit j for finding j.

    A mask says only what kind is where, so it is cut with the box: the right and the left
    effusion share a bit. Where the mask shows none of the kind in the box, the box it is.
    """
    mask = None
    if picture.mask is not None:
        mask = _read(folder / picture.mask, picture, np.uint16)
    areas = np.zeros((picture.height, picture.width), np.uint16)
    for j, finding in enumerate(study.findings):
        x0, y0, x1, y1 = finding.box
        part = np.ones((y1 - y0, x1 - x0), bool)
        if mask is not None:
            shown = (mask[y0:y1, x0:x1] >> _kind(finding)) & 1 > 0
            part = shown if shown.any() else part
        areas[y0:y1, x0:x1] |= part.astype(np.uint16) << np.uint16(j)
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


class Batches(Dataset[Batch]):
    """Step number -> that step's batch, from (seed, step) alone: resuming needs no state."""

    def __init__(self, split: Split, batch: int, seed: int, augment: AugmentConfig | None) -> None:
        """augment None leaves the pictures as they are and needs no albumentations."""
        self.split, self.batch, self.seed, self.augment = split, batch, seed, augment
        self._augmentation: Augmentation | None = None

    def __getitem__(self, step: int) -> Batch:
        return self.make(self._rows(step), step)

    def make(self, rows: Sequence[int], step: int) -> Batch:
        """The batch of these studies, augmented as in this step."""
        if self.augment is not None:
            if self._augmentation is None:
                self._augmentation = Augmentation(self.augment)
            state = np.random.SeedSequence([self.seed, step]).generate_state(1)
            self._augmentation.seed(int(state[0]))
        drawn = [self._draw(row) for row in rows]
        samples = [self.split.samples[row] for row in rows]
        return _collate(samples, drawn, self.split)

    def _rows(self, step: int) -> list[int]:
        """The studies of a step: every study once an epoch, in another order each."""
        studies = len(self.split)
        places = np.arange(step * self.batch, (step + 1) * self.batch)
        epochs = places // studies
        orders = {
            epoch: np.random.default_rng([self.seed, epoch]).permutation(studies)
            for epoch in np.unique(epochs).tolist()
        }
        return [
            int(orders[epoch][place % studies]) for epoch, place in zip(epochs, places, strict=True)
        ]

    def _draw(self, row: int) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        """Picture and areas of one study, both (size, size)."""
        picture, area = self.split.pictures[row], self.split.samples[row].area
        if area < 0:
            areas = np.zeros_like(picture, np.uint16)
        else:
            areas = self.split.areas[area].repeat(2, axis=0).repeat(2, axis=1)
        if self._augmentation is None:
            return picture, areas
        return self._augmentation(picture, areas)


def _collate(
    samples: Sequence[Sample],
    drawn: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint16]]],
    split: Split,
) -> Batch:
    findings = max(1, *(len(sample.kinds) for sample in samples))
    longest = max(len(sample.tokens) for sample in samples)
    tokens = np.full((len(samples), longest), split.pad, np.int64)
    kinds = np.full((len(samples), findings), -1, np.int64)
    mentions, leads = np.zeros((2, len(samples), longest - 1, findings), np.float32)
    coverage = np.zeros((len(samples), findings, split.grid[0] * split.grid[1]), np.float32)
    bits = np.arange(findings, dtype=np.uint16)
    for row, (sample, (_, areas)) in enumerate(zip(samples, drawn, strict=True)):
        tokens[row, : len(sample.tokens)] = sample.tokens
        kinds[row, : len(sample.kinds)] = sample.kinds
        mentions[row, : len(sample.mentions)] = sample.mentions[:, None] >> bits & 1
        leads[row, : len(sample.leads)] = sample.leads[:, None] >> bits & 1
        for j in range(len(sample.kinds)):
            coverage[row, j] = _coverage(areas, j, split.grid)
    pictures = np.stack([picture for picture, _ in drawn])[:, None, None]
    parts = (pictures, tokens, mentions, leads, coverage, kinds)
    return Batch(*(torch.from_numpy(part) for part in parts))


def _coverage(
    areas: NDArray[np.uint16], finding: int, grid: tuple[int, int]
) -> NDArray[np.float32]:
    """Share of each patch that bit `finding` covers, (patches,)."""
    plane = (areas >> np.uint16(finding) & np.uint16(1)).astype(np.float32)
    # Area averaging over whole patches is exactly their mean.
    shares = cv2.resize(plane, grid[::-1], interpolation=cv2.INTER_AREA)
    return shares.astype(np.float32).ravel()


def stream(batches: Batches, steps: range, workers: int) -> Iterator[Batch]:
    """The batches of these steps in order, made ahead by worker processes."""
    if workers:
        # In the parent: OpenCV's threads do not survive a fork, and telling the child hangs it.
        cv2.setNumThreads(1)
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        # fork: the workers read the parent's pictures, which would not fit twice.
        multiprocessing_context="fork" if workers else None,
        worker_init_fn=_start_worker if workers else None,
        # Its own, or making the loader would move the generator that dropout draws from.
        generator=torch.Generator(),
    )
    return iter(loader)


def _start_worker(number: int) -> None:
    # A signal to the whole group is for the parent, which finishes its step and then ends this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)
