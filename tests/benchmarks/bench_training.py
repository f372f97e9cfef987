"""Seconds and memory that a study of a run's settings costs here, at the networks' real size.

    python tests/benchmarks/bench_training.py training/configs/iu-xray.toml

No hub is asked: a ViT-B/16 and a DistilGPT2 with random weights cost what pretrained ones do.
Reports are as long as `--tokens` says. On a GPU, where there is one, else on the CPU.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from data_prep.manifest import Image, Study, write_studies
from data_prep.tokenizer import train_tokenizer
from training.config import TrainConfig, load_config
from training.train import Training

VOCABULARY = 50257
"""Of DistilGPT2: its scores of a token are a good part of its work."""
WORD = "lung "


def _data(folder: Path, studies: int, tokens: int, images: int) -> None:
    """Studies of so many images and reports of so many tokens."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (512, 420)).astype(np.uint8)
    assert cv2.imwrite(str(folder / "images" / "0.png"), pixels)
    views = ("PA", "LATERAL")[:images]
    seen = tuple(Image("images/0.png", 420, 512, view) for view in views)
    report = (WORD * tokens).strip()
    names = ["train"] * studies + ["validate"]
    write_studies(folder, [Study(f"{k:05d}", n, seen, report) for k, n in enumerate(names)])
    train_tokenizer([report] * 3, 300).save(str(folder / "tokenizer.json"))
    (folder / "prepared.json").write_text(json.dumps({"source": "folder"}))


def _parts(folder: Path, positions: int) -> tuple[Path, Path]:
    """A ViT-B/16 and a DistilGPT2 with random weights."""
    vit, gpt2 = folder / "vit", folder / "gpt2"
    ViTModel(ViTConfig(), add_pooling_layer=False).save_pretrained(vit)
    ViTImageProcessor().save_pretrained(vit)
    shape = GPT2Config(n_layer=6, vocab_size=VOCABULARY, n_positions=max(1024, positions))
    GPT2LMHeadModel(shape).save_pretrained(gpt2)
    backend = train_tokenizer([WORD] * 3, 300)
    ends = {"bos_token": "<bos>", "eos_token": "<eos>"}
    PreTrainedTokenizerFast(tokenizer_object=backend, **ends).save_pretrained(gpt2)
    return vit, gpt2


def _config(path: Path, folder: Path, asked: argparse.Namespace) -> TrainConfig:
    own = load_config(path)
    images = 2 if "lateral" in own.model.views else 1
    _data(folder / "data", asked.studies * (asked.steps + 1), asked.tokens, images)
    vit, gpt2 = _parts(folder, own.model.max_tokens)
    return load_config(
        path,
        [
            *(f'data="{folder / "data"}"', f'output="{folder / "run"}"', "workers=0"),
            *(f'model.encoder="{vit}"', f'model.decoder="{gpt2}"', "accumulate=1"),
            *(f"batch={asked.studies}", f"steps={asked.steps + 1}", "validate_studies=1"),
            *(f'precision="{asked.precision}"', "drop.lateral=0", "drop.frontal=0"),
            *asked.set,
        ],
    )


def _memory(device: torch.device) -> float:
    """Most gigabytes in use so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--studies", type=int, default=4, help="a step")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    asked = parser.parse_args()
    whole = load_config(asked.config)
    with tempfile.TemporaryDirectory() as name:
        training = Training(_config(asked.config, Path(name), asked))
        steps = training.steps()
        next(steps)
        began = time.perf_counter()
        for _ in steps:
            pass
        seconds = (time.perf_counter() - began) / asked.steps / asked.studies
    device, config = training.setup.device, training.config
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    parameters = sum(each.numel() for each in training.setup.model.parameters()) / 1e6
    hours = seconds * whole.batch * whole.steps / 3600
    sys.stdout.write(
        f"{asked.config.name} on {where}, {torch.get_num_threads()} threads, {config.precision}: "
        f"{parameters:.0f} million parameters, {len(config.model.views)} images and "
        f"{asked.tokens} tokens a study\n"
        f"{seconds:.2f} s a study, {_memory(device):.1f} GB at {asked.studies} studies a part\n"
        f"{whole.steps} steps of {whole.batch} studies: {hours:.1f} hours at this speed\n"
    )


if __name__ == "__main__":
    main()
