"""Studies made to say a given text: tokens with their places, and how probable each one is.

Every measurement of maps needs the same few things: pictures (also altered ones) as the model
sees them, a text in tokens, and which tokens a stretch of the text is made of.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from model.geometry import Letterbox
from model.heatmap import WORD, forced
from model.memory import Memory
from model.network import ReportModel

__all__ = ["Forced", "Text", "force", "log_probabilities", "place", "squares", "text_of"]

BATCH = 16


@dataclass(frozen=True)
class Text:
    """A text the model is made to say."""

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


def text_of(tokenizer: Tokenizer, characters: str, max_tokens: int) -> Text:
    encoding = tokenizer.encode(characters)
    offsets = np.array(encoding.offsets[:max_tokens], np.int64).reshape(-1, 2)
    return Text(characters, encoding.ids[:max_tokens], offsets[:, 0], offsets[:, 1])


@dataclass(frozen=True, eq=False)
class Forced:
    """A batch of studies, what each was made to say, and the stretches that are asked about."""

    model: ReportModel
    rows: Sequence[int]
    """Number of each study among all that are measured."""
    pictures: Tensor
    """(batch, pictures, 1, size, size) in [-1, 1]."""
    placements: Sequence[Sequence[Letterbox]]
    memory: Memory
    texts: Sequence[Text]
    spans: Sequence[Sequence[np.ndarray]]
    """Per study and case, the positions of its tokens."""

    @cached_property
    def attentions(self) -> Tensor:
        """(layers, batch, heads, tokens, 1 + patches), row t the look that chose token t."""
        config, texts = self.model.config, [text.tokens for text in self.texts]
        before = torch.full((len(texts), max(map(len, texts))), config.pad_token_id)
        before[:, 0] = config.bos_token_id
        for row, text in enumerate(texts):
            before[row, 1 : len(text)] = torch.tensor(text[:-1], dtype=torch.long)
        with torch.no_grad():
            output = self.model(
                before.to(self.model.device), encoder_outputs=self.memory, output_attentions=True
            )
        return torch.stack(output.cross_attentions)


def place(pixels: Sequence[np.ndarray], size: int) -> list[Letterbox]:
    """How a study's pictures lie in the model's square of `size`."""
    return [Letterbox(picture.shape[0], picture.shape[1], size) for picture in pixels]


def squares(studies: Sequence[Sequence[np.ndarray]], size: int) -> tuple[Tensor, Tensor]:
    """Pixels of each study's pictures -> what ReportModel.encode takes: pictures and their mask."""
    most = max(map(len, studies))
    pictures = torch.full((len(studies), most, 1, size, size), -1.0)
    mask = torch.zeros(len(studies), most, dtype=torch.bool)
    for row, study in enumerate(studies):
        for column, (pixels, where) in enumerate(zip(study, place(study, size), strict=True)):
            pictures[row, column] = where.apply(pixels)
            mask[row, column] = True
    return pictures, mask


def force(
    model: ReportModel,
    rows: Sequence[int],
    studies: Sequence[Sequence[np.ndarray]],
    texts: Sequence[Text],
    spans: Sequence[Sequence[np.ndarray]],
) -> Forced:
    """Read the pictures of a batch of studies.

    Args:
        studies: per study its pictures, float32 (height, width) in [0, 1].
    """
    size = model.config.image_size
    pictures, mask = squares(studies, size)
    # Not inference_mode: gradient methods go back through what was read here.
    with torch.no_grad():
        memory = model.encode(pictures.to(model.device), mask.to(model.device))
    placements = [place(study, size) for study in studies]
    return Forced(model, rows, pictures, placements, memory, texts, spans)


@torch.inference_mode()
def log_probabilities(model: ReportModel, pictures: Tensor, tokens: list[int]) -> np.ndarray:
    """How probable one text is under many pictures, token by token.

    Args:
        pictures: (variants, pictures, 1, size, size) in [-1, 1].
        tokens: without bos.

    Returns:
        float32 (variants, tokens): the log-probability of each token after those before it, at
        the model's temperature.
    """
    scores = []
    for part in pictures.split(BATCH):
        memory = model.encode(part.to(model.device))
        scores.append(forced(model, memory, [tokens] * len(part), maps=False)[1])
    return torch.cat(scores).numpy()
