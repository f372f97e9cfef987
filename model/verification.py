"""A report held to the model's own answers: what it would deny if asked, it does not assert.

A text is chosen token by token, and the likeliest text may assert what is not likely: once a report
has begun to tell of one finding, the next comes with it. Or it ends before it comes to a finding
that the model would answer for. The answer to a question (model/questions.py) weighs one finding
alone, and is calibrated; ReportConfig.assert_from says from which probability it decides.
"""

import re
from collections.abc import Mapping, Sequence

from model.interface import Engine, M, NetworkConfig, Tokenizer
from model.questions import estimated_probability, finding_phrase, named_log_odds
from model.report_text.parser import read_denials, read_findings, sentences

__all__ = ["NOTHING_ASSERTED", "verified"]

NOTHING_ASSERTED = "Findings: No finding is probable enough to be reported."
EVEN = 0.5
"""Probability from which a finding is asserted that has no entry in assert_from."""
_EMPTY_HEADING = re.compile(r"\b(?:Findings|Impression):\s*(?=(?:Findings|Impression):|$)")
_IMPRESSION = re.compile(r"\s*\bImpression:|$")


def verified(
    engine: Engine[M], memory: M, tokenizer: Tokenizer, texts: Sequence[list[int]]
) -> tuple[list[list[int]], list[Mapping[str, float]]]:
    """Reports without the sentences that assert nothing but what is improbable, and with one for
    each finding of assert_from that is probable and that they do not name.

    Args:
        texts: token ids per study, as `decode` returns them.

    Returns:
        The same texts, or changed ones that end with eos; and per text the log-odds of the answers
        about the findings that it asserted and those of assert_from. Of a network that does not
        answer questions the texts themselves, and nothing.
    """
    if not engine.config.answers:
        return list(texts), [{} for _ in texts]
    decoded = [tokenizer.decode(tokens) for tokens in texts]
    odds = named_log_odds(engine, memory, tokenizer, decoded)
    kept = []
    for tokens, text, of_text in zip(texts, decoded, odds, strict=True):
        changed = _held_to(text, of_text, engine.config)
        kept.append(tokens if changed is None else _encoded(changed, engine.config, tokenizer))
    return kept, odds


def _held_to(text: str, odds: Mapping[str, float], config: NetworkConfig) -> str | None:
    """The text that agrees with the answers; None where it already does."""
    improbable = {
        name
        for name, own in odds.items()
        if estimated_probability(config, name, own) < config.assert_from.get(name, EVEN)
    }
    named = [(finding.start, finding.name) for finding in read_findings(text)]
    asserted = {name for _, name in named}
    missing = [n for n in config.assert_from if n in odds and n not in improbable | asserted]
    denials = [
        denial.start for denial in read_denials(text, in_part=True) if denial.name in missing
    ]
    cuts = [
        (start, end)
        for start, end in sentences(text)
        if ((own := {name for at, name in named if start <= at < end}) and own <= improbable)
        or any(start <= at < end for at in denials)
    ]
    if not cuts and not missing:
        return None
    rest = text
    for start, end in reversed(cuts):
        rest = rest[:start] + rest[end:]
    rest = " ".join(_EMPTY_HEADING.sub("", " ".join(rest.split())).split())
    if missing:
        if not read_findings(rest):
            rest = "Findings:"  # what says that nothing is there
        added = "".join(f" {finding_phrase(name).capitalize()}." for name in missing)
        return _IMPRESSION.sub(lambda found: added + found[0], rest, count=1)
    return rest if sentences(rest) else NOTHING_ASSERTED


def _encoded(text: str, config: NetworkConfig, tokenizer: Tokenizer) -> list[int]:
    return [*tokenizer.encode(text).ids[: config.max_tokens - 1], config.eos_token_id]
