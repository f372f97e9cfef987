"""Reports sampled of a study: how many say something estimates how probable the model holds it."""

from collections.abc import Callable

from model.decoding import DecodingOptions, sample_texts
from model.interface import Engine, M, Tokenizer

__all__ = ["SAMPLES", "Drafts", "LanguagePrior", "sampled"]

SAMPLES = 48
INDICATIONS = 64
"""Of so many what is sampled without images is kept: then all is forgotten."""
Drafts = list[tuple[list[int], str]]
"""Sampled reports of one study, tokens and text."""


class LanguagePrior:
    """What a model samples without images, by indication: it is the same for every study.

    Of a model that learns no more. Safe to share between threads.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Drafts] = {}

    def of(
        self, model: Engine[M], memory: M, tokenizer: Tokenizer, indication: str
    ) -> Callable[[], Drafts]:
        """What gives the drafts of one study with this indication, when they are needed."""

        def drafts() -> Drafts:
            kept = self._kept.get(indication)
            if kept is None:
                [kept] = sampled(model, model.without_images(memory), tokenizer)
                if len(self._kept) >= INDICATIONS:
                    self._kept = {}
                self._kept[indication] = kept
            return kept

        return drafts


def sampled(model: Engine[M], memory: M, tokenizer: Tokenizer) -> list[Drafts]:
    """SAMPLES reports of each study of a memory, tokens and text, the same ones every time."""
    options = DecodingOptions("sample", temperature=model.config.temperature)
    return [
        [(tokens, tokenizer.decode(tokens)) for tokens in texts]
        for texts in sample_texts(model, memory, SAMPLES, options)
    ]
