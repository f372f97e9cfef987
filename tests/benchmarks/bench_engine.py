"""What docs/explanation/performance.md says of the engines: each beside what it is compared with.

    python tests/benchmarks/bench_engine.py [NAME...]

Contestants take turns in one process, and the median of their rounds counts, in time of this
process's own, so that what else the machine does counts little. All compute with one thread, in
float32 unless it is said. transformers' generate runs on the same weights, with attentions. The
cold command counts by the clock.
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

from data_prep.phantom.study import make_phantom
from model.config import ReportConfig
from model.decoding import GREEDY, DecodingOptions, decode, log_softmax
from model.engine.cache import Entry
from model.engine.convert import convert_network
from model.engine.drafts import Drafts
from model.engine.openvino_engine import OpenVinoEngine, ready
from model.engine.self_test import divergence
from model.exam import encode_studies
from model.generator import EMBEDDED, ReportGenerator
from model.heatmap import token_attention
from model.imaging.read import read_image
from model.interface import Engine, M
from model.loading import load_network
from model.network import ReportModel

ROUNDS = 7
TOKENS = 100
SEED = 4712
BEFORE = 100
"""Studies that the embedded checkpoint has written before it is measured."""
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


class NoDrafts(Drafts):
    """The same text each round would be drafted as a whole: base size is measured step by step."""

    def learn(self, text: Sequence[int]) -> None:
        pass


def stepwise(entry: Entry) -> OpenVinoEngine:
    engine = ready(entry, threads=1)[0]
    engine._drafts = NoDrafts()
    return engine


def compare_shape(shape: str) -> None:
    model = untrained(shape)
    entry = convert_network(model)
    engine = stepwise(entry)
    say(f"\n{shape}: {model.num_parameters() / 1e6:.0f} M parameters, self-test {entry.self_test}")
    one = squares(model, 1)
    half = untrained(shape).to(torch.bfloat16)
    found = medians(
        {
            "transformers generate": lambda _: generate(model, one),
            "transformers generate, bfloat16": lambda _: generate(half, one),
            "CrossRay, PyTorch": lambda _: with_maps(model, one),
            "CrossRay, OpenVINO": lambda _: with_maps(engine, one),
        }
    )
    table(f"{shape}, image to {TOKENS} tokens with all maps", found, "transformers generate")
    memory = read(engine, one)
    weights = decoder_weights(model)
    found = medians(
        {
            "encoding": lambda _: read(engine, one),
            "writing, greedy": lambda _: decode(engine, memory, GREEDY),
            "writing, beam 4": lambda _: decode(engine, memory, BEAMS),
            f"{TOKENS} plain reads of the decoder's weights": lambda _: plain_reads(weights),
        }
    )
    table(f"{shape}, OpenVINO's parts", found, "writing, greedy")


def compare_reduced(shape: str) -> None:
    """Reduced precision beside transformers' bfloat16: how fast, and how far from float32."""
    model, half = untrained(shape), untrained(shape).to(torch.bfloat16)
    engines = {
        f"CrossRay, OpenVINO, {precision}": stepwise(convert_network(model, precision))
        for precision in ("f32", "int8")
    }
    one, reference = squares(model, 1), "transformers generate, bfloat16"
    found = medians(
        {
            reference: lambda _: generate(half, one),
            **{
                name: lambda _, engine=engine: with_maps(engine, one)
                for name, engine in engines.items()
            },
        }
    )
    table(f"{shape}, image to {TOKENS} tokens with all maps, reduced precision", found, reference)
    expected = along(model, read(model, one), text := decode(model, read(model, one))[0])
    memory = half.encode(torch.from_numpy(np.stack(one)).to(half.dtype))
    distances = {reference: along(half, memory, text)}
    distances |= {name: along(engine, read(engine, one), text) for name, engine in engines.items()}
    for name, found_logs in distances.items():
        both = list(zip(expected, found_logs, strict=True))
        say(f"  {name:58s} KL to float32 {divergence(both):.1e} nats")
    for name, engine in engines.items():
        memory = read(engine, one)
        parts = medians({"greedy": lambda _, m=memory, e=engine: decode(e, m, GREEDY)})
        say(f"  {name:58s} {parts['greedy'] / TOKENS:.2f} ms a step")


def along(engine: Engine[M], memory: M, text: Sequence[int]) -> list[np.ndarray]:
    """Log-probabilities of every next token while a text is written."""
    step = engine.incremental_decoder(memory, 1, len(text))
    before = [engine.config.bos_token_id, *text[:-1]]
    return [log_softmax(step(np.array([token]))) for token in before]


def compare_batch(shape: str) -> None:
    model = untrained(shape)
    engines = {
        precision: stepwise(convert_network(model, precision)) for precision in ("f32", "int8")
    }
    half = untrained(shape).to(torch.bfloat16)
    many, reference = squares(model, BATCH), "transformers generate, bfloat16"
    own = "CrossRay, PyTorch"
    found = medians(
        {
            reference: lambda _: generate(half, many),
            own: lambda _: with_maps(model, many),
            **{
                f"CrossRay, OpenVINO, {name}": lambda _, engine=engine: with_maps(engine, many)
                for name, engine in engines.items()
            },
        },
        spared=[own],
    )
    table(f"{shape}, batch {BATCH}", found, reference)


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
    """Each round is another simulated study; the engine has written others before."""
    model = load_network(EMBEDDED)[0]
    assert isinstance(model, ReportModel)
    generators = {
        name: ReportGenerator.load(EMBEDDED, engine=name, threads=1)
        for name in ("torch", "openvino")
    }
    engine = generators["openvino"].model
    count = 3 * ROUNDS + 1
    pixels = [make_phantom(SEED, n).images[0].pixels for n in range(2 * count + BEFORE)]
    of_all = [[model.place(*one.shape).apply(one)[None]] for one in pixels]
    studies, others = of_all[:count], of_all[count : 2 * count]
    for study in of_all[2 * count :]:
        decode(engine, read(engine, study))
    found = medians(
        {
            "transformers generate": lambda n: generate(model, studies[n]),
            "CrossRay, PyTorch": lambda n: with_evidence(model, studies[n]),
            "CrossRay, OpenVINO": lambda n: with_evidence(engine, studies[n]),
        },
        3 * ROUNDS,
    )
    table("embedded, encoding, writing, maps and evidence", found, "transformers generate")
    memories, own = ([read(each, one) for one in others] for each in (model, engine))
    found = medians(
        {
            "transformers generate": lambda n: generate(
                model, others[n], encoder_outputs=memories[n]
            ),
            "CrossRay, PyTorch": lambda n: decode(model, memories[n]),
            "CrossRay, OpenVINO": lambda n: decode(engine, own[n]),
            "CrossRay, OpenVINO, beam 4": lambda n: decode(engine, own[n], BEAMS),
            "CrossRay, OpenVINO, encoding": lambda n: read(engine, others[n]),
        },
        3 * ROUNDS,
    )
    table("embedded, writing alone", found, "transformers generate")
    image = read_image(SAMPLE)
    views = ReportGenerator.load(EMBEDDED.parent / "views", engine="openvino", threads=1)
    found = medians(
        {
            "a report": lambda _: generators["openvino"](image),
            "a question, answered": lambda _: generators["openvino"].ask(image, "effusion"),
            "a report, PyTorch": lambda _: generators["torch"](image),
            "a question, PyTorch": lambda _: generators["torch"].ask(image, "effusion"),
            "a report of model/views": lambda _: views(image),
            "a question to model/views, sampled": lambda _: views.ask(image, "effusion"),
        }
    )
    table("embedded, a report and a question", found, "a report")


def cold() -> None:
    """The command in a process of its own, its converted checkpoint in the cache."""
    code = (
        "import sys\n"
        "from app.cli.main import main\n"
        "sys.argv = ['crossray', 'report', sys.argv[1], '--engine', sys.argv[2]]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        # Not ru_maxrss: a process inherits its parent's.
        "[peak] = [n for n in open('/proc/self/status') if n.startswith('VmHWM')]\n"
        "print(f'{int(peak.split()[1]) / 1024:.0f} MB', file=sys.stderr)\n"
    )
    peaks = {}

    def command(engine: str) -> None:
        ended = subprocess.run(
            [sys.executable, "-c", code, str(SAMPLE), engine], capture_output=True, text=True
        )
        assert "Impression" in ended.stdout, ended.stderr
        peaks[engine] = ended.stderr.splitlines()[-1]

    calls = {engine: lambda _, engine=engine: command(engine) for engine in ("torch", "openvino")}
    found = medians(calls, spared=["torch"], clock=time.perf_counter)
    table("crossray report on one PNG, in a new process", found, "torch")
    say(f"  most memory, without the process that decodes the file: {peaks}")


def main() -> None:
    torch.set_num_threads(1)
    known: dict[str, Callable[[], None]] = {
        "embedded": compare_embedded,
        "cold": cold,
        "small": lambda: compare_shape("small"),
        "base": lambda: compare_shape("base"),
        "base-reduced": lambda: compare_reduced("base"),
        "base-batch": lambda: compare_batch("base"),
    }
    for name in sys.argv[1:] or known:
        known[name]()


if __name__ == "__main__":
    main()
