"""Seconds that a batch takes on busy cores, by how many threads it computes with.

One process a core keeps every core busy. The default should take at most 1.5 times as long as the
better of one thread and one a core.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from app.threads import available_cores
from data_prep.output import write_png
from data_prep.phantom.study import make_phantom

SEED = 11
BATCH = ("-c", "from app.cli.main import main; main()", "batch", "--no-input-check")


@contextmanager
def busy_cores(count: int) -> Iterator[None]:
    """So many processes that compute without end."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def seconds(source: Path, threads: int | None) -> float:
    """What one batch over a folder takes, its start left in."""
    chosen = () if threads is None else ("--threads", str(threads))
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, *BATCH, str(source), "-o", out, *chosen],
            check=True,
            capture_output=True,
        )
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=40)
    parser.add_argument("--idle", action="store_true", help="leave the cores as they are")
    given = parser.parse_args()
    cores = available_cores()
    with tempfile.TemporaryDirectory() as folder, busy_cores(0 if given.idle else cores):
        source = Path(folder)
        for number in range(given.studies):
            pixels = make_phantom(SEED, number).images[0].pixels
            write_png(source / f"{number}.png", np.rint(pixels * 255).astype(np.uint8))
        taken = {
            name: seconds(source, threads)
            for name, threads in (("default", None), ("1 thread", 1), (f"{cores} threads", cores))
        }
    for name, value in taken.items():
        sys.stdout.write(f"{name:<12}{value:>8.1f} s\n")
    default, *others = taken.values()
    sys.stdout.write(f"default over the better of the others: {default / min(others):.2f}\n")


if __name__ == "__main__":
    main()
