"""What a report generator needs of a network, whoever made it and whatever computes it.

Arrays are numpy's at this border, so that reading, choosing tokens and assembling a report need no
deep-learning framework. Three things are an Engine: our own PyTorch network (model/network.py), the
adapter to published checkpoints (model/imported/), and either of them converted to OpenVINO
(model/engine/). Everything beyond these methods is a network's own affair.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from model.imaging.letterbox import Placement

__all__ = [
    "NOTICE",
    "VIEWS",
    "Engine",
    "IncrementalDecoder",
    "NetworkConfig",
    "Rows",
    "StudyMemory",
    "TextReading",
    "Tokenizer",
]

VIEWS = ("frontal", "lateral", "prior")
"""What an image can be to its study: a frontal or lateral view of it, or a frontal one of an
earlier study of the same patient."""
NOTICE = "Research software, not for diagnosis."
"""What every reader of a report must know, whatever the checkpoint adds."""

Rows = NDArray[np.int64] | slice
"""Positions of some studies of a batch."""


class NetworkConfig(Protocol):
    """The settings of a network that others read; what they mean: model.config.ReportConfig."""

    @property
    def name(self) -> str: ...
    @property
    def notice(self) -> str: ...
    @property
    def image_size(self) -> int: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def layers(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def pad_token_id(self) -> int: ...
    @property
    def bos_token_id(self) -> int: ...
    @property
    def eos_token_id(self) -> int: ...
    @property
    def views(self) -> list[str]: ...
    @property
    def images_per_study(self) -> int | None:
        """At most so many; None: any number."""
        ...

    @property
    def prompt_tokens(self) -> int: ...
    @property
    def temperature(self) -> float: ...
    @property
    def grounded_share(self) -> float | None: ...
    @property
    def answers(self) -> bool: ...
    @property
    def calibrated(self) -> list[str] | None: ...
    @property
    def report_words(self) -> list[str] | None: ...
    @property
    def ask_scale(self) -> float: ...
    @property
    def ask_offset(self) -> float: ...
    @property
    def answer_scales(self) -> Mapping[str, Sequence[float]]: ...
    @property
    def assert_from(self) -> Mapping[str, float]: ...
    @property
    def finding_scale(self) -> float | None: ...
    @property
    def finding_offset(self) -> float: ...
    @property
    def check(self) -> dict[str, list[float]] | None: ...
    @property
    def novelty_threshold(self) -> float: ...


class StudyMemory(Protocol):
    """What an engine has read of a batch of studies; only the engine sees inside."""

    @property
    def present(self) -> NDArray[np.bool_]:
        """(studies, positions), the engine's prefix and then the patches: which there are."""
        ...

    def studies(self, rows: Rows) -> Self:
        """Of some studies only."""
        ...


M = TypeVar("M", bound=StudyMemory)


@dataclass(frozen=True)
class TextReading:
    """Finished texts, read once more; rows are longer than their texts where another is."""

    log_probabilities: NDArray[np.float32]
    """(texts, tokens): of each token after those before it, at config.temperature."""
    attention: NDArray[np.float32] | None
    """(texts, tokens, positions), the row that chose each token: the mean over heads and late
    layers. None where it was not asked for."""


class IncrementalDecoder(Protocol):
    """A decoding that goes one token further per call; a row is a study, or one of its beams.

    It keeps the self-attention's keys and values of the tokens so far.
    """

    def __call__(self, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        """The last token of each row (rows,) -> logits of the next (rows, vocabulary).

        They are overwritten by the next call.
        """
        ...

    def likeliest(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """As a call, but only the token of the highest logit, (rows,): the rest may stay on its
        device. Of a row whose text has ended it is any token."""
        ...

    def reorder(self, rows: NDArray[np.int64]) -> None:
        """Row i goes on from what row rows[i] has read; only within a study.

        They may be more or fewer than before, of each study as many: (studies * any,).
        """
        ...

    def keep(self, studies: NDArray[np.int64]) -> None:
        """Go on with some studies only, (studies,) ascending positions."""
        ...


class Engine(Protocol[M]):
    """Images -> keys and values -> tokens, and the attention of finished texts."""

    @property
    def config(self) -> NetworkConfig: ...

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of patches on one image."""
        ...

    @property
    def prefix(self) -> int:
        """How many positions of a memory come before the patches and lie on no image."""
        ...

    @property
    def alone(self) -> int:
        """Up to how many studies are written faster one after another than together."""
        ...

    @property
    def callers(self) -> int:
        """How many threads do most in all when they call it at the same time."""
        ...

    def eval(self) -> Self:
        """Evaluation mode: no dropout. Returns itself."""
        ...

    def place(self, height: int, width: int) -> Placement:
        """How an image of this size becomes the encoder's input, and maps get back to it."""
        ...

    def read_images(
        self,
        images: NDArray[np.float32],
        image_mask: NDArray[np.bool_] | None,
        views: NDArray[np.int64],
        prompt: NDArray[np.int64],
    ) -> M:
        """Read a batch of studies once; everything else then needs only the result.

        Args:
            images: (studies, images, channels, size, size), of `place(...).apply`.
            image_mask: (studies, images), False where a study has fewer images than the batch's
                longest; None where all have the same number.
            views: (studies, images), indices into VIEWS.
            prompt: (studies, prompt), the indications' tokens, padded in front.

        Raises:
            DataError: what this network cannot read.
        """
        ...

    def without_images(self, memory: M) -> M:
        """The same studies with nothing to see: what the text alone suggests is read from it."""
        ...

    def incremental_decoder(self, memory: M, beams: int, limit: int) -> IncrementalDecoder:
        """Start a decoding: `beams` rows per study, at most `limit` tokens."""
        ...

    def read_texts(self, memory: M, texts: Sequence[Sequence[int]], maps: bool) -> TextReading:
        """Read finished texts once more, whatever wrote them.

        Args:
            memory: of as many studies as texts, or of fewer with several texts each, a study's
                texts one after another.
            texts: token ids without bos, of at least one token each.
            maps: return the attention.
        """
        ...

    def next_logits(self, memory: M, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """What would come after each text, float32 (texts, vocabulary); Args as `read_texts`."""
        ...

    def novelty_distances(self, memory: M) -> NDArray[np.float32]:
        """Per image, (studies, images), how far it is from the images fitted on; NaN where unknown.

        See novelty.py.
        """
        ...


class Tokenizer(Protocol):
    """Text <-> tokens. The library `tokenizers` has this; so has the adapter of an import."""

    def encode(self, sequence: str) -> Encoding:
        """Tokens of a text, without any that begin or end it."""
        ...

    def decode(self, ids: list[int]) -> str:
        """The text of tokens, without special ones."""
        ...
