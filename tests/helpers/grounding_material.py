"""What the tests of maps share: phantoms with phrases, and a tiny model that can say them."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from tiny import tiny_model
from tokenizers import Tokenizer

from data_prep.manifest import Image, Study, write_studies
from data_prep.phantom.study import make_phantom
from data_prep.tokenizer import train_tokenizer
from model.checkpoint import save_checkpoint
from model.network import ReportModel

SIZE = 64
LAYERS, HEADS = 3, 2


def write_phantoms(folder: Path, count: int = 12) -> list[Study]:
    """A prepared folder without masks; every other image is twice as large."""
    (folder / "images").mkdir(parents=True)
    studies = []
    for index in range(count):
        size = SIZE * (1 + index % 2)
        phantom = make_phantom(seed=21, index=index, size=size)
        path = f"images/{index}.png"
        assert cv2.imwrite(
            str(folder / path), np.round(phantom.images[0].pixels * 255).astype(np.uint8)
        )
        image = Image(path, size, size, phantom.images[0].view)
        study = Study(str(index), "test", (image,), phantom.report)
        studies.append(replace(study, findings=phantom.findings, phrases=phantom.phrases))
    write_studies(folder, studies)
    return studies


def saying(studies: list[Study]) -> tuple[ReportModel, Tokenizer]:
    """A model with words for these reports. It has learnt nothing."""
    tokenizer = train_tokenizer([study.report for study in studies], 400)
    longest = max(len(tokenizer.encode(study.report).ids) for study in studies)
    model = tiny_model(
        vocab_size=tokenizer.get_vocab_size(),
        max_tokens=longest + 2,
        image_size=SIZE,
        layers=LAYERS,
        heads=HEADS,
        encoder_arguments={"depth": 2, "embed_dim": 32, "num_heads": 2, "patch_size": 8},
    )
    return model, tokenizer


def save(folder: Path, studies: list[Study]) -> Path:
    save_checkpoint(folder, *saying(studies), {"data": {}}, "# tiny\n")
    return folder
