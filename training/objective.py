"""What a batch is learnt from: the model, the head that teaches its encoder, and their losses."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from data_prep.manifest import FINDINGS
from model.errors import ConfigError
from model.network import ReportModel
from training.config import TrainConfig
from training.dataset.batches import Batch
from training.losses import (
    DenseHead,
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

LOSSES = ("tokens", "guidance", "search", "sink", "unlikelihood", "reward", "dense", "presence")


WRITING = ("tokens", "guidance", "search", "sink", "unlikelihood")
"""Those that need the decoder; "reward" does too, and has a critic."""


class Objective(nn.Module):
    """A batch -> its losses. One module, so that processes can share its gradients."""

    def __init__(
        self,
        model: ReportModel,
        config: TrainConfig,
        complete: bool,
        critic: SelfCritical | None = None,
    ) -> None:
        """
        Args:
            complete: what has no box is not there, see docs/how-to/training.md.
            critic: of sampled reports, where losses.reward is above 0.
        """
        super().__init__()
        self.model = model
        self.head = DenseHead(model.encoder.width, len(FINDINGS))
        self.config, self.complete, self.critic = config, complete, critic

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
        output = self.model(
            decoder_input_ids=batch.tokens[:, :-1],
            encoder_outputs=memory,
            output_attentions=weights.guidance > 0 or weights.sink > 0 or weights.search > 0,
        )
        labels = batch.tokens[:, 1:]
        hidden, untold = (each & ~image_dropout[:, None] for each in batch.unsayable())
        told = labels.masked_fill(untold, pad)
        learnt = token_loss(output.logits, told, pad, weights.label_smoothing)
        losses["tokens"] = weights.tokens * learnt
        if weights.unlikelihood and self.config.drop.finding:
            unlikelihood = unlikelihood_loss(output.logits, labels, hidden)
            losses["unlikelihood"] = weights.unlikelihood * unlikelihood
        if self.critic is not None:
            # A study with something hidden would be paid for guessing it.
            whole = ~image_dropout & (batch.hidden == 0).all(dim=1)
            learnt = self.critic(self.model, memory, batch.tokens, whole)
            losses["reward"] = weights.reward * learnt
        return losses | self._looks(batch, output.cross_attentions or (), image_dropout)

    def _seen(self, batch: Batch, patches: Tensor, there: Tensor) -> dict[str, Tensor]:
        """Losses of the head on the encoder."""
        weights, losses = self.config.losses, {}
        if weights.dense or weights.presence:
            seen = self.head(patches)
            if weights.dense and self.complete:
                targets = dense_targets(batch.coverage, batch.kinds, len(FINDINGS))
                losses["dense"] = weights.dense * dense_loss(seen, targets, there)
            if weights.presence:
                losses["presence"] = weights.presence * presence_loss(seen, batch.present, there)
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
            if weights.sink and self.complete:
                spoken = batch.tokens[:, 1:] != self.model.config.pad_token_id
                free = spoken & ~batch.mentions.any(-1) & ~image_dropout[:, None]
                losses["sink"] = weights.sink * sink_loss(late, free)
        if weights.search:
            early = searching(attentions)
            assert early is not None  # TrainConfig has seen to it
            about = mentions + batch.leads * ~image_dropout[:, None, None]
            losses["search"] = weights.search * guidance_loss(early, about, area)
        return losses
