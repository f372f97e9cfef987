"""A batch through Ray whose workers are killed, against the plain batch of the same studies.

    python tests/benchmarks/ray_batch.py [--studies 2000] [--kills 10] [--seed 0]

Makes phantom studies, lets `crossray batch` and `crossray batch --ray local` read them, and in a
third run kills a worker at so many moments chosen at random. Prints what was lost, what was done
twice, whether the outputs are the same byte for byte, and Ray's overhead after its start-up. The
exit status is 1 where anything was lost, doubled or differs.
"""

import argparse
import csv
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from app.batch.ray_workers import Cluster, connected
from app.batch.run import BatchOptions, run_batch
from app.threads import use_threads
from data_prep.output import write_png
from data_prep.phantom.study import make_phantom
from model.generator import ReportGenerator

SIZE = 256
BATCH = 4
"""Studies that are reported on together; what a killed worker had is batched anew."""


def make(folder: Path, studies: int, seed: int) -> None:
    folder.mkdir()
    for index in range(studies):
        pixels = make_phantom(seed, index, SIZE).images[0].pixels
        write_png(folder / f"{index:06d}.png", (pixels * 255).round().astype("uint8"))


def contents(out: Path) -> dict[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def finished(out: Path) -> list[str]:
    """Studies that summary.csv calls done."""
    with (out / "summary.csv").open(encoding="utf-8", newline="") as file:
        return [row["study"] for row in csv.DictReader(file) if row["status"] == "done"]


def workers() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "MapWorker" in " ".join(child.cmdline()[:1]):
                found.append(child)
        except psutil.Error:
            continue
    return found


@contextmanager
def killing(out: Path, studies: int, kills: int, seed: int) -> Iterator[list[int]]:
    """Kill a worker each time when so many records are there, chosen at random."""
    chance = random.Random(seed)
    moments = sorted(chance.sample(range(1, studies), kills))
    killed: list[int] = []
    ended = threading.Event()

    def kill() -> None:
        while moments and not ended.wait(0.05):
            done = sum(1 for _ in os.scandir(out / "records")) if (out / "records").exists() else 0
            living = [process for process in workers() if process.pid not in killed]
            if done >= moments[0] and living:
                victim = chance.choice(living)
                os.kill(victim.pid, signal.SIGKILL)
                killed.append(victim.pid)
                moments.pop(0)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield killed
    finally:
        ended.set()
        killer.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    threads = use_threads(1)
    generator = ReportGenerator.load(engine="openvino", threads=threads)
    write = sys.stdout.write
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "in", options.studies, options.seed)
        start = time.perf_counter()
        run_batch(generator, folder / "in", folder / "plain", BatchOptions(BATCH))
        plain = time.perf_counter() - start
        write(f"plain batch: {options.studies} studies in {plain:.0f} s\n")
        start = time.perf_counter()
        ray = connected("local")
        startup = time.perf_counter() - start
        spread = BatchOptions(BATCH, cluster=Cluster("local", engine="openvino", threads=threads))
        start = time.perf_counter()
        run_batch(generator, folder / "in", folder / "ray", spread)
        seconds = time.perf_counter() - start
        write(
            f"through Ray: {seconds:.0f} s after a start of {startup:.0f} s: "
            f"{100 * (seconds / plain - 1):+.0f} %\n"
        )
        start = time.perf_counter()
        with killing(folder / "killed", options.studies, options.kills, options.seed) as killed:
            outcome = run_batch(generator, folder / "in", folder / "killed", spread)
        seconds = time.perf_counter() - start
        ray.shutdown()
        done = finished(folder / "killed")
        lost, twice = options.studies - len(set(done)), len(done) - len(set(done))
        reports = (folder / "killed" / "studies").glob("*/report.json")
        whole = sum(bool(json.loads(path.read_bytes())["text"]) for path in reports)
        plain_files = contents(folder / "plain")
        others = [contents(folder / other) for other in ("ray", "killed")]
        differ = {
            name
            for files in others
            for name in plain_files | files
            if files.get(name) != plain_files.get(name)
        }
        verdict = f"other bytes: {sorted(differ)[:9]}" if differ else "the plain batch to the byte"
        write(
            f"with {len(killed)} workers killed: {seconds:.0f} s, {outcome.done} done, "
            f"{whole} reports, {lost} lost, {twice} twice, "
            f"{verdict}\n"
        )
    sys.exit(bool(lost or twice or differ or len(killed) < options.kills))


if __name__ == "__main__":
    main()
