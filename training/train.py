"""The training loop: a prepared folder and settings in, a checkpoint folder out.

A run may be stopped at any time (SIGINT, SIGTERM, SIGKILL, power): the same command resumes at the
last snapshot, with the same batches and the same random numbers as if it had never stopped.
Several processes (torchrun) share every step's studies.
"""

import logging
import shlex
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.errors import CheckpointError, ConfigError
from training.config import TrainConfig, load_config
from training.dataset.batches import Batch, stream
from training.export import save
from training.optimizer import clip_gradients, schedule
from training.progress import Display, display
from training.provenance import card, training_record
from training.setup import set_up, snapshot_path
from training.snapshot import Progress, load_snapshot, save_snapshot
from training.validation import validate

__all__ = ["Outcome", "Training", "run"]

log = logging.getLogger(__name__)

MAY_CHANGE = ("accumulate", "data", "output", "store", "initial", "pretrained", "device", "threads",
              "workers", "validate_every", "validate_studies", "save_every")  # fmt: skip
"""Settings that may differ between the sessions of one run."""
PARTS_SETTING = "number of parts (processes x accumulate)"


@dataclass(frozen=True)
class Outcome:
    """How a session of training ended."""

    step: int
    finished: bool
    """False where a signal stopped it; the same command resumes."""
    checkpoint: Path
    scores: dict[str, float]
    """The last validation's."""


def run(config_path: Path, overrides: Sequence[str] = ()) -> Outcome:
    """Train as the settings say, or resume a run that was stopped.

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
    """The loop, and what changes from step to step."""

    def __init__(self, config: TrainConfig, command: str = "crossray train") -> None:
        """
        Args:
            command: what was typed, for the record.
        """
        self.setup, self.command = set_up(config), command
        self.config, self.processes = self.setup.config, self.setup.processes
        self.progress = Progress(0, 0.0, [])
        self._resume()
        self.shared = self.processes.share(self.setup.objective)

    @property
    def step(self) -> int:
        """Steps done."""
        return self.progress.step

    def run(self, stopped: Sequence[int]) -> Outcome:
        """Train to the last step, or until `stopped` holds a signal."""
        with display(self.config, self.step, self.processes.is_main) as shown:
            for losses in self.steps():
                shown.step(self.step, losses)
                last = self.step == self.config.steps
                if self.step % self.config.validate_every == 0 or last:
                    self._validate(shown, losses)
                stop = self.processes.any(bool(stopped))
                if self.step % self.config.save_every == 0 or last or stop:
                    self.save()
                if stop:
                    log.info("stopped at step %d; the same command resumes", self.step)
                    break
        scores = self.progress.scores[-1] if self.progress.scores else {}
        finished = self.step == self.config.steps
        self.processes.wait()
        return Outcome(self.step, finished, Path(self.config.output) / "checkpoint", scores)

    def steps(self) -> Iterator[dict[str, float]]:
        """The remaining steps, each yielding its losses once it is done."""
        self.setup.objective.train()
        parts = self.processes.own_parts
        keys = [(step, part) for step in range(self.step, self.config.steps) for part in parts]
        batches = stream(self.setup.train_batches, keys, self.config.workers)
        began = time.perf_counter()
        while self.step < self.config.steps:
            losses = self._step([(part, next(batches).to(self.setup.device)) for part in parts])
            now = time.perf_counter()
            self.progress = self.progress.after_step(now - began)
            began = now
            yield losses

    def _step(self, batches: Sequence[tuple[int, Batch]]) -> dict[str, float]:
        """One step of the optimizer on this process's parts of the step's studies."""
        config, setup = self.config, self.setup
        rate = config.optimizer.learning_rate * schedule(self.step, config.optimizer, config.steps)
        for group in setup.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        losses = []
        for number, (part, batch) in enumerate(batches):
            # From what step and part alone: resuming needs no state, nor does another process.
            torch.manual_seed(_seed(config.seed, self.step, part))
            last = number == len(batches) - 1
            with nullcontext() if last else self.processes.without_sharing(self.shared):
                losses.append(self._backward(batch, 1 / len(batches)))
        norms = clip_gradients(setup.objective, config.optimizer.clip)
        setup.optimizer.step()
        setup.optimizer.zero_grad(set_to_none=True)
        if setup.average is not None:
            setup.average.update(setup.objective, step=self.step)
        mean = self.processes.mean(losses)
        return {**mean, **norms, "learning_rate": rate}

    def _backward(self, batch: Batch, share: float) -> dict[str, Tensor]:
        """Add a part's gradients, of its `share` of the step; returns its losses."""
        with self._autocast():
            losses: dict[str, Tensor] = self.shared(batch)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            raise ConfigError(
                f"the loss is {total.item()} at step {self.step}: lower learning_rate"
            )
        (total * share).backward()
        losses = {name: loss.detach() for name, loss in losses.items()}
        if (critic := self.setup.objective.critic) is not None:
            losses["sample_reward"] = total.new_tensor(critic.reward)
        return losses

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.config.precision == "float32":
            return nullcontext()
        return torch.autocast(self.setup.device.type, torch.bfloat16)

    def _validate(self, shown: Display, losses: Mapping[str, float]) -> None:
        if not self.processes.is_main:
            return
        setup, averaged = self.setup, self.setup.averaged
        scores: dict[str, float] = {}
        for folder, batches in setup.validate_batches.items():
            # Of a folder that is mixed in: "<folder>/<score>".
            prefix = "" if folder == self.config.data else f"{Path(folder).name}/"
            with self._autocast():
                measured = validate(averaged.model, averaged.head, batches, setup.device)
            scores |= {prefix + name: value for name, value in measured.items()}
        shown.validation(self.step, scores)
        self.progress.scores.append({"step": float(self.step), **scores})
        self.export(losses)

    def export(self, losses: Mapping[str, float]) -> None:
        """Write the checkpoint folder, as it stands."""
        setup, model = self.setup, self.setup.averaged.model
        record = training_record(
            self.config, setup.data, setup.initial, self.command, self.progress, losses
        )
        parameters = sum(parameter.numel() for parameter in model.parameters())
        text = card(self.config, model.config, record, parameters)
        folder = Path(self.config.output) / "checkpoint"
        save(folder, model, setup.tokenizer, record, text)

    def save(self) -> None:
        """Write all that is needed to resume from here."""
        if self.processes.is_main:
            save_snapshot(
                snapshot_path(self.config),
                self._modules(),
                self.setup.optimizer,
                self.progress,
                self._settings(),
            )

    def _resume(self) -> None:
        path = snapshot_path(self.config)
        if self.processes.is_main:
            path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            modules, settings = self._modules(), self._settings()
            self.progress = load_snapshot(path, modules, self.setup.optimizer, settings)
            log.info("resuming at step %d", self.step)
        if self.processes.any(self.step > 0) and self.step == 0:
            raise CheckpointError(
                f"{path.name!r} is not in {str(path.parent)!r} of every machine: "
                "give them an output folder that they share"
            )

    def _settings(self) -> dict[str, Any]:
        """What a run that resumes must have in common with the one that was stopped."""
        settings = {k: v for k, v in self.config.model_dump().items() if k not in MAY_CHANGE}
        settings[PARTS_SETTING] = self.processes.parts
        records = (self.setup.data, *self.setup.data.get("mixed", {}).values())
        return {**settings, "manifest_sha256": [record["manifest_sha256"] for record in records]}

    def _modules(self) -> dict[str, nn.Module]:
        modules: dict[str, nn.Module] = {"modules": self.setup.objective}
        average = self.setup.average
        return modules if average is None else {**modules, "average": average.module}


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
