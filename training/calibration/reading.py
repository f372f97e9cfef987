"""Prepared studies, batch by batch, as a model's decoder reads them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from data_prep.manifest import Study
from model.exam import encode_studies
from model.generator import ReportGenerator
from model.imaging.read import read_image
from model.memory import Memory
from model.torch_network import torch_network
from training.teacher_forcing import given_of, squares

__all__ = ["batches", "spoken_name"]

BATCH = 16


def batches(
    generator: ReportGenerator, data: Path, studies: Sequence[Study], doing: str
) -> Iterator[tuple[int, Sequence[Study], Memory]]:
    """(number of its first study, studies, what the decoder reads of them), in order."""
    model, tokenizer = torch_network(generator.model), generator.tokenizer
    with tqdm(total=len(studies), desc=doing, unit="study") as bar, torch.inference_mode():
        for first in range(0, len(studies), BATCH):
            batch = studies[first : first + BATCH]
            pixels = [[read_image(data / p.path).pixels for p in study.images] for study in batch]
            images = [squares(model, of_study).numpy() for of_study in pixels]
            given = [given_of(study, tokenizer, model.config.prompt_tokens) for study in batch]
            kinds, prompts = [each.kinds for each in given], [each.prompt for each in given]
            yield first, batch, encode_studies(model, images, kinds, prompts)
            bar.update(len(batch))


def spoken_name(finding: str) -> str:
    """ "pleural_effusion" -> "pleural effusion"."""
    return finding.replace("_", " ")
