"""Planning and summing up a batch: seconds and memory, for two sizes side by side.

    python tests/benchmarks/bench_batch_planning.py [FILES FILES]

Planning lists the files and reads the first kilobytes of each: which study it belongs to. No image
is decoded, no file read whole. The files are DICOM headers, two of a study, 500 in a folder, made
in the folder for temporary files; reading them again comes from the system's cache. Summed up are
as many made-up rows of one report: summary.csv and the pages.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZES = (10_000, 100_000)
IN_FOLDER = 500
ROW = {
    "status": "done",
    "reason": "",
    "images": 1,
    "views": "PA",
    "findings": "The heart is enlarged. There is a small left pleural effusion. No pneumothorax.",
    "impression": "Cardiomegaly. Small left pleural effusion.",
    "probabilities": "cardiomegaly=0.91\npleural_effusion=0.77",
    "warnings": "",
    "review": "",
    "model": "0" * 64,
}


def main() -> None:
    for size in [int(word) for word in sys.argv[1:]] or SIZES:
        with tempfile.TemporaryDirectory() as folder:
            # Each in a process of its own: only so is the peak of memory that of planning.
            for step in ("make", "plan", "sum"):
                subprocess.run([sys.executable, __file__, step, str(size), folder], check=True)


def make(size: int, folder: Path) -> None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPClassUID = ComputedRadiographyImageStorage
    header.SOPInstanceUID = "1.2.3"
    header.PatientComments = "N" * 200
    header.StudyInstanceUID = "2.25.100000000"
    template = folder / "template"
    header.save_as(template, enforce_file_format=True)
    content = template.read_bytes()
    template.unlink()
    for number in range(size):
        if number % IN_FOLDER == 0:
            here = folder / "in" / f"{number // IN_FOLDER:05d}"
            here.mkdir(parents=True)
        study = f"2.25.{100_000_000 + number // 2}".encode()
        (here / f"{number % IN_FOLDER:03d}.dcm").write_bytes(
            content.replace(b"2.25.100000000", study)
        )


def plan(size: int, folder: Path) -> None:
    from app.batch.grouping import find_files
    from app.batch.plan import plan_studies

    before = _peak()
    start, worked = time.perf_counter(), time.process_time()
    planned = plan_studies(find_files(folder / "in", []), folder / "in")
    studies = sum(1 for _ in planned.studies())
    seconds, processor = time.perf_counter() - start, time.process_time() - worked
    assert studies == len(planned) == -(-size // 2)
    sys.stdout.write(
        f"{size} files of {studies} studies planned: per 10,000 files "
        f"{1e4 * seconds / size:.1f} s, {1e4 * processor / size:.1f} s of them of the processor; "
        f"peak of memory {_peak():.0f} MiB, {before:.0f} MiB before\n"
    )


def sum_up(size: int, folder: Path) -> None:
    from app.batch.output import results_at
    from app.batch.rows import SummaryRows
    from app.batch.summary import put_summary

    before = _peak()
    start, worked = time.perf_counter(), time.process_time()
    rows = SummaryRows()
    for number in range(size):
        sources = f"./{number // IN_FOLDER:05d}/{number % IN_FOLDER:03d}.dcm"
        rows.add({**ROW, "study": f"{number:016x}", "sources": sources})
    out = folder / "out"
    out.mkdir()
    put_summary(results_at(out), rows, out)
    seconds, processor = time.perf_counter() - start, time.process_time() - worked
    sys.stdout.write(
        f"{size} studies summed up: per 10,000 studies {1e4 * seconds / size:.1f} s, "
        f"{1e4 * processor / size:.1f} s of them of the processor; "
        f"peak of memory {_peak():.0f} MiB, {before:.0f} MiB before\n"
    )


def _peak() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    os.environ.setdefault("TQDM_DISABLE", "1")
    steps = {"make": make, "plan": plan, "sum": sum_up}
    if sys.argv[1:2] and sys.argv[1] in steps:
        steps[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
