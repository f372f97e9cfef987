"""What a report generator needs of a network, whoever made it.

Two networks are this: our own (model/network.py), and the adapter to published checkpoints
(model/imported/). Everything beyond these methods is a network's own affair.
"""

from typing import Protocol

import torch
from tokenizers import Encoding
from torch import Tensor

from model.imaging.letterbox import Placement
from model.memory import Memory

__all__ = ["IncrementalDecoder", "Network", "NetworkConfig", "Tokenizer"]


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
    def ask_scale(self) -> float: ...
    @property
    def ask_offset(self) -> float: ...
    @property
    def finding_scale(self) -> float | None: ...
    @property
    def finding_offset(self) -> float: ...
    @property
    def novelty_threshold(self) -> float: ...


class IncrementalDecoder(Protocol):
    """A decoding that goes one token further per call; a row is a study, or one of its beams.

    It keeps the self-attention's keys and values of the tokens so far.
    """

    def __call__(self, chosen: Tensor) -> Tensor:
        """The last token of each row (rows,) -> float32 logits of the next (rows, vocabulary)."""
        ...

    def reorder(self, rows: Tensor) -> None:
        """Row i goes on from what row rows[i] has read; only within a study."""
        ...

    def keep(self, studies: Tensor) -> None:
        """Go on with some studies only, (studies,) ascending positions."""
        ...


class Network(Protocol):
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
    def device(self) -> torch.device: ...

    def eval(self) -> "Network":
        """Evaluation mode: no dropout. Returns itself."""
        ...

    def place(self, height: int, width: int) -> Placement:
        """How an image of this size becomes the encoder's input, and maps get back to it."""
        ...

    def normalize(self, squares: Tensor) -> Tensor:
        """(..., 1, size, size) in [0, 1], of `place(...).square` -> (..., channels, size, size)."""
        ...

    def encode(
        self,
        images: Tensor,
        image_mask: Tensor | None = None,
        views: Tensor | None = None,
        prompt: Tensor | None = None,
    ) -> Memory:
        """Read a batch of studies once; decoding then needs only the result.

        Args:
            images: (batch, images, channels, size, size), of `place(...).apply`.
            image_mask: bool (batch, images), False where a study has fewer images than the
                batch's longest; None where all have the same number.
            views: int64 (batch, images), indices into config.VIEWS; None where all are frontal.
            prompt: int64 (batch, prompt), the indications' tokens, padded in front; or None.

        Raises:
            DataError: what this network cannot read.
        """
        ...

    def without_images(self, memory: Memory) -> Memory:
        """The same studies with nothing to see: what the text alone suggests is read from it."""
        ...

    def incremental_decoder(self, memory: Memory, beams: int, limit: int) -> IncrementalDecoder:
        """Start a decoding: `beams` rows per study, at most `limit` tokens."""
        ...

    def teacher_forced(
        self, memory: Memory, tokens: Tensor, attention_from: int | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Read finished texts in one pass.

        Args:
            memory: of as many studies as texts, or of fewer with several texts each, a study's
                texts one after another.
            tokens: int64 (texts, tokens), beginning with config.bos_token_id.
            attention_from: return the cross-attention of the layers from this one on; None: none.

        Returns:
            logits (texts, tokens, vocabulary) and per layer asked for the cross-attention
            (texts, heads, tokens, prefix + patches), row i that of choosing the token after
            tokens[i]. A network may return one layer that is the mean of several.
        """
        ...

    def novelty_distances(self, memory: Memory) -> Tensor:
        """Per image, (batch, images), how far it is from the images fitted on; NaN where unknown.

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
