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

import torch
from torch import Tensor

from model.errors import DataError
from model.interface import Network, NetworkConfig, Tokenizer
from model.memory import Memory
from model.report_text.parser import Assertion, read_findings

__all__ = [
    "ANSWERS",
    "Question",
    "answer_log_odds",
    "answer_odds",
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
    model: Network, memory: Memory, tokenizer: Tokenizer, phrases: Sequence[str]
) -> Tensor:
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
    if longest + 1 > model.config.max_tokens:
        raise DataError(
            f"a question of {longest} tokens, this model reads {model.config.max_tokens - 1}: ask "
            "for a shorter phrase"
        )
    studies = len(memory.patch_mask)
    tokens = torch.full((len(questions), longest + 1), model.config.pad_token_id)
    tokens[:, 0] = model.config.bos_token_id
    for row, question in enumerate(questions):
        tokens[row, 1 : len(question.tokens) + 1] = torch.tensor(question.tokens)
    tokens = tokens.repeat(studies, 1).to(memory.patch_mask.device)
    ends = torch.tensor([len(question.tokens) for question in questions]).expand(studies, -1)
    answers = torch.tensor([question.answers for question in questions]).expand(studies, -1, -1)
    logits = model.teacher_forced(memory, tokens, None)[0]
    return answer_odds(logits, ends.to(logits.device), answers.to(logits.device)).cpu()


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
    score = config.ask_scale * log_odds + config.ask_offset
    return 0.5 * (1 + math.tanh(score / 2))  # exp would overflow


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


def named_log_odds(
    model: Network, memory: Memory, tokenizer: Tokenizer, texts: Sequence[str]
) -> list[Mapping[str, float]]:
    """Of each study's report, the log-odds of every finding that it asserts, whole.

    A side that a report names is the report's: the question is whether there is such a finding.
    """
    asserted = [{finding.name for finding in read_findings(text)} for text in texts]
    names = sorted(set().union(*asserted))
    if not names:
        return [{} for _ in texts]
    phrases = [finding_phrase(name) for name in names]
    odds = answer_log_odds(model, memory, tokenizer, phrases).tolist()
    return [
        {name: row[names.index(name)] for name in own}
        for own, row in zip(asserted, odds, strict=True)
    ]
