"""Texts as report generators write them, by networks of the size that people train.

    python tests/benchmarks/bench_texts.py [--reports CSV] [--shape base|small]

An untrained network writes no report, and how far reading ahead gets (model/engine/drafts.py)
depends on the text. So every token is computed as ever, and then the text says which one is taken:
of transformers' generate and of CrossRay alike. CSV has a column "report", such as a model's
published predictions; without it simulated studies' reports. The engine has written one half of
the texts before; rounds take texts of the other, at most 100 tokens, one an image, all maps.
Median of 7 texts in turn, in time of this process's own, on one thread.
"""

import argparse
import os
import random
from collections.abc import Sequence
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"


import numpy as np
import torch
from contestants import ROUNDS, TOKENS, generate, medians, read, say, squares, table, untrained
from transformers import LogitsProcessor, LogitsProcessorList

from data_prep.phantom.study import make_phantom
from data_prep.tables import read_rows
from data_prep.tokenizer import EOS, train_tokenizer
from model.decoding import decode
from model.engine.convert import convert_network
from model.engine.decoding import Decoding, EngineMemory
from model.engine.drafts import CONTEXT, Drafts
from model.engine.openvino_engine import OpenVinoEngine, ready

PHANTOMS, SEED = 600, 4712
MOST_TOKENS = 1024


class Given(LogitsProcessor):
    """transformers takes the text's next token."""

    def __init__(self, text: Sequence[int]) -> None:
        self.text = text

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores[:, self.text[input_ids.shape[1] - 1]] = torch.inf
        return scores


class GivenDecoding(Decoding):
    """CrossRay takes the text's next token."""

    text: Sequence[int]
    runs = 0

    def likeliest(self, chosen: np.ndarray) -> np.ndarray:
        self(chosen).argmax(axis=-1)
        return np.array([self.text[self._step - 1]])

    def _run(self, chosen: np.ndarray) -> object:
        GivenDecoding.runs += 1
        return super()._run(chosen)


class GivenEngine(OpenVinoEngine):
    def incremental_decoder(self, memory: EngineMemory, beams: int, limit: int) -> Decoding:
        return GivenDecoding(self._decoder, self.config, memory, beams, limit, self._drafts)


def written(engine: OpenVinoEngine, image: Sequence[np.ndarray], text: Sequence[int]) -> None:
    GivenDecoding.text = text
    memory = read(engine, image)
    [found] = decode(engine, memory)
    assert found == list(text), "not the text that was given"
    engine.read_texts(memory, [found], maps=True)


def known(texts: Sequence[Sequence[int]]) -> Drafts:
    """What an engine has learned that wrote these."""
    drafts = Drafts()
    for text in texts:
        so_far = [-1] * CONTEXT + [1]
        for token in text:
            so_far.append(token)
            drafts.learn(so_far)
    return drafts


def reports(table_of: Path | None) -> list[str]:
    if table_of is None:
        return [make_phantom(SEED, number).report for number in range(PHANTOMS)]
    return [row["report"] for _, row in read_rows(table_of, ["report"])]


def main() -> None:
    asked = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    asked.add_argument("--reports", type=Path)
    asked.add_argument("--shape", choices=("base", "small", "tiny"), default="base")
    options = asked.parse_args()
    torch.set_num_threads(1)
    texts = reports(options.reports)
    random.Random(SEED).shuffle(texts)
    half = len(texts) // 2
    model, reduced = untrained(options.shape), untrained(options.shape).to(torch.bfloat16)
    tokenizer = train_tokenizer(texts[:half], min(MOST_TOKENS, model.config.vocab_size))
    tokens = [[*tokenizer.encode(text).ids, EOS][:TOKENS] for text in texts]
    drafts, others = known(tokens[:half]), tokens[half:]
    engines = {}
    for precision in ("f32", "bf16"):
        engines[precision] = ready(convert_network(model, precision), threads=1)
        engines[precision].__class__ = GivenEngine
        engines[precision]._drafts = drafts
    image = squares(model, 1)

    def theirs(network: torch.nn.Module, number: int) -> None:
        processors = LogitsProcessorList([Given(others[number])])
        length = len(others[number])
        generate(network, image, logits_processor=processors, max_new_tokens=length)

    found = medians(
        {
            "transformers generate": lambda n: theirs(model, n),
            "transformers generate, bfloat16": lambda n: theirs(reduced, n),
            "CrossRay, OpenVINO, f32": lambda n: written(engines["f32"], image, others[n]),
            "CrossRay, OpenVINO, bf16": lambda n: written(engines["bf16"], image, others[n]),
        }
    )
    lengths = [len(text) for text in others[1 : ROUNDS + 1]]
    title = f"{options.shape}, texts of {min(lengths)} to {max(lengths)} tokens, with all maps"
    table(title, found, "transformers generate")
    faster = found["transformers generate, bfloat16"] / found["CrossRay, OpenVINO, bf16"]
    say(f"  bf16 against transformers' bfloat16: {faster:.1f}x")
    GivenDecoding.runs = 0
    for text in others:
        written(engines["bf16"], image, text)
    say(
        f"  {sum(map(len, others)) / GivenDecoding.runs:.1f} tokens a step over {len(others)} texts"
    )


if __name__ == "__main__":
    main()
