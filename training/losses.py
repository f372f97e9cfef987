"""The losses: of the tokens, of the attention maps, and of what the encoder sees.

Alignment, the trap of this file: `labels[t]` is the token that row t of logits and of attention
chose. So the findings a label names are compared with the attention of the same row t, whose input
is the token before it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name everyone knows it by)

from model.torch_network import SKIPPED_SHARE

__all__ = [
    "DenseHead",
    "answer_loss",
    "answer_odds",
    "attention_targets",
    "containment_loss",
    "dense_loss",
    "dense_targets",
    "guidance_loss",
    "guided",
    "inside",
    "pooled",
    "presence_loss",
    "searching",
    "sink_loss",
    "token_loss",
    "unlikelihood_loss",
]

SPARSE = -6.0
"""Where the dense head starts: findings are rare on any one patch, as log-odds."""
AREA = 0.08
"""Share of the patches that a finding counts as, however many it covers: a nodule is worth a whole
lung."""
AROUND = 0.5
"""Weight of the rectangle around a finding beside the finding itself."""


def token_loss(logits: Tensor, labels: Tensor, pad: int, label_smoothing: float) -> Tensor:
    """Mean cross-entropy of labels (batch, tokens) under logits (batch, tokens, vocabulary).

    0 where there are none: studies of which no report is known.
    """
    total = F.cross_entropy(
        logits.flatten(0, 1).float(),
        labels.flatten(),
        ignore_index=pad,
        label_smoothing=label_smoothing,
        reduction="sum",
    )
    return total / (labels != pad).sum().clamp(min=1)


def unlikelihood_loss(logits: Tensor, labels: Tensor, occluded: Tensor) -> Tensor:
    """Minus the log of the probability that an occluded phrase is not written, their mean.

    Unlikelihood (Welleck et al. 2020) of whole phrases: of "left upper rib fracture" one improbable
    word is enough, and the words that follow from those before it are left alone.

    Args:
        logits: (batch, tokens, vocabulary).
        labels: (batch, tokens).
        occluded: bool (batch, tokens), True where the label names what is not visible. Those
            next to each other are one phrase.
    """
    if not occluded.any():
        return logits.new_zeros((), dtype=torch.float32)
    log_probability = -F.cross_entropy(
        logits.flatten(0, 1).float(), labels.flatten(), reduction="none"
    )
    log_probability = log_probability.view_as(labels) * occluded
    begins = occluded.clone()
    begins[:, 1:] &= ~occluded[:, :-1]
    # Phrases are numbered through the batch, and all that is no phrase goes to number 0.
    numbers = begins.flatten().cumsum(0) * occluded.flatten()
    phrases = log_probability.new_zeros(int(numbers.max()) + 1).scatter_add(
        0, numbers, log_probability.flatten()
    )[1:]
    return -torch.log1p(-phrases.clamp(max=-1e-4).exp()).mean()


def inside(coverage: Tensor) -> Tensor:
    """Share of each patch a finding covers (..., patches) -> how much it counts as inside, 0 to 1.

    Relative to the finding's fullest patch: a line is inside the patches it crosses although it
    covers a tenth of them. Patches half as full as the fullest count wholly. All 0 stays all 0.
    """
    fullest = coverage.amax(-1, keepdim=True)
    return (2 * coverage / fullest.clamp(min=1e-6)).clamp(max=1)


def attention_targets(coverage: Tensor, grid: tuple[int, int]) -> Tensor:
    """Where attention should lie for each finding: (batch, findings, patches), at most 1 + AROUND.

    Args:
        coverage: (batch, findings, patches), of all the study's images.
        grid: (rows, columns) of patches on one image.

    The finding itself, and less strongly the rectangle around it: that is what an annotated box
    holds, and what maps are evaluated against where no outline is known (a line crosses its box
    from corner to corner and fills a third of it).
    """
    shape = inside(coverage).unflatten(-1, (-1, *grid))
    rectangle = shape.amax(-1, keepdim=True) * shape.amax(-2, keepdim=True)
    result: Tensor = (shape + AROUND * rectangle).flatten(-3)
    return result


def guided(attentions: Sequence[Tensor], prefix: int = 1) -> Tensor:
    """The model's cross_attentions -> the mean of the late layers and their heads.

    As heatmaps are made: guiding other layers would not move what is shown.

    Args:
        prefix: Network.prefix, positions that lie on no image; together they are the sink.

    Returns:
        float32 (batch, tokens, 1 + patches), the sink first; each row sums to 1.
    """
    return _mean(attentions[_first_shown(attentions) :], prefix)


def searching(attentions: Sequence[Tensor], prefix: int = 1) -> Tensor | None:
    """The same of the first layers, which no heatmap shows.

    What they see decides which finding is named next, before a word names it; the late layers
    then attend to the sink. None where the decoder has fewer than three layers.
    """
    first = _first_shown(attentions)
    return _mean(attentions[:first], prefix) if first else None


def _first_shown(attentions: Sequence[Tensor]) -> int:
    return int(len(attentions) * SKIPPED_SHARE)


def _mean(attentions: Sequence[Tensor], prefix: int) -> Tensor:
    # Heads first: these tensors are the largest of all, and a stack of them would copy each.
    mean = torch.stack([layer.float().mean(dim=1) for layer in attentions]).mean(dim=0)
    if prefix == 1:
        return mean
    return torch.cat((mean[..., :prefix].sum(-1, keepdim=True), mean[..., prefix:]), dim=-1)


def guidance_loss(attention: Tensor, mentions: Tensor, area: Tensor) -> Tensor:
    """How far each finding token's heatmap is from the findings it names.

    The Kullback-Leibler divergence of the heatmap from the findings' area, spread over patches as
    they cover them: not only must the mass fall inside, it must cover what is there, and a lesion
    that lies across two patches draws mass to both, so that the map's center is the lesion's.

    Args:
        attention: `guided` or `searching`. What falls on the sink is missing from the area.
        mentions: float (batch, tokens, findings), 1 where labels[t] names the finding.
        area: (batch, findings, patches), see `attention_targets`.

    Returns:
        Scalar, the mean over tokens that name a finding still in the image; 0 if none does.
    """
    targets = mentions @ area  # (batch, tokens, patches)
    total = targets.sum(-1, keepdim=True)
    named = total[..., 0] > 0
    if not named.any():
        return attention.new_zeros(())
    target = (targets / total.clamp(min=1e-8))[named]
    heatmaps = attention[named][:, 1:]
    return F.kl_div(heatmaps.clamp(min=1e-8).log(), target, reduction="batchmean")


def containment_loss(attention: Tensor, mentions: Tensor, region: Tensor) -> Tensor:
    """How much of a weakly localized finding's heatmap lies outside the region that holds it.

    Minus the log of the share inside: where in it the attention goes is left to the other losses.

    Args:
        attention: `guided`. What falls on the sink counts as outside.
        mentions: float (batch, tokens, findings), 1 where labels[t] names such a finding.
        region: (batch, findings, patches) in [0, 1], see `inside`.

    Returns:
        Scalar, the mean over tokens that name such a finding; 0 if none does.
    """
    regions = (mentions @ region).clamp(max=1)
    named = regions.amax(-1) > 0
    if not named.any():
        return attention.new_zeros(())
    share = (attention[..., 1:][named] * regions[named]).sum(-1)
    return -share.clamp(min=1e-8).log().mean()


def sink_loss(attention: Tensor, free: Tensor) -> Tensor:
    """How much the tokens that name no finding attend to the image rather than to the sink.

    Minus the log of the sink's share. Only the guided layers count: the first ones attend to
    what they need to decide what to write.

    Args:
        attention: `guided`.
        free: bool (batch, tokens), True where labels[t] names no finding and is no padding.
    """
    if not free.any():
        return attention.new_zeros(())
    share = attention[..., 0][free]
    return -share.clamp(min=1e-8).log().mean()


class DenseHead(nn.Module):
    """Which findings lie on each patch, one linear layer on the encoder. Discarded after training.

    The text says little about an image in many words; this teaches the encoder directly, so
    that it learns from a few thousand images.
    """

    def __init__(self, width: int, findings: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, findings)
        nn.init.constant_(self.linear.bias, SPARSE)

    def forward(self, patches: Tensor) -> Tensor:
        """(batch, patches, width) -> log-odds (batch, patches, findings)."""
        result: Tensor = self.linear(self.norm(patches)).float()
        return result


def dense_targets(coverage: Tensor, names: Tensor, count: int) -> Tensor:
    """Findings of a study -> one map per kind of finding.

    Args:
        coverage: (batch, findings, patches).
        names: int64 (batch, findings), which kind each is; -1 where a study has fewer.
        count: kinds of finding.

    Returns:
        (batch, patches, count) in [0, 1]; of two findings of a kind the larger.
    """
    batch, _, patches = coverage.shape
    maps = coverage.new_zeros(batch, count + 1, patches)
    index = names.where(names >= 0, count)[:, :, None].expand(-1, -1, patches)
    maps.scatter_reduce_(1, index, inside(coverage), "amax")
    return maps[:, :count].transpose(1, 2)


def dense_loss(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy of (batch, patches, findings), each finding's positives as of one size.

    The mean over patches of the sum over findings: a nodule is one patch in two thousand, and a
    mean over all of them would be lost beside the tokens.

    Args:
        mask: bool (batch, patches), False for those of images that a study does not have.
    """
    count = mask.sum(1)[:, None, None]
    weight = AREA * count / targets.sum(1, keepdim=True).clamp(min=1)
    losses = F.binary_cross_entropy_with_logits(
        logits, targets, pos_weight=weight, reduction="none"
    )
    return losses.sum(-1)[mask].mean()


def pooled(logits: Tensor, mask: Tensor) -> Tensor:
    """Log-odds of the patches of present images, softly their largest: (batch, findings)."""
    return logits.masked_fill(~mask[:, :, None], -torch.inf).logsumexp(1)


def presence_loss(logits: Tensor, present: Tensor, known: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy of what a study has, from its patches' log-odds pooled softly.

    Args:
        logits: (batch, patches, findings).
        present: float (batch, findings).
        known: float (batch, findings), 0 where nothing is learned.
        mask: as for `dense_loss`.
    """
    losses = F.binary_cross_entropy_with_logits(pooled(logits, mask), present, reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)


def answer_odds(logits: Tensor, ends: Tensor, answers: Tensor) -> Tensor:
    """Log-odds of "present" against "none".

    Args:
        logits: (studies x questions, tokens, vocabulary), the questions of a study together.
        ends: int64 (studies, questions), the position of each question's last token.
        answers: int64 (studies, questions, 2), the tokens that begin the answers.

    Returns:
        float32 (studies, questions).
    """
    rows = torch.arange(len(logits), device=logits.device)
    last = logits[rows, ends.flatten()].float()
    none, present = last.gather(1, answers.flatten(0, 1)).unbind(1)
    return (present - none).view_as(ends)


def answer_loss(odds: Tensor, answers: Tensor) -> Tensor:
    """Binary cross-entropy of the answers to questions (model/questions.py).

    Args:
        odds: float (batch, questions), log-odds of "present".
        answers: float (batch, questions), 1 present, 0 absent, -1 where nothing is asked.
    """
    asked = answers >= 0
    if not asked.any():
        return odds.new_zeros(())
    return F.binary_cross_entropy_with_logits(odds[asked], answers[asked])
