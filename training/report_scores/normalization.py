"""How texts are normalized before they are compared, which moves scores as much as models do.

Generated texts and references are treated alike. See docs/how-to/scores.md.

- `r2gen`: as R2Gen (Chen et al. 2020, EMNLP) did for IU X-Ray, and with it the standard table:
  lower case, sentences between " . ", other punctuation dropped, words that are rare in the train
  reports written as <unk>, WORDS words at most. Of the findings alone; of the whole text where a
  report has none.
- `rexrank`: as the leaderboard of that name reads reports, headings and all: lower case,
  punctuation apart from the words.
- `raw`: the texts as they are.

All give words with single spaces between them.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from data_prep.report_text import fold, sections
from model.errors import ConfigError

__all__ = ["PROTOCOLS", "Protocol", "clean_r2gen", "protocol", "split_punctuation"]

PROTOCOLS = ("r2gen", "rexrank", "raw")
WORDS = 59
"""Of a text: R2Gen cuts at 60 tokens, and its start token is one of them."""
RARE = 3
"""A word that occurs fewer times in the train reports is UNKNOWN."""
UNKNOWN = "<unk>"

_HEADING = re.compile(r"\b(?:findings|impression)\s*:", re.IGNORECASE)
_DROPPED = re.compile(r"[.,?;*!%^&_+()\[\]{}:<=>@\"/\\']")
_PUNCTUATION = re.compile(r"([^\w\s])")


@dataclass(frozen=True)
class Protocol:
    """One way to normalize texts."""

    name: str
    normalize: Callable[[str], str]
    select: Callable[[str], str]
    """A report as it was written -> the part of it that is compared."""

    def apply(self, text: str) -> str:
        """A report as it was written -> words with single spaces between them."""
        return self.normalize(self.select(text))


def protocol(name: str, train: Iterable[str] | None = None) -> Protocol:
    """One of PROTOCOLS.

    Args:
        train: reports of the train split. Of `r2gen` they say which words are rare; None leaves
            rare words as they are, and scores are then not those of the standard table.

    Raises:
        ConfigError: no such protocol.
    """
    if name == "r2gen":
        known = None if train is None else _vocabulary(train)
        return Protocol(name, lambda text: _r2gen(text, known), _findings)
    if name == "rexrank":
        return Protocol(name, split_punctuation, str.strip)
    if name == "raw":
        return Protocol(name, fold, str.strip)
    raise ConfigError(f"protocol {name!r}: it is one of {', '.join(PROTOCOLS)}")


def _r2gen(text: str, known: frozenset[str] | None) -> str:
    words = clean_r2gen(text).split()[:WORDS]
    if known is not None:
        words = [word if word in known else UNKNOWN for word in words]
    return " ".join(words)


def _findings(text: str) -> str:
    """The findings of a report with headings; what has none is taken as it stands."""
    found = sections(text).findings if _HEADING.search(text) else ""
    return _HEADING.sub("", found or text)


def _vocabulary(train: Iterable[str]) -> frozenset[str]:
    counts = Counter(word for text in train for word in clean_r2gen(text).split())
    return frozenset(word for word, count in counts.items() if count >= RARE)


def clean_r2gen(text: str) -> str:
    """Lower case, " . " after each sentence, numbers of lists and other punctuation dropped.

    Hyphens stay; "1.5" becomes "15", and a sentence that ends in 1 loses that. None of it is what
    one would choose, but it is what the published scores were made with.
    """
    text = re.sub(r"\.{2,}", ".", text).replace("1. ", "")
    text = re.sub(r"\.? [2-5]\. ", ". ", text)
    sentences = text.strip().lower().split(". ")
    return " . ".join(_DROPPED.sub("", sentence).strip() for sentence in sentences) + " ."


def split_punctuation(text: str) -> str:
    """Lower case, every mark of punctuation a word of its own."""
    return " ".join(_PUNCTUATION.sub(r" \1 ", text.lower()).split())
