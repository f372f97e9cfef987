"""Learning from the model's own samples: those better than the others of a study become likelier.

Self-critical sequence training (Rennie et al. 2017) with the mean reward of a study's other
samples as the baseline (Luo 2020, A Better Variant of Self-Critical Sequence Training). What is
scored is what a reader gets, not the next token of somebody else's text.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name everyone knows it by)

from model.decoding import DecodingOptions, sample_texts
from model.interface import Tokenizer
from model.loading import AnyNetwork
from model.memory import Memory
from model.report_text.parser import read_findings
from training.config import RewardConfig
from training.report_scores.ngram_scores import Cider, Grams, n_grams
from training.report_scores.normalization import split_punctuation

__all__ = ["SelfCritical"]

SEEDS = 2**31
Named = tuple[str, frozenset[str]]
"""A finding and the sides it is on."""


class SelfCritical:
    """Sampled reports of a batch -> the loss whose gradient makes good ones likelier."""

    def __init__(self, tokenizer: Tokenizer, reports: Sequence[str], config: RewardConfig) -> None:
        """`reports`: of the train split; CIDEr's document frequencies are theirs."""
        self.tokenizer, self.config = tokenizer, config
        self._cider = Cider([_grams(report) for report in reports])
        self.reward = 0.0
        """Mean of the last batch's samples."""

    def __call__(self, model: AnyNetwork, memory: Memory, tokens: Tensor, counts: Tensor) -> Tensor:
        """The loss of a batch, a mean over the samples' tokens.

        Args:
            memory: of the batch, with gradients.
            tokens: the true reports, (batch, 1 + tokens), from bos to eos, padded.
            counts: bool (batch,), False where a study has nothing to learn from.
        """
        pad, bos = model.config.pad_token_id, model.config.bos_token_id
        # Without dropout: the samples then come from the very model whose gradient they steer.
        was_training = model.decoder.training
        model.decoder.eval()
        options = DecodingOptions("sample", seed=int(torch.randint(SEEDS, ())))
        sampled = sample_texts(model, memory, self.config.samples, options, independent=True)
        advantage = self._advantages(tokens, sampled).to(tokens.device) * counts[:, None]
        longest = max(len(sample) for of_study in sampled for sample in of_study)
        labels = tokens.new_full((len(sampled) * self.config.samples, longest), pad)
        for row, sample in enumerate(sample for of_study in sampled for sample in of_study):
            labels[row, : len(sample)] = labels.new_tensor(sample)
        given = F.pad(labels[:, :-1], (1, 0), value=bos)
        logits, _ = model.teacher_forced(memory, given, None)
        model.decoder.train(was_training)
        chosen = F.cross_entropy(
            logits.flatten(0, 1).float(), labels.flatten(), ignore_index=pad, reduction="none"
        )
        weighted = chosen.view_as(labels) * advantage.flatten()[:, None]
        return weighted.sum() / (labels != pad).sum()

    def _advantages(self, tokens: Tensor, sampled: Sequence[Sequence[list[int]]]) -> Tensor:
        """float32 (batch, samples): each one's reward minus the mean of its study's others."""
        rewards = np.array(
            [
                self.rewards(self.tokenizer.decode(report), list(map(self.tokenizer.decode, texts)))
                for report, texts in zip(tokens.tolist(), sampled, strict=True)
            ]
        )
        self.reward = float(rewards.mean())
        others = (rewards.sum(axis=1, keepdims=True) - rewards) / (self.config.samples - 1)
        return torch.from_numpy(rewards - others).float()

    def rewards(self, report: str, texts: Sequence[str]) -> list[float]:
        """What each text is worth as a report of this study, from 0 to the sum of the weights."""
        truth, grams = _named(report), _grams(report)
        alike = self._cider([_grams(text) for text in texts], [grams] * len(texts)) / 10
        return [
            self.config.cider * float(close) + self.config.findings * _f1(_named(text), truth)
            for text, close in zip(texts, alike, strict=True)
        ]


def _grams(text: str) -> list[Grams]:
    return n_grams(split_punctuation(text).split())


def _named(text: str) -> set[Named]:
    return {(finding.name, finding.sides) for finding in read_findings(text)}


def _f1(called: set[Named], truth: set[Named]) -> float:
    """1 where both are empty: a normal study called normal."""
    if not called and not truth:
        return 1.0
    return 2 * len(called & truth) / (len(called) + len(truth))
