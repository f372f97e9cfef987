"""What a text will probably go on with, so that several of its tokens are read in one step.

A step of the decoder costs little more for nine tokens than for one, and reports say much in the
same words. What mostly followed the same tokens before is drafted, the decoder reads the draft at
once, and what it would not have chosen is dropped: texts are those of one token at a time
(speculative decoding, Leviathan et al. 2023, with the n-gram lookup of Saxena 2023).
"""

from collections.abc import Sequence

__all__ = ["CONTEXT", "Drafts"]

CONTEXTS = (6, 4, 3, 2)
"""Tokens before a draft that it is looked up by: the longest that is known decides."""
CONTEXT = CONTEXTS[0]
LENGTH, LONGER = 8, 12
"""Tokens of a draft, and of one that follows a draft which was chosen as a whole. No others: each
number needs kernels of its own."""
MOST = 100_000
"""Contexts that are kept, some 40 MB: when there are more, all are forgotten."""


class Drafts:
    """What followed which tokens, of everything that an engine has written. Safe to share between
    threads; it changes how fast a text is written, never the text."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, ...], dict[int, int]] = {}
        self._following: dict[tuple[int, ...], int] = {}
        """By context, the token that followed most often."""

    def learn(self, text: Sequence[int]) -> None:
        """The last token of a text, CONTEXT + 1 tokens or longer."""
        if len(self._counts) >= MOST:
            self._counts, self._following = {}, {}
        token = text[-1]
        for length in CONTEXTS:
            context = tuple(text[-length - 1 : -1])
            counts = self._counts.setdefault(context, {})
            counts[token] = counts.get(token, 0) + 1
            if counts[token] >= counts.get(self._following.get(context, token), 0):
                self._following[context] = token

    def draft(self, text: Sequence[int], longer: bool) -> list[int]:
        """LENGTH or LONGER tokens that may follow a text, or none where nothing is known.

        What is not known to follow is filled up with the last token: it will be dropped.
        """
        length = LONGER if longer else LENGTH
        read, drafted = list(text[-CONTEXT:]), list[int]()
        while len(drafted) < length and (token := self._next(read)) is not None:
            drafted.append(token)
            read.append(token)
        return drafted + drafted[-1:] * (length - len(drafted))

    def _next(self, text: Sequence[int]) -> int | None:
        for length in CONTEXTS:
            token = self._following.get(tuple(text[-length:]))
            if token is not None:
                return token
        return None
