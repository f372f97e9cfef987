"""Decoding and training on a GPU beside transformers, and beside what its memory allows.

    python tests/benchmarks/bench_gpu.py [NAME...] [--device cuda] [--shape base]

Needs torch, transformers, timm, safetensors, tokenizers, pydantic and OpenCV, and no network.
Contestants take turns in one process, each waits for the device, and the median of 7 rounds counts,
by the clock. transformers' generate runs on the same weights, with attentions. Parts are
independent: one that fails is reported, and the others run.
"""

import argparse
import time
import traceback
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from contestants import (
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

from model.beam_search import log_softmax
from model.checkpoint_folder import EMBEDDED
from model.decoding import DecodingOptions, decode, sample_texts
from model.incremental import CachedDecoder
from model.memory import Memory
from model.network import ReportModel
from model.static_decoding import StaticDecoder

BATCHES = (1, 16)
SAMPLES = Path(__file__).parents[2] / "app" / "static" / "samples"
COPIED = 2**28
"""Numbers of 4 bytes that are copied to measure the memory."""
MEGA, GIGA = 1e6, 1e9


class Eager(ReportModel):
    """Launches every kernel of a step."""

    def incremental_decoder(self, memory: Memory, beams: int, limit: int) -> CachedDecoder:
        return CachedDecoder(self.decoder, memory.context(self.grid), beams, limit)


class Static(ReportModel):
    """As ReportModel on a GPU, also where there is none: without graphs then."""

    def incremental_decoder(self, memory: Memory, beams: int, limit: int) -> StaticDecoder:
        context = memory.context(self.grid)
        return StaticDecoder(self._steps, self.decoder, self.config, context, beams, limit)


def of_class(kind: type[ReportModel], model: ReportModel) -> ReportModel:
    """The same weights, decoded in another way."""
    other = kind.__new__(kind)
    vars(other).update(vars(model))
    return other


@dataclass
class Bench:
    device: torch.device
    shape: str
    rounds: int

    @cached_property
    def reference(self) -> ReportModel:
        """On the CPU."""
        return untrained(self.shape)

    @cached_property
    def full(self) -> ReportModel:
        return deepcopy(self.reference).to(self.device)

    @cached_property
    def half(self) -> ReportModel:
        return deepcopy(self.full).to(torch.bfloat16)

    @property
    def networks(self) -> dict[str, ReportModel]:
        return {"float32": self.full, "bfloat16": self.half}

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def medians(self, calls: dict[str, Callable[[], object]]) -> dict[str, float]:
        """Milliseconds by the clock until the device has done it."""

        def timed(call: Callable[[], object], _: int) -> None:
            call()
            self.wait()

        turns = {name: partial(timed, call) for name, call in calls.items()}
        return medians(turns, self.rounds, clock=time.perf_counter)

    def bandwidth(self) -> float:
        """Bytes a second that are read, while as many are written."""
        numbers = COPIED if self.device.type == "cuda" else COPIED // 16
        source = torch.zeros(numbers, device=self.device)
        target = torch.empty_like(source)
        [milliseconds] = self.medians({"copy": lambda: target.copy_(source)}).values()
        return 2 * 4 * numbers / milliseconds * 1e3


def settings(bench: Bench) -> None:
    """What ran where."""
    if bench.device.type == "cuda":
        say(f"device {torch.cuda.get_device_name(bench.device)}, CUDA {torch.version.cuda}")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    say(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    say("TF32 off in matrix products (PyTorch's default) and in convolutions (default: on)")


def generation(bench: Bench) -> None:
    """Image to tokens and all maps."""
    for batch in BATCHES:
        images = squares(bench.full, batch)
        calls: dict[str, Callable[[], object]] = {}
        for name, network in bench.networks.items():
            eager, static = of_class(Eager, network), of_class(Static, network)
            calls[f"transformers generate, {name}"] = partial(generate, network, images)
            calls[f"CrossRay, eager, {name}"] = partial(with_maps, eager, images)
            calls[f"CrossRay, CUDA graphs, {name}"] = partial(with_maps, static, images)
        title = f"{bench.shape}, batch {batch}, image to {TOKENS} tokens with all maps"
        table(title, bench.medians(calls), "transformers generate, float32")


def parts(bench: Bench) -> None:
    """Where the time goes, with CUDA graphs."""
    for batch in BATCHES:
        for name, network in bench.networks.items():
            static = of_class(Static, network)
            images = squares(network, batch)
            memory = read(static, images)
            texts = decode(static, memory)
            calls: dict[str, Callable[[], object]] = {
                "reading the images": partial(read, static, images),
                "writing, greedy": partial(decode, static, memory),
                "all maps and probabilities": partial(static.read_texts, memory, texts, True),
            }
            if batch == 1:
                beams = DecodingOptions("beam", beams=4)
                calls["writing, beam 4"] = partial(decode, static, memory, beams)
            title = f"{bench.shape}, batch {batch}, {name}, parts"
            table(title, bench.medians(calls), "writing, greedy")


def roofline(bench: Bench) -> None:
    """A step beside the reading of what it needs, at the speed of a copy."""
    bandwidth = bench.bandwidth()
    say(f"\na copy moves {bandwidth / GIGA:.0f} GB/s, read and written")
    for batch in BATCHES:
        for name, network in bench.networks.items():
            step_bytes = _step_bytes(network, batch)
            least = step_bytes / bandwidth * 1e6
            images = squares(network, batch)
            for kind in (Eager, Static):
                engine = of_class(kind, network)
                memory = read(engine, images)
                [whole] = bench.medians({"": partial(decode, engine, memory)}).values()
                each = whole * 1e3 / TOKENS
                say(
                    f"  step, batch {batch:2d}, {name:8s}, {kind.__name__:6s} {each:8.1f} us; "
                    f"{step_bytes / MEGA:6.0f} MB at that speed {least:6.1f} us: "
                    f"{each / least:5.1f} times"
                )
            if bench.device.type == "cuda":
                each = _replayed(network, read(network, images))
                say(
                    f"  step, batch {batch:2d}, {name:8s}, graph alone on the device "
                    f"{each:8.1f} us: {each / least:5.1f} times"
                )


def _step_bytes(network: ReportModel, batch: int) -> int:
    """Weights, keys and values of the patches, and of half the text's tokens."""
    config, size = network.config, network.dtype.itemsize
    weights = sum(weight.numel() for weight in decoder_weights(network))
    positions = 1 + network.grid[0] * network.grid[1] + TOKENS // 2
    cached = batch * config.layers * 2 * positions * config.width
    return (weights + cached) * size


@torch.inference_mode()
def _replayed(network: ReportModel, memory: Memory) -> float:
    """Microseconds of the device for a step, the host not waiting in between."""
    decoder = network.incremental_decoder(memory, 1, TOKENS)
    assert isinstance(decoder, StaticDecoder)
    decoder.likeliest(np.full(len(memory.present), network.config.bos_token_id))
    step, times = decoder._step, []
    for _ in range(7):
        step.past.fill_(8)
        step.place.fill_(8)
        ends = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
        ends[0].record()
        for number in range(50):
            step.run(8 + number)
        ends[1].record()
        torch.cuda.synchronize()
        times.append(ends[0].elapsed_time(ends[1]) / 50 * 1e3)
    return median(times)


def same_results(bench: Bench) -> None:
    """Against the CPU's float32, and the eager way on the device."""
    say(f"\n{bench.shape}, batch 2, results beside those of the CPU in float32")
    images = squares(bench.reference, 2)
    memory = read(bench.reference, images)
    texts = decode(bench.reference, memory)
    expected = bench.reference.read_texts(memory, texts, True)
    logs = _along(bench.reference, memory, texts)
    for name, network in bench.networks.items():
        for kind in (Eager, Static):
            engine = of_class(kind, network)
            found = read(engine, images)
            own = decode(engine, found)
            equal = int((np.array(own) == np.array(texts)).sum())
            reading = engine.read_texts(found, texts, True)
            farthest = np.abs(reading.attention - expected.attention).max()
            both = zip(logs, _along(engine, found, texts), strict=True)
            distance = np.mean([(np.exp(a) * (a - b)).sum(-1).mean() for a, b in both])
            say(
                f"  {name:8s} {kind.__name__:6s} tokens equal {equal} of {2 * TOKENS}, maps "
                f"within {farthest:.1e}, KL {distance:.1e} nats"
            )
    eager, static = of_class(Eager, bench.full), of_class(Static, bench.full)
    found = read(static, squares(static, 5))
    for options in (DecodingOptions("beam", beams=3), DecodingOptions("sample", seed=3)):
        same = decode(static, found, options) == decode(eager, found, options)
        say(f"  float32, 5 studies, {options.strategy}: static is eager: {same}")
    options = DecodingOptions("sample", seed=3, max_tokens=20)
    same = sample_texts(static, found, 4, options) == sample_texts(eager, found, 4, options)
    say(f"  float32, 5 studies, 4 samples each: static is eager: {same}")


def _along(engine: ReportModel, memory: Memory, texts: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """Log-probabilities (studies, vocabulary) of every next token while the texts are written."""
    step = engine.incremental_decoder(memory, 1, TOKENS)
    before = np.array([[engine.config.bos_token_id, *text[:-1]] for text in texts])
    return [log_softmax(step(tokens.copy())) for tokens in before.T]


def embedded(bench: Bench) -> None:
    """Whole reports of the embedded checkpoint: the CPU's and the device's."""
    from model.generator import ReportGenerator
    from model.imaging.radiograph import Radiograph

    images = [
        Radiograph(pixels[:, shift : pixels.shape[1] - shift] ** gamma, "PA")
        for pixels in (_gray(path) for path in sorted(SAMPLES.glob("*.png")))
        for shift in (0, 9)
        for gamma in (1.0, 0.8)
    ]
    say(f"\nembedded checkpoint, {len(images)} radiographs made of the page's samples")
    cpu = ReportGenerator.load(EMBEDDED, "cpu")
    expected = [cpu(one) for one in images]
    for precision in ("f32", "bf16"):
        generator = ReportGenerator.load(EMBEDDED, str(bench.device), "torch", None, precision)
        found = [generator(one) for one in images]
        equal = sum(a.text == b.text for a, b in zip(found, expected, strict=True))
        maps = [
            np.abs(a.heatmap - b.heatmap).max()
            for one, other in zip(found, expected, strict=True)
            if one.text == other.text
            for a, b in zip(one.words, other.words, strict=True)
        ]
        [whole] = bench.medians({"": partial(generator, images[0])}).values()
        say(
            f"  {precision:4s} texts equal to the CPU's {equal} of {len(images)}, their maps "
            f"within {max(maps, default=np.nan):.1e}; a report {whole:.1f} ms"
        )


def _gray(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255


def training_step(bench: Bench) -> None:
    # Here: what it needs may be missing where the rest runs.
    import bench_training_step

    if bench.device.type != "cuda":
        bench_training_step.compare(bench.device, bench.shape, 2, bench.rounds)
        return
    for batch in (16, 64):  # a step is short: more of them show how the losses go
        bench_training_step.compare(bench.device, bench.shape, batch, 3 * bench.rounds)


PARTS: dict[str, Callable[[Bench], None]] = {
    "same-results": same_results,
    "generation": generation,
    "roofline": roofline,
    "training-step": training_step,
    "embedded": embedded,
    "parts": parts,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*PARTS, []], metavar="NAME")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shape", default="base")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=600, help="no part starts after so many")
    asked = parser.parse_args()
    bench = Bench(torch.device(asked.device), asked.shape, asked.rounds)
    settings(bench)
    began = time.perf_counter()
    for name in asked.names or PARTS:
        if time.perf_counter() - began > asked.seconds:
            say(f"\n{name} left out: {asked.seconds:.0f} s are over")
            continue
        try:
            PARTS[name](bench)
        except Exception:  # the others are worth having
            say(f"\n{name} failed\n{traceback.format_exc()}")
        say(f"[{name}: {time.perf_counter() - began:.1f} s since the start]")


if __name__ == "__main__":
    main()
