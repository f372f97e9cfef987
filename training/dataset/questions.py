"""The questions a study is asked while training (model/questions.py), and their true answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.manifest import FINDINGS, Study
from model.questions import finding_phrase, question_of
from model.report_text.location import SIDED, ZONED
from training.dataset.samples import StudyEncoder
from training.truth import Truth

__all__ = ["Asked", "question_arrays", "questions_for"]

PLACED_SHARE = 0.4
"""Of the questions about a finding that has sides or zones: those that name one."""
SIDES, ZONES = ("right", "left"), ("upper", "mid", "lower")


@dataclass(frozen=True)
class Asked:
    """One question to one study."""

    phrase: str
    present: bool
    findings: tuple[int, ...]
    """Positions in Study.findings of those that make it true."""


def questions_for(
    study: Study,
    truth: Truth,
    occluded: frozenset[int],
    placed: bool,
    count: int,
    rng: np.random.Generator,
) -> list[Asked]:
    """Draw up to `count` questions, each finding that is known as probably as any other.

    Present and absent ones are not balanced: the answers' probabilities are those of the data.

    Args:
        truth: of what is visible.
        occluded: positions in Study.findings.
        placed: sides and zones are known too.
    """
    kinds = rng.permutation(sorted(truth.known))[:count].tolist()
    return [
        _placed(study, FINDINGS[kind], occluded, rng)
        if placed and FINDINGS[kind] in SIDED and rng.random() < PLACED_SHARE
        else Asked(
            finding_phrase(FINDINGS[kind]),
            kind in truth.present,
            tuple(
                j
                for j, finding in enumerate(study.findings)
                if finding.name == FINDINGS[kind] and j not in occluded and not finding.absent
            ),
        )
        for kind in kinds
    ]


def _placed(study: Study, name: str, occluded: frozenset[int], rng: np.random.Generator) -> Asked:
    """A question about one side, and perhaps one zone of it: a true one as often as a false."""
    own = [
        j
        for j, finding in enumerate(study.findings)
        if finding.name == name and j not in occluded and not finding.absent
    ]
    side, zone = SIDES[int(rng.integers(2))], None
    if name in ZONED and rng.random() < PLACED_SHARE:
        zone = ZONES[int(rng.integers(3))]
    if own and rng.random() < 0.5:
        one = study.findings[own[int(rng.integers(len(own)))]]
        side, zone = one.side or side, zone and one.zone
    right = tuple(
        j
        for j in own
        if study.findings[j].side == side and (zone is None or study.findings[j].zone == zone)
    )
    return Asked(finding_phrase(name, frozenset({side}), zone), bool(right), right)


def question_arrays(
    asked: Sequence[Sequence[Asked]], encoder: StudyEncoder, findings: int
) -> dict[str, NDArray[Any]]:
    """The questions of a batch, by the names of Batch's fields."""
    most = max(1, *(len(of_study) for of_study in asked))
    questions = [
        [question_of(encoder.tokenizer, each.phrase) for each in of_study] for of_study in asked
    ]
    longest = 1 + max([0, *(len(q.tokens) for of_study in questions for q in of_study)])
    shape = (len(asked), most)
    arrays: dict[str, NDArray[Any]] = {
        "questions": np.full((*shape, longest), encoder.config.pad_token_id, np.int64),
        "question_ends": np.zeros(shape, np.int64),
        "answer_tokens": np.zeros((*shape, 2), np.int64),
        "answers": np.full(shape, -1, np.float32),
        "question_findings": np.zeros((*shape, findings), np.float32),
    }
    arrays["questions"][:, :, 0] = encoder.config.bos_token_id
    for row, (of_study, in_tokens) in enumerate(zip(asked, questions, strict=True)):
        for place, (each, question) in enumerate(zip(of_study, in_tokens, strict=True)):
            length = len(question.tokens)
            arrays["questions"][row, place, 1 : length + 1] = question.tokens
            arrays["question_ends"][row, place] = length
            arrays["answer_tokens"][row, place] = question.answers
            arrays["answers"][row, place] = each.present
            arrays["question_findings"][row, place, list(each.findings)] = 1
    return arrays
