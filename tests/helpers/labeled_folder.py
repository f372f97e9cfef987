"""A tiny prepared folder of labeled images: bright ones have an effusion, some an opacity too."""

import json
from pathlib import Path

import cv2
import numpy as np

from data_prep.datasets.nih import LABELS, report
from data_prep.manifest import Image, Study, write_studies
from data_prep.tokenizer import train_tokenizer

SIZE = 64


def write_labeled(folder: Path, each: int = 24) -> Path:
    """`each` studies in each split, two of every patient."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(8)
    studies = [
        _study(folder, f"{split}{index:03d}", split, index, rng)
        for split in ("train", "validate", "test")
        for index in range(each)
    ]
    digest = write_studies(folder, sorted(studies, key=lambda study: study.id))
    train_tokenizer((study.report for study in studies), 300).save(str(folder / "tokenizer.json"))
    note = {"source": "nih", "split": "given", "seed": 0, "manifest_sha256": digest}
    (folder / "prepared.json").write_text(json.dumps(note))
    return folder


def _study(folder: Path, name: str, split: str, index: int, rng: np.random.Generator) -> Study:
    present = {0: {"Effusion"}, 1: {"Effusion", "Pneumonia"}}.get(index % 4, set())
    pixels = rng.integers(20, 60, (SIZE, SIZE)).astype(np.uint8)
    if present:
        pixels[20:44, 8:28] = 220
    image = Image(f"images/{name}.png", SIZE, SIZE, "AP" if index % 3 else "PA", source=name)
    assert cv2.imwrite(str(folder / image.path), pixels)
    return Study(
        name,
        split,
        (image,),
        f"Findings: {report(frozenset(present))}",
        patient=f"{split}{index // 2}",
        labels={label: int(label in present) for label in LABELS},
    )
