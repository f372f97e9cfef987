"""Record what the authors' code of CheXbert and RadGraph reads with small random weights.

Run once, by hand, in an environment of its own; the tests need only the files that it writes to
tests/data/official_metrics:

    pip install radgraph==0.1.18 f1chexbert==0.0.2 "transformers<5" "scikit-learn<1.7" pandas
    PYTHONPATH=tests/helpers python tests/training/report_scores/record_official.py

Both packages fetch weights that may not be passed on. Here their classes get the folders of
tests/helpers/judge_folders.py instead, and everything else of them runs as it is.
"""

import importlib.metadata
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import f1chexbert.f1chexbert as chexbert
import radgraph.radgraph as radgraph
import torch
from judge_folders import LONGEST, SPAN, WORDS, chexbert_folder, radgraph_folder
from safetensors.torch import save_file
from transformers import BertConfig, BertModel, BertTokenizer

OUT = Path(__file__).parents[2] / "data" / "official_metrics"
PACKAGES = ("f1chexbert", "radgraph", "transformers", "torch")
PLAIN = [
    "The heart is enlarged. No effusion (right), 5% clear.\n\nLungs are clear!",
    "no effusion",
    "Left/right nodule: in the lobe? xylo.",
]


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    rng = random.Random(5)
    words = [*WORDS.split(), "xylo", "Heart"]
    pairs = [
        [" ".join(rng.choices(words, k=rng.randint(1, 24))) for _ in range(2)] for _ in range(6)
    ]
    generated = [*PLAIN, *(pair[0] for pair in pairs)]
    references = [*reversed(PLAIN), *(pair[1] for pair in pairs)]
    recorded: dict[str, Any] = {
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "generated": generated,
        "references": references,
    }
    with tempfile.TemporaryDirectory() as folder:
        recorded["chexbert"] = record_chexbert(Path(folder) / "c", generated, references)
        for kind in ("radgraph", "radgraph-xl"):
            recorded[kind] = record_radgraph(Path(folder) / kind, kind, generated, references)
    (OUT / "recorded.json").write_text(json.dumps(recorded) + "\n", encoding="utf-8")


def record_chexbert(folder: Path, generated: list[str], references: list[str]) -> dict[str, Any]:
    """Labels of each report, and F1 as the package averages it."""
    chexbert_folder(folder)
    encoder = folder / "encoder"
    tokenizer = BertTokenizer.from_pretrained(encoder)
    with ExitStack() as patches:
        for owner, name, value in (
            (chexbert, "CACHE_DIR", str(folder)),
            (chexbert.BertTokenizer, "from_pretrained", lambda _: tokenizer),
            (chexbert.AutoConfig, "from_pretrained", lambda _: BertConfig.from_json_file(
                encoder / "config.json")),
        ):  # fmt: skip
            patches.enter_context(patch.object(owner, name, value))
        scorer = chexbert.F1CheXbert(device="cpu")
    state = torch.load(folder / "chexbert.pth", weights_only=True)["model_state_dict"]
    save_file(state, OUT / "chexbert.safetensors")
    _, _, all_labels, five = scorer(generated, references)
    return {
        "order": scorer.target_names,
        "positive": {text: scorer.get_label(text) for text in {*generated, *references}},
        "f1": {
            f"{average}_f1_{count}": report[f"{average} avg"]["f1-score"]
            for count, report in ((14, all_labels), (5, five))
            for average in ("micro", "macro")
        },
    }


def record_radgraph(
    folder: Path, kind: str, generated: list[str], references: list[str]
) -> dict[str, Any]:
    """Entities of each report, and the F1 of each pair."""
    cache = folder / "cache" / kind
    radgraph_folder(cache, kind)
    encoder = cache / "encoder"
    BertModel(BertConfig.from_json_file(encoder / "config.json")).save_pretrained(encoder)
    shape = json.loads((cache / "config.json").read_text())["model"]
    embedder = {"model_name": str(encoder), "max_length": LONGEST}
    settings = {
        "dataset_reader": {"token_indexers": {"bert": embedder}, "max_span_width": SPAN},
        "model": {
            "type": "dygie",
            "embedder": {"token_embedders": {"bert": embedder}},
            "initializer": {},
            "module_initializer": {},
            "feature_size": 5,
            "max_span_width": SPAN,
            "target_task": "relation",
            "feedforward_params": shape["feedforward_params"],
            "loss_weights": {"ner": 0.2, "relation": 1.0, "coref": 0.0, "events": 0.0},
            "modules": {
                "ner": {},
                "coref": {"spans_per_word": 0.3, "max_antecedents": 5, "coref_prop": 0},
                "relation": {"spans_per_word": shape["modules"]["relation"]["spans_per_word"]},
                "events": {
                    "trigger_spans_per_word": 0.3,
                    "argument_spans_per_word": 0.8,
                    "loss_weights": {"trigger": 1.0, "arguments": 1.0},
                },
            },
        },
    }
    (cache / "config.json").write_text(json.dumps(settings))
    (cache / "vocabulary" / "non_padded_namespaces.txt").write_text("*labels\n*tags\n")
    with random_weights(cache / "weights.th"):
        radgraph.RadGraph(model_type=kind, model_cache_dir=str(folder / "cache"), cuda=-1)
    state = torch.load(cache / "weights.th", weights_only=True)
    save_file(state, OUT / f"{kind}.safetensors")
    scorer = radgraph.F1RadGraph(
        reward_level="all", model_type=kind, model_cache_dir=str(folder / "cache"), cuda=-1
    )
    _, rewards, of_generated, of_references = scorer(refs=references, hyps=generated)
    read = {**dict(zip(references, of_references, strict=True)),
            **dict(zip(generated, of_generated, strict=True))}  # fmt: skip
    return {
        "entities": {text: _entities(graph["entities"]) for text, graph in read.items()},
        "f1": dict(zip(("entities", "partial", "complete"), rewards, strict=True)),
    }


def _entities(graph: dict[str, Any]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Words, label, and per relation its label and the words of the entity it leads to."""
    return [
        (
            entity["tokens"],
            entity["label"],
            [(label, graph[number]["tokens"]) for label, number in entity["relations"]],
        )
        for entity in graph.values()
    ]


@contextmanager
def random_weights(path: Path) -> Iterator[None]:
    """Where the package would load weights, it draws some and writes them to `path`."""

    def draw(network: torch.nn.Module, *_: object, **__: object) -> None:
        torch.manual_seed(1)
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(torch.randn_like(weight) * 0.3)
        torch.save(network.state_dict(), path)

    with (
        patch.object(radgraph.dygie.DyGIE, "load_state_dict", draw),
        patch.object(radgraph.torch, "load", lambda *_, **__: {}),
    ):
        yield


if __name__ == "__main__":
    sys.exit(main())
