"""What docs/explanation/performance.md says of the engines: each beside what it is compared with.

    python tests/benchmarks/bench_engine.py [embedded] [cold] [small] [base] [base-batch]

Contestants take turns in one process, and the median of their rounds counts. All compute with one
thread, in float32 unless it is said. transformers' generate runs on the same weights, with
attentions.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from model.config import ReportConfig
from model.decoding import GREEDY, DecodingOptions, decode
from model.engine.convert import convert_network
from model.engine.openvino_engine import ready
from model.exam import encode_studies
from model.generator import EMBEDDED, ReportGenerator
from model.heatmap import token_attention
from model.imaging.read import read_image
from model.interface import Engine, M
from model.loading import load_network
from model.network import ReportModel

ROUNDS = 7
TOKENS = 100
BATCH = 16
BEAMS = DecodingOptions("beam", beams=4)
SAMPLE = Path(__file__).parents[2] / "app" / "static" / "samples" / "left-effusion.png"
SHAPES = {
    "small": ("vit_small_patch16_224", 384, 6, 4_000),
    "base": ("vit_base_patch16_224", 768, 12, 30_000),
}
"""Encoder, and the decoder's width, heads and vocabulary; it has six layers."""


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def medians(calls: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Milliseconds of each, in turns; one round before them does not count."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if round_:
                times[name].append((time.perf_counter() - start) * 1e3)
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
        for name, weight in model.decoder.named_parameters():
            if name.startswith(("tokens", "positions")):
                weight.normal_(std=0.5)
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


def with_evidence(engine: Engine[M], images: Sequence[np.ndarray]) -> object:
    memory = read(engine, images)
    return token_attention(engine, memory, decode(engine, memory))


@torch.inference_mode()
def generate(model: ReportModel, images: Sequence[np.ndarray], **options: object) -> object:
    """transformers' own way, from the image on."""
    stacked = torch.from_numpy(np.stack(images)).to(model.dtype)
    return model.generate(
        stacked,
        do_sample=False,
        output_attentions=True,
        return_dict_in_generate=True,
        **options,
    )


def compare_shape(shape: str) -> None:
    model = untrained(shape)
    entry = convert_network(model)
    engine = ready(entry, threads=1)[0]
    say(f"\n{shape}: {model.num_parameters() / 1e6:.0f} M parameters, self-test {entry.self_test}")
    one = squares(model, 1)
    half = untrained(shape).to(torch.bfloat16)
    found = medians(
        {
            "transformers generate": lambda: generate(model, one),
            "transformers generate, bfloat16": lambda: generate(half, one),
            "CrossRay, PyTorch": lambda: with_maps(model, one),
            "CrossRay, OpenVINO": lambda: with_maps(engine, one),
        }
    )
    table(f"{shape}, image to {TOKENS} tokens with all maps", found, "transformers generate")
    memory = read(engine, one)
    weights = decoder_weights(model)
    found = medians(
        {
            "encoding": lambda: read(engine, one),
            "writing, greedy": lambda: decode(engine, memory, GREEDY),
            "writing, beam 4": lambda: decode(engine, memory, BEAMS),
            f"{TOKENS} plain reads of the decoder's weights": lambda: plain_reads(weights),
        }
    )
    table(f"{shape}, OpenVINO's parts", found, "writing, greedy")


def compare_batch(shape: str) -> None:
    model = untrained(shape)
    engine = ready(convert_network(model), threads=1)[0]
    half = untrained(shape).to(torch.bfloat16)
    many = squares(model, BATCH)
    found = medians(
        {
            "transformers generate, bfloat16": lambda: generate(half, many),
            "CrossRay, PyTorch": lambda: with_maps(model, many),
            "CrossRay, OpenVINO": lambda: with_maps(engine, many),
        }
    )
    table(f"{shape}, batch {BATCH}", found, "transformers generate, bfloat16")


def decoder_weights(model: ReportModel) -> list[np.ndarray]:
    """Those that every step reads: of the embeddings, only the output's."""
    kept = model.decoder.state_dict()
    skipped = ("key", "value", "positions")
    names = [n for n in kept if not any(f"attention.{s}." in n or s == n for s in skipped)]
    return [kept[name].numpy().reshape(-1) for name in names]


def plain_reads(weights: Sequence[np.ndarray]) -> float:
    """As many as a text has tokens."""
    return sum(float(weight.sum()) for _ in range(TOKENS) for weight in weights)


def compare_embedded() -> None:
    model = load_network(EMBEDDED)[0]
    assert isinstance(model, ReportModel)
    generators = {
        name: ReportGenerator.load(EMBEDDED, engine=name, threads=1)
        for name in ("torch", "openvino")
    }
    image = read_image(SAMPLE)
    engine = generators["openvino"].model
    square = [model.place(*image.pixels.shape).apply(image.pixels)[None]]
    memory, own = read(model, square), read(engine, square)
    found = medians(
        {
            "transformers generate": lambda: generate(model, square),
            "CrossRay, PyTorch": lambda: with_evidence(model, square),
            "CrossRay, OpenVINO": lambda: with_evidence(engine, square),
        },
        3 * ROUNDS,
    )
    table("embedded, encoding, writing, maps and evidence", found, "transformers generate")
    found = medians(
        {
            "transformers generate": lambda: generate(model, square, encoder_outputs=memory),
            "CrossRay, PyTorch": lambda: decode(model, memory),
            "CrossRay, OpenVINO": lambda: decode(engine, own),
            "CrossRay, OpenVINO, beam 4": lambda: decode(engine, own, BEAMS),
        },
        3 * ROUNDS,
    )
    table("embedded, writing alone", found, "transformers generate")
    views = ReportGenerator.load(EMBEDDED.parent / "views", engine="openvino", threads=1)
    found = medians(
        {
            "a report": lambda: generators["openvino"](image),
            "a question, answered": lambda: generators["openvino"].ask(image, "effusion"),
            "a report, PyTorch": lambda: generators["torch"](image),
            "a question, PyTorch": lambda: generators["torch"].ask(image, "effusion"),
            "a report of model/views": lambda: views(image),
            "a question to model/views, sampled": lambda: views.ask(image, "effusion"),
        }
    )
    table("embedded, a report and a question", found, "a report")


def cold() -> None:
    """The command in a process of its own, its converted checkpoint in the cache."""
    code = (
        "import resource, sys\n"
        "from app.cli.main import main\n"
        "sys.argv = ['crossray', 'report', sys.argv[1], '--engine', sys.argv[2]]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "print(f'{peak:.0f} MB', file=sys.stderr)\n"
    )
    peaks = {}

    def command(engine: str) -> None:
        ended = subprocess.run(
            [sys.executable, "-c", code, str(SAMPLE), engine], capture_output=True, text=True
        )
        assert "Impression" in ended.stdout, ended.stderr
        peaks[engine] = ended.stderr.splitlines()[-1]

    calls = {engine: lambda engine=engine: command(engine) for engine in ("torch", "openvino")}
    table("crossray report on one PNG, in a new process", medians(calls), "torch")
    say(f"  most memory: {peaks}")


def main() -> None:
    torch.set_num_threads(1)
    known: dict[str, Callable[[], None]] = {
        "embedded": compare_embedded,
        "cold": cold,
        "small": lambda: compare_shape("small"),
        "base": lambda: compare_shape("base"),
        "base-batch": lambda: compare_batch("base"),
    }
    for name in sys.argv[1:] or known:
        known[name]()


if __name__ == "__main__":
    main()
