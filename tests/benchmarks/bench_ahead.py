"""Reading ahead (model/engine/drafts.py): how much faster one report is written, and how often.

    python tests/benchmarks/bench_ahead.py [STUDIES]

Simulated studies, each written once, by an engine that has written others before and by one that
has not; milliseconds of this process's own time, so that what else the machine does counts little.
"""

import os
import sys
import time
from statistics import median

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from data_prep.phantom.study import make_phantom
from model.decoding import decode
from model.engine.decoding import Decoding
from model.engine.drafts import Drafts
from model.exam import encode_studies
from model.generator import ReportGenerator

SEED = 4712
STUDIES, BEFORE = 20, 60


def main() -> None:
    studies = int(sys.argv[1]) if sys.argv[1:] else STUDIES
    engine = ReportGenerator.load(engine="openvino", threads=1).model
    runs = 0
    run = Decoding._run

    def counted(self: Decoding, chosen: np.ndarray) -> object:
        nonlocal runs
        runs += 1
        return run(self, chosen)

    Decoding._run = counted
    times: dict[str, list[float]] = {"encoding": [], "one by one": [], "reading ahead": []}
    steps, tokens = 0, 0
    known = engine._drafts
    for number in range(BEFORE + studies):
        pixels = make_phantom(SEED, number).images[0].pixels
        square = engine.place(*pixels.shape).apply(pixels)[None]
        start = time.process_time()
        memory = encode_studies(engine, [square], [[0]], [[]])
        encoded = time.process_time()
        if number < BEFORE:
            decode(engine, memory)
            continue
        times["encoding"].append(encoded - start)
        texts = []
        for name, drafts in (("one by one", Drafts()), ("reading ahead", known)):
            engine._drafts, runs = drafts, 0
            start = time.process_time()
            texts.append(decode(engine, memory))
            times[name].append(time.process_time() - start)
        assert texts[0] == texts[1]
        steps, tokens = steps + runs, tokens + len(texts[0][0])
    for name, taken in times.items():
        sys.stdout.write(f"{name:<16}{1e3 * median(taken):8.1f} ms\n")
    ratio = median(times["one by one"]) / median(times["reading ahead"])
    sys.stdout.write(
        f"{ratio:.2f} times as fast, {tokens / steps:.1f} tokens a step, {studies} studies after "
        f"{BEFORE} others\n"
    )


if __name__ == "__main__":
    main()
