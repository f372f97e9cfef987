"""CheXbert (Smit et al. 2020): CheXpert's 14 observations read by a network, where it is at hand.

Its weights may not be passed on. A folder with the authors' `chexbert.pth`, see
training/report_scores/bert_folder.py, is read; the encoder is `bert-base-uncased`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from model.errors import DataError
from training.corpus_scores import Measure
from training.files import sha256_of
from training.report_scores.bert_folder import encoder_of, fill, tensors
from training.report_scores.observations import NO_FINDING, OBSERVATIONS, f1_measures

__all__ = ["CheXbert"]

FILE = "chexbert.pth"
ENCODER = "bert-base-uncased"
HEADS = (
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
    NO_FINDING,
)
"""In the order of its heads."""
POSITIVE = (1, 3)
"""Present and uncertain, of blank, present, absent, uncertain: as F1 of this field counts. No
Finding has the first two only."""
LONGEST = 512
BATCH = 16


class _Network(nn.Module):
    def __init__(self, bert: Any) -> None:
        super().__init__()
        self.bert = bert
        width = int(bert.config.hidden_size)
        self.linear_heads = nn.ModuleList(
            nn.Linear(width, 2 if name == NO_FINDING else 4) for name in HEADS
        )

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(reports, tokens) -> (reports, HEADS): the likeliest class of each."""
        first = self.bert(tokens, attention_mask=mask).last_hidden_state[:, 0]
        return torch.stack([head(first).argmax(dim=1) for head in self.linear_heads], dim=1)


class CheXbert:
    """Reads observations in reports. What was read once is kept."""

    def __init__(self, network: _Network, tokenizer: Any, identity: str) -> None:
        self.identity = identity
        """Whose scores these are."""
        self._network = network
        self._tokenizer = tokenizer
        self._read: dict[str, np.ndarray] = {}

    @classmethod
    def load(cls, folder: Path) -> "CheXbert":
        """
        Raises:
            DataError: the folder lacks a file, or the weights are of another network.
        """
        path = folder / FILE
        content = tensors(path)
        tokenizer, bert = encoder_of(folder, ENCODER)
        state = content.get("model_state_dict")
        if not isinstance(state, dict):
            raise DataError(f"{str(path)!r} has no model_state_dict: it is not CheXbert's")
        weights = {str(name).removeprefix("module."): tensor for name, tensor in state.items()}
        network = _Network(bert)
        fill(network, weights, path, spare=("bert.embeddings.position_ids",))
        return cls(network, tokenizer, f"CheXbert, weights {sha256_of(path)}")

    @torch.inference_mode()
    def positives(self, reports: Sequence[str]) -> np.ndarray:
        """bool (reports, OBSERVATIONS): present or uncertain."""
        new = sorted({text for text in reports if text not in self._read}, key=len)
        for first in tqdm(range(0, len(new), BATCH), desc="CheXbert", disable=len(new) < BATCH):
            texts = new[first : first + BATCH]
            batch = self._tokenizer(
                [" ".join(text.split()) for text in texts],
                truncation=True,
                max_length=LONGEST,
                padding=True,
                return_tensors="pt",
            )
            classes = self._network(batch["input_ids"], batch["attention_mask"]).numpy()
            self._read.update(zip(texts, np.isin(classes, POSITIVE), strict=True))
        columns = [HEADS.index(name) for name in OBSERVATIONS]
        return np.array([self._read[text][columns] for text in reports])

    def measures(self, generated: Sequence[str], references: Sequence[str]) -> list[Measure]:
        """F1 of what it reads in both, as `clinical_measures` counts."""
        called, truth = self.positives(generated), self.positives(references)
        return f1_measures(called, truth, "chexbert_")
