"""What 1, 10 and 100 nodes make of a batch, and where it saturates: arithmetic from measured steps.

    python tests/benchmarks/scaling.py [--studies 24] [--device cpu] [--core-hour 0.05]
        [--gpu-hour 2.5] [--cores 16] [--storage 2.0] [--writes 3500]

Measures on this machine, on one thread, what a study costs: planning, decoding a radiograph of 2048
x 2048 pixels, the report with its maps, drawing and writing. The rest is arithmetic: steps of
different studies overlap, so a node is as fast as its busiest part, and a cluster is as fast as its
nodes or its storage. Prices and what the storage gives are assumptions, printed with the result.
With `--device cuda` the model is measured there.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from app.batch.grouping import find_files, read_source
from app.batch.plan import plan_studies
from app.batch.results import Results
from app.batch.stages import ALL_CHECKS, decoded, finished, reported
from app.threads import use_threads
from data_prep.phantom.dicom import Instance, write_dx
from data_prep.phantom.study import make_phantom
from model.generator import ReportGenerator

SIDE = 2048
BATCH = 4
NODES = (1, 10, 100)
MILLION = 1_000_000
OBJECTS = 3
"""Of one study: report.json, heatmaps.jpg, its record."""


@dataclass(frozen=True)
class Costs:
    """Of one study, seconds on one core (or of the GPU) and bytes."""

    plan: float
    decode: float
    model: float
    write: float
    read_bytes: float
    written_bytes: float


@dataclass(frozen=True)
class Means:
    """What there is."""

    cores: int
    gpus: int
    """0: the model computes on the cores."""
    storage: float
    """Bytes a second that the storage gives all nodes together."""
    writes: float
    """Objects a second that it takes."""
    core_hour: float
    gpu_hour: float

    @property
    def node_hour(self) -> float:
        return self.cores * self.core_hour + self.gpus * self.gpu_hour


def node_rates(costs: Costs, means: Means) -> dict[str, float]:
    """Studies a second that each part of one node can do."""
    on_cores = costs.decode + costs.write + (0 if means.gpus else costs.model)
    rates = {"cores": means.cores / on_cores}
    if means.gpus:
        rates["GPU"] = means.gpus / costs.model
    return rates


def storage_rates(costs: Costs, means: Means) -> dict[str, float]:
    """Studies a second that the storage can do for all nodes."""
    moved = costs.read_bytes + costs.written_bytes
    return {"storage": means.storage / moved, "objects written": means.writes / OBJECTS}


def table(costs: Costs, means: Means) -> str:
    of_node, of_storage = node_rates(costs, means), storage_rates(costs, means)
    node_limit = min(of_node, key=lambda part: of_node[part])
    shared_limit = min(of_storage, key=lambda part: of_storage[part])
    lines = [
        "| nodes | studies/s | limited by | 1,000,000 studies, h | planning, h | cost of 1,000 |",
        "|---|---|---|---|---|---|",
    ]
    for nodes in NODES:
        together = nodes * of_node[node_limit]
        rate = min(together, of_storage[shared_limit])
        limit = node_limit if together <= of_storage[shared_limit] else shared_limit
        planning = MILLION * costs.plan / 3600
        hours = MILLION / rate / 3600 + planning
        cost = hours * nodes * means.node_hour / (MILLION / 1000)
        lines.append(
            f"| {nodes} | {rate:.0f} | {limit} | {hours:.1f} | {planning:.2f} | {cost:.3f} |"
        )
    most = of_storage[shared_limit] / of_node[node_limit]
    lines.append(f"\nMore than {most:.0f} nodes wait for this {shared_limit}.")
    return "\n".join(lines)


def measured(studies: int, device: str) -> Costs:
    """What a study costs here, the median of `studies`."""
    engine = "openvino" if device == "cpu" else "torch"
    generator = ReportGenerator.load(None, device, engine, use_threads(1))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "in", studies)
        plan = list(plan_studies(find_files(folder / "in", []), folder / "in").studies())
        planning = timed(lambda one: read_source(one.sources[0].path, folder / "in"), plan)
        read = []
        decode = timed(lambda one: read.extend(decoded(generator, [one], 0)), plan)
        groups = [read[i : i + BATCH] for i in range(0, studies, BATCH)]
        list(reported(generator, groups[0], BATCH, ALL_CHECKS))
        made = []
        model = timed(
            lambda group: made.extend(reported(generator, group, BATCH, ALL_CHECKS)), groups
        )
        results = Results(folder / "out")
        with results.opened(generator.identity, redo=False):
            write = timed(lambda one: results.write(*finished(generator, one)), made)
        given = sum(path.stat().st_size for path in (folder / "in").iterdir())
        written = sum(p.stat().st_size for p in (folder / "out").rglob("*") if p.is_file())
    return Costs(planning, decode, model / BATCH, write, given / studies, written / studies)


def timed(work: Callable[[Any], object], items: list[Any]) -> float:
    seconds = []
    for item in items:
        start = time.perf_counter()
        work(item)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def make(folder: Path, studies: int) -> None:
    folder.mkdir()
    for index in range(studies):
        image = make_phantom(0, index, 512).images[0]
        pixels = cv2.resize(image.pixels, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        instance = Instance(f"2.25.{1000 + index}", 1, False)
        rng = np.random.default_rng(index)
        write_dx(folder / f"{index}.dcm", pixels.clip(0, 1), image.view, rng, instance)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=24)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cores", type=int, default=16, help="of a node")
    parser.add_argument("--core-hour", type=float, default=0.05, help="price")
    parser.add_argument("--gpu-hour", type=float, default=2.5, help="price")
    parser.add_argument("--storage", type=float, default=2.0, help="gigabytes a second")
    parser.add_argument("--writes", type=float, default=3500, help="objects a second")
    options = parser.parse_args()
    write = sys.stdout.write
    costs = measured(options.studies, options.device)
    write(
        f"One study of one image, measured on {options.device}, milliseconds: planning "
        f"{1e3 * costs.plan:.2f}, decoding {1e3 * costs.decode:.0f}, report and maps "
        f"{1e3 * costs.model:.0f}, drawing and writing {1e3 * costs.write:.0f}; reads "
        f"{costs.read_bytes / 1e6:.1f} MB, writes {costs.written_bytes / 1e6:.2f} MB.\n"
    )
    gpus = options.device != "cpu"
    means = Means(
        options.cores,
        int(gpus),
        options.storage * 1e9,
        options.writes,
        options.core_hour,
        options.gpu_hour,
    )
    write(
        f"Nodes of {means.cores} cores{' and a GPU' if gpus else ''} at {means.node_hour:.2f} an "
        f"hour; the storage gives {options.storage:g} GB and takes {options.writes:g} objects a "
        f"second.\n\n{table(costs, means)}\n"
    )
    if not gpus:
        fed = replace(means, gpus=1)
        more = node_rates(costs, fed)["cores"] / node_rates(costs, means)["cores"]
        dearer = fed.node_hour / means.node_hour
        verdict = "does not pay" if more < dearer else "pays, if its GPU keeps up"
        write(
            f"\nA node with a GPU costs {dearer:.1f} times as much. Its cores, which decode and "
            f"write, allow at most {more:.1f} times as many studies: it {verdict}.\n"
        )


if __name__ == "__main__":
    main()
