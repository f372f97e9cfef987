"""The studies of a batch spread over a Ray cluster, by Ray Data.

Each worker is a Ray actor that holds the model; it decodes in sandboxed processes beside it, writes
what it makes into the shared output, and returns records only. A worker that dies is started
again with the studies it had: those that have a record already are not done twice. Ray tries a
block of studies for ever, so its attempts are counted: it is tried twice, then each of its studies
alone, twice again, so that one that kills its worker costs no other.
"""

import hashlib
import os
import pickle
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any

from app.batch.grouping import Study
from app.batch.locations import Location
from app.batch.output import results_at
from app.batch.records import Record, Unused
from app.batch.sharding import Shard
from app.batch.stages import Checks
from app.batch.writing import write_reports
from app.threads import use_threads
from model.engine.load import EngineName
from model.errors import ConfigError
from model.generator import ReportGenerator

__all__ = ["Cluster", "RayJob", "Worker", "connected", "ray_records"]

LOCAL = "local"
CPUS_PER_WORKER = 2
"""One for the model, one for the processes that decode; Ray is asked of the first."""
ATTEMPTS = 2
"""Of a block, before its studies are left for the next pass."""
STUDIES_AT_ONCE = 50_000
"""Studies that Ray is given to plan with: they lie in its memory."""
BATCHES_PER_BLOCK = 4
"""A block is what Ray hands to a worker: the worker decodes ahead within it only."""
KILLED = "the process that reads it ended twice; its siblings were read"


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster that does the work."""

    address: str
    """"local" starts one on this machine."""
    model: Path | None = None
    """The checkpoint at a path that every node has; None: the embedded one."""
    engine: EngineName = "torch"
    threads: int | None = None
    """Of one worker."""


@dataclass(frozen=True)
class RayJob:
    """What a worker needs to know; travels to it by pickle."""

    cluster: Cluster
    sha256: str
    """Of its weights."""
    out: Location
    shard: Shard | None
    batch_size: int
    checks: Checks


def connected(address: str) -> Any:
    """Ray, connected to a cluster.

    Args:
        address: "local" starts one on this machine, on its loopback interface.

    Raises:
        ConfigError: Ray is not installed, or no cluster answers there.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray's own default gives way to everything else on the machine; this is what was asked for.
    os.environ.setdefault("RAY_worker_niceness", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ConfigError("--ray needs Ray: pip install 'crossray[ray]'") from error
    if ray.is_initialized():
        return ray
    try:
        if address == LOCAL:
            ray.init(address=LOCAL, include_dashboard=False, _node_ip_address="127.0.0.1")
        else:
            ray.init(address=address)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"no Ray cluster at {address!r}: start one with `ray start`, or use --ray local"
        ) from error
    return ray


def ray_records(ray: Any, studies: Iterable[Study], job: RayJob) -> Iterator[Record]:
    """The record of each study, in any order, once it is written.

    Args:
        ray: from `connected`.
    """
    waiting = iter(studies)
    while wave := list(islice(waiting, STUDIES_AT_ONCE)):
        yield from _wave(ray, wave, job)


def _wave(ray: Any, studies: Sequence[Study], job: RayJob) -> Iterator[Record]:
    left = {study.key: study for study in studies}
    for block_size in (job.batch_size * BATCHES_PER_BLOCK, 1):
        for record in _pass(ray, list(left.values()), job, block_size):
            if left.pop(record.study, None) is not None:
                yield record
    results = results_at(job.out, job.shard)
    for study in left.values():
        unused = tuple(Unused(source.stamp, "failed", KILLED) for source in study.sources)
        record = Record(study.key, study.stamps, study.indication_sha256, unused=unused)
        yield results.write(record, {})


def _pass(ray: Any, studies: Sequence[Study], job: RayJob, block_size: int) -> Iterator[Record]:
    if not studies:
        return
    context = ray.data.DataContext.get_current()
    context.max_errored_blocks = -1
    context.enable_progress_bars = False
    available = ray.cluster_resources()
    gpus = int(available.get("GPU", 0))
    workers = gpus or max(1, int(available["CPU"]) // CPUS_PER_WORKER)
    blocks = ceil(len(studies) / block_size)
    attempts = ray.remote(num_cpus=0)(_Attempts).remote()
    items = [{"study": pickle.dumps(study)} for study in studies]
    written = ray.data.from_items(items, override_num_blocks=blocks).map_batches(
        _bound(job, attempts),
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(size=min(workers, blocks)),
        num_cpus=1,
        num_gpus=1 if gpus else 0,
    )
    for batch in written.iter_batches(batch_size=None, prefetch_batches=0):
        for content in batch["record"]:
            if (record := Record.from_json(content)) is not None:
                yield record


class _Attempts:
    """A Ray actor that counts how often each block was begun: it outlives the workers."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()

    def begin(self, block: str) -> int:
        self._begun[block] += 1
        return self._begun[block]


def _bound(job: RayJob, attempts: Any) -> type["Worker"]:
    """A worker that carries its job: arguments in Ray's object store are lost with their node.

    Args:
        attempts: the actor that counts them.
    """

    class Bound(Worker):
        def __init__(self) -> None:
            super().__init__(job)

        def __call__(self, block: dict[str, Any]) -> dict[str, list[bytes]]:
            import ray

            name = hashlib.sha256(b"".join(block["study"])).hexdigest()
            if ray.get(attempts.begin.remote(name)) > ATTEMPTS:
                return {"record": []}
            return super().__call__(block)

    return Bound


class Worker:
    """A Ray actor: holds the model and does blocks of studies."""

    def __init__(self, job: RayJob) -> None:
        self.job = job
        asked = job.cluster
        use_threads(asked.threads)
        self.generator = ReportGenerator.load(
            asked.model, engine=asked.engine, threads=asked.threads
        )
        if self.generator.identity.sha256 != job.sha256:
            raise ConfigError(
                f"this node's checkpoint {str(asked.model)!r} is another one: copy it to every node"
            )
        self.results = results_at(job.out, job.shard)

    def __call__(self, block: dict[str, Any]) -> dict[str, list[bytes]]:
        studies: list[Study] = [pickle.loads(content) for content in block["study"]]
        records = []
        missing = []
        for study in studies:
            # Of a block that another worker died on.
            earlier = self.results.finished(study.key, study.stamps, study.indication_sha256)
            if earlier is None:
                missing.append(study)
            else:
                records.append(earlier)
        job = self.job
        records += write_reports(self.generator, self.results, missing, job.batch_size, job.checks)
        return {"record": [record.to_json() for record in records]}
