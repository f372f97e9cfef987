"""`crossray prepare phantom`: phantoms drawn in several processes and written as a prepared folder.

The work is cut into parts of PART studies. Each part's lines are written whole or not at all, so
an interrupted run, started again with the same arguments, makes only what is missing. What a folder
holds depends on its arguments alone, not on the number of processes.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
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
from data_prep.phantom.study import Phantom, PhantomImage, make_phantom
from data_prep.tokenizer import train_tokenizer
from model.errors import ConfigError

__all__ = ["prepare_phantom"]

PART = 50
SMALLEST, LARGEST = 64, 2048
LATER = ("lateral", "prior", "indication")
"""Arguments that prepared.json tells only where they are not 0: folders made before there were any
can be gone on with."""


@dataclass(frozen=True)
class _Job:
    out: Path
    seed: int
    size: int
    dicom: bool
    chances: Mapping[str, float]
    """Those of make_phantom."""


def prepare_phantom(
    out: Path,
    studies: int,
    seed: int,
    size: int = 256,
    dicom: bool = False,
    covered: float = 0.0,
    lateral: float = 0.0,
    prior: float = 0.0,
    indication: float = 0.0,
    workers: int | None = None,
    progress: bool = True,
) -> str:
    """Make `studies` phantom studies in `out`; returns the SHA-256 of the manifest.

    Of every 20 studies 18 are for training, one to validate and one to test. With `dicom` each
    image is also written as a DX DICOM file under dicom/. `covered`, `lateral`, `prior` and
    `indication` are the chances of make_phantom.

    Raises:
        ConfigError: a number out of range.
        DataError: `out` holds something that was prepared with other arguments.
    """
    if studies < 1:
        raise ConfigError(f"studies must be at least 1, got {studies}")
    if seed < 0:
        raise ConfigError(f"seed must not be negative, got {seed}")
    if not SMALLEST <= size <= LARGEST:
        raise ConfigError(f"size must be {SMALLEST} to {LARGEST} pixels, got {size}")
    chances = {"covered": covered, "lateral": lateral, "prior": prior, "indication": indication}
    for name, chance in chances.items():
        if not 0 <= chance <= 1:
            raise ConfigError(f"{name} is a chance in [0, 1], got {chance}")
    asked = {
        "source": "phantom",
        "studies": studies,
        "seed": seed,
        "size": size,
        "dicom": dicom,
        **chances,
    }
    claim(out, asked, ("images", "masks", "parts", *(["dicom"] if dicom else [])), LATER)
    asked = {key: value for key, value in asked.items() if value or key not in LATER}
    write_json(out / "prepared.json", asked)
    ranges = [range(first, min(first + PART, studies)) for first in range(0, studies, PART)]
    missing = [part for part in ranges if not _part_path(out, part).is_file()]
    _make_parts(_Job(out, seed, size, dicom, chances), missing, studies, workers, progress)
    digest = write_studies(out, _parts(out, ranges))
    train_tokenizer(_train_texts(_parts(out, ranges))).save(str(out / "tokenizer.json"))
    write_json(out / "prepared.json", {**asked, "manifest_sha256": digest})
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


def _make_parts(
    job: _Job, missing: list[range], studies: int, workers: int | None, progress: bool
) -> None:
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
    phantom = make_phantom(job.seed, index, job.size, **job.chances)
    return Study(
        id=f"{index:07d}",
        split={18: "validate", 19: "test"}.get(index % 20, "train"),
        images=tuple(_write_images(job, index, phantom)),
        report=phantom.report,
        findings=phantom.findings,
        phrases=phantom.phrases,
        indication=phantom.indication,
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
        if job.dicom:
            _write_dicom(job, index, number, name, image)
        yield Image(path, job.size, job.size, image.view, mask, image.prior)


def _write_dicom(job: _Job, index: int, number: int, name: str, image: PhantomImage) -> None:
    from data_prep.phantom.dicom import write_dx  # pydicom is not on every training machine

    # the same for every image: one patient, one machine
    rng = np.random.default_rng([job.seed, index, 1])
    of_what = f"{job.seed}/{index}/prior" if image.prior else f"{job.seed}/{index}"
    study = int.from_bytes(hashlib.sha256(of_what.encode()).digest()[:15], "big")
    write_dx(
        job.out / "dicom" / f"{name}.dcm",
        image.pixels,
        image.view,
        rng,
        study_uid=f"2.25.{study}",
        instance=1 if image.prior else number + 1,
        prior=image.prior,
    )
