"""The training loop: a prepared folder and settings in, a checkpoint folder out.

A run may be stopped at any time (SIGINT, SIGTERM, power): the same command goes on where the last
snapshot was, with the same batches and the same random numbers as if it had never stopped.
"""

import logging
import math
import shlex
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from data_prep.source import IMPORTED
from data_prep.study import FINDINGS
from model.checkpoint import save_checkpoint
from model.errors import ConfigError
from training.batches import Batch, Batches, stream
from training.config import TrainConfig, load_config
from training.data import load_split
from training.initial import first_model
from training.losses import (
    DenseHead,
    dense_loss,
    dense_targets,
    guidance_loss,
    guided,
    looked_for,
    presence_loss,
    searching,
    sink_loss,
    token_loss,
    unlikely_loss,
)
from training.record import card, data_record, initial_record, training_record
from training.snapshot import Progress, load_snapshot, save_snapshot
from training.validate import validate

__all__ = ["Outcome", "Training", "run"]

log = logging.getLogger(__name__)

MAY_CHANGE = ("data", "output", "initial", "device", "threads", "workers", "validate_every",
              "validate_studies", "save_every")  # fmt: skip
"""Settings that may differ between the sessions of one run."""


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
        self.device = _device(config.device)
        # What "auto" comes to is part of the record, and must be the same where the run goes on.
        config = replace(config, precision=_precision(config.precision, self.device))
        self.config = config
        self.command = command
        """What was typed, for the record."""
        self.folder = Path(config.output)
        self.data = data_record(Path(config.data))
        self.complete = self.data.get("source") not in IMPORTED
        if not self.complete:
            log.info("what has no box may be there: the sink, dense and presence losses are off")
        torch.manual_seed(config.seed)
        self.model, self.tokenizer = first_model(config)
        self.initial = initial_record(config.initial)
        self.head = DenseHead(self.model.encoder.width, len(FINDINGS))
        self.modules = nn.ModuleDict({"model": self.model, "head": self.head})
        self.modules.to(self.device).to(memory_format=torch.channels_last)  # faster convolutions
        if self.device.type == "cpu":
            _plain_attention(self.model)
        self.optimizer = _optimizer(self.modules, config)
        self.train_batches = self._batches("train", config.train_studies)
        self.validate_batches = self._batches("validate", config.validate_studies)
        self.step, self.seconds = 0, 0.0
        self.scores: list[dict[str, float]] = []
        self._resume()

    def _batches(self, split: str, limit: int) -> Batches:
        config = self.config
        loaded = load_split(
            Path(config.data),
            split,
            self.tokenizer,
            self.model.config,
            self.model.grid,
            limit,
        )
        if split != "train":
            return Batches(loaded, config.batch, config.seed, None)
        augment = config.augmentation if config.augment else None
        return Batches(loaded, config.batch, config.seed, augment, config.drop, config.repeat)

    @property
    def snapshot(self) -> Path:
        return self.folder / "resume.safetensors"

    def _settings(self) -> dict[str, Any]:
        """What a run that goes on must have in common with the one that was stopped."""
        settings = {k: v for k, v in asdict(self.config).items() if k not in MAY_CHANGE}
        return {**settings, "manifest_sha256": self.data["manifest_sha256"]}

    def _resume(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.snapshot.is_file():
            there = load_snapshot(self.snapshot, self.modules, self.optimizer, self._settings())
            self.step, self.seconds, self.scores = there.step, there.seconds, there.scores
            log.info("going on at step %d", self.step)

    def save(self) -> None:
        """Put away all that is needed to go on from here."""
        progress = Progress(self.step, self.seconds, self.scores, self._settings())
        save_snapshot(self.snapshot, self.modules, self.optimizer, progress)

    def run(self, stopped: Sequence[int]) -> Outcome:
        """Train to the last step, or until `stopped` holds a signal."""
        board, losses = _board(self.folder / "tensorboard"), {}
        recent: deque[tuple[float, int]] = deque(maxlen=50)
        bar = tqdm(total=self.config.steps, initial=self.step, unit="step", mininterval=2)
        with bar, board:
            for losses in self.steps():
                bar.update()
                recent.append((time.perf_counter(), self.step))
                self._tell(bar, board, losses, recent)
                last = self.step == self.config.steps
                if self.step % self.config.validate_every == 0 or last:
                    self._validate(board, losses)
                    recent.clear()
                if self.step % self.config.save_every == 0 or last or stopped:
                    self.save()
                if stopped:
                    log.info("stopped at step %d; the same command goes on", self.step)
                    break
        scores = self.scores[-1] if self.scores else {}
        finished = self.step == self.config.steps
        return Outcome(self.step, finished, self.folder / "checkpoint", scores)

    def steps(self) -> Iterator[dict[str, float]]:
        """The remaining steps, each yielding its losses once it is done."""
        self.modules.train()
        remaining = range(self.step, self.config.steps)
        began = time.perf_counter()
        for batch in stream(self.train_batches, remaining, self.config.workers):
            losses = self._step(batch.to(self.device))
            self.step += 1
            now = time.perf_counter()
            self.seconds, began = self.seconds + now - began, now
            yield losses

    def _step(self, batch: Batch) -> dict[str, float]:
        rate = self.config.optimizer.learning_rate * _schedule(self.step, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with self._autocast():
            losses = self._losses(batch)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            raise ConfigError(
                f"the loss is {total.item()} at step {self.step}: lower learning_rate"
            )
        total.backward()
        clip = self.config.optimizer.clip
        norm = nn.utils.clip_grad_norm_(self.modules.parameters(), clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        values = {name: loss.item() for name, loss in losses.items()}
        return {**values, "gradient": norm.item(), "learning_rate": rate}

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        """Each loss times its weight; those turned off are not computed."""
        weights = self.config.losses
        memory = batch.read_by(self.model)
        there = memory.patch_mask[:, 1:].clone()
        blind = torch.rand(len(batch.tokens), device=self.device) < self.config.blind
        memory.patch_mask[blind, 1:] = False
        output = self.model(
            decoder_input_ids=batch.tokens[:, :-1],
            encoder_outputs=memory,
            output_attentions=weights.guidance > 0 or weights.sink > 0 or weights.search > 0,
        )
        labels, pad = batch.tokens[:, 1:], self.train_batches.split.pad
        hidden, untold = (each & ~blind[:, None] for each in batch.unsayable())
        told = labels.masked_fill(untold, pad)
        losses = {"tokens": token_loss(output.logits, told, pad, weights.label_smoothing)}
        if weights.unlikely and self.config.drop.finding:
            unlikely = unlikely_loss(output.logits, labels, hidden)
            losses["unlikely"] = weights.unlikely * unlikely
        mentions = batch.mentions * ~blind[:, None, None]
        area = looked_for(batch.coverage, self.model.grid)
        if weights.guidance or weights.sink:
            late = guided(output.cross_attentions)
            if weights.guidance:
                losses["guidance"] = weights.guidance * guidance_loss(late, mentions, area)
            if weights.sink and self.complete:
                free = (labels != pad) & ~batch.mentions.any(-1) & ~blind[:, None]
                losses["sink"] = weights.sink * sink_loss(late, free)
        if weights.search:
            early = searching(output.cross_attentions)
            assert early is not None  # TrainConfig has seen to it
            about = mentions + batch.leads * ~blind[:, None, None]
            losses["search"] = weights.search * guidance_loss(early, about, area)
        if (weights.dense or weights.presence) and self.complete:
            seen = self.head(memory.last_hidden_state[:, 1:])
            targets = dense_targets(batch.coverage, batch.kinds, len(FINDINGS))
            losses["dense"] = weights.dense * dense_loss(seen, targets, there)
            losses["presence"] = weights.presence * presence_loss(seen, batch.present(), there)
        return losses

    def _autocast(self) -> AbstractContextManager:
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
        if self.step % 10 == 0:
            for name, value in {**losses, "images_per_second": rate}.items():
                board.add_scalar(f"train/{name}", value, self.step)

    def _validate(self, board: Any, losses: dict[str, float]) -> None:
        with self._autocast():
            scores = validate(self.model, self.head, self.validate_batches, self.device)
        for name, value in scores.items():
            board.add_scalar(f"validate/{name}", value, self.step)
        brief = ", ".join(f"{k} {v:.3f}" for k, v in scores.items() if "/" not in k)
        log.info("step %d: %s", self.step, brief)
        self.scores.append({"step": float(self.step), **scores})
        self.export(losses)

    def export(self, losses: dict[str, float]) -> None:
        """Write the checkpoint folder, as it stands."""
        record = training_record(
            self.config,
            self.data,
            self.initial,
            command=self.command,
            step=self.step,
            seconds=self.seconds,
            losses=losses,
            scores=self.scores,
        )
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        text = card(self.config, record, parameters)
        save_checkpoint(self.folder / "checkpoint", self.model, self.tokenizer, record, text)


LOSSES = ("tokens", "guidance", "search", "sink", "unlikely", "dense", "presence")


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device = {name!r} is none that torch knows: 'auto', 'cpu'") from error


def _precision(name: str, device: torch.device) -> str:
    if name != "auto":
        return name
    if device.type == "cpu":
        found = torch.cpu.get_capabilities()
        return "bf16" if any(found.get(name) for name in BF16) else "float32"
    return "bf16" if device.type != "cuda" or torch.cuda.is_bf16_supported() else "float32"


BF16 = ("avx512_bf16", "amx_bf16", "arm_bf16")
"""Names that torch.cpu.get_capabilities() has for instructions on it."""


def _plain_attention(model: nn.Module) -> None:
    """Written-out attention in timm's blocks: torch's fused one goes back slowly on a CPU."""
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            vars(module)["fused_attn"] = False


EMBEDDINGS = ("pos_embed", "tokens.weight", "positions.weight", "views.weight")


def _optimizer(modules: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """Weight decay on matrices and kernels only."""
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in modules.named_parameters():
        embeds = name.endswith(EMBEDDINGS)
        (free if parameter.ndim < 2 or embeds else decayed).append(parameter)
    settings = config.optimizer
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    betas = (settings.beta1, settings.beta2)
    return torch.optim.AdamW(groups, settings.learning_rate, betas=betas, fused=True)


def _schedule(step: int, config: TrainConfig) -> float:
    """Share of the learning rate: up in a line, down to nothing in a cosine."""
    warm_up = config.optimizer.warm_up
    last = config.optimizer.decay_steps or config.steps
    if step < warm_up:
        return (step + 1) / warm_up
    done = min(1.0, (step - warm_up) / max(1, last - warm_up))
    return 0.5 * (1 + math.cos(math.pi * done))


def _board(folder: Path) -> Any:
    try:  # not on every machine that trains
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError("tensorboard is missing: install the extra `train`") from error
    return SummaryWriter(folder)
