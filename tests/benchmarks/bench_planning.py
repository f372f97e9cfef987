"""Planning an import of MIMIC-CXR: seconds and memory, for two sizes side by side.

    python tests/benchmarks/bench_planning.py [IMAGES IMAGES]

Planning joins the tables, reads every report and looks for every image; it opens none. MIMIC-CXR
has 377,110 images. The tree is of tiny files and is made in the folder for temporary files.
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
    for size in [int(word) for word in sys.argv[1:]] or SIZES:
        with tempfile.TemporaryDirectory() as folder:
            # Each in a process of its own: only so is the peak of memory that of planning.
            for step in ("make", "plan"):
                subprocess.run([sys.executable, __file__, step, str(size), folder], check=True)


def make(size: int, folder: Path) -> None:
    from mimic_tree import write_mimic

    # A patient has a study of two images and one of a single image.
    write_mimic(folder / "mimic", size // 3)


def plan(size: int, folder: Path) -> None:
    from data_prep.datasets.mimic_cxr import studies
    from data_prep.importing.ledger import Ledger
    from data_prep.importing.planning import DEFAULTS, planned

    source = folder / "mimic"
    images = 3 * (size // 3)
    before = _peak()
    start, worked = time.perf_counter(), time.process_time()
    with Ledger.opened(folder / "ledger.sqlite") as ledger:
        ledger.plan(planned(studies(source), source, DEFAULTS))
        count, _ = ledger.counts()
    seconds, processor = time.perf_counter() - start, time.process_time() - worked
    sys.stdout.write(
        f"{images} images of {count} studies planned: per 10,000 images "
        f"{1e4 * seconds / images:.1f} s, {1e4 * processor / images:.1f} s of them of the "
        f"processor; peak of memory {_peak():.0f} MiB, {before:.0f} MiB before\n"
    )


def _peak() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    steps = {"make": make, "plan": plan}
    if sys.argv[1:2] and sys.argv[1] in steps:
        steps[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
