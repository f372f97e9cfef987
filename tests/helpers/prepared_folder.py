"""A tiny prepared folder: a bright blob on one side, and a report that says so; settings to train
a tiny network on it."""

import json
from pathlib import Path

import cv2
import numpy as np

from data_prep.manifest import FINDINGS, Finding, Image, Phrase, Study, write_studies
from data_prep.tokenizer import train_tokenizer

SIZE = 64
PLACES = {"right": (8, 20, 28, 40), "left": (36, 20, 56, 40)}
"""Boxes: the patient's right is on the left of the image."""
BIT = FINDINGS.index("opacity")


def write_prepared(folder: Path, studies: int = 40, size: int = SIZE) -> Path:
    """`studies` to train on and a quarter as many to validate; one in five is normal."""
    rng = np.random.default_rng(3)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    written = [
        write_study(folder, index, "train" if index < studies else "validate", rng, size)
        for index in range(studies + studies // 4)
    ]
    digest = write_studies(folder, written)
    tokenizer = train_tokenizer((study.report for study in written), 300)
    tokenizer.save(str(folder / "tokenizer.json"))
    note = {"source": "blobs", "manifest_sha256": digest}
    (folder / "prepared.json").write_text(json.dumps(note))
    return folder


def write_study(folder: Path, index: int, split: str, rng: np.random.Generator, size: int) -> Study:
    side = None if index % 5 == 0 else ("right", "left")[int(rng.integers(2))]
    pixels = rng.integers(20, 60, (size, size)).astype(np.uint8)
    image, mask = f"images/{index}.png", None
    findings: tuple[Finding, ...] = ()
    phrases: tuple[Phrase, ...] = ()
    text = "Findings: The lungs are clear."
    if side is not None:
        box = tuple(place * size // SIZE for place in PLACES[side])
        x0, y0, x1, y1 = box
        pixels[y0:y1, x0:x1] = 220
        bits = np.zeros((size, size), np.uint16)
        bits[y0:y1, x0:x1] = 1 << BIT
        mask = f"masks/{index}.png"
        assert cv2.imwrite(str(folder / mask), bits)
        findings = (Finding("opacity", "mild", side, None, (x0, y0, x1, y1)),)
        text = f"Findings: There is a {side} opacity."
        phrases = (Phrase(text.index(side), len(text) - 1, (0,)),)
    assert cv2.imwrite(str(folder / image), pixels)
    images = (Image(image, size, size, "PA", mask),)
    return Study(f"{index:04d}", split, images, text, findings, phrases)


SETTINGS = f"""
steps = {{steps}}
batch = {{batch}}
workers = {{workers}}
device = "cpu"
precision = "float32"
threads = 1
validate_studies = {{validate_studies}}
validate_every = {{validate_every}}
save_every = {{save_every}}

[model]
encoder = "vit_tiny_patch16_224"
encoder_arguments = {{{{ depth = {{depth}}, embed_dim = 48, num_heads = 3, patch_size = 8 }}}}
image_size = {SIZE}
width = 48
layers = 3
heads = 3
dropout = 0.1
max_tokens = {{max_tokens}}

[optimizer]
learning_rate = 3e-3
warm_up = 2
"""
DEFAULTS = {
    "steps": 6,
    "batch": 8,
    "workers": 1,
    "validate_studies": 10,
    "validate_every": 3,
    "save_every": 1,
    "depth": 2,
    "max_tokens": 40,
}


def write_settings(folder: Path, data: Path, **changed: int) -> Path:
    """Settings of a run on a prepared folder, whose output is `folder`/run; DEFAULTS, changed."""
    assert changed.keys() <= DEFAULTS.keys()
    path = folder / "tiny.toml"
    top = f'data = "{data.as_posix()}"\noutput = "{(folder / "run").as_posix()}"\n'
    path.write_text(top + SETTINGS.format(**{**DEFAULTS, **changed}))
    return path
