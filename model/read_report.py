"""Somebody's report as a network reads it: its tokens, and its statements with their words."""

import math
from collections.abc import Sequence

from model.errors import DataError
from model.findings import inside
from model.heatmap import WORD, Word, span_of
from model.interface import Engine, M, Tokenizer
from model.presence import Presence
from model.report import CheckedStatement
from model.report_text.statements import Statement

__all__ = ["checked_statements", "report_tokens"]


def report_tokens(model: Engine[M], tokenizer: Tokenizer, text: str) -> tuple[list[int], str]:
    """The tokens of a report, and the text that they stand for.

    Line breaks become spaces, as in the reports that networks learn from; no character moves, but
    where a tokenizer lowers or joins letters.

    Raises:
        DataError: a text without words, or longer than the network reads.
    """
    spaced = "".join(" " if letter.isspace() else letter for letter in text).rstrip()
    if not WORD.search(spaced):
        raise DataError(f"the report {text[:40]!r} has no word: give its text")
    tokens = tokenizer.encode(spaced).ids
    if len(tokens) >= (limit := model.config.max_tokens):
        raise DataError(
            f"a report of {len(tokens)} tokens, this model reads {limit - 1}: check it in parts, "
            "such as findings and impression"
        )
    return tokens, tokenizer.decode(tokens)


def checked_statements(
    text: str,
    read_words: Sequence[Word],
    statements: Sequence[Statement],
    shape: tuple[int, ...],
    presence: Presence | None,
) -> tuple[CheckedStatement, ...]:
    """What a report states, with what its words attend to.

    Args:
        read_words: the text's words.
        shape: of a word's heatmap.
        presence: None where probabilities are withheld.
    """
    checked = []
    for each in statements:
        which = inside(read_words, each.start, each.end)
        span = span_of(text, each.start, each.end, read_words, which, shape)
        known = presence is not None and presence.is_calibrated(each.name)
        checked.append(
            CheckedStatement(
                **vars(span),
                name=each.name,
                present=each.present,
                sides=each.sides,
                zone=each.zone,
                severity=each.severity,
                presence_probability=_sigmoid(presence.of(each.name))
                if presence is not None and known
                else None,
            )
        )
    return tuple(checked)


def _sigmoid(log_odds: float) -> float:
    return 0.5 * (1 + math.tanh(log_odds / 2))  # exp would overflow
