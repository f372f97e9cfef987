"""What is learned from a batch: the model, the head that teaches its encoder, and their losses."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from data_prep.manifest import FINDINGS
from model.errors import ConfigError
from model.loading import AnyNetwork
from model.memory import Memory
from training.config import TrainConfig
from training.dataset.batches import Batch
from training.losses import (
    DenseHead,
    answer_loss,
    answer_odds,
    attention_targets,
    containment_loss,
    dense_loss,
    dense_targets,
    guidance_loss,
    guided,
    inside,
    presence_loss,
    searching,
    sink_loss,
    token_loss,
    unlikelihood_loss,
)
from training.self_critical import SelfCritical

__all__ = ["LOSSES", "Objective"]

LOSSES = (
    "tokens",
    "answers",
    "answer_guidance",
    "guidance",
    "search",
    "sink",
    "unlikelihood",
    "reward",
    "dense",
    "presence",
)
WRITING = ("tokens", "answers", "guidance", "search", "sink", "unlikelihood")
"""Those that need the decoder; "reward" does too, and has a critic."""


class Objective(nn.Module):
    """A batch -> its losses. One module, so that processes can share its gradients."""

    def __init__(
        self,
        model: AnyNetwork,
        config: TrainConfig,
        critic: SelfCritical | None = None,
    ) -> None:
        """
        Args:
            critic: of sampled reports, where losses.reward is above 0.
        """
        super().__init__()
        self.model = model
        self.head = DenseHead(model.features, len(FINDINGS))
        self.config, self.critic = config, critic

    def train(self, mode: bool = True) -> "Objective":
        """A frozen encoder stays as it is used: no dropout, and batch norm learns nothing."""
        super().train(mode)
        if not self.config.optimizer.rates.encoder:
            self.model.encoder.eval()
        return self

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Each loss times its weight; those turned off are not computed."""
        weights, pad = self.config.losses, self.model.config.pad_token_id
        memory = batch.read_by(self.model)
        prefix = self.model.prefix
        patches, mask = memory.last_hidden_state[:, prefix:], memory.patch_mask[:, prefix:]
        losses = self._encoder_losses(batch, patches, mask)
        if self.critic is None and not any(getattr(weights, name) for name in WRITING):
            if not losses:
                raise ConfigError("every weight in [losses] is 0: nothing would be learned")
            return losses  # the encoder alone is taught
        image_dropout = (
            torch.rand(len(batch.tokens), device=batch.tokens.device) < self.config.image_dropout
        )
        memory = self.model.drop_images(memory, image_dropout)
        written = [
            self._decoder_losses(
                batch.studies(rows, pad), memory.studies(rows), image_dropout[rows]
            )
            for rows in batch.by_completeness()
        ]
        for name in sorted({name for part in written for name in part}):
            losses[name] = torch.stack([part[name] for part in written if name in part]).mean()
        return losses

    def _decoder_losses(
        self, batch: Batch, memory: Memory, image_dropout: Tensor
    ) -> dict[str, Tensor]:
        """Of studies whose reports are written in the same way."""
        weights, pad = self.config.losses, self.model.config.pad_token_id
        boxes = bool(batch.complete.any() or (batch.kinds >= 0).any())
        wanted = boxes and (weights.guidance > 0 or weights.sink > 0 or weights.search > 0)
        logits, attentions = self.model.teacher_forced(
            memory, batch.tokens[:, :-1], 0 if wanted else None
        )
        labels = batch.tokens[:, 1:]
        occluded, skipped = (each & ~image_dropout[:, None] for each in batch.not_to_learn())
        learned = labels.masked_fill(skipped, pad)
        cross_entropy = token_loss(logits, learned, pad, weights.label_smoothing)
        losses = {"tokens": weights.tokens * cross_entropy}
        if weights.unlikelihood and self.config.drop.finding:
            unlikelihood = unlikelihood_loss(logits, labels, occluded)
            losses["unlikelihood"] = weights.unlikelihood * unlikelihood
        if self.critic is not None:
            # A study with something occluded would be rewarded for guessing it.
            whole = ~image_dropout & (batch.occluded == 0).all(dim=1)
            critical = self.critic(self.model, memory, batch.tokens, whole)
            losses["reward"] = weights.reward * critical
        if attentions:
            losses |= self._attention_losses(batch, attentions, image_dropout)
        if weights.answers:
            losses |= self._answer_losses(batch, memory, image_dropout, boxes)
        return losses

    def _answer_losses(
        self, batch: Batch, memory: Memory, image_dropout: Tensor, boxes: bool
    ) -> dict[str, Tensor]:
        """Losses of the answers to questions, and of the attention they are given with."""
        weights = self.config.losses
        count = batch.questions.shape[1]
        logits, attentions = self.model.teacher_forced(
            memory, batch.questions.flatten(0, 1), 0 if boxes and weights.guidance > 0 else None
        )
        odds = answer_odds(logits, batch.question_ends, batch.answer_tokens)
        losses = {"answers": weights.answers * answer_loss(odds, batch.answers)}
        if attentions:
            late = guided(attentions, self.model.prefix).unflatten(0, (-1, count))
            ends = batch.question_ends[:, :, None, None].expand(-1, -1, -1, late.shape[-1])
            about = batch.question_findings * ~image_dropout[:, None, None]
            guidance = self._guidance(batch, late.gather(2, ends)[:, :, 0], about)
            losses["answer_guidance"] = weights.answers * guidance
        return losses

    def _encoder_losses(self, batch: Batch, patches: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Losses of the head on the encoder."""
        weights, losses = self.config.losses, {}
        if weights.dense or weights.presence:
            logits = self.head(patches)
            if weights.dense and batch.complete.any():
                targets = dense_targets(batch.coverage, batch.kinds, len(FINDINGS))
                boxed = mask & batch.complete[:, None]
                losses["dense"] = weights.dense * dense_loss(logits, targets, boxed)
            if weights.presence:
                presence = presence_loss(logits, batch.present, batch.known, mask)
                losses["presence"] = weights.presence * presence
        return losses

    def _attention_losses(
        self, batch: Batch, attentions: Sequence[Tensor], image_dropout: Tensor
    ) -> dict[str, Tensor]:
        """Losses of the attention maps; a study that is read without the image has none."""
        weights, losses = self.config.losses, {}
        mentions = batch.mentions * ~image_dropout[:, None, None]
        if weights.guidance or weights.sink:
            late = guided(attentions, self.model.prefix)
            if weights.guidance:
                losses["guidance"] = self._guidance(batch, late, mentions)
            if weights.sink and batch.complete.any():
                written = batch.tokens[:, 1:] != self.model.config.pad_token_id
                seen = batch.complete & ~image_dropout
                free = written & ~batch.mentions.any(-1) & seen[:, None]
                losses["sink"] = weights.sink * sink_loss(late, free)
        if weights.search:
            early = searching(attentions, self.model.prefix)
            assert early is not None  # set_up requires three layers
            about = mentions + batch.leads * ~image_dropout[:, None, None]
            about = about * (1 - batch.weak)[:, None]
            area = attention_targets(batch.coverage, self.model.grid)
            losses["search"] = weights.search * guidance_loss(early, about, area)
        return losses

    def _guidance(self, batch: Batch, attention: Tensor, mentions: Tensor) -> Tensor:
        """To the finding where its place is known, into the region that holds it where not."""
        weak = batch.weak[:, None]
        area = attention_targets(batch.coverage, self.model.grid)
        placed = guidance_loss(attention, mentions * (1 - weak), area)
        if not batch.weak.any():
            return self.config.losses.guidance * placed
        contained = containment_loss(attention, mentions * weak, inside(batch.coverage))
        return self.config.losses.guidance * (placed + contained)
