"""A study's texts as tokens, and which of them name what."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_prep.manifest import Image, Study
from model.errors import DataError
from model.imaging.letterbox import Letterbox, Placement
from model.interface import NetworkConfig, Tokenizer
from model.report_text.parser import sentences
from training.truth import Truth, kind_of, truth_of

__all__ = ["Sample", "StudyEncoder"]

MOST_FINDINGS = 64
"""Of a study: the bits of a token's mentions."""


@dataclass(frozen=True)
class Sample:
    """One study's text, ready for the model."""

    tokens: NDArray[np.int64]
    """bos, the report, eos; bos and padding where no report is known, which is learned from by its
    labels alone."""
    prompt: NDArray[np.int64]
    """The indication."""
    mentions: NDArray[np.uint64]
    """For each token but bos: bit j is set where it names the study's finding j."""
    leads: NDArray[np.uint64]
    """The same where it leads up to the words that do: "There is a" before "small nodule"."""
    kinds: tuple[int, ...]
    """For each finding of the study its index in FINDINGS; -1 for what is absent."""
    truth: Truth
    """Which findings the study is known to have, and not to have."""


@dataclass(frozen=True)
class StudyEncoder:
    """How studies become what a model of this shape reads and writes."""

    tokenizer: Tokenizer
    config: NetworkConfig
    grid: tuple[int, int]
    """(rows, columns) of patches on one image."""
    complete: bool = True
    """Whether what has no box is absent, as in phantoms; see training/truth.py."""
    place: Callable[[int, int], Placement] | None = None
    """Network.place; None is the letterbox of CrossRay's own."""
    asks: bool = True
    """Whether questions are learned from."""

    def placement(self, image: Image) -> Placement:
        """How an image lies in the model's square."""
        if self.place is None:
            return Letterbox(image.height, image.width, self.config.image_size)
        return self.place(image.height, image.width)

    def sample(self, study: Study) -> Sample:
        """
        Raises:
            DataError: more tokens or findings than there is room for.
        """
        encoding = self.tokenizer.encode(study.report)
        bos, eos = self.config.bos_token_id, self.config.eos_token_id
        end = eos if study.report else self.config.pad_token_id
        tokens = np.array([bos, *encoding.ids, end], np.int64)
        if len(tokens) - 1 > self.config.max_tokens:
            raise DataError(
                f"a report of {len(tokens) - 1} tokens, the model writes {self.config.max_tokens}: "
                "raise model.max_tokens or shorten the reports"
            )
        if len(study.findings) > MOST_FINDINGS:
            raise DataError(f"a study with {len(study.findings)} findings: at most {MOST_FINDINGS}")
        mentions, leads = np.zeros((2, len(tokens) - 1), np.uint64)
        starts, ends = np.array(encoding.offsets, np.int64).reshape(-1, 2).T
        phrases = sorted(study.phrases, key=lambda phrase: phrase.start)
        borders = sorted({0, *(s for s, _ in sentences(study.report)), *(p.end for p in phrases)})
        for phrase in phrases:
            findings = np.uint64(sum({1 << finding for finding in phrase.findings}))
            begins = borders[bisect_right(borders, phrase.start) - 1]
            mentions[:-1][(starts < phrase.end) & (ends > phrase.start)] |= findings
            leads[:-1][(starts >= begins) & (ends <= phrase.start)] |= findings
        leads[mentions > 0] = 0
        # A long indication is cut: what matters comes first, and the report is learned without.
        prompt = self.tokenizer.encode(study.indication).ids[: self.config.prompt_tokens]
        kinds = tuple(-1 if f.absent else kind_of(f.name) for f in study.findings)
        truth = truth_of(study, self.complete)
        return Sample(tokens, np.array(prompt, np.int64), mentions, leads, kinds, truth)
