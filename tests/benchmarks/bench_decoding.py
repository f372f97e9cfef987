"""Decoding beside transformers' generate on the same memory, and what the maps cost on top.

The line "batch 1" at the end has the times that README.md states under "Hardware and time".

The embedded model where it is there, else an untrained one of its shape, on one core. Each pair
is timed in turns, and the fastest of its rounds counts, in seconds of this process's own time.
"""

import os
import sys
import time
from collections.abc import Callable

import torch

from model.checkpoint import load_checkpoint
from model.config import ReportConfig
from model.decoding import GREEDY, DecodingOptions, decode
from model.generator import EMBEDDED
from model.memory import Memory
from model.network import ReportModel
from model.torch_network import teacher_forced

ROUNDS = 3
BATCH = 8
BEAM = DecodingOptions("beam", beams=3)


def untrained() -> ReportModel:
    torch.manual_seed(0)
    config = ReportConfig(
        encoder_arguments={"depth": 4, "embed_dim": 192, "num_heads": 3, "class_token": False},
        stem="regnetx_002",
        image_size=256,
    )
    return ReportModel(config).eval()


def seconds(*calls: Callable[[], object]) -> list[float]:
    """The fastest round of each call, the calls taking turns."""
    best = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for number, call in enumerate(calls):
            start = time.process_time()
            call()
            best[number] = min(best[number], time.process_time() - start)
    return best


def uncached(model: ReportModel, memory: Memory) -> Callable[[], object]:
    return lambda: model.generate(encoder_outputs=memory, do_sample=False, use_cache=False)


def generated(model: ReportModel, memory: Memory, beams: int) -> Callable[[], object]:
    return lambda: model.generate(encoder_outputs=memory, do_sample=False, num_beams=beams)


def read_back(
    model: ReportModel, studies: list[Memory], texts: list[list[int]], maps: bool
) -> None:
    """The maps' pass, study by study, as on a processor."""
    for study, text in zip(studies, texts, strict=True):
        teacher_forced(model, study, [text], maps)


def say(what: str, fast: float, slow: float) -> None:
    sys.stdout.write(f"{what:52s} {fast * 1e3:8.1f} ms  {slow * 1e3:8.1f} ms  {slow / fast:5.2f}\n")


@torch.inference_mode()
def main() -> None:
    torch.set_num_threads(1)
    model = load_checkpoint(EMBEDDED)[0] if EMBEDDED.is_dir() else untrained()
    size = model.config.image_size
    images = torch.rand(BATCH, 1, 1, size, size, generator=torch.Generator().manual_seed(0))
    memory = model.encode(images * 2 - 1)
    single = [memory.studies(torch.tensor([study])) for study in range(BATCH)]
    one = single[0]
    texts = decode(model, memory)
    sys.stdout.write(f"torch {torch.__version__}, one of {os.cpu_count()} cores\n")
    sys.stdout.write(f"{model.config.name}, tokens {[len(text) for text in texts]}\n")
    sys.stdout.write(f"{'':52s} {'this':>11s}  {'other':>11s}  ratio\n")
    for beams, options in ((1, GREEDY), (BEAM.beams, BEAM)):
        for studies, read in ((1, one), (BATCH, memory)):
            ours, theirs = seconds(
                lambda read=read, options=options: decode(model, read, options),
                generated(model, read, beams),
            )
            say(f"{options.strategy}, batch {studies}: decode, generate", ours, theirs)
    say("batch 1: cached, uncached", *seconds(generated(model, one, 1), uncached(model, one)))
    together, alone = seconds(
        lambda: decode(model, memory), lambda: [decode(model, each) for each in single]
    )
    say(f"{BATCH} studies: one batch, one by one", together, alone)
    for name, some in (("batch 1", single[:1]), (f"batch {BATCH}", single)):
        part = texts[: len(some)]
        read = memory if len(some) > 1 else one
        encoding, writing, maps, evidence = seconds(
            lambda part=part: model.encode(images[: len(part)]),
            lambda read=read: decode(model, read),
            lambda some=some, part=part: read_back(model, some, part, maps=True),
            lambda some=some, part=part: read_back(
                model, [model.without_images(each) for each in some], part, maps=False
            ),
        )
        whole = encoding + writing
        sys.stdout.write(
            f"{name}: encoding {encoding * 1e3:.0f} ms, writing {writing * 1e3:.0f} ms, maps and "
            f"probabilities {maps * 1e3:.0f} ms ({maps / whole:.0%} of both, {maps / writing:.0%} "
            f"of writing), evidence {evidence * 1e3:.0f} ms ({evidence / whole:.0%}, "
            f"{evidence / writing:.0%})\n"
        )


if __name__ == "__main__":
    main()
