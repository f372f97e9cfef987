"""What a text will probably go on with, so that several of its tokens are read in one step.

A step of the decoder costs nearly the same for eight tokens as for one, and reports say much in
the same words. What followed the same three tokens last time is drafted, the decoder reads the
draft at once, and what it would not have chosen is dropped: texts are those of one token at a time
(speculative decoding, Leviathan et al. 2023, with the n-gram lookup of Saxena 2023).
"""

from collections.abc import Sequence

__all__ = ["CONTEXT", "LENGTH", "Drafts"]

LENGTH = 8
"""Tokens of a draft: always as many, since every other number would need kernels of its own."""
CONTEXT = 3
"""Tokens before it that it is looked up by."""
MOST = 100_000
"""Contexts that are kept: when there are more, all are forgotten."""


class Drafts:
    """What followed which tokens, of everything that an engine has written. Safe to share between
    threads; it changes how fast a text is written, never the text."""

    def __init__(self) -> None:
        self._following: dict[tuple[int, ...], int] = {}

    def learn(self, text: Sequence[int]) -> None:
        """The last token of a text, CONTEXT + 1 tokens or longer."""
        if len(self._following) >= MOST:
            self._following = {}
        self._following[tuple(text[-CONTEXT - 1 : -1])] = text[-1]

    def draft(self, text: Sequence[int]) -> list[int]:
        """LENGTH tokens that may follow a text, or none where nothing is known.

        What is not known to follow is filled up with the last token: it will be dropped.
        """
        context, drafted = tuple(text[-CONTEXT:]), list[int]()
        while len(drafted) < LENGTH and (token := self._following.get(context)) is not None:
            drafted.append(token)
            context = (*context[1:], token)
        return drafted + drafted[-1:] * (LENGTH - len(drafted))
