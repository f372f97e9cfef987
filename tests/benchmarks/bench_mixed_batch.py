"""Studies a second of `crossray batch` over DICOM files as archives hold them.

    python tests/benchmarks/bench_mixed_batch.py make FOLDER [--real FOLDER_OF_RADIOGRAPHS]
    python tests/benchmarks/bench_mixed_batch.py time FOLDER CHECKOUT...

makes a study a file, a third each JPEG 2000, JPEG Lossless and uncompressed, of simulated
radiographs and, where they are given, of real ones; and times one batch over them with the code of
each checkout in turn, by the clock, the start of the process included. With one checkout it is
this one's speed, with an older one beside it what has been gained.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from pydicom import uid

from data_prep.phantom.dicom import write_dx
from data_prep.phantom.study import make_phantom
from model.errors import ImageError
from model.imaging.read import read_image

SEED = 4713
SIDE = 2048
"""Pixels of a simulated radiograph."""
GRAIN = 0.008
"""Standard deviation of its noise: what a detector's is makes files as large as real ones."""
SYNTAXES = (uid.JPEG2000Lossless, uid.JPEGLosslessSV1, uid.ExplicitVRLittleEndian)
BATCH = ("-c", "from app.cli.main import main; main()", "batch", "--no-input-check")


def make(folder: Path, count: int, real: Path | None) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(SEED)
    others = cycle(radiographs(real) if real else [None])
    for number in range(count):
        pixels = next(others) if number % 2 else None
        if pixels is None:
            pixels = simulated(number, rng)
        syntax = SYNTAXES[number % len(SYNTAXES)]
        write_dx(folder / f"{number:03d}.dcm", pixels, "PA", rng, syntax=syntax)


def radiographs(folder: Path) -> list[np.ndarray]:
    """Those that can be read, in [0, 1]; a file in another encoding is the same image again."""
    found = {}
    for path in sorted(folder.iterdir()):
        try:
            pixels = read_image(path).pixels
        except ImageError:
            continue
        found.setdefault(pixels.shape, pixels)
    return list(found.values())


def simulated(number: int, rng: np.random.Generator) -> np.ndarray:
    small = make_phantom(SEED, number).images[0].pixels
    large = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    noisy: np.ndarray = large + rng.normal(0, GRAIN, large.shape)
    return noisy.clip(0, 1).astype(np.float32)


def seconds(folder: Path, checkout: Path) -> float:
    """What one batch takes."""
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, *BATCH, str(folder), "-o", out],
            env={**os.environ, "PYTHONPATH": str(checkout)},
            cwd=checkout,
            check=True,
            capture_output=True,
        )
        taken = time.perf_counter() - start
        assert len(list(Path(out).rglob("report.json"))) == len(list(folder.iterdir()))
    return taken


def measure(folder: Path, checkouts: list[Path], rounds: int) -> None:
    studies = len(list(folder.iterdir()))
    times: dict[Path, list[float]] = {checkout: [] for checkout in checkouts}
    for _ in range(rounds):
        for checkout in checkouts:
            times[checkout].append(taken := seconds(folder, checkout))
            sys.stderr.write(f"{taken:.1f} s\n")
    slowest = max(map(median, times.values()))
    for number, taken in enumerate(times.values(), 1):
        sys.stdout.write(
            f"checkout {number}: {median(taken):.1f} s, {studies / median(taken):.2f} studies a "
            f"second, {slowest / median(taken):.1f}x\n"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make")
    making.add_argument("folder", type=Path)
    making.add_argument("--count", type=int, default=200)
    making.add_argument("--real", type=Path)
    timing = commands.add_parser("time")
    timing.add_argument("folder", type=Path)
    timing.add_argument("checkouts", type=Path, nargs="+")
    timing.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    if given.command == "make":
        make(given.folder, given.count, given.real)
    else:
        measure(given.folder, [each.resolve() for each in given.checkouts], given.rounds)


if __name__ == "__main__":
    main()
