"""`crossray prepare phantom`: phantoms drawn in several processes and written as a prepared folder.

The work is cut into parts of PART studies. Each part's lines are written whole or not at all, so
an interrupted run, started again with the same arguments, makes only what is missing. What a folder
holds depends on (studies, seed, size) alone, not on the number of processes.
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

from data_prep.output import claim, write_json, write_png
from data_prep.phantom import Phantom, make_phantom
from data_prep.study import Picture, Study, parse_study, study_line, write_studies
from data_prep.tokenizer import train_tokenizer
from model.errors import ConfigError

__all__ = ["prepare_phantom"]

PART = 50
SMALLEST, LARGEST = 64, 2048


@dataclass(frozen=True)
class _Job:
    out: Path
    seed: int
    size: int
    dicom: bool
    covered: float


def prepare_phantom(
    out: Path,
    studies: int,
    seed: int,
    size: int = 256,
    dicom: bool = False,
    covered: float = 0.0,
    workers: int | None = None,
    progress: bool = True,
) -> str:
    """Make `studies` phantom studies in `out`; returns the SHA-256 of the manifest.

    Of every 20 studies 18 are for training, one to validate and one to test. With `dicom` each
    picture is also written as a DX DICOM file under dicom/. `covered` is the chance that a gray
    rectangle lies over part of a picture (see make_phantom).

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
    if not 0 <= covered <= 1:
        raise ConfigError(f"covered is a chance in [0, 1], got {covered}")
    asked = {
        "source": "phantom",
        "studies": studies,
        "seed": seed,
        "size": size,
        "dicom": dicom,
        "covered": covered,
    }
    claim(out, asked, ("images", "masks", "parts", *(["dicom"] if dicom else [])))
    write_json(out / "prepared.json", asked)
    ranges = [range(first, min(first + PART, studies)) for first in range(0, studies, PART)]
    missing = [part for part in ranges if not _part_path(out, part).is_file()]
    _make_parts(_Job(out, seed, size, dicom, covered), missing, studies, workers, progress)
    digest = write_studies(out, _parts(out, ranges))
    train_tokenizer(s.report for s in _parts(out, ranges) if s.split == "train").save(
        str(out / "tokenizer.json")
    )
    write_json(out / "prepared.json", {**asked, "manifest_sha256": digest})
    return digest


def _part_path(out: Path, part: range) -> Path:
    return out / "parts" / f"{part.start:07d}-{part.stop:07d}.jsonl"


def _parts(out: Path, ranges: Iterable[range]) -> Iterator[Study]:
    for part in ranges:
        for line in _part_path(out, part).read_text(encoding="utf-8").splitlines():
            yield parse_study(line)


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
    phantom = make_phantom(job.seed, index, job.size, job.covered)
    name = f"{index:07d}"
    picture = f"images/{name}.png"
    write_png(job.out / picture, np.round(phantom.pixels * 255).astype(np.uint8))
    mask = None
    if phantom.findings:
        mask = f"masks/{name}.png"
        write_png(job.out / mask, phantom.mask)
    if job.dicom:
        _write_dicom(job, index, name, phantom)
    return Study(
        id=name,
        split={18: "validate", 19: "test"}.get(index % 20, "train"),
        pictures=(Picture(picture, job.size, job.size, phantom.view, mask),),
        report=phantom.report,
        findings=phantom.findings,
        phrases=phantom.phrases,
    )


def _write_dicom(job: _Job, index: int, name: str, phantom: Phantom) -> None:
    from data_prep.phantom_dicom import write_dx  # pydicom is not on every training machine

    rng = np.random.default_rng([job.seed, index, 1])
    study = int.from_bytes(hashlib.sha256(f"{job.seed}/{index}".encode()).digest()[:15], "big")
    write_dx(
        job.out / "dicom" / f"{name}.dcm",
        phantom.pixels,
        phantom.view,
        rng,
        study_uid=f"2.25.{study}",
    )
