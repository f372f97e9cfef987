"""Whether OpenVINO writes the reports of PyTorch: on simulated studies that nothing was trained on.

    python tests/benchmarks/compare_engines.py [STUDIES] [--precision f32|bf16] [--model NAME]

Prints how many texts are equal and how far apart their words are; of each engine also the F1 of the
findings its reports name, with the 95 % interval of PyTorch's over resampled studies: where texts
may differ, that is what must not.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from numpy.typing import NDArray

from data_prep.manifest import FINDINGS
from data_prep.phantom.study import Phantom, make_phantom
from model.checkpoint_folder import EMBEDDED
from model.engine.load import precision_name
from model.generator import ReportGenerator
from model.imaging.radiograph import Radiograph
from model.report import Report

SEED = 4711
BATCH = 10
RESAMPLED = 2000


def main() -> None:
    asked = _asked()
    torch.set_num_threads(1)
    for name in asked.model:
        folder = EMBEDDED.parent / name
        generators = (
            ReportGenerator.load(folder, engine="torch"),
            ReportGenerator.load(
                folder, engine="openvino", threads=1, precision=precision_name(asked.precision)
            ),
        )
        found = list(_reports(generators, asked.studies))
        _print_texts(f"model/{name}, {asked.precision}", [pair for _, pair in found])
        _print_scores(found)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", type=int, nargs="?", default=1000)
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--model", action="append", choices=("default", "phantom", "views"))
    asked = parser.parse_args()
    asked.model = asked.model or ["default", "phantom"]
    return asked


def _reports(
    generators: Sequence[ReportGenerator], studies: int
) -> Iterator[tuple[Phantom, tuple[Report, ...]]]:
    """Each study with the reference's report of it and the other's."""
    for start in range(0, studies, BATCH):
        phantoms = [
            make_phantom(SEED, number) for number in range(start, min(start + BATCH, studies))
        ]
        images = [[Radiograph(phantom.images[0].pixels, None)] for phantom in phantoms]
        both = [one.reports(images, input_check=False) for one in generators]
        yield from zip(phantoms, zip(*both, strict=True), strict=True)


def _print_texts(title: str, pairs: Sequence[tuple[Report, ...]]) -> None:
    maps, probabilities, evidence = [0.0], [0.0], [0.0]
    equal = [pair for pair in pairs if pair[0].text == pair[1].text]
    for expected, found in equal:
        for word, other in zip(found.words, expected.words, strict=True):
            maps.append(float(np.abs(word.heatmap - other.heatmap).max()))
            probabilities.append(abs(word.probability - other.probability))
            evidence.append(abs(word.evidence - other.evidence))
    sys.stdout.write(
        f"{title}: {len(equal)} of {len(pairs)} texts equal, {1 - len(equal) / len(pairs):.1%} "
        f"changed; in equal texts the largest differences are: maps {max(maps):.1e}, "
        f"probabilities of words {max(probabilities):.1e}, evidence {max(evidence):.1e} nats\n"
    )


def _print_scores(found: Sequence[tuple[Phantom, tuple[Report, ...]]]) -> None:
    truth = _named([phantom.findings for phantom, _ in found])
    reference, own = (_named([pair[which].findings for _, pair in found]) for which in (0, 1))
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(found), (RESAMPLED, len(found)))
    resampled = [_f1(truth[some], reference[some]) for some in rows]
    low, high = np.percentile(resampled, (2.5, 97.5))
    sys.stdout.write(
        f"  micro F1 of the named findings: PyTorch {_f1(truth, reference):.4f} "
        f"({low:.4f} to {high:.4f}), OpenVINO {_f1(truth, own):.4f}\n"
    )
    sys.stdout.flush()


def _named(of_studies: Sequence[Sequence[Any]]) -> NDArray[np.bool_]:
    """(studies, FINDINGS)."""
    names = [{finding.name for finding in findings} for findings in of_studies]
    return np.array([[name in of_study for name in FINDINGS] for of_study in names])


def _f1(truth: NDArray[np.bool_], named: NDArray[np.bool_]) -> float:
    return float(2 * (truth & named).sum() / max(1, truth.sum() + named.sum()))


if __name__ == "__main__":
    main()
