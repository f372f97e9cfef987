"""Teacher forcing: studies with a given text, its tokens, and how probable each one is.

Every measurement of maps needs the same few things: images (also altered ones) as the model
sees them, a text in tokens, and which tokens a span of the text is made of.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from data_prep.manifest import Study
from model.exam import encode_studies
from model.heatmap import WORD
from model.imaging.letterbox import Placement
from model.interface import VIEWS, Tokenizer
from model.memory import Memory
from model.torch_network import Network, teacher_forced
from training.study_inputs import kind_in

__all__ = [
    "FRONTAL",
    "Given",
    "TeacherForced",
    "Text",
    "force",
    "given_of",
    "log_probabilities",
    "placements_of",
    "squares",
    "text_of",
]

BATCH = 16


@dataclass(frozen=True)
class Text:
    """A text that is forced."""

    characters: str
    tokens: list[int]
    """Without bos and eos, cut where the model writes no more."""
    starts: np.ndarray
    ends: np.ndarray
    """[start, end) characters of each token."""

    def words(self) -> Iterator[tuple[int, int]]:
        """[start, end) characters of each word, as reports count them."""
        for match in WORD.finditer(self.characters):
            yield match.span()

    def tokens_of(self, start: int, end: int) -> np.ndarray:
        """Positions of the tokens that hold one of the characters [start, end)."""
        return np.flatnonzero((self.starts < end) & (self.ends > start))


@dataclass(frozen=True)
class Given:
    """What a model is given of a study beside its pixels."""

    kinds: tuple[int, ...]
    """What each image is, a place in VIEWS."""
    prompt: tuple[int, ...] = ()
    """The tokens of its indication."""


FRONTAL = Given((VIEWS.index("frontal"),))


def given_of(study: Study, tokenizer: Tokenizer, prompt_tokens: int) -> Given:
    """As training gives it: the indication cut at `prompt_tokens`."""
    kinds = tuple(kind_in(image) for image in study.images)
    return Given(kinds, tuple(tokenizer.encode(study.indication).ids[:prompt_tokens]))


def text_of(tokenizer: Tokenizer, characters: str, max_tokens: int) -> Text:
    encoding = tokenizer.encode(characters)
    offsets = np.array(encoding.offsets[:max_tokens], np.int64).reshape(-1, 2)
    return Text(characters, encoding.ids[:max_tokens], offsets[:, 0], offsets[:, 1])


@dataclass(frozen=True, eq=False)
class TeacherForced:
    """A batch of studies, the text forced on each, and the spans of text that are measured."""

    model: Network
    rows: Sequence[int]
    """Number of each study among all that are measured."""
    images: Sequence[Tensor]
    """Per study (images, channels, size, size) as the encoder reads them."""
    given: Sequence[Given]
    placements: Sequence[Sequence[Placement]]
    memory: Memory
    texts: Sequence[Text]
    spans: Sequence[Sequence[np.ndarray]]
    """Per study and case, the positions of its tokens."""

    @cached_property
    def attentions(self) -> Tensor:
        """(layers, batch, heads, tokens, prefix + patches), row t that which chose token t."""
        config, texts = self.model.config, [text.tokens for text in self.texts]
        before = torch.full((len(texts), max(map(len, texts))), config.pad_token_id)
        before[:, 0] = config.bos_token_id
        for row, text in enumerate(texts):
            before[row, 1 : len(text)] = torch.tensor(text[:-1], dtype=torch.long)
        with torch.no_grad():
            _, attentions = self.model.teacher_forced(self.memory, before.to(self.model.device), 0)
        return torch.stack(attentions)


def placements_of(model: Network, pixels: Sequence[np.ndarray]) -> list[Placement]:
    """How a study's images lie in the encoder's square."""
    return [model.place(*image.shape) for image in pixels]


def squares(model: Network, pixels: Sequence[np.ndarray]) -> Tensor:
    """A study's images as the encoder reads them, (images, channels, size, size)."""
    placements = placements_of(model, pixels)
    applied = [placement.apply(image) for image, placement in zip(pixels, placements, strict=True)]
    return torch.from_numpy(np.stack(applied))


def force(
    model: Network,
    rows: Sequence[int],
    studies: Sequence[Sequence[np.ndarray]],
    given: Sequence[Given],
    texts: Sequence[Text],
    spans: Sequence[Sequence[np.ndarray]],
) -> TeacherForced:
    """Read the images of a batch of studies.

    Args:
        studies: per study its images, float32 (height, width) in [0, 1].
    """
    images = [squares(model, study) for study in studies]
    memory = encode_studies(
        model,
        [each.numpy() for each in images],
        [each.kinds for each in given],
        [each.prompt for each in given],
    )
    placements = [placements_of(model, study) for study in studies]
    return TeacherForced(model, rows, images, given, placements, memory, texts, spans)


@torch.inference_mode()
def log_probabilities(
    model: Network, images: Tensor, given: Given, tokens: list[int]
) -> np.ndarray:
    """How probable one text is under many images, token by token.

    Args:
        images: (variants, images, channels, size, size) as the encoder reads them, all of one
            study.
        tokens: without bos.

    Returns:
        float32 (variants, tokens): the log-probability of each token after those before it, at
        the model's temperature.
    """
    scores = []
    for part in images.split(BATCH):
        count = len(part)
        memory = encode_studies(model, part.numpy(), [given.kinds] * count, [given.prompt] * count)
        scores.append(teacher_forced(model, memory, [tokens] * len(part), maps=False)[1])
    return torch.cat(scores).numpy()
