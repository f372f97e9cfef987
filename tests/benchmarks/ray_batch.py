"""A batch through Ray, whose workers are killed, against the plain batch of the same studies.

    python tests/benchmarks/ray_batch.py [--studies 2000] [--kills 10] [--seed 0]
        [--images FOLDER] [--model CHECKPOINT]

Makes phantom studies, in FOLDER where they are to be used again, lets `crossray batch` and then
`crossray batch --ray local` read them, and kills a worker at so many moments chosen at random.
Prints what was lost, what was done twice, whether the outputs are the same byte for byte, and what
Ray took more after its start-up, by the clock and in processor time of all processes: its overhead
with `--kills 0`. The exit status is 1 where anything was lost, doubled or differs.
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
from contextlib import contextmanager, suppress
from functools import partial
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
    """The studies that are not there yet."""
    folder.mkdir(exist_ok=True)
    for index in range(studies):
        path = folder / f"{index:06d}.png"
        if not path.exists():
            pixels = make_phantom(seed, index, SIZE).images[0].pixels
            write_png(path, (pixels * 255).round().astype("uint8"))


def contents(out: Path) -> dict[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def finished(out: Path) -> list[str]:
    """Studies that summary.csv calls done."""
    with (out / "summary.csv").open(encoding="utf-8", newline="") as file:
        return [row["study"] for row in csv.DictReader(file) if row["status"] == "done"]


class Usage:
    """What a run took, of this process and all that come from it."""

    seconds = 0.0
    """By the clock."""
    processor = 0.0
    """Seconds of processor time. What a process used after it was last looked at is missed."""


LOOK_SECONDS = 0.25


@contextmanager
def measured() -> Iterator[Usage]:
    usage = Usage()
    before = processor_times()
    last = dict(before)
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            last.update(processor_times())

    watcher = threading.Thread(target=look)
    start = time.perf_counter()
    watcher.start()
    try:
        yield usage
    finally:
        usage.seconds = time.perf_counter() - start
        ended.set()
        watcher.join()
        last.update(processor_times())
        usage.processor = sum(last.values()) - sum(before.values())


def processor_times() -> dict[tuple[int, float], float]:
    """Seconds that each process has used, by its id and its start."""
    times = {}
    this = psutil.Process()
    for process in (this, *this.children(recursive=True)):
        with suppress(psutil.Error):
            used = process.cpu_times()
            times[process.pid, process.create_time()] = used.user + used.system
    return times


def against(usage: Usage, plain: Usage) -> str:
    clock = 100 * (usage.seconds / plain.seconds - 1)
    processor = 100 * (usage.processor / plain.processor - 1)
    return (
        f"{usage.seconds:.0f} s ({clock:+.1f} %), "
        f"{usage.processor:.0f} s of processor time ({processor:+.1f} %)"
    )


def seconds_after_start(out: Path) -> float:
    """From the first record that was written to the last."""
    times = [path.stat().st_mtime for path in (out / "records").iterdir()]
    return max(times) - min(times)


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
    parser.add_argument("--images", type=Path, help="a folder for the studies, kept")
    parser.add_argument("--model", type=Path, help="a checkpoint; the embedded one if not given")
    options = parser.parse_args()
    threads = use_threads(1)
    generator = ReportGenerator.load(options.model, engine="openvino", threads=threads)
    write = partial(print, end="", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = options.images or folder / "in"
        make(images, options.studies, options.seed)
        with measured() as plain:
            run_batch(generator, images, folder / "plain", BatchOptions(BATCH))
        write(
            f"plain batch: {options.studies} studies in {plain.seconds:.0f} s, "
            f"{plain.processor:.0f} s of processor time\n"
        )
        with measured() as startup:
            ray = connected("local")
        cluster = Cluster("local", options.model, "openvino", threads)
        spread = BatchOptions(BATCH, cluster=cluster)
        with (
            measured() as usage,
            killing(folder / "ray", options.studies, options.kills, options.seed) as killed,
        ):
            outcome = run_batch(generator, images, folder / "ray", spread)
        ray.shutdown()
        done = finished(folder / "ray")
        lost, twice = options.studies - len(set(done)), len(done) - len(set(done))
        reports = (folder / "ray" / "studies").glob("*/report.json")
        whole = sum(bool(json.loads(path.read_bytes())["text"]) for path in reports)
        files, others = contents(folder / "plain"), contents(folder / "ray")
        differ = sorted(name for name in files | others if files.get(name) != others.get(name))
        verdict = f"other bytes: {differ[:9]}" if differ else "the plain batch to the byte"
        first, second = (seconds_after_start(folder / name) for name in ("plain", "ray"))
        write(
            f"from the first record to the last: {first:.0f} s, through Ray {second:.0f} s "
            f"({100 * (second / first - 1):+.1f} %)\n"
            f"through Ray, started in {startup.seconds:.0f} s, {len(killed)} workers killed: "
            f"{against(usage, plain)}, the start of workers included; {outcome.done} done, "
            f"{whole} reports, {lost} lost, {twice} twice, {verdict}\n"
        )
    sys.exit(bool(lost or twice or differ or len(killed) < options.kills))


if __name__ == "__main__":
    main()
