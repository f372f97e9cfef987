"""Whether OpenVINO writes the reports of PyTorch: on simulated studies that nothing was trained on.

python tests/benchmarks/compare_engines.py [STUDIES]
"""

import os
import sys

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from data_prep.phantom.study import make_phantom
from model.generator import EMBEDDED, ReportGenerator
from model.imaging.radiograph import Radiograph

SEED = 4711


def main() -> None:
    torch.set_num_threads(1)
    studies = int(sys.argv[1]) if sys.argv[1:] else 1000
    for name in ("default", "phantom"):
        folder = EMBEDDED.parent / name
        reference, own = (
            ReportGenerator.load(folder, engine=engine, threads=1)
            for engine in ("torch", "openvino")
        )
        same, maps, probabilities, evidence = 0, 0.0, 0.0, 0.0
        for number in range(studies):
            image = Radiograph(make_phantom(SEED, number).images[0].pixels, None)
            expected, found = (one(image, input_check=False) for one in (reference, own))
            same += found.text == expected.text
            if found.text != expected.text:
                continue
            for word, other in zip(found.words, expected.words, strict=True):
                maps = max(maps, float(np.abs(word.heatmap - other.heatmap).max()))
                probabilities = max(probabilities, abs(word.probability - other.probability))
                evidence = max(evidence, abs(word.evidence - other.evidence))
        sys.stdout.write(
            f"model/{name}: {same} of {studies} texts equal; largest differences: maps {maps:.1e}, "
            f"probabilities of words {probabilities:.1e}, evidence {evidence:.1e} nats\n"
        )


if __name__ == "__main__":
    main()
