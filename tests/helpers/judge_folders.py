"""Folders of CheXbert and RadGraph in the layout of the real ones, tiny weights from a seed."""

import json
from pathlib import Path

import torch
from torch import Tensor
from transformers import BertConfig, BertModel

WORDS = "the lungs are clear no effusion right left heart is enlarged nodule in lobe . , ( ) %"
WIDTH = 16
LONGEST = 20
ENTITY_CLASSES = ["", "Observation::present", "Anatomy::present", "Observation::absent"]
RELATION_CLASSES = ["modify", "located_at"]
SPAN, FEATURE, HIDDEN = 3, 5, 12
"""Words in the longest span, numbers that tell its length, width of a head's hidden layers."""


def chexbert_folder(folder: Path, heads: dict[str, Tensor] | None = None) -> Path:
    """
    Args:
        heads: replaces weights of that name, without `module.`.
    """
    bert = _encoder(folder, longest=512)
    state = {f"bert.{name}": tensor for name, tensor in bert.state_dict().items()}
    for number in range(14):
        classes = 2 if number == 13 else 4
        state[f"linear_heads.{number}.weight"] = torch.randn(classes, WIDTH)
        state[f"linear_heads.{number}.bias"] = torch.randn(classes)
    state |= heads or {}
    torch.save(
        {"epoch": 3, "model_state_dict": {f"module.{n}": t for n, t in state.items()}},
        folder / "chexbert.pth",
    )
    return folder


def radgraph_folder(folder: Path, dataset: str = "radgraph-xl", **changed: Tensor) -> Path:
    """
    Args:
        changed: replaces weights: "entities" or "pairs", the bias of that head's last layer.
    """
    bert = _encoder(folder, longest=64)
    head = "_embedder.token_embedder_bert._matched_embedder.transformer_model."
    state = {f"{head}{name}": tensor for name, tensor in bert.state_dict().items()}
    state["_endpoint_span_extractor._span_width_embedding.weight"] = torch.randn(SPAN, FEATURE)
    span = 2 * WIDTH + FEATURE
    ner, related = f"{dataset}__ner_labels", f"{dataset}__relation_labels"
    classes = len(ENTITY_CLASSES) - 1
    state |= _head(f"_ner._ner_scorers.{ner}.0._module.", f"_ner._ner_scorers.{ner}.1._module.",
                   span, classes, changed.get("entities"))  # fmt: skip
    pruner = f"_relation._mention_pruners.{related}._scorer."
    state |= _head(f"{pruner}0._module.", f"{pruner}1._module.", span, 1, None)
    state |= _head(f"_relation._relation_feedforwards.{related}.",
                   f"_relation._relation_scorers.{related}.",
                   3 * span, len(RELATION_CLASSES), changed.get("pairs"))  # fmt: skip
    state["_coref._distance_embedding.weight"] = torch.randn(2, 2)
    torch.save(state, folder / "weights.th")
    (folder / "vocabulary").mkdir()
    for name, labels in ((ner, ENTITY_CLASSES), (related, RELATION_CLASSES)):
        (folder / "vocabulary" / f"{name}.txt").write_text("\n".join(labels) + "\n")
    model = {
        "embedder": {"token_embedders": {"bert": {"model_name": "x/y", "max_length": LONGEST}}},
        "feedforward_params": {"num_layers": 2, "hidden_dims": HIDDEN, "dropout": 0.4},
        "modules": {"coref": {"coref_prop": 0}, "relation": {"spans_per_word": 0.5}},
    }
    (folder / "config.json").write_text(json.dumps({"model": model}))
    return folder


def _head(inner: str, last: str, size: int, out: int, bias: Tensor | None) -> dict[str, Tensor]:
    return {
        f"{inner}_linear_layers.0.weight": torch.randn(HIDDEN, size) * 0.4,
        f"{inner}_linear_layers.0.bias": torch.randn(HIDDEN),
        f"{inner}_linear_layers.1.weight": torch.randn(HIDDEN, HIDDEN) * 0.4,
        f"{inner}_linear_layers.1.bias": torch.randn(HIDDEN),
        f"{last}weight": torch.randn(out, HIDDEN) * 0.4,
        f"{last}bias": torch.randn(out) if bias is None else bias,
    }


def _encoder(folder: Path, longest: int) -> BertModel:
    torch.manual_seed(0)
    encoder = folder / "encoder"
    encoder.mkdir(parents=True)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split(), *letters]
    vocabulary += [f"##{letter}" for letter in letters]
    (encoder / "vocab.txt").write_text("\n".join(vocabulary))
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=longest,
    )
    config.save_pretrained(encoder)
    bert = BertModel(config)
    with torch.no_grad():
        for weight in bert.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
    return bert
