"""What the benchmarks of speed share: networks of the size that people train, and turns."""

import sys
import time
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np
import torch

from model.config import ReportConfig
from model.decoding import decode
from model.exam import encode_studies
from model.interface import Engine, M
from model.network import ReportModel

ROUNDS = 7
TOKENS = 100
SHAPES = {
    "small": ("vit_small_patch16_224", 384, 6, 4_000),
    "base": ("vit_base_patch16_224", 768, 12, 30_000),
    "tiny": ("vit_tiny_patch16_224", 64, 2, 300),
}
"""Encoder, and the decoder's width, heads and vocabulary; it has six layers. "tiny" only shows that
a benchmark runs."""


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def medians(
    calls: dict[str, Callable[[int], object]],
    rounds: int = ROUNDS,
    spared: Sequence[str] = (),
    clock: Callable[[], float] = time.process_time,
) -> dict[str, float]:
    """Milliseconds of each, in turns; one round before them does not count.

    Args:
        calls: each takes the number of the round.
        spared: has its turn only in that one and the first: it takes many times as long.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(rounds + 1):
        for name, call in calls.items():
            if name in spared and round_ > 1:
                continue
            start = clock()
            call(round_)
            if round_:
                times[name].append((clock() - start) * 1e3)
    return {name: median(of_call) for name, of_call in times.items()}


def table(title: str, found: dict[str, float], reference: str) -> None:
    say(f"\n{title}")
    for name, milliseconds in found.items():
        say(f"  {name:58s} {milliseconds:9.1f} ms {found[reference] / milliseconds:7.2f}x")


def untrained(shape: str) -> ReportModel:
    """Never ends by itself: its end token has no weight."""
    encoder, width, heads, vocabulary = SHAPES[shape]
    torch.manual_seed(0)
    model = ReportModel(
        ReportConfig(
            name=shape,
            encoder=encoder,
            width=width,
            heads=heads,
            layers=6,
            vocab_size=vocabulary,
            max_tokens=TOKENS,
        )
    ).eval()
    with torch.no_grad():
        # Larger tokens would leave no doubt of the next one, and equal positions repeat one token:
        # then neither texts nor distributions tell a precision from another.
        model.decoder.tokens.weight.normal_(std=0.07)
        model.decoder.positions.weight.normal_(std=1.0)
        model.decoder.tokens.weight[model.config.eos_token_id] = 0
    return model


def squares(engine: Engine[M], studies: int) -> list[np.ndarray]:
    size = engine.config.image_size
    noise = np.random.default_rng(0).uniform(-1, 1, (studies, 1, 1, size, size))
    return list(noise.astype(np.float32))


def read(engine: Engine[M], images: Sequence[np.ndarray]) -> M:
    return encode_studies(engine, images, [[0]] * len(images), [[]] * len(images))


def with_maps(engine: Engine[M], images: Sequence[np.ndarray]) -> object:
    """Image to tokens and all maps."""
    memory = read(engine, images)
    texts = decode(engine, memory)
    return engine.read_texts(memory, texts, maps=True)


@torch.inference_mode()
def generate(model: ReportModel, images: Sequence[np.ndarray], **options: object) -> object:
    """transformers' own way, from the image on."""
    stacked = torch.from_numpy(np.stack(images)).to(model.device, model.dtype)
    return model.generate(
        stacked,
        do_sample=False,
        output_attentions=True,
        return_dict_in_generate=True,
        **options,
    )


def decoder_weights(model: ReportModel) -> list[torch.Tensor]:
    """Those that every step reads: of the embeddings, only the output's."""
    kept = model.decoder.state_dict()
    skipped = ("key", "value", "positions")
    return [
        weight
        for name, weight in kept.items()
        if not any(f"attention.{part}." in name or part == name.split(".")[0] for part in skipped)
    ]
