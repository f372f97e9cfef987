"""What a run shows while it goes on: a progress bar, TensorBoard, a log line a validation."""

import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from model.errors import ConfigError
from training.config import TrainConfig
from training.objective import LOSSES

__all__ = ["Display", "display"]

log = logging.getLogger(__name__)

TENSORBOARD_EVERY = 10
"""Steps."""


class Display:
    """Nothing is shown where the bar is disabled and there is no writer."""

    def __init__(self, bar: Any, writer: Any, batch: int) -> None:
        self._bar, self._writer, self._batch = bar, writer, batch
        self._recent: deque[tuple[float, int]] = deque(maxlen=50)

    def step(self, step: int, losses: Mapping[str, float]) -> None:
        """Show the losses of a step that is done."""
        self._bar.update()
        self._recent.append((time.perf_counter(), step))
        (since, first), (now, _) = self._recent[0], self._recent[-1]
        rate = (step - first) * self._batch / (now - since) if now > since else 0.0
        shown = {name: f"{value:.3f}" for name, value in losses.items() if name in LOSSES}
        self._bar.set_postfix({**shown, "studies/s": f"{rate:.1f}"}, refresh=False)
        if step % TENSORBOARD_EVERY == 0 and self._writer is not None:
            for name, value in {**losses, "studies_per_second": rate}.items():
                self._writer.add_scalar(f"train/{name}", value, step)

    def validation(self, step: int, scores: Mapping[str, float]) -> None:
        """Show the scores of a validation, whose time does not count."""
        for name, value in scores.items():
            self._writer.add_scalar(f"validate/{name}", value, step)
        brief = ", ".join(f"{k} {v:.3f}" for k, v in scores.items() if "/" not in k)
        log.info("step %d: %s", step, brief)
        self._recent.clear()


@contextmanager
def display(config: TrainConfig, step: int, enabled: bool) -> Iterator[Display]:
    """
    Args:
        step: where the run goes on.
        enabled: False in a process that only helps.

    Raises:
        ConfigError: tensorboard is missing.
    """
    bar = tqdm(total=config.steps, initial=step, unit="step", mininterval=2, disable=not enabled)
    with bar:
        if not enabled:
            yield Display(bar, None, config.batch)
            return
        try:  # not on every machine that trains
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError("tensorboard is missing: install the extra `train`") from error
        with SummaryWriter(Path(config.output) / "tensorboard") as writer:
            yield Display(bar, writer, config.batch)
