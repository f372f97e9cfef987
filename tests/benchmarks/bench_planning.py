"""Planning an import of MIMIC-CXR: seconds and memory, for two sizes side by side.

    python tests/benchmarks/bench_planning.py [PICTURES PICTURES]

Planning joins the tables, reads every report and looks for every picture; it opens none. MIMIC-CXR
has 377,110 pictures. The tree is of tiny files and is made in the folder for temporary files.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

SIZES = (3_000, 30_000)


def main() -> None:
    sizes = [int(word) for word in sys.argv[1:]] or SIZES
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            # In a process of its own: only so is its peak of memory its own.
            subprocess.run([sys.executable, __file__, "plan", str(size), folder], check=True)


def plan(size: int, folder: Path) -> None:
    from mimic_tree import write_mimic

    from data_prep.ledger import Ledger
    from data_prep.mimic_cxr import studies
    from data_prep.planning import DEFAULTS, planned

    source = folder / "mimic"
    # Studies of two pictures and of one by turns: a patient has three.
    pictures = write_mimic(source, size // 3)
    before = _peak()
    start, worked = time.perf_counter(), time.process_time()
    with Ledger.opened(folder / "ledger.sqlite") as ledger:
        ledger.plan(planned(studies(source), source, DEFAULTS))
        count, _ = ledger.counts()
    seconds, processor = time.perf_counter() - start, time.process_time() - worked
    sys.stdout.write(
        f"{pictures} pictures of {count} studies planned: per 10,000 pictures "
        f"{1e4 * seconds / pictures:.1f} s, {1e4 * processor / pictures:.1f} s of them of the "
        f"processor; peak of memory {_peak():.0f} MiB, {before:.0f} MiB before\n"
    )


def _peak() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    if sys.argv[1:2] == ["plan"]:
        plan(int(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
