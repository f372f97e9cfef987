"""How well a model under training does on unseen studies, with teacher forcing.

Quick numbers to steer by; training/evaluation/evaluate.py has the ones to report.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data_prep.manifest import FINDINGS
from model.loading import AnyNetwork
from model.memory import Memory
from model.torch_network import Network
from training.dataset.batches import Batch, Batches
from training.losses import DenseHead, guided, pooled, searching, token_loss

__all__ = ["pointing", "validate"]


@torch.no_grad()
def validate(
    model: AnyNetwork, head: DenseHead, batches: Batches, device: torch.device
) -> dict[str, float]:
    """Scores over all studies of the split, in order, not augmented.

    Returns:
        "loss": mean cross-entropy a token. "dependence": by how much it rises where each study is
        given the images of another one of its batch: how much the words depend on them; missing
        where all batches are of one study. "pointing": share of finding words whose map is
        largest on a patch the finding covers. "sink": share of attention that the other words
        leave on the sink. "search": as "pointing", of the words that lead up to a finding, in the
        first layers. "precision" and "auc": mean over findings of the dense head's average
        precision and area under the curve; "precision/<finding>" each.
        What the split cannot tell (a finding that never occurs) is left out.
    """
    was_training = model.training
    model.eval()
    sums: Counter[str] = Counter()
    scores, truth = [], []
    for batch in _in_order(batches):
        batch = batch.to(device)
        memory = batch.read_by(model)
        sums.update(_tokens_of(model, batch, memory, batches.split.pad))
        seen = head(memory.last_hidden_state[:, model.prefix :])
        scores.append(pooled(seen, memory.patch_mask[:, model.prefix :]).cpu())
        # Not a number where it is not known.
        truth.append(batch.present.where(batch.known > 0, torch.nan).cpu())
    model.train(was_training)
    shares = {
        name: sums[name] / sums[f"of {name}"]
        for name in ("loss", "sink", "dependence", "pointing", "search")
        if sums[f"of {name}"]
    }
    return shares | _presence(torch.cat(scores).numpy(), torch.cat(truth).numpy())


def _tokens_of(model: Network, batch: Batch, memory: Memory, pad: int) -> dict[str, float]:
    """What a batch adds to each number of `validate`, and "of" it: over how many cases."""
    logits, attentions = model.teacher_forced(memory, batch.tokens[:, :-1], 0)
    labels = batch.tokens[:, 1:]
    count = int((labels != pad).sum())
    own = float(token_loss(logits, labels, pad, 0.0))
    attention = guided(attentions, model.prefix)
    free = (labels != pad) & ~batch.mentions.any(-1)
    sums: dict[str, float] = {
        "loss": count * own,
        "of loss": count,
        "sink": float(attention[..., 0][free].sum()),
        "of sink": int(free.sum()),
    }
    sums["pointing"], sums["of pointing"] = pointing(attention, batch.mentions, batch.coverage)
    early = searching(attentions, model.prefix)
    if early is not None:
        sums["search"], sums["of search"] = pointing(early, batch.leads, batch.coverage)
    if len(labels) > 1:
        other, _ = model.teacher_forced(_swapped(memory), batch.tokens[:, :-1], None)
        wrong = float(token_loss(other, labels, pad, 0.0))
        sums["dependence"], sums["of dependence"] = count * (wrong - own), count
    return sums


def _swapped(memory: Memory) -> Memory:
    """Each study with the images of the one before it; its indication stays its own."""
    images = {name: value.roll(1, dims=0) for name, value in memory.items() if name != "prompt"}
    return Memory(**images, prompt=memory.prompt)


def _in_order(batches: Batches) -> Iterator[Batch]:
    studies = len(batches.split)
    for start in range(0, studies, batches.batch):
        yield batches.make(range(start, min(start + batches.batch, studies)), step=0)


def pointing(attention: Tensor, mentions: Tensor, coverage: Tensor) -> tuple[int, int]:
    """(tokens whose map is largest on a patch of their finding, tokens that speak of one).

    Args:
        attention: (batch, tokens, 1 + patches), the sink first.
        mentions: float (batch, tokens, findings); coverage: (batch, findings, patches).
    """
    union = mentions @ coverage
    spoken = union.amax(-1) > 0
    largest = attention[..., 1:].argmax(-1, keepdim=True)
    hit = union.gather(-1, largest).squeeze(-1) > 0
    return int(hit[spoken].sum()), int(spoken.sum())


def _presence(scores: NDArray[np.float32], truth: NDArray[np.float32]) -> dict[str, float]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    precisions, areas = {}, []
    for k, name in enumerate(FINDINGS):
        known = ~np.isnan(truth[:, k])
        present, of_known = truth[known, k] > 0, scores[known, k]
        if present.any() and not present.all():
            precisions[f"precision/{name}"] = average_precision_score(present, of_known)
            areas.append(roc_auc_score(present, of_known))
    if not areas:
        return {}
    mean = float(np.mean(list(precisions.values())))
    return {"precision": mean, "auc": float(np.mean(areas)), **precisions}
