"""One training step at base size beside transformers in float32, and both precisions' losses.

    python tests/benchmarks/bench_training_step.py [--device cpu] [--batch 4] [--rounds 7]

Ours is `Training` (training/train.py) with all its losses, of the attention too: a ViT-B/16 and a
decoder of 6 layers of width 768 with a vocabulary of 30,000, in bfloat16 autocast and in float32.
The other is transformers' VisionEncoderDecoderModel of a ViT-B/16 and a GPT-2 of the same width,
layers and vocabulary, in float32, with its default attention, its own loss, AdamW and clipping as
its Trainer has them. Contestants take turns, each with its next batch, of the same size and length,
and the median of the rounds counts: on a GPU by the clock, on a processor with one thread in time
of this process's own, so that what else the machine does counts little.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from contestants import SHAPES, medians, say, table
from transformers import (
    GPT2Config,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
)

from data_prep.manifest import Finding, Image, Phrase, Study, write_studies
from data_prep.tokenizer import train_tokenizer
from training.config import TrainConfig
from training.train import Training

WORDS = 60
"""Of a report: a token each."""
SIDE = 256
BOX = (40, 60, 120, 160)
LEARNING_RATE = 1e-4


def _data(folder: Path, studies: int, vocabulary: int) -> None:
    """Half of the studies have an opacity with a box."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    bits = np.zeros((SIDE, SIDE), np.uint16)
    bits[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 1
    assert cv2.imwrite(str(folder / "masks/0.png"), bits)
    rng = np.random.default_rng(0)
    written = []
    for number in range(studies + 1):
        pixels = rng.integers(20, 60, (SIDE, SIDE)).astype(np.uint8)
        findings: tuple[Finding, ...] = ()
        phrases: tuple[Phrase, ...] = ()
        text = "Lungs clear" + " lung" * (WORDS - 2)
        if number % 2:
            pixels[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 220
            findings = (Finding("opacity", "mild", "left", None, BOX),)
            text = "A left opacity" + " lung" * (WORDS - 3)
            phrases = (Phrase(2, 14, (0,)),)
        assert cv2.imwrite(str(folder / f"images/{number}.png"), pixels)
        image = Image(f"images/{number}.png", SIDE, SIDE, "PA", "masks/0.png" if findings else None)
        split = "validate" if number == studies else "train"
        written.append(Study(f"{number:05d}", split, (image,), text, findings, phrases))
    digest = write_studies(folder, written)
    tokenizer = train_tokenizer((study.report for study in written), 300)
    missing = vocabulary - tokenizer.get_vocab_size()
    # Words that no report has: the scores of all tokens are a good part of the work.
    tokenizer.add_tokens([f"unwritten{number}" for number in range(missing)])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "prepared.json").write_text(f'{{"source": "blobs", "manifest_sha256": "{digest}"}}')


def ours(folder: Path, shape: str, device: str, precision: str, batch: int) -> Training:
    encoder, width, heads, vocabulary = SHAPES[shape]
    if not (folder / "data").is_dir():
        _data(folder / "data", 4 * batch, vocabulary)
    config = TrainConfig.model_validate(
        {
            "data": str(folder / "data"),
            "output": str(folder / precision),
            "batch": batch,
            "device": device,
            "precision": precision,
            "workers": 0,
            "augment": False,
            "optimizer": {"learning_rate": LEARNING_RATE, "warm_up": 0},
            "model": {
                "name": shape,
                "encoder": encoder,
                "image_size": 224,
                "width": width,
                "heads": heads,
                "layers": 6,
                "max_tokens": 128,
            },
        }
    )
    return Training(config)


class Transformers:
    """What a user would write with transformers."""

    def __init__(self, shape: str, device: torch.device) -> None:
        _, width, heads, vocabulary = SHAPES[shape]
        inner = 192 if shape == "tiny" else width
        vision = ViTConfig(
            hidden_size=inner,
            num_attention_heads=inner // 64,
            intermediate_size=4 * inner,
        )
        text = GPT2Config(
            n_embd=width,
            n_head=heads,
            n_layer=6,
            vocab_size=vocabulary,
            add_cross_attention=True,
            bos_token_id=1,
            eos_token_id=2,
        )
        joined = VisionEncoderDecoderConfig.from_encoder_decoder_configs(vision, text)
        joined.decoder_start_token_id, joined.pad_token_id = 1, 0
        torch.manual_seed(0)
        self.model = VisionEncoderDecoderModel(joined).to(device).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), LEARNING_RATE)

    def step(self, pixels: torch.Tensor, labels: torch.Tensor) -> float:
        loss = self.model(pixel_values=pixels, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())


def compare(device: torch.device, shape: str, batch: int, rounds: int) -> None:
    """The medians of a step, and our losses at each: all learn from the same studies."""
    precisions = ("bf16", "float32")
    with tempfile.TemporaryDirectory() as name:
        runs = {
            precision: ours(Path(name), shape, str(device), precision, batch)
            for precision in precisions
        }
        other = Transformers(shape, device)
        losses: dict[str, list[dict[str, float]]] = {precision: [] for precision in runs}
        batches = [
            runs["bf16"].setup.train_batches[step, 0].to(device) for step in range(rounds + 1)
        ]
        pixels = [(each.images[:, 0].float() / 127.5 - 1).expand(-1, 3, -1, -1) for each in batches]
        labels = [each.tokens[:, 1:] for each in batches]

        def own(precision: str, round_: int) -> None:
            run = runs[precision]
            losses[precision].append(run._step([(0, batches[round_])]))
            run.progress = run.progress.after_step(0.0)
            wait(device)

        def theirs(round_: int) -> None:
            other.step(pixels[round_], labels[round_])
            wait(device)

        for run in runs.values():
            run.setup.objective.train()
        reference = "transformers, float32, AdamW"
        calls: dict[str, Callable[[int], object]] = {reference: theirs}
        calls |= {f"CrossRay, {precision}": partial(own, precision) for precision in precisions}
        clock = time.process_time if device.type == "cpu" else time.perf_counter
        found = medians(calls, rounds, clock=clock)
        sizes = (run.setup.model.num_parameters() / 1e6 for run in runs.values())
        table(
            f"{shape}, a training step of {batch} studies of {labels[0].shape[1]} tokens "
            f"({next(sizes):.0f} M parameters, transformers "
            f"{other.model.num_parameters() / 1e6:.0f} M)",
            found,
            reference,
        )
    for precision, steps in losses.items():
        curve = " ".join(f"{step['tokens']:.3f}" for step in steps)
        guidance = " ".join(f"{step.get('guidance', np.nan):.4f}" for step in steps)
        say(f"  {precision:8s} loss of the tokens {curve}\n           guidance {guidance}")


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--shape", default="base")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    compare(torch.device(asked.device), asked.shape, asked.batch, asked.rounds)


if __name__ == "__main__":
    main()
