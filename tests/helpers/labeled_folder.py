"""Tiny prepared folders of labeled images: of bright ones with an effusion, some with an opacity
too, and of images whose devices alone a reader labeled."""

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
    train_tokenizer((study.report for study in studies), 300).save(str(folder / "tokenizer.json"))
    _finish(folder, studies, "nih")
    return folder


def write_devices(folder: Path, each: int = 24, pacemakers: int = 3) -> Path:
    """`each` studies without a report in train and validate, one of every patient: of four images
    one has a tube and of one that is uncertain; the first `pacemakers` have a pacemaker."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(9)
    studies = []
    for split in ("train", "validate"):
        for index in range(each):
            tube = (1, 0, 0, -1)[index % 4]
            name = f"{split}{index:03d}"
            pixels = rng.integers(20, 60, (SIZE, SIZE)).astype(np.uint8)
            if tube == 1:
                pixels[4:36, 30:34] = 240
            assert cv2.imwrite(str(folder / f"images/{name}.png"), pixels)
            image = Image(f"images/{name}.png", SIZE, SIZE, None, source=name)
            labels = {"endotracheal_tube": tube, "pacemaker": int(index < pacemakers)}
            patient = f"device {name}"
            studies.append(Study(name, split, (image,), "", patient=patient, labels=labels))
    _finish(folder, studies, "labeled")
    return folder


def _finish(folder: Path, studies: list[Study], source: str) -> None:
    digest = write_studies(folder, sorted(studies, key=lambda study: study.id))
    note = {"source": source, "split": "given", "seed": 0, "manifest_sha256": digest}
    (folder / "prepared.json").write_text(json.dumps(note))


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
