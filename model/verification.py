"""A report held to the model's own answers: what it would deny if asked, it does not assert.

A text is chosen token by token, and the likeliest text may assert what is not likely: once a report
has begun to tell of one finding, the next comes with it. The answer to a question
(model/questions.py) weighs one finding alone, and is calibrated.
"""

import re
from collections.abc import Mapping, Sequence

from model.interface import Engine, M, NetworkConfig, Tokenizer
from model.questions import named_log_odds
from model.report_text.parser import read_findings, sentences

__all__ = ["NOTHING_ASSERTED", "verified"]

NOTHING_ASSERTED = "Findings: No finding is probable enough to be reported."
_EMPTY_HEADING = re.compile(r"\b(?:Findings|Impression):\s*(?=(?:Findings|Impression):|$)")


def verified(
    engine: Engine[M], memory: M, tokenizer: Tokenizer, texts: Sequence[list[int]]
) -> tuple[list[list[int]], list[Mapping[str, float]]]:
    """Reports without the sentences that assert nothing but what is answered with "none".

    Args:
        texts: token ids per study, as `decode` returns them.

    Returns:
        The same texts, or shorter ones that end with eos; and per text the log-odds of the answers
        about the findings that it asserted. Of a network that does not answer questions the texts
        themselves, and nothing.
    """
    if not engine.config.answers:
        return list(texts), [{} for _ in texts]
    decoded = [tokenizer.decode(tokens) for tokens in texts]
    odds = named_log_odds(engine, memory, tokenizer, decoded)
    kept = [
        _without(tokens, text, _denied(of_text, engine.config), engine.config, tokenizer)
        for tokens, text, of_text in zip(texts, decoded, odds, strict=True)
    ]
    return kept, odds


def _denied(odds: Mapping[str, float], config: NetworkConfig) -> set[str]:
    """Findings that are rather absent, by the calibrated log-odds."""
    return {name for name, own in odds.items() if config.ask_scale * own + config.ask_offset < 0}


def _without(
    tokens: list[int], text: str, denied: set[str], config: NetworkConfig, tokenizer: Tokenizer
) -> list[int]:
    asserted = [(finding.start, finding.name) for finding in read_findings(text)]
    cuts = [
        (start, end)
        for start, end in sentences(text)
        if (names := {name for at, name in asserted if start <= at < end}) and names <= denied
    ]
    if not cuts:
        return tokens
    rest = text
    for start, end in reversed(cuts):
        rest = rest[:start] + rest[end:]
    rest = " ".join(_EMPTY_HEADING.sub("", " ".join(rest.split())).split())
    ids = tokenizer.encode(rest if sentences(rest) else NOTHING_ASSERTED).ids
    return [*ids[: config.max_tokens - 1], config.eos_token_id]
