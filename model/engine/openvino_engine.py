"""An Engine (model/interface.py) that runs converted models with OpenVINO. Knows no torch."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.engine.cache import Entry
from model.engine.config import EngineConfig, Precision
from model.engine.decoding import Decoding, EngineMemory, Floats, forced
from model.engine.drafts import Drafts
from model.engine.runtime import Compiled, imported, settings
from model.errors import DataError
from model.imaging.letterbox import Letterbox
from model.interface import VIEWS, TextReading

__all__ = ["OpenVinoAnatomy", "OpenVinoEngine", "model_settings", "ready"]


class OpenVinoEngine:
    """Our own network, converted. Safe to share between threads."""

    prefix = 1
    """Of a memory's positions the first is the attention sink."""

    def __init__(
        self,
        config: EngineConfig,
        images: Compiled,
        decoder: Compiled,
        sink: Sequence[Floats],
    ) -> None:
        """
        Args:
            sink: its keys and values per layer, as those of one patch.
        """
        self.config = config
        self.grid = config.grid
        self._images = images
        self._decoder = decoder
        self._sink = sink
        self._drafts = Drafts()

    def eval(self) -> "OpenVinoEngine":
        """See Engine: it is never in another mode."""
        return self

    def place(self, height: int, width: int) -> Letterbox:
        """See Engine."""
        return Letterbox(height, width, self.config.image_size)

    def read_images(
        self,
        images: Floats,
        image_mask: NDArray[np.bool_] | None,
        views: NDArray[np.int64],
        prompt: NDArray[np.int64],
    ) -> EngineMemory:
        """See Engine.

        Raises:
            DataError: images of another shape, a study without an image, a prompt of more than
                config.prompt_tokens tokens.
        """
        size = self.config.image_size
        if images.ndim != 5 or images.shape[2:] != (1, size, size):
            wanted = f"(batch, images, 1, {size}, {size})"
            raise DataError(f"images must be {wanted}, got {images.shape}")
        if prompt.shape[1] > (limit := self.config.prompt_tokens):
            raise DataError(
                f"an indication of {prompt.shape[1]} tokens, this model reads {limit}: "
                + ("shorten it" if limit else "it was trained without, leave it out")
            )
        mask = np.ones(images.shape[:2], bool) if image_mask is None else image_mask
        if not mask.any(axis=1).all():
            raise DataError("a study without an image cannot be reported: leave it out")
        far = np.full(mask.shape, np.nan, np.float32)
        with self._images.request() as request:
            distances, *read = request({"images": images[mask], "views": views[mask]})
            # They were fitted on frontal images of the study itself.
            frontal = views[mask] == VIEWS.index("frontal")
            far[mask] = np.where(frontal, distances, np.nan)
            cross = [
                _joined(sink, of_images, mask, axis=3 - number % 2)
                for number, (sink, of_images) in enumerate(zip(self._sink, read, strict=True))
            ]
        patches = mask.repeat(self.grid[0] * self.grid[1], axis=1)
        present = np.concatenate((np.ones((len(mask), 1), bool), patches), axis=1)
        return EngineMemory(cross, present, mask.sum(axis=1), far, prompt)

    def without_images(self, memory: EngineMemory) -> EngineMemory:
        """See Engine: nothing to attend to but the sink."""
        studies = len(memory.present)
        return EngineMemory(
            [each.repeat(studies, axis=0) for each in self._sink],
            memory.present[:, :1],
            np.zeros(studies, np.int64),
            memory.distances[:, :0],
            memory.prompt,
        )

    def incremental_decoder(self, memory: EngineMemory, beams: int, limit: int) -> Decoding:
        """See Engine."""
        return Decoding(self._decoder, self.config, memory, beams, limit, self._drafts)

    def read_texts(
        self, memory: EngineMemory, texts: Sequence[Sequence[int]], maps: bool
    ) -> TextReading:
        """See Engine.

        Also of what was just written: the last bits of a step's numbers depend on the studies
        beside it and on what was read ahead. Those of this pass do not, so a study's report is the
        same to the byte whatever was written before it or with it.
        """
        logits, attention = forced(self._decoder, self.config, memory, texts)
        logits /= np.float32(self.config.temperature)
        longest = max(map(len, texts))
        chosen = np.full((len(texts), longest), self.config.pad_token_id)
        for row, text in enumerate(texts):
            chosen[row, : len(text)] = text
        highest = logits.max(axis=-1, keepdims=True)
        of_chosen = np.take_along_axis(logits, chosen[:, :, None], axis=-1)
        logits -= highest
        total = np.exp(logits, out=logits).sum(axis=-1, keepdims=True)
        logs: Floats = (of_chosen - highest - np.log(total))[:, :, 0]
        return TextReading(logs, attention if maps else None)

    def next_logits(self, memory: EngineMemory, texts: Sequence[Sequence[int]]) -> Floats:
        """See Engine."""
        # What stands in the place of the token that is asked for does not matter.
        longer = [[*text, self.config.pad_token_id] for text in texts]
        logits, _ = forced(self._decoder, self.config, memory, longer)
        ends = np.array([len(text) for text in texts])
        last: Floats = logits[np.arange(len(texts)), ends]
        return last

    def novelty_distances(self, memory: EngineMemory) -> Floats:
        """See Engine."""
        return memory.distances


class OpenVinoAnatomy:
    """A Segmenter (model/anatomy.py): the anatomy network, converted.

    Loaded when it is first asked: many reports have nothing to ask it.
    """

    def __init__(self, content: bytes, threads: int | None) -> None:
        """
        Args:
            content: as `imported` reads it.
        """
        self._content = content
        self._threads = threads

    @cached_property
    def _compiled(self) -> Compiled:
        return imported(self._content, settings(self._threads))

    def logits(self, squares: Floats) -> Floats:
        """See Segmenter."""
        with self._compiled.request() as request:
            return request({"squares": squares})[0].copy()


def model_settings(name: str, precision: Precision, threads: int | None) -> dict[str, Any]:
    """What one of MODELS is compiled and loaded with."""
    return settings(threads, bf16=precision == "int8" and name == "images")


def ready(entry: Entry, threads: int | None) -> tuple[OpenVinoEngine, OpenVinoAnatomy]:
    """The engines of a cache's entry.

    Raises:
        RuntimeError: OpenVINO cannot read them.
    """
    config = entry.config
    images, decoder = (
        imported(entry.models[name], model_settings(name, config.precision, threads))
        for name in ("images", "decoder")
    )
    sink = np.frombuffer(entry.sink, np.float32).reshape(2 * config.layers, 1, config.heads, -1)
    shaped = [each[..., None] if n % 2 == 0 else each[:, :, None] for n, each in enumerate(sink)]
    anatomy = OpenVinoAnatomy(entry.models["anatomy"], threads)
    return OpenVinoEngine(config, images, decoder, shaped), anatomy


def _joined(sink: Floats, of_images: Floats, mask: NDArray[np.bool_], axis: int) -> Floats:
    """The sink and the patches of each study's images, one after another along an axis.

    Args:
        sink: (1, ...), one position along the axis.
        of_images: (images, ...), of all that `mask`, (studies, images), says are there.
    """
    studies, count = mask.shape
    if count == 1:
        return np.concatenate((sink.repeat(studies, axis=0), of_images), axis=axis)
    blank = np.zeros_like(of_images[:1])
    # Of each study the numbers of its images; of those it lacks, that of the blank one.
    numbers = np.where(mask, mask.cumsum().reshape(mask.shape) - 1, len(of_images))
    every = np.concatenate((of_images, blank))
    parts = [every[numbers[:, place]] for place in range(count)]
    return np.concatenate((sink.repeat(studies, axis=0), *parts), axis=axis)
