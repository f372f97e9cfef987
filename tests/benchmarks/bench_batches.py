"""Studies a second that batches are made at: from the memory-mapped store, and from memory."""

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from data_prep.phantom.prepare import PhantomOptions, prepare_phantom
from model.config import ReportConfig
from training.dataset.batches import Batches
from training.dataset.samples import StudyEncoder
from training.dataset.split import Split, load_split

STUDIES, BATCH, STEPS, ROUNDS, SIZE = 96, 16, 12, 3, 224


def _rate(split: Split) -> float:
    batches = Batches(split, BATCH, 0)
    start = time.perf_counter()
    for step in range(STEPS):
        batches[step, 0]
    return STEPS * BATCH / (time.perf_counter() - start)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "phantoms"
        prepare_phantom(folder, PhantomOptions(STUDIES, 1), progress=False)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        encoder = StudyEncoder(tokenizer, ReportConfig(image_size=SIZE, max_tokens=400), (14, 14))
        mapped = load_split(folder, "train", encoder)
        store = mapped.images
        in_memory = replace(store, images=np.array(store.images), areas=np.array(store.areas))
        splits = {"mapped": mapped, "memory": replace(mapped, images=in_memory)}
        _rate(mapped)
        rates: dict[str, list[float]] = {name: [] for name in splits}
        for _ in range(ROUNDS):  # in turn: what else the machine does hits both
            for kind, split in splits.items():
                rates[kind].append(_rate(split))
    for kind, values in rates.items():
        sys.stdout.write(f"{kind:<8}{max(values):>8.0f} studies a second\n")


if __name__ == "__main__":
    main()
