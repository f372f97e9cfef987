"""What a batch is learnt from: the model, the head that teaches its encoder, and their losses."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from data_prep.manifest import FINDINGS
from model.errors import ConfigError
from model.memory import Memory
from model.network import ReportModel
from model.questions import answer_odds
from training.config import TrainConfig
from training.dataset.batches import Batch
from training.losses import (
    DenseHead,
    answer_loss,
    dense_loss,
    dense_targets,
    guidance_loss,
    guided,
    looked_for,
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
        model: ReportModel,
        config: TrainConfig,
        critic: SelfCritical | None = None,
    ) -> None:
        """
        Args:
            critic: of sampled reports, where losses.reward is above 0.
        """
        super().__init__()
        self.model = model
        self.head = DenseHead(model.encoder.width, len(FINDINGS))
        self.config, self.critic = config, critic

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Each loss times its weight; those turned off are not computed."""
        weights, pad = self.config.losses, self.model.config.pad_token_id
        memory = batch.read_by(self.model)
        losses = self._seen(batch, memory.last_hidden_state[:, 1:], memory.patch_mask[:, 1:])
        if self.critic is None and not any(getattr(weights, name) for name in WRITING):
            if not losses:
                raise ConfigError("every weight in [losses] is 0: nothing would be learnt")
            return losses  # the encoder alone is taught
        image_dropout = (
            torch.rand(len(batch.tokens), device=batch.tokens.device) < self.config.image_dropout
        )
        # Anew: the losses above keep the mask that they have read.
        memory.patch_mask = memory.patch_mask.clone()
        memory.patch_mask[image_dropout, 1:] = False
        written = [
            self._written(batch.studies(rows, pad), memory.studies(rows), image_dropout[rows])
            for rows in batch.alike()
        ]
        names = {name for of_some in written for name in of_some}
        for name in sorted(names):
            of_name = [of_some[name] for of_some in written if name in of_some]
            losses[name] = torch.stack(of_name).mean()
        return losses

    def _written(self, batch: Batch, memory: Memory, image_dropout: Tensor) -> dict[str, Tensor]:
        """Losses of the decoder, on studies that are told of in the same way."""
        weights, pad = self.config.losses, self.model.config.pad_token_id
        boxes = bool(batch.complete.any() or (batch.kinds >= 0).any())
        output = self.model(
            decoder_input_ids=batch.tokens[:, :-1],
            encoder_outputs=memory,
            output_attentions=boxes
            and (weights.guidance > 0 or weights.sink > 0 or weights.search > 0),
        )
        labels = batch.tokens[:, 1:]
        hidden, untold = (each & ~image_dropout[:, None] for each in batch.unsayable())
        told = labels.masked_fill(untold, pad)
        learnt = token_loss(output.logits, told, pad, weights.label_smoothing)
        losses = {"tokens": weights.tokens * learnt}
        if weights.unlikelihood and self.config.drop.finding:
            unlikelihood = unlikelihood_loss(output.logits, labels, hidden)
            losses["unlikelihood"] = weights.unlikelihood * unlikelihood
        if self.critic is not None:
            # A study with something hidden would be paid for guessing it.
            whole = ~image_dropout & (batch.hidden == 0).all(dim=1)
            learnt = self.critic(self.model, memory, batch.tokens, whole)
            losses["reward"] = weights.reward * learnt
        if output.cross_attentions:
            losses |= self._looks(batch, output.cross_attentions, image_dropout)
        if weights.answers:
            losses |= self._answers(batch, memory, image_dropout, boxes)
        return losses

    def _answers(
        self, batch: Batch, memory: Memory, image_dropout: Tensor, boxes: bool
    ) -> dict[str, Tensor]:
        """Losses of the answers to questions, and of where the decoder looks for them."""
        weights = self.config.losses
        count = batch.questions.shape[1]
        output = self.model(
            decoder_input_ids=batch.questions.flatten(0, 1),
            encoder_outputs=memory,
            output_attentions=boxes and weights.guidance > 0,
        )
        odds = answer_odds(output.logits, batch.question_ends, batch.answer_tokens)
        losses = {"answers": weights.answers * answer_loss(odds, batch.answers)}
        if output.cross_attentions:
            late = guided(output.cross_attentions).unflatten(0, (-1, count))
            ends = batch.question_ends[:, :, None, None].expand(-1, -1, -1, late.shape[-1])
            about = batch.question_findings * ~image_dropout[:, None, None]
            area = looked_for(batch.coverage, self.model.grid)
            looks = guidance_loss(late.gather(2, ends)[:, :, 0], about, area)
            losses["answer_guidance"] = weights.answers * weights.guidance * looks
        return losses

    def _seen(self, batch: Batch, patches: Tensor, there: Tensor) -> dict[str, Tensor]:
        """Losses of the head on the encoder."""
        weights, losses = self.config.losses, {}
        if weights.dense or weights.presence:
            seen = self.head(patches)
            if weights.dense and batch.complete.any():
                targets = dense_targets(batch.coverage, batch.kinds, len(FINDINGS))
                boxed = there & batch.complete[:, None]
                losses["dense"] = weights.dense * dense_loss(seen, targets, boxed)
            if weights.presence:
                learnt = presence_loss(seen, batch.present, batch.known, there)
                losses["presence"] = weights.presence * learnt
        return losses

    def _looks(
        self, batch: Batch, attentions: Sequence[Tensor], image_dropout: Tensor
    ) -> dict[str, Tensor]:
        """Losses of where the decoder looks; a study that is read image_dropout has none."""
        weights, losses = self.config.losses, {}
        mentions = batch.mentions * ~image_dropout[:, None, None]
        area = looked_for(batch.coverage, self.model.grid)
        if weights.guidance or weights.sink:
            late = guided(attentions)
            if weights.guidance:
                losses["guidance"] = weights.guidance * guidance_loss(late, mentions, area)
            if weights.sink and batch.complete.any():
                spoken = batch.tokens[:, 1:] != self.model.config.pad_token_id
                seen = batch.complete & ~image_dropout
                free = spoken & ~batch.mentions.any(-1) & seen[:, None]
                losses["sink"] = weights.sink * sink_loss(late, free)
        if weights.search:
            early = searching(attentions)
            assert early is not None  # TrainConfig has seen to it
            about = mentions + batch.leads * ~image_dropout[:, None, None]
            losses["search"] = weights.search * guidance_loss(early, about, area)
        return losses
