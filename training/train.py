"""The training loop: a prepared folder and settings in, a checkpoint folder out.

A run may be stopped at any time (SIGINT, SIGTERM, SIGKILL, power): the same command goes on where
the last snapshot was, with the same batches and the same random numbers as if it had never stopped.
Several processes (torchrun) share every step's studies.
"""

import logging
import shlex
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from tqdm import tqdm

from data_prep.manifest import Study
from data_prep.source import IMPORTED
from model.checkpoint import save_checkpoint
from model.config import VIEWS
from model.errors import CheckpointError, ConfigError
from training.config import TrainConfig, load_config
from training.dataset.batches import Batch, Batches, Mixture, stream
from training.dataset.split import load_split
from training.dataset.targets import kind_in
from training.device import chosen_device, chosen_precision, keep_memory, plain_attention
from training.initialization import first_model
from training.objective import LOSSES, Objective
from training.optimizer import gradient_norms, make_optimizer, schedule
from training.provenance import card, data_record, initial_record, training_record
from training.self_critical import SelfCritical
from training.snapshot import Progress, load_snapshot, save_snapshot
from training.validation import validate

__all__ = ["Outcome", "Training", "run"]

log = logging.getLogger(__name__)

MAY_CHANGE = ("accumulate", "data", "output", "initial", "pretrained", "device", "threads",
              "workers", "validate_every", "validate_studies", "save_every")  # fmt: skip
"""Settings that may differ between the sessions of one run."""
PARTS_SETTING = "number of parts (processes x accumulate)"


@dataclass(frozen=True)
class Outcome:
    """How a session of training ended."""

    step: int
    finished: bool
    """False where a signal stopped it; the same command goes on."""
    checkpoint: Path
    scores: dict[str, float]
    """The last validation's."""


def run(config_path: Path, overrides: Sequence[str] = ()) -> Outcome:
    """Train as the settings say, or go on with a run that was stopped.

    Args:
        config_path: TOML, see TrainConfig.
        overrides: "key=value", each over the file's.

    Raises:
        ConfigError, DataError, CheckpointError: settings, prepared folder or what lies in the
            output folder that cannot work; says which.
    """
    config = load_config(config_path, overrides)
    if config.threads:
        torch.set_num_threads(config.threads)
    changes = "".join(f" --set {shlex.quote(override)}" for override in overrides)
    training = Training(config, f"crossray train {config_path.as_posix()}{changes}")
    with _signals() as stopped:
        return training.run(stopped)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """A list that receives SIGINT and SIGTERM instead of their ending the process."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Training:
    """One run: everything that changes from step to step, and how to put it away."""

    def __init__(self, config: TrainConfig, command: str = "crossray train") -> None:
        self.device = chosen_device(config.device)
        # What "auto" comes to is part of the record, and must be the same where the run goes on.
        config = config.changed(precision=chosen_precision(config.precision, self.device))
        self.config = config
        self.command = command
        """What was typed, for the record."""
        self.accelerator = _accelerator(self.device)
        if self.accelerator.num_processes > 1:
            self.device = self.accelerator.device
        self.parts = _parts(config, self.accelerator.num_processes)
        self.folder = Path(config.output)
        self.data = data_record(Path(config.data))
        self.mixed = {folder: data_record(Path(folder)) for folder in config.mix}
        for folder, data in {config.data: self.data, **self.mixed}.items():
            if data.get("source") in IMPORTED:
                log.info("not all in %s has a box: no sink and dense losses of its studies", folder)
        torch.manual_seed(config.seed)
        # What goes on brings its weights; nothing is fetched for it again.
        drawn = config.changed(pretrained="")
        self.model, self.tokenizer = first_model(drawn if self.snapshot.is_file() else config)
        self.initial = initial_record(config)
        main = config.batch - sum(config.mix.values())
        sources = [self._batches(config.data, "train", main)]
        sources += [self._batches(folder, "train", size) for folder, size in config.mix.items()]
        self.train_batches: Batches | Mixture = Mixture(sources) if config.mix else sources[0]
        self.validate_batches = {
            folder: self._batches(folder, "validate", config.batch)
            for folder in (config.data, *config.mix)
        }
        trained = [study for source in sources for study in source.split.studies]
        _warn_of_unseen(config, trained)
        critic = None
        if config.losses.reward:
            reports = [study.report for study in trained]
            critic = SelfCritical(self.tokenizer, reports, config.reward)
        self.objective = Objective(self.model, config, critic)
        self.objective.to(self.device).to(memory_format=torch.channels_last)  # faster convolutions
        if self.device.type == "cpu":
            plain_attention(self.model)
            keep_memory()
        self.average = (
            ModelEmaV3(self.objective, config.ema, use_warmup=True) if config.ema else None
        )
        """Of the weights of all steps, the later the more: what is validated and exported."""
        self.optimizer = make_optimizer(self.objective, config)
        self.step, self.seconds = 0, 0.0
        self.scores: list[dict[str, float]] = []
        self._resume()
        self.shared: nn.Module = self.accelerator.prepare_model(
            self.objective, device_placement=False
        )

    def _batches(self, folder: str, split: str, batch: int) -> Batches:
        config = self.config
        loaded = load_split(
            Path(folder),
            split,
            self.tokenizer,
            self.model.config,
            self.model.grid,
            config.train_studies if split == "train" else config.validate_studies,
            data_record(Path(folder)).get("source") not in IMPORTED,
        )
        if split != "train":
            return Batches(loaded, batch, config.seed, None)
        augment = config.augmentation if config.augment else None
        return Batches(loaded, batch, config.seed, augment, config.drop, config.repeat, self.parts)

    @property
    def snapshot(self) -> Path:
        return self.folder / "resume.safetensors"

    def _settings(self) -> dict[str, Any]:
        """What a run that goes on must have in common with the one that was stopped."""
        settings = {k: v for k, v in self.config.model_dump().items() if k not in MAY_CHANGE}
        settings[PARTS_SETTING] = self.parts
        manifests = [data["manifest_sha256"] for data in (self.data, *self.mixed.values())]
        return {**settings, "manifest_sha256": manifests}

    def _resume(self) -> None:
        if self.accelerator.is_main_process:
            self.folder.mkdir(parents=True, exist_ok=True)
        if self.snapshot.is_file():
            there = load_snapshot(self.snapshot, self._modules(), self.optimizer, self._settings())
            self.step, self.seconds, self.scores = there.step, there.seconds, there.scores
            log.info("going on at step %d", self.step)
        if self._any(self.step > 0) and self.step == 0:
            raise CheckpointError(
                f"{self.snapshot.name!r} is not in {str(self.folder)!r} of every machine: "
                "give them an output folder that they share"
            )

    def save(self) -> None:
        """Put away all that is needed to go on from here."""
        progress = Progress(self.step, self.seconds, self.scores, self._settings())
        if self.accelerator.is_main_process:
            save_snapshot(self.snapshot, self._modules(), self.optimizer, progress)

    def _modules(self) -> dict[str, nn.Module]:
        modules: dict[str, nn.Module] = {"modules": self.objective}
        return modules if self.average is None else {**modules, "average": self.average.module}

    def run(self, stopped: Sequence[int]) -> Outcome:
        """Train to the last step, or until `stopped` holds a signal."""
        losses: dict[str, float] = {}
        board = _board(self.folder / "tensorboard", self.accelerator.is_main_process)
        recent: deque[tuple[float, int]] = deque(maxlen=50)
        bar = tqdm(
            total=self.config.steps,
            initial=self.step,
            unit="step",
            mininterval=2,
            disable=not self.accelerator.is_main_process,
        )
        with bar, board as writer:
            for losses in self.steps():
                bar.update()
                recent.append((time.perf_counter(), self.step))
                self._tell(bar, writer, losses, recent)
                last = self.step == self.config.steps
                if self.step % self.config.validate_every == 0 or last:
                    self._validate(writer, losses)
                    recent.clear()
                stop = self._any(bool(stopped))
                if self.step % self.config.save_every == 0 or last or stop:
                    self.save()
                if stop:
                    log.info("stopped at step %d; the same command goes on", self.step)
                    break
        scores = self.scores[-1] if self.scores else {}
        finished = self.step == self.config.steps
        self.accelerator.wait_for_everyone()
        return Outcome(self.step, finished, self.folder / "checkpoint", scores)

    def _any(self, here: bool) -> bool:
        """Whether it is so in any of the processes: they must all leave after the same step."""
        if self.accelerator.num_processes == 1:
            return here
        count = torch.tensor(float(here), device=self.device)
        return bool(self.accelerator.reduce(count, "sum") > 0)

    def steps(self) -> Iterator[dict[str, float]]:
        """The remaining steps, each yielding its losses once it is done."""
        self.objective.train()
        own = range(self.accelerator.process_index, self.parts, self.accelerator.num_processes)
        keys = [(step, part) for step in range(self.step, self.config.steps) for part in own]
        batches = stream(self.train_batches, keys, self.config.workers)
        began = time.perf_counter()
        while self.step < self.config.steps:
            losses = self._step([(part, next(batches).to(self.device)) for part in own])
            self.step += 1
            now = time.perf_counter()
            self.seconds, began = self.seconds + now - began, now
            yield losses

    def _step(self, batches: Sequence[tuple[int, Batch]]) -> dict[str, float]:
        """One step of the optimizer on this process's parts of the step's studies."""
        rate = self.config.optimizer.learning_rate * schedule(
            self.step, self.config.optimizer, self.config.steps
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        told: list[dict[str, Tensor]] = []
        for number, (part, batch) in enumerate(batches):
            # From what step and part alone: going on needs no state, nor does another process.
            torch.manual_seed(_seed(self.config.seed, self.step, part))
            last = number == len(batches) - 1
            with nullcontext() if last else self.accelerator.no_sync(self.shared):
                with self._autocast():
                    losses = self.shared(batch)
                total = torch.stack(list(losses.values())).sum()
                if not torch.isfinite(total):
                    raise ConfigError(
                        f"the loss is {total.item()} at step {self.step}: lower learning_rate"
                    )
                (total / len(batches)).backward()
            told.append({name: loss.detach() for name, loss in losses.items()})
            if (critic := self.objective.critic) is not None:
                told[-1]["sample_reward"] = total.new_tensor(critic.reward)
        norms = gradient_norms(self.objective)
        norm = nn.utils.clip_grad_norm_(self.objective.parameters(), self.config.optimizer.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.objective, step=self.step)
        return {**self._mean(told), **norms, "gradient": norm.item(), "learning_rate": rate}

    def _mean(self, told: Sequence[dict[str, Tensor]]) -> dict[str, float]:
        """Of the losses of all parts, in all processes."""
        values = torch.stack([torch.stack(list(losses.values())) for losses in told]).mean(dim=0)
        if self.accelerator.num_processes > 1:
            values = self.accelerator.reduce(values, "mean")
        return dict(zip(told[0], values.tolist(), strict=True))

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.config.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _tell(
        self, bar: tqdm, board: Any, losses: dict[str, float], recent: deque[tuple[float, int]]
    ) -> None:
        (since, first), (now, step) = recent[0], recent[-1]
        rate = (step - first) * self.config.batch / (now - since) if now > since else 0.0
        shown = {name: f"{value:.3f}" for name, value in losses.items() if name in LOSSES}
        bar.set_postfix({**shown, "images/s": f"{rate:.1f}"}, refresh=False)
        if self.step % 10 == 0 and board is not None:
            for name, value in {**losses, "images_per_second": rate}.items():
                board.add_scalar(f"train/{name}", value, self.step)

    def _validate(self, board: Any, losses: dict[str, float]) -> None:
        if board is None:  # another process does
            return
        judged = self.objective if self.average is None else self.average.module
        with self._autocast():
            scores = self._scores(judged)
        for name, value in scores.items():
            board.add_scalar(f"validate/{name}", value, self.step)
        brief = ", ".join(f"{k} {v:.3f}" for k, v in scores.items() if "/" not in k)
        log.info("step %d: %s", self.step, brief)
        self.scores.append({"step": float(self.step), **scores})
        self.export(losses)

    def _scores(self, judged: Objective) -> dict[str, float]:
        """Of the main prepared folder; those of the ones mixed in are "<folder>/<score>"."""
        scores: dict[str, float] = {}
        for folder, batches in self.validate_batches.items():
            prefix = "" if folder == self.config.data else f"{Path(folder).name}/"
            own = validate(judged.model, judged.head, batches, self.device)
            scores |= {prefix + name: value for name, value in own.items()}
        return scores

    def export(self, losses: dict[str, float]) -> None:
        """Write the checkpoint folder, as it stands."""
        record = training_record(
            self.config,
            {**self.data, "mixed": self.mixed} if self.mixed else self.data,
            self.initial,
            command=self.command,
            step=self.step,
            seconds=self.seconds,
            losses=losses,
            scores=self.scores,
        )
        model = self.model if self.average is None else self.average.module.model
        parameters = sum(parameter.numel() for parameter in model.parameters())
        text = card(self.config, record, parameters)
        save_checkpoint(self.folder / "checkpoint", model, self.tokenizer, record, text)


def _warn_of_unseen(config: TrainConfig, studies: Sequence[Study]) -> None:
    """A checkpoint says that it reads a view, whether or not any study had one."""
    seen = {VIEWS[kind_in(image)] for study in studies for image in study.images}
    unseen = [f"{view} images" for view in config.model.views if view not in seen]
    if config.model.prompt_tokens and not any(study.indication for study in studies):
        unseen.append("indications")
    for what in unseen:
        log.warning("no train study has %s: the model will say that it reads them, untaught", what)


def _accelerator(device: torch.device) -> Any:
    try:  # not on every machine that runs the rest
        from accelerate import Accelerator, DistributedDataParallelKwargs
    except ImportError as error:
        raise ConfigError("accelerate is missing: install the extra `train`") from error
    # An indication or a kind of view may be in no study of a step.
    shared = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(cpu=device.type == "cpu", kwargs_handlers=[shared])


def _parts(config: TrainConfig, processes: int) -> int:
    """In how many parts a step's studies are computed, over all processes."""
    parts = config.accumulate * processes
    if config.batch % parts:
        raise ConfigError(
            f"batch = {config.batch} does not divide into {parts} parts ({processes} processes, "
            f"accumulate = {config.accumulate}): choose a multiple"
        )
    return parts


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _board(folder: Path, wanted: bool) -> AbstractContextManager[Any]:
    """TensorBoard's writer, or a context of None in a process that only helps."""
    if not wanted:
        return nullcontext()
    try:  # not on every machine that trains
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError("tensorboard is missing: install the extra `train`") from error
    return SummaryWriter(folder)
