"""Which findings a network sees on a study, whatever a report says: the log-odds of each.

Where it was taught to answer questions they are its answers; of another network they are counted
over the reports that it samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.interface import Engine, M, Tokenizer
from model.query import log_odds
from model.questions import answer_log_odds, finding_phrase
from model.report_text.parser import read_findings
from model.report_text.vocabulary import TERMS
from model.sampled_reports import sampled

__all__ = ["NAMES", "Presence", "presence_of"]

NAMES = tuple(name for name, _ in TERMS)


@dataclass(frozen=True)
class Presence:
    """What a network sees on one study."""

    log_odds: NDArray[np.float64]
    """(NAMES,): calibrated where `calibrated`, ask_scale * log-odds + ask_offset."""
    calibrated: NDArray[np.bool_]
    """(NAMES,)."""

    def of(self, name: str) -> float:
        return float(self.log_odds[NAMES.index(name)])

    def is_calibrated(self, name: str) -> bool:
        return bool(self.calibrated[NAMES.index(name)])


def presence_of(model: Engine[M], memory: M, tokenizer: Tokenizer) -> list[Presence]:
    """Of each study of a memory."""
    config = model.config
    if config.answers:
        phrases = [finding_phrase(name) for name in NAMES]
        odds = answer_log_odds(model, memory, tokenizer, phrases).astype(np.float64)
    else:
        odds = np.array([_counted([text for _, text in drafts])
                         for drafts in sampled(model, memory, tokenizer)])  # fmt: skip
    known = config.calibrated
    calibrated = np.array([known is None or name in known for name in NAMES])
    return [Presence(config.ask_scale * row + config.ask_offset, calibrated) for row in odds]


def _counted(texts: Sequence[str]) -> list[float]:
    named = {text: {found.name for found in read_findings(text)} for text in set(texts)}
    return [log_odds(sum(name in named[text] for text in texts), len(texts)) for name in NAMES]
