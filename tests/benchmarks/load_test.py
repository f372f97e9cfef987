"""The service under load: studies a second, waiting times and refusals by number of clients.

    python tests/benchmarks/load_test.py [--seconds 10] [--clients 1 8 64 256]
        [--questions 0] [--serve "--workers 2 --threads 1"]

Starts `crossray serve` on a free port. Each client sends one of the samples, waits for its report,
and sends the next; where it is refused it comes again when `Retry-After` says so. `--questions N`
lets N more clients ask questions at the same time. Clients and service share the machine.
"""

import argparse
import asyncio
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "app" / "static" / "samples"


@dataclass
class Counts:
    seconds: list[float] = field(default_factory=list)
    """Of each answered request, from its sending."""
    refused: int = 0
    other: int = 0
    """Answers that are neither."""

    def quantile(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@contextmanager
def serving(options: str) -> Iterator[str]:
    """The address of a service of its own."""
    code = "from app.cli.main import main; main()"
    command = [sys.executable, "-c", code, "serve", "--port", "0", *shlex.split(options)]
    limits = {f"CROSSRAY_{name}": "1000" for name in ("MAX_UPLOADS", "MAX_UPLOADS_PER_CLIENT")}
    limits |= {"CROSSRAY_MAX_CONNECTIONS": "1000", "CROSSRAY_RATE_LIMIT": "0"}
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | limits
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        address = next(f[0] for line in lines if (f := re.search(r"http://[^ ]+:\d+/", line)))
        # Its log, a line a request: a full pipe would stop the service.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield address
        process.terminate()


async def client(http: httpx.AsyncClient, path: str, end: float, counts: Counts) -> None:
    """One client, until the time is over."""
    files = [file.read_bytes() for file in sorted(SAMPLES.glob("*.png"))]
    turn = 0
    while time.perf_counter() < end:
        turn += 1
        start = time.perf_counter()
        answer = await http.post(
            path,
            files={"files": files[turn % len(files)]},
            data={"phrase": "effusion"} if "questions" in path else {},
        )
        if answer.status_code == 201:
            counts.seconds.append(time.perf_counter() - start)
        elif answer.status_code == 503:
            counts.refused += 1
            pause = int(answer.headers["retry-after"])
            await asyncio.sleep(min(pause, max(0.0, end - time.perf_counter())))
        else:
            counts.other += 1


async def load(address: str, clients: int, questions: int, seconds: float) -> str:
    """One row of the table."""
    reports, asked = Counts(), Counts()
    start = time.perf_counter()
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=address, timeout=300, limits=limits) as http:
        own = [client(http, "v1/reports", start + seconds, reports) for _ in range(clients)]
        other = [client(http, "v1/questions", start + seconds, asked) for _ in range(questions)]
        await asyncio.gather(*own, *other)
    spent = time.perf_counter() - start
    return (
        f"| {clients} | {questions} | {len(reports.seconds) / spent:.1f} "
        f"| {reports.quantile(0.5):.2f} | {reports.quantile(0.95):.2f} | {reports.refused} "
        f"| {len(asked.seconds) / spent:.1f} | {asked.quantile(0.95):.2f} "
        f"| {asked.refused} | {reports.other + asked.other} |\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64, 256])
    parser.add_argument("--questions", type=int, nargs="+", default=[0])
    parser.add_argument("--serve", default="", help="options of crossray serve")
    options = parser.parse_args()
    write = sys.stdout.write
    with serving(options.serve) as address:
        asyncio.run(load(address, 1, 0, 2.0))
        write(
            "| clients | that ask | studies/s | p50 s | p95 s | refused | answers/s | p95 s "
            "| refused | other |\n|---|---|---|---|---|---|---|---|---|---|\n"
        )
        for clients in options.clients:
            for questions in options.questions:
                write(asyncio.run(load(address, clients, questions, options.seconds)))
                sys.stdout.flush()


if __name__ == "__main__":
    main()
