"""A finding asked for by name, answered in one token: "left pleural effusion: present" or "none".

The decoder reads the question as if it had written it, and its next token is the answer. So what
is asked for costs one short text, whatever a report would say of it, and the probability is that of
the same decoder, through the same cross-attention. training/dataset/questions.py makes the
questions that a model learns from.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from model.errors import DataError
from model.interface import Engine, M, NetworkConfig, Tokenizer
from model.report_text.parser import Assertion, read_findings

__all__ = [
    "ANSWERS",
    "Question",
    "answer_line",
    "answer_log_odds",
    "estimated_probability",
    "finding_phrase",
    "finding_probability",
    "named_log_odds",
    "phrase_of",
    "question_of",
]

ANSWERS = (" none", " present")


@dataclass(frozen=True)
class Question:
    """A question in tokens."""

    tokens: tuple[int, ...]
    """Without bos; the answer comes next."""
    answers: tuple[int, int]
    """The tokens that begin "none" and "present"."""


def finding_phrase(name: str, sides: frozenset[str] = frozenset(), zone: str | None = None) -> str:
    """ "pleural_effusion" of the left side -> "left pleural effusion"."""
    side = "bilateral" if len(sides) == 2 else "".join(sides)
    return " ".join(word for word in (side, zone or "", name.replace("_", " ")) if word)


def phrase_of(assertion: Assertion) -> str:
    """The same for what a text asserts, however it is worded there."""
    return finding_phrase(assertion.name, assertion.sides, assertion.zone)


def question_of(tokenizer: Tokenizer, phrase: str) -> Question:
    """Put a question in a model's tokens."""
    return _question(_Key(tokenizer), phrase)


class _Key:
    """A tokenizer as part of a cache's key: the same object, the same tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def __hash__(self) -> int:
        return id(self.tokenizer)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.tokenizer is other.tokenizer


@lru_cache(maxsize=4096)
def _question(key: _Key, phrase: str) -> Question:
    texts = [key.tokenizer.encode(f"{phrase}:{answer}").ids for answer in ANSWERS]
    same = 0
    while texts[0][same] == texts[1][same]:
        same += 1
    return Question(tuple(texts[0][:same]), (texts[0][same], texts[1][same]))


def answer_log_odds(
    engine: Engine[M], memory: M, tokenizer: Tokenizer, phrases: Sequence[str]
) -> NDArray[np.float32]:
    """How much more probable "present" is than "none" after each question.

    Args:
        memory: of a batch of studies.
        phrases: asked of every one of them.

    Returns:
        float32 (studies, phrases), in nats, before any calibration.

    Raises:
        DataError: a question longer than the model's texts.
    """
    questions = [question_of(tokenizer, phrase) for phrase in phrases]
    longest = max(len(question.tokens) for question in questions)
    if longest + 1 > engine.config.max_tokens:
        raise DataError(
            f"a question of {longest} tokens, this model reads {engine.config.max_tokens - 1}: ask "
            "for a shorter phrase"
        )
    studies = len(memory.present)
    logits = engine.next_logits(memory, [question.tokens for question in questions] * studies)
    answers = np.array([question.answers for question in questions] * studies)
    none, present = np.take_along_axis(logits, answers, axis=1).T
    odds: NDArray[np.float32] = (present - none).reshape(studies, -1)
    return odds


def finding_probability(
    config: NetworkConfig, name: str, log_odds: float, placed: bool = False
) -> float | None:
    """The calibrated probability that a finding is there.

    Args:
        name: of the finding.
        log_odds: of the answer to the question.
        placed: it was about one side or zone.

    Returns:
        In (0, 1); None where it was not calibrated: a finding that too few of the images fitted on
        had, or, where only whole findings were labeled, one at a place.
    """
    calibrated = config.calibrated
    if calibrated is not None and (name not in calibrated or placed):
        return None
    return estimated_probability(config, name, log_odds)


def estimated_probability(config: NetworkConfig, name: str, log_odds: float) -> float:
    """The same whether or not it held on radiographs: what decides, and is not shown."""
    scale, offset = answer_line(config, name)
    return 0.5 * (1 + math.tanh((scale * log_odds + offset) / 2))  # exp would overflow


def answer_line(config: NetworkConfig, name: str) -> tuple[float, float]:
    """Scale and offset of a finding's log-odds: its own, or those of all findings."""
    scale, offset = config.answer_scales.get(name, (config.ask_scale, config.ask_offset))
    return scale, offset


def named_log_odds(
    engine: Engine[M], memory: M, tokenizer: Tokenizer, texts: Sequence[str]
) -> list[Mapping[str, float]]:
    """Of each study's report, the log-odds of every finding that it asserts, whole, and of those
    that a report must name (ReportConfig.assert_from).

    A side that a report names is the report's: the question is whether there is such a finding.
    """
    always = set(engine.config.assert_from)
    asserted = [always | {finding.name for finding in read_findings(text)} for text in texts]
    names = sorted(set().union(*asserted))
    if not names:
        return [{} for _ in texts]
    phrases = [finding_phrase(name) for name in names]
    odds = answer_log_odds(engine, memory, tokenizer, phrases).tolist()
    return [
        {name: row[names.index(name)] for name in own}
        for own, row in zip(asserted, odds, strict=True)
    ]
