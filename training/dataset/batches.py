"""Batches of a split, the same ones for every run of the same seed.

Images and what lies on them are varied together; parts of a study are left out and findings
occluded at random.
"""

import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from data_prep.manifest import FINDINGS, Study
from model.interface import VIEWS
from model.memory import Memory
from model.torch_network import Network
from training.config import AugmentConfig, DropConfig
from training.dataset.augmentation import Augmentation
from training.dataset.occlusion import occlude
from training.dataset.questions import Asked, question_arrays, questions_for
from training.dataset.samples import Sample
from training.dataset.split import Split
from training.denied_places import add_areas, with_denied_places
from training.partial_study import with_images
from training.study_inputs import kind_in
from training.truth import Truth

__all__ = ["AS_PREPARED", "Batch", "Batches", "Mixture", "Variation", "stream"]

QUESTIONS = 6
"""Of a study, each time it is given."""
WINDOW = 8
"""Steps whose studies are sorted by their number of images."""


@dataclass(frozen=True)
class Batch:
    """Some studies, padded to the longest report, to the most images and the most findings."""

    images: Tensor
    """uint8 (batch, images, 1, size, size), bone white."""
    image_mask: Tensor
    """bool (batch, images), False where a study has fewer."""
    views: Tensor
    """int64 (batch, images), places in VIEWS."""
    prompt: Tensor
    """int64 (batch, prompt), padded in front."""
    tokens: Tensor
    """int64 (batch, 1 + tokens), from bos to eos. The decoder reads [:, :-1] and is asked for
    [:, 1:], the labels."""
    mentions: Tensor
    """float32 (batch, tokens, findings), 1 where labels[t] speaks of the finding."""
    leads: Tensor
    """The same where labels[t] leads up to the words that do."""
    coverage: Tensor
    """float32 (batch, findings, patches of all images), share of each patch that is covered."""
    kinds: Tensor
    """int64 (batch, findings), place in FINDINGS; -1 where a study has fewer findings, and for what
    is occluded."""
    occluded: Tensor
    """float32 (batch, findings), 1 where the report names what has been occluded."""
    weak: Tensor
    """float32 (batch, findings), 1 where only a region is known that holds the finding."""
    present: Tensor
    """float32 (batch, kinds of finding), 1 where the study has it, and it is not occluded."""
    known: Tensor
    """float32 (batch, kinds of finding), 1 where it is known whether the study has it."""
    complete: Tensor
    """bool (batch,), whether what has no box is absent."""
    questions: Tensor
    """int64 (batch, questions, tokens), from bos, padded (model/questions.py)."""
    question_ends: Tensor
    """int64 (batch, questions), the position that the answer follows."""
    answer_tokens: Tensor
    """int64 (batch, questions, 2), "none" and "present"."""
    answers: Tensor
    """float32 (batch, questions), 1 present, 0 absent, -1 where a study has fewer questions."""
    question_findings: Tensor
    """float32 (batch, questions, findings), 1 where the finding makes the answer "present"."""

    def to(self, device: torch.device) -> "Batch":
        return Batch(**{name: value.to(device) for name, value in vars(self).items()})

    def by_completeness(self) -> list[Tensor]:
        """Rows of the studies with all their boxes, and of the others; none that is empty.

        Their reports differ in length: the decoder need not read one kind padded to the other.
        """
        rows = (self.complete.nonzero()[:, 0], (~self.complete).nonzero()[:, 0])
        return [each for each in rows if len(each)]

    def studies(self, rows: Tensor, pad: int) -> "Batch":
        """Some studies only, with their texts cut to the longest of them."""
        part = {name: value[rows] for name, value in vars(self).items()}
        # Padding is at the end only, and a study without questions keeps its bos.
        longest = int((part["tokens"] != pad).any(0).sum())
        asked = int((part["questions"] != pad).any(0).any(0).sum())
        for name, length in (
            ("tokens", longest),
            ("mentions", longest - 1),
            ("leads", longest - 1),
        ):
            part[name] = part[name][:, :length]
        part["questions"] = part["questions"][:, :, :asked]
        return Batch(**part)

    def read_by(self, model: Network) -> Memory:
        # Without a mask the encoder need not gather what is there.
        mask = None if self.image_mask.all() else self.image_mask
        images = model.normalize(self.images.float() / 255)
        return model.encode(images, mask, self.views, self.prompt)

    def not_to_learn(self) -> tuple[Tensor, Tensor]:
        """Labels that nothing visible supports, bool (batch, tokens) both.

        Returns:
            Those that name occluded findings alone; and those that are not to be learned: these,
            what leads up to them, and what names an occluded finding beside others.
        """
        spoken = (self.mentions @ self.occluded[:, :, None])[..., 0] > 0
        leading = (self.leads @ self.occluded[:, :, None])[..., 0] > 0
        seen = (self.mentions @ (1 - self.occluded)[:, :, None])[..., 0] > 0
        return spoken & ~seen, spoken | leading


KEEP_ALL = DropConfig(frontal=0, lateral=0, prior=0, indication=0, finding=0)


@dataclass(frozen=True)
class Variation:
    """How a study differs from one time it is read to the next."""

    augment: AugmentConfig | None = None
    """None leaves the images as they are and needs no albumentations."""
    drop: DropConfig = KEEP_ALL
    repeat: Mapping[str, int] = field(default_factory=dict)
    """By finding, see TrainConfig.repeat."""
    denials: bool = False
    """See TrainConfig.denials."""


AS_PREPARED = Variation()


class Batches(Dataset[Batch]):
    """(step, part) -> that part of the step's studies. It follows from the seed: nothing to resume.

    A part is every parts-th study of the step's batch, whichever process it is computed in.
    """

    def __init__(
        self,
        split: Split,
        batch: int,
        seed: int,
        variation: Variation = AS_PREPARED,
        parts: int = 1,
    ) -> None:
        self.split, self.batch, self.seed = split, batch, seed
        self.variation, self.parts = variation, parts
        repeat = variation.repeat
        times = [
            max([1, *(repeat.get(f.name, 1) for f in s.findings if not f.weak)])
            for s in split.studies
        ]
        self._epoch = np.repeat(np.arange(len(split)), times)
        self._augmentation: Augmentation | None = None

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        return _collate(self.drawn(*key), self.split)

    def make(self, rows: Sequence[int], step: int, part: int = 0) -> Batch:
        """The batch of these studies, varied and with something left out as in this part of it."""
        return _collate(self.draw(rows, step, part), self.split)

    def drawn(self, step: int, part: int) -> list["_Drawn"]:
        """That part of the step's studies, before they are put together."""
        return self.draw(self._rows(step)[part :: self.parts], step, part)

    def draw(self, rows: Sequence[int], step: int, part: int) -> list["_Drawn"]:
        """These studies as they are given in this part of a step."""
        if self.variation.augment is not None:
            if self._augmentation is None:
                self._augmentation = Augmentation(self.variation.augment)
            state = np.random.SeedSequence([self.seed, step, part]).generate_state(1)
            self._augmentation.seed(int(state[0]))
        # Of its own: what is left out does not depend on how images are varied.
        rng = np.random.default_rng([self.seed, step, 1, part])
        return [self._draw(row, rng) for row in rows]

    def _rows(self, step: int) -> list[int]:
        """The studies of a step: every one once an epoch, or as often as `repeat` says of the
        finding it has for which that is most; in another order each epoch.

        Studies with as many images come together: what is padded costs as much as what is there.
        """
        window = self._window(step // WINDOW)
        counts = [len(self.split.studies[row].images) for row in window]
        if len(set(counts)) > 1:
            window = [window[k] for k in np.argsort(counts, kind="stable")]
            places = np.random.default_rng([self.seed, step // WINDOW, 2]).permutation(WINDOW)
            first = int(places[step % WINDOW]) * self.batch
        else:
            first = step % WINDOW * self.batch
        return window[first : first + self.batch]

    def _window(self, number: int) -> list[int]:
        """The studies of WINDOW steps."""
        studies, size = len(self._epoch), WINDOW * self.batch
        places = np.arange(number * size, (number + 1) * size)
        epochs = places // studies
        orders = {
            epoch: np.random.default_rng([self.seed, epoch]).permutation(studies)
            for epoch in np.unique(epochs).tolist()
        }
        return [
            int(self._epoch[orders[epoch][place % studies]])
            for epoch, place in zip(epochs, places, strict=True)
        ]

    def _draw(self, row: int, rng: np.random.Generator) -> "_Drawn":
        """One study as it is given this time."""
        whole, split, drop = self.split.studies[row], self.split, self.variation.drop
        kept = _kept(whole, drop, rng)
        study = whole if all(kept) else with_images(whole, kept)
        if rng.random() < drop.indication:
            study = replace(study, indication="")
        images, areas = [], []
        for number in np.flatnonzero(kept):
            image, area = split.images.read(row, int(number))
            images.append(image)
            areas.append(area)
        if self.variation.denials:
            study = with_denied_places(study)
            add_areas(study, areas)
        occluded: frozenset[int] = frozenset()
        if rng.random() < drop.finding:
            occluded = occlude(study, images, areas, split.encoder.placement, rng)
        if self._augmentation is not None:
            varied = [self._augmentation(*pair) for pair in zip(images, areas, strict=True)]
            images, areas = [one for one, _ in varied], [one for _, one in varied]
        sample = split.encoder.sample(study)
        visible = {kind for j, kind in enumerate(sample.kinds) if j not in occluded}
        present = sample.truth.present - ({sample.kinds[j] for j in occluded} - visible)
        truth = Truth(present, sample.truth.known)
        complete = split.encoder.complete
        count = QUESTIONS if split.encoder.asks else 0
        asked = questions_for(study, truth, occluded, complete, count, rng)
        return _Drawn(study, sample, images, areas, occluded, present, complete, asked)


@dataclass(frozen=True)
class _Drawn:
    study: Study
    sample: Sample
    images: list[NDArray[np.uint8]]
    """(size, size) each."""
    areas: list[NDArray[np.uint16]]
    """(size, size) each, bits as in ImageStore.areas."""
    occluded: frozenset[int]
    """Findings that have been occluded."""
    present: frozenset[int]
    """Indices in FINDINGS of what is there and visible."""
    complete: bool
    asked: list[Asked]


class Mixture(Dataset[Batch]):
    """(step, part) -> that part of a step's studies, which several prepared folders share."""

    def __init__(self, sources: Sequence[Batches]) -> None:
        """
        Args:
            sources: each gives as many studies a step as its own batch, all read by one model.
        """
        self.sources = tuple(sources)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        drawn = [each for source in self.sources for each in source.drawn(*key)]
        return _collate(drawn, self.sources[0].split)


def _kept(study: Study, drop: DropConfig, rng: np.random.Generator) -> list[bool]:
    """Which images are given: one at least of the study itself."""
    kinds = [VIEWS[kind_in(image)] for image in study.images]
    kept = [bool(rng.random() >= getattr(drop, kind)) for kind in kinds]
    if not any(keep and kind != "prior" for keep, kind in zip(kept, kinds, strict=True)):
        kept[next(k for k, kind in enumerate(kinds) if kind != "prior")] = True
    return kept


def _collate(drawn: Sequence[_Drawn], split: Split) -> Batch:
    samples = [each.sample for each in drawn]
    findings = max(1, *(len(sample.kinds) for sample in samples))
    longest = max(len(sample.tokens) for sample in samples)
    given = max(len(sample.prompt) for sample in samples)
    batch = len(drawn)
    tokens = np.full((batch, longest), split.pad, np.int64)
    prompt = np.full((batch, given), split.pad, np.int64)
    kinds = np.full((batch, findings), -1, np.int64)
    occluded, weak = np.zeros((2, batch, findings), np.float32)
    present, known = np.zeros((2, batch, len(FINDINGS)), np.float32)
    mentions, leads = np.zeros((2, batch, longest - 1, findings), np.float32)
    bits = np.arange(findings, dtype=np.uint64)
    for row, (sample, each) in enumerate(zip(samples, drawn, strict=True)):
        tokens[row, : len(sample.tokens)] = sample.tokens
        prompt[row, given - len(sample.prompt) :] = sample.prompt
        kinds[row, : len(sample.kinds)] = sample.kinds
        occluded[row, list(each.occluded)] = 1
        weak[row, : len(sample.kinds)] = [finding.weak for finding in each.study.findings]
        kinds[row, list(each.occluded)] = -1
        present[row, list(each.present)] = 1
        known[row, list(sample.truth.known)] = 1
        mentions[row, : len(sample.mentions)] = sample.mentions[:, None] >> bits & np.uint64(1)
        leads[row, : len(sample.leads)] = sample.leads[:, None] >> bits & np.uint64(1)
    arrays = {
        **_image_arrays(drawn, split, findings),
        "prompt": prompt,
        "tokens": tokens,
        "mentions": mentions,
        "leads": leads,
        "kinds": kinds,
        "occluded": occluded,
        "weak": weak,
        "present": present,
        "known": known,
        "complete": np.array([each.complete for each in drawn]),
        **question_arrays([each.asked for each in drawn], split.encoder, findings),
    }
    return Batch(**{name: torch.from_numpy(array) for name, array in arrays.items()})


def _image_arrays(
    drawn: Sequence[_Drawn], split: Split, findings: int
) -> dict[str, NDArray[np.generic]]:
    """The images, and which of their patches each finding covers."""
    most = max(len(each.images) for each in drawn)
    grid, size = split.encoder.grid, split.encoder.config.image_size
    batch, patches = len(drawn), grid[0] * grid[1]
    coverage = np.zeros((batch, findings, most * patches), np.float32)
    images = np.zeros((batch, most, 1, size, size), np.uint8)
    mask = np.zeros((batch, most), bool)
    views = np.zeros((batch, most), np.int64)
    for row, each in enumerate(drawn):
        for column, (image, areas) in enumerate(zip(each.images, each.areas, strict=True)):
            images[row, column, 0], mask[row, column] = image, True
            views[row, column] = kind_in(each.study.images[column])
            shown = slice(column * patches, (column + 1) * patches)
            here = [j for j, f in enumerate(each.study.findings) if f.image == column]
            for k, j in enumerate(here):
                if j not in each.occluded:
                    coverage[row, j, shown] = _coverage(areas, k, grid)
    return {"images": images, "image_mask": mask, "views": views, "coverage": coverage}


def _coverage(
    areas: NDArray[np.uint16], finding: int, grid: tuple[int, int]
) -> NDArray[np.float32]:
    """Share of each patch that bit `finding` covers, (patches,)."""
    plane = (areas >> np.uint16(finding) & np.uint16(1)).astype(np.float32)
    # Area averaging over whole patches is exactly their mean.
    shares = cv2.resize(plane, grid[::-1], interpolation=cv2.INTER_AREA)
    return shares.astype(np.float32).ravel()


def stream(
    batches: Dataset[Batch], keys: Sequence[tuple[int, int]], workers: int
) -> Iterator[Batch]:
    """The batches of these steps and parts in order, made ahead by worker processes."""
    if workers:
        # In the parent: OpenCV's threads do not survive a fork, and telling the child hangs it.
        cv2.setNumThreads(1)
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=keys,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        # fork: the workers share their parent's studies.
        multiprocessing_context="fork" if workers else None,
        worker_init_fn=_start_worker if workers else None,
        # Its own, or making the loader would move the generator that dropout draws from.
        generator=torch.Generator(),
    )
    return iter(loader)


def _start_worker(number: int) -> None:
    # A signal to the whole group is for the parent, which finishes its step and then ends this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)
