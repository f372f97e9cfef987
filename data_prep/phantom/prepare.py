"""`crossray prepare phantom`: phantoms drawn in several processes and written as a prepared folder.

The work is cut into parts of PART studies. Each part's lines are written whole or not at all, so
an interrupted run, started again with the same options, makes only what is missing. What a folder
holds depends on its options alone, not on the number of processes.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from data_prep.manifest import Image, Study, parse_study, study_line, write_studies
from data_prep.output import claim, write_json, write_png
from data_prep.phantom.study import (
    NOTHING_ADDED,
    Additions,
    Phantom,
    PhantomImage,
    make_phantom,
)
from data_prep.tokenizer import train_tokenizer
from model.errors import ConfigError

__all__ = ["PhantomOptions", "prepare_phantom"]

PART = 50
SMALLEST, LARGEST = 64, 2048
LATER = ("lateral", "prior", "indication", "places")
"""Options that prepared.json states only where they are not 0: a folder begun before they
existed can be finished."""


@dataclass(frozen=True)
class PhantomOptions:
    """What a folder of phantoms holds. Of every 20 studies 18 are for training, one to validate
    and one to test.

    Raises:
        ConfigError: a number out of range.
    """

    studies: int
    seed: int
    size: int = 256
    """Side of an image in pixels."""
    dicom: bool = False
    """Each image is also written as a DX DICOM file under dicom/."""
    additions: Additions = NOTHING_ADDED
    places: bool = False
    """The manifest says where the findings that are absent would show."""

    def __post_init__(self) -> None:
        if self.studies < 1:
            raise ConfigError(f"studies must be at least 1, got {self.studies}")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, got {self.seed}")
        if not SMALLEST <= self.size <= LARGEST:
            raise ConfigError(f"size must be {SMALLEST} to {LARGEST} pixels, got {self.size}")


@dataclass(frozen=True)
class _Job:
    out: Path
    options: PhantomOptions


def prepare_phantom(
    out: Path, options: PhantomOptions, workers: int | None = None, progress: bool = True
) -> str:
    """Make phantom studies in `out`; returns the SHA-256 of the manifest.

    Args:
        workers: processes; one per core if not given.

    Raises:
        DataError: `out` holds something that was prepared with other options.
    """
    settings = {"source": "phantom", **vars(options), **vars(options.additions)}
    del settings["additions"]
    claim(out, settings, ("images", "masks", "parts", *(["dicom"] if options.dicom else [])), LATER)
    settings = {key: value for key, value in settings.items() if value or key not in LATER}
    write_json(out / "prepared.json", settings)
    ranges = [
        range(first, min(first + PART, options.studies))
        for first in range(0, options.studies, PART)
    ]
    missing = [part for part in ranges if not _part_path(out, part).is_file()]
    _make_parts(_Job(out, options), missing, workers, progress)
    digest = write_studies(out, _parts(out, ranges))
    train_tokenizer(_train_texts(_parts(out, ranges))).save(str(out / "tokenizer.json"))
    write_json(out / "prepared.json", {**settings, "manifest_sha256": digest})
    return digest


def _part_path(out: Path, part: range) -> Path:
    return out / "parts" / f"{part.start:07d}-{part.stop:07d}.jsonl"


def _parts(out: Path, ranges: Iterable[range]) -> Iterator[Study]:
    for part in ranges:
        for line in _part_path(out, part).read_text(encoding="utf-8").splitlines():
            yield parse_study(line)


def _train_texts(studies: Iterable[Study]) -> Iterator[str]:
    for study in studies:
        if study.split == "train":
            yield study.report
            if study.indication:
                yield study.indication


def _make_parts(job: _Job, missing: list[range], workers: int | None, progress: bool) -> None:
    studies = job.options.studies
    made = studies - sum(len(part) for part in missing)
    workers = min(workers or os.cpu_count() or 1, max(len(missing), 1))
    # spawn, not fork: a fork of a process in which OpenCV or torch has started threads can hang
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start_worker)
    with pool, tqdm(total=studies, initial=made, unit="study", disable=not progress) as bar:
        futures = {pool.submit(partial(_make_part, job, part)): len(part) for part in missing}
        for future in as_completed(futures):
            future.result()
            bar.update(futures[future])


def _start_worker() -> None:
    cv2.setNumThreads(1)


def _make_part(job: _Job, part: range) -> None:
    lines = [study_line(_write_study(job, index)) for index in part]
    path = _part_path(job.out, part)
    temporary = path.with_suffix(".part")
    temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    temporary.replace(path)


def _write_study(job: _Job, index: int) -> Study:
    options = job.options
    phantom = make_phantom(options.seed, index, options.size, options.additions)
    return Study(
        id=f"{index:07d}",
        split={18: "validate", 19: "test"}.get(index % 20, "train"),
        images=tuple(_write_images(job, index, phantom)),
        report=phantom.report,
        findings=phantom.findings,
        phrases=phantom.phrases,
        indication=phantom.indication,
        places=phantom.places if options.places else (),
    )


def _write_images(job: _Job, index: int, phantom: Phantom) -> Iterator[Image]:
    for number, image in enumerate(phantom.images):
        name = f"{index:07d}_{number}" if number else f"{index:07d}"
        path = f"images/{name}.png"
        write_png(job.out / path, np.round(image.pixels * 255).astype(np.uint8))
        mask = None
        marked = any(finding.image == number for finding in phantom.findings)
        if marked and image.mask is not None:
            mask = f"masks/{name}.png"
            write_png(job.out / mask, image.mask)
        if job.options.dicom:
            _write_dicom(job, index, number, name, image)
        size = job.options.size
        yield Image(path, size, size, image.view, mask, image.prior)


def _write_dicom(job: _Job, index: int, number: int, name: str, image: PhantomImage) -> None:
    from data_prep.phantom.dicom import (  # pydicom is not on every training machine
        Instance,
        write_dx,
    )

    # the same for every image: one patient, one machine
    seed = job.options.seed
    rng = np.random.default_rng([seed, index, 1])
    of_what = f"{seed}/{index}/prior" if image.prior else f"{seed}/{index}"
    study = int.from_bytes(hashlib.sha256(of_what.encode()).digest()[:15], "big")
    instance = Instance(f"2.25.{study}", 1 if image.prior else number + 1, image.prior)
    write_dx(job.out / "dicom" / f"{name}.dcm", image.pixels, image.view, rng, instance)
