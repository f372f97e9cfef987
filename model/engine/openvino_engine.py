"""An Engine (model/interface.py) that runs converted models with OpenVINO. Knows no torch."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.engine.config import EngineConfig
from model.engine.decoding import Cross, Decoding, EngineMemory, Floats, forced
from model.engine.drafts import Drafts
from model.engine.entry import MODELS, Entry
from model.engine.runtime import Compiled, imported, settings
from model.errors import DataError
from model.imaging.letterbox import Letterbox, Placement
from model.interface import VIEWS, TextReading
from model.readable import check_readable

__all__ = ["OpenVinoAnatomy", "OpenVinoEngine", "ready"]

SMALL = 32 * 2**20
"""Bytes of a decoder whose steps wait for their own overhead, not for its weights."""
ALONE, SMALL_ALONE = 4, 16
"""A study alone is read ahead (decoding.py), which several together are not: up to so many of them
are written faster one after another, by a small decoder up to the other."""


class OpenVinoEngine:
    """A converted network, our own or an imported one. Safe to share between threads."""

    callers = 2
    """OpenVINO computes one run at a time, and lets Python go on beside it with another study. A
    stream for each would do a little more in all, and let one study alone wait for one thread."""

    def __init__(
        self,
        config: EngineConfig,
        images: Compiled,
        decoder: Compiled,
        blank: Sequence[Cross],
        alone: int = 1,
    ) -> None:
        """
        Args:
            alone: see Engine.
            blank: see Entry; keys and values per layer, as those of one study.
        """
        self.config = config
        self.grid = config.grid
        self.prefix = config.prefix
        self.alone = alone
        self._images = images
        self._decoder = decoder
        self._blank = blank
        self._drafts = Drafts()

    def eval(self) -> "OpenVinoEngine":
        """See Engine: it is never in another mode."""
        return self

    def place(self, height: int, width: int) -> Placement:
        """See Engine."""
        size, processing = self.config.image_size, self.config.processing
        if processing is None:
            return Letterbox(height, width, size)
        from model.imported.processing import ProcessedPlacement, Processing

        return ProcessedPlacement(height, width, size, Processing.of(processing))

    def read_images(
        self,
        images: Floats,
        image_mask: NDArray[np.bool_] | None,
        views: NDArray[np.int64],
        prompt: NDArray[np.int64],
    ) -> EngineMemory:
        """See Engine.

        Raises:
            DataError: images of another shape, a study without an image, more images or a longer
                indication than it reads.
        """
        config = self.config
        shape = (1 if config.processing is None else 3, config.image_size, config.image_size)
        if images.ndim != 5 or images.shape[2:] != shape:
            wanted = f"(batch, images, {', '.join(map(str, shape))})"
            raise DataError(f"images must be {wanted}, got {images.shape}")
        check_readable(config, images.shape[1], prompt.shape[1])
        mask = np.ones(images.shape[:2], bool) if image_mask is None else image_mask
        if not mask.any(axis=1).all():
            raise DataError("a study without an image cannot be reported: leave it out")
        inputs: dict[str, NDArray[Any]] = {"images": images[mask]}
        if config.processing is None:
            inputs["views"] = views[mask]
        with self._images.request() as request:
            distances, *read = request(inputs)
            far = self._far(distances, mask, views)
            cross = [
                self._joined(blank, of_images, mask, axis=3 - number % 2)
                for number, (blank, of_images) in enumerate(zip(self._blank, read, strict=True))
            ]
        patches = mask.repeat(self.grid[0] * self.grid[1], axis=1)
        first = np.ones((len(mask), self.prefix), bool)
        # The sink counts once for every image; an image's own class token for that one.
        counts = np.ones(len(mask), np.int64) if config.processing else mask.sum(axis=1)
        return EngineMemory(cross, np.concatenate((first, patches), axis=1), counts, far, prompt)

    def _far(self, distances: Floats, mask: NDArray[np.bool_], views: NDArray[np.int64]) -> Floats:
        """Distances of novelty (studies, images), NaN where nothing is known."""
        far = np.full(mask.shape, np.nan, np.float32)
        if self.config.processing is None or self.config.novelty_threshold:
            # They were fitted on frontal images of the study itself.
            frontal = views[mask] == VIEWS.index("frontal")
            far[mask] = np.where(frontal, distances, np.nan)
        return far

    def _joined(self, blank: Cross, of_images: Cross, mask: NDArray[np.bool_], axis: int) -> Cross:
        """What comes before the patches, and those of each study's images one after another.

        Args:
            blank: the sink, (1, ...), one position along the axis; of an imported network not read.
            of_images: (images, ...), of all that `mask`, (studies, images), says are there; of an
                imported network each with the prefix before its patches.
        """
        studies, count = mask.shape
        # Of each study the numbers of its images; of those it lacks, that of a blank one.
        numbers = np.where(mask, mask.cumsum().reshape(mask.shape) - 1, len(of_images))
        if self.config.processing is None:
            first, patches = blank.repeat(studies, axis=0), of_images
        else:
            if count == 1:
                return of_images.copy()
            before, patches = np.split(of_images, [self.prefix], axis=axis)
            first = before[numbers[:, 0]]
        if count == 1:
            return np.concatenate((first, patches), axis=axis)
        every = np.concatenate((patches, np.zeros_like(patches[:1])))
        parts = [every[numbers[:, place]] for place in range(count)]
        return np.concatenate((first, *parts), axis=axis)

    def without_images(self, memory: EngineMemory) -> EngineMemory:
        """See Engine: nothing to attend to but the sink, or a black image."""
        studies = len(memory.present)
        return EngineMemory(
            [each.repeat(studies, axis=0) for each in self._blank],
            np.ones((studies, self._blank[0].shape[3]), bool),
            np.ones(studies, np.int64),
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


def ready(entry: Entry, threads: int | None) -> OpenVinoEngine:
    """The engine of a cache's entry.

    Raises:
        RuntimeError: OpenVINO cannot read it.
    """
    config = entry.config
    images, decoder = (
        imported(entry.models[name], settings(threads, config.precision)) for name in MODELS
    )
    # Of our own network the sink alone; a black image has patches too.
    positions = config.prefix + (config.rows * config.columns if config.processing else 0)
    stored = np.uint16 if config.precision == "bf16" else np.float32
    layers = np.frombuffer(entry.blank, stored).reshape(2 * config.layers, -1)
    shapes = ((1, config.heads, -1, positions), (1, config.heads, positions, -1))
    blank = [each.reshape(shapes[number % 2]) for number, each in enumerate(layers)]
    alone = SMALL_ALONE if len(entry.models["decoder"]) < SMALL else ALONE
    return OpenVinoEngine(config, images, decoder, blank, alone)
