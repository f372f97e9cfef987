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

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from contestants import (
    ROUNDS,
    TOKENS,
    decoder_weights,
    generate,
    medians,
    read,
    say,
    squares,
    table,
    untrained,
    with_maps,
)

from data_prep.phantom.study import make_phantom
from model.decoding import GREEDY, DecodingOptions, decode, log_softmax
from model.engine.convert import convert_network
from model.engine.drafts import Drafts
from model.engine.entry import Entry
from model.engine.openvino_engine import OpenVinoEngine, ready
from model.engine.self_test import divergence
from model.generator import EMBEDDED, ReportGenerator
from model.heatmap import token_attention
from model.imaging.read import read_image
from model.interface import Engine, M
from model.loading import load_network
from model.network import ReportModel

SEED = 4712
BEFORE = 100
"""Studies that the embedded checkpoint has written before it is measured."""
BATCH = 16
BEAMS = DecodingOptions("beam", beams=4)
SAMPLE = Path(__file__).parents[2] / "app" / "static" / "samples" / "left-effusion.png"


def with_evidence(engine: Engine[M], images: Sequence[np.ndarray]) -> object:
    memory = read(engine, images)
    return token_attention(engine, memory, decode(engine, memory))


class NoDrafts(Drafts):
    """The same text each round would be drafted as a whole: base size is measured step by step."""

    def learn(self, text: Sequence[int]) -> None:
        pass


def stepwise(entry: Entry) -> OpenVinoEngine:
    engine = ready(entry, threads=1)
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
    weights = [weight.numpy().reshape(-1) for weight in decoder_weights(model)]
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
        for precision in ("f32", "bf16")
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
        precision: stepwise(convert_network(model, precision)) for precision in ("f32", "bf16")
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


def plain_reads(weights: Sequence[np.ndarray]) -> float:
    """As many as a text has tokens: a dot product, since numpy's sum is slower than memory."""
    return sum(float(weight.dot(weight)) for _ in range(TOKENS) for weight in weights)


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
        "small-reduced": lambda: compare_reduced("small"),
        "base-reduced": lambda: compare_reduced("base"),
        "base-batch": lambda: compare_batch("base"),
    }
    for name in sys.argv[1:] or known:
        known[name]()


if __name__ == "__main__":
    main()
