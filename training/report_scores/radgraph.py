"""RadGraph (Jain et al. 2021): what a report says as a graph, where the network is at hand.

The network is a DyGIE++ (Wadden et al. 2019) over a BERT: every span of words gets a class of
entity or none, and every pair of the likeliest spans a relation or none. Read is an unpacked
archive of RadGraph or RadGraph-XL (config.json, weights.th, vocabulary/), see
training/report_scores/bert_folder.py. Its weights may not be passed on.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from model.errors import DataError
from training.corpus_scores import Measure, mean
from training.files import sha256_of
from training.report_scores.bert_folder import encoder_of, fill, tensors

__all__ = ["Entity", "RadGraph", "graph_f1"]

CONFIG, WEIGHTS, VOCABULARY = "config.json", "weights.th", "vocabulary"
ENTITIES, RELATIONS = "__ner_labels", "__relation_labels"
LEVELS = ("entities", "partial", "complete")
APART = re.compile(r"(?<! )(?=[/,:.!?()])|(?<=[/,:.!?()])(?! )")
PIECES = re.compile(r"\w+|[^\w\s]+")


@dataclass(frozen=True)
class Entity:
    words: str
    label: str
    relations: tuple[tuple[str, str], ...] = ()
    """(relation, words of the entity it leads to)."""


class _Network(nn.Module):
    """DyGIE++ without coreference and events, which RadGraph does not use."""

    def __init__(self, bert: Any, shapes: Mapping[str, Sequence[Sequence[int]]]) -> None:
        super().__init__()
        self.bert = bert
        self.widths = nn.Embedding(shapes["widths"][0][0], shapes["widths"][0][1])
        self.entities, self.mentions, self.pairs = (
            _layers(shapes[name]) for name in ("entities", "mentions", "pairs")
        )

    def forward(
        self, segments: Sequence[Tensor], owners: Tensor, words: int, share: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One report.

        Args:
            segments: token ids with the special tokens at both ends, each no longer than the
                encoder reads.
            owners: (pieces,): of which word each token is, the special ones left out.
            words: how many there are.
            share: spans that may be related, per word.

        Returns:
            spans (spans, 2), first and last word; class of each, 0 for none; which spans may be
            related, (kept,); relation of each pair of those, (kept, kept), 0 for none.
        """
        pieces = torch.cat([self.bert(row[None]).last_hidden_state[0, 1:-1] for row in segments])
        sums = pieces.new_zeros(words, pieces.shape[1]).index_add(0, owners, pieces)
        embedded = sums / torch.bincount(owners, minlength=words).clamp(min=1)[:, None]
        longest = len(self.widths.weight)
        spans = torch.tensor(
            [(a, b) for a in range(words) for b in range(a, min(a + longest, words))]
        )
        first, last = spans.T
        features = torch.cat([embedded[first], embedded[last], self.widths(last - first)], dim=1)
        none = features.new_zeros(len(spans), 1)
        classes = torch.cat([none, self.entities(features)], dim=1).argmax(dim=1)
        worth = self.mentions(features)[:, 0]
        kept = worth.topk(min(math.ceil(words * share), len(spans))).indices.sort().values
        one, other = (features[kept][:, None], features[kept][None])
        both = torch.broadcast_tensors(one, other)
        scores = self.pairs(torch.cat([*both, one * other], dim=2))
        scores = scores + worth[kept][:, None, None] + worth[kept][None, :, None]
        none = scores.new_zeros(len(kept), len(kept), 1)
        return spans, classes, kept, torch.cat([none, scores], dim=2).argmax(dim=2)


@dataclass(frozen=True)
class _Settings:
    """What a folder says of its network."""

    names: Mapping[str, Sequence[str]]
    """Of the classes, by ENTITIES and RELATIONS."""
    dataset: str
    """Which the network's heads were trained on; says what a word is."""
    longest: int
    """Tokens the encoder reads at once."""
    share: float
    """See `_Network.forward`."""


class RadGraph:
    """Reads entities and their relations in reports. What was read once is kept."""

    def __init__(
        self, network: _Network, tokenizer: Any, settings: _Settings, identity: str
    ) -> None:
        self.identity = identity
        """Whose scores these are."""
        self._network, self._tokenizer, self._settings = network, tokenizer, settings
        self._read: dict[str, list[Entity]] = {}

    @classmethod
    def load(cls, folder: Path) -> "RadGraph":
        """
        Raises:
            DataError: the folder lacks a file, or the weights are of another network.
        """
        path = folder / CONFIG
        try:
            config = json.loads(path.read_text(encoding="utf-8"))["model"]
            embedder = config["embedder"]["token_embedders"]["bert"]
            hidden = config["feedforward_params"]["num_layers"]
            share = float(config["modules"]["relation"]["spans_per_word"])
            spreads = config["modules"]["coref"].get("coref_prop", 0)
            name, longest = str(embedder["model_name"]), int(embedder.get("max_length") or 512)
        except OSError as error:
            raise DataError(
                f"{str(path)!r} cannot be read ({error.strerror}): name the unpacked archive, see "
                "docs/how-to/scores.md"
            ) from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{str(path)!r} has no settings of RadGraph ({error!r})") from error
        if not share > 0 or longest < 3:
            raise DataError(
                f"{str(path)!r} has spans_per_word {share} and max_length {longest}: they are "
                "above 0 and 2"
            )
        if spreads:
            raise DataError(f"{str(path)!r} spreads coreference, which RadGraph does not")
        dataset, names = _vocabulary(folder / VOCABULARY)
        file = folder / WEIGHTS
        weights = _renamed(tensors(file), dataset, hidden)
        tokenizer, bert = encoder_of(folder, name)
        shapes = _shapes(weights, file)
        classes = shapes["entities"][-1][0] + 1, shapes["pairs"][-1][0]
        named = len(names[ENTITIES]), len(names[RELATIONS])
        if classes != named:
            raise DataError(
                f"the vocabulary names {named} entities and relations, the weights in "
                f"{str(file)!r} have {classes}: they do not belong together"
            )
        network = _Network(bert, shapes)
        fill(network, weights, file, spare=("bert.embeddings.position_ids",))
        longest = min(longest, int(bert.config.max_position_embeddings))
        identity = f"{dataset}, weights {sha256_of(file)}"
        return cls(network, tokenizer, _Settings(names, dataset, longest, share), identity)

    @torch.inference_mode()
    def entities(self, report: str) -> list[Entity]:
        """What the report says, in its order."""
        if report not in self._read:
            words = _words(report, self._settings.dataset)
            self._read[report] = self._graph(words) if words else []
        return self._read[report]

    def measures(self, generated: Sequence[str], references: Sequence[str]) -> list[Measure]:
        """Mean F1 of the graphs at each of LEVELS, see `graph_f1`."""
        pairs = list(zip(generated, references, strict=True))
        worth = np.array(
            [
                graph_f1(self.entities(predicted), self.entities(true))
                for predicted, true in tqdm(pairs, desc="RadGraph", disable=len(pairs) < 2)
            ]
        )
        return [mean(f"radgraph_{name}", worth[:, k]) for k, name in enumerate(LEVELS)]

    def _graph(self, words: list[str]) -> list[Entity]:
        tokens = self._tokenizer(words, add_special_tokens=False)["input_ids"]
        owners = [word for word, pieces in enumerate(tokens) for _ in pieces]
        flat = [token for pieces in tokens for token in pieces]
        if not flat:
            return []
        start, end = self._tokenizer.cls_token_id, self._tokenizer.sep_token_id
        size = self._settings.longest - 2
        segments = [
            torch.tensor([start, *flat[k : k + size], end]) for k in range(0, len(flat), size)
        ]
        share, names = self._settings.share, self._settings.names
        graph = self._network(segments, torch.tensor(owners), len(words), share)
        spans, classes, kept, relations = (tensor.tolist() for tensor in graph)
        found = {
            (a, b): names[ENTITIES][label]
            for (a, b), label in zip(spans, classes, strict=True)
            if label
        }
        led = defaultdict(list)
        for i, row in zip(kept, relations, strict=True):
            for j, label in zip(kept, row, strict=True):
                if label and tuple(spans[j]) in found:
                    name = names[RELATIONS][label - 1]
                    led[tuple(spans[i])].append((name, _joined(words, spans[j])))
        return [
            Entity(_joined(words, span), label, tuple(led[span])) for span, label in found.items()
        ]


def graph_f1(predicted: Sequence[Entity], true: Sequence[Entity]) -> tuple[float, float, float]:
    """F1 of two reports' graphs (Delbrouck et al. 2022): entities, partial, complete.

    An entity is alike where its words and label are; partial asks also whether it leads anywhere,
    complete where to. A report without entities is worth 0.
    """
    if not predicted or not true:
        return 0.0, 0.0, 0.0
    one, other = _alike(predicted), _alike(true)
    first, second, third = (
        2 * len(a & b) / (len(a) + len(b)) for a, b in zip(one, other, strict=True)
    )
    return first, second, third


def _alike(graph: Sequence[Entity]) -> tuple[set[Any], set[Any], set[Any]]:
    # Letters count in the first two and not in where a relation leads: as the published scores do.
    plain = {(each.words, each.label) for each in graph}
    partial = {(each.words, each.label, bool(each.relations)) for each in graph}
    complete: set[tuple[str, ...]] = {
        (each.words, each.label) for each in graph if not each.relations
    }
    complete |= {
        (each.words.lower(), each.label, relation, to.lower())
        for each in graph
        for relation, to in each.relations
    }
    return plain, partial, complete


def _words(report: str, dataset: str) -> list[str]:
    """Words as the network was trained to see them."""
    if dataset == "radgraph":
        return APART.sub(" ", report).split()
    text = " ".join(PIECES.findall(report))
    for joined, apart in (
        (").", ") ."),
        ("%.", "% ."),
        (".'", ". '"),
        ("%,", "% ,"),
        ("%)", "% )"),
    ):
        text = text.replace(joined, apart)
    return text.split()


def _joined(words: Sequence[str], span: Sequence[int]) -> str:
    return " ".join(words[span[0] : span[1] + 1])


def _vocabulary(folder: Path) -> tuple[str, dict[str, list[str]]]:
    """The data set that the network's heads are called after, and the names of their classes."""
    heads = sorted(file.name for file in folder.glob(f"*{ENTITIES}.txt"))
    if len(heads) != 1:
        raise DataError(f"{str(folder)!r} has the entities of {heads}: one data set's are read")
    dataset = heads[0].removesuffix(f"{ENTITIES}.txt")
    try:
        names = {
            kind: (folder / f"{dataset}{kind}.txt").read_text(encoding="utf-8").splitlines()
            for kind in (ENTITIES, RELATIONS)
        }
    except OSError as error:
        raise DataError(f"{str(error.filename)!r} cannot be read ({error.strerror})") from error
    if names[ENTITIES][:1] != [""]:
        raise DataError(f"{str(folder)!r}: the first entity should be the empty one, for none")
    return dataset, names


def _renamed(weights: dict[str, Any], dataset: str, hidden: int) -> dict[str, Tensor]:
    """DyGIE++'s names -> those of `_Network`; coreference and events are left out.

    Args:
        hidden: layers of every head before its last.
    """
    bert = "_embedder.token_embedder_bert._matched_embedder.transformer_model."
    heads = {
        f"_ner._ner_scorers.{dataset}{ENTITIES}.": "entities",
        f"_relation._mention_pruners.{dataset}{RELATIONS}._scorer.": "mentions",
        f"_relation._relation_feedforwards.{dataset}{RELATIONS}.": "pairs",
        f"_relation._relation_scorers.{dataset}{RELATIONS}.": "pairs",
    }
    renamed: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if name.startswith(bert):
            renamed[f"bert.{name.removeprefix(bert)}"] = tensor
        elif name == "_endpoint_span_extractor._span_width_embedding.weight":
            renamed["widths.weight"] = tensor
        elif head := next((heads[start] for start in heads if name.startswith(start)), None):
            inner = re.search(r"_linear_layers\.(\d+)\.", name)
            layer = int(inner[1]) if inner else hidden
            renamed[f"{head}.{2 * layer}.{name.rpartition('.')[2]}"] = tensor
    return renamed


def _shapes(weights: Mapping[str, Tensor], path: Path) -> dict[str, list[Sequence[int]]]:
    """Of the matrices of every part but the encoder, in order."""
    shapes: dict[str, list[Sequence[int]]] = {
        part: [] for part in ("widths", "entities", "mentions", "pairs")
    }
    for name, tensor in sorted(weights.items(), key=lambda item: _layer(item[0])):
        part = name.split(".")[0]
        if part in shapes and name.endswith(".weight"):
            shapes[part].append(tuple(tensor.shape))
    if missing := [part for part, found in shapes.items() if not found]:
        raise DataError(f"the weights in {str(path)!r} lack {missing}: they are not RadGraph's")
    return shapes


def _layer(name: str) -> int:
    number = name.split(".")[1]
    return int(number) if number.isdigit() else 0


def _layers(shapes: Sequence[Sequence[int]]) -> nn.Sequential:
    """Linear layers with a ReLU between them, from shapes (out, in)."""
    layers: list[nn.Module] = []
    for wide, narrow in shapes:
        layers += [nn.Linear(narrow, wide), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
