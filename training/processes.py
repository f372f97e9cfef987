"""The processes that share a run's steps (torchrun), and what they must agree on."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from model.errors import ConfigError
from training.batch_norm import share_batch_norm

__all__ = ["Processes"]


class Processes:
    """accelerate's view of the processes; most runs have one, and need no accelerate."""

    def __init__(self, device: torch.device, accumulate: int, batch: int) -> None:
        """
        Args:
            accumulate: in how many parts each process computes its share of a step.
            batch: studies a step, over all processes.

        Raises:
            ConfigError: several processes and no accelerate, or the batch does not divide into the
                parts.
        """
        several = int(os.environ.get("WORLD_SIZE", "1")) > 1  # set by torchrun
        self._accelerator = _accelerator(device) if several else None
        self.count, number, self.device = 1, 0, device
        if self._accelerator is not None:
            self.count, self.device = self._accelerator.num_processes, self._accelerator.device
            number = self._accelerator.process_index
        self.parts = accumulate * self.count
        """In how many parts a step's studies are computed, over all processes."""
        if batch % self.parts:
            raise ConfigError(
                f"batch = {batch} does not divide into {self.parts} parts ({self.count} processes, "
                f"accumulate = {accumulate}): choose a multiple"
            )
        self.own_parts = range(number, self.parts, self.count)

    @property
    def is_main(self) -> bool:
        """Whether this one writes the files."""
        return self._accelerator is None or bool(self._accelerator.is_main_process)

    @contextmanager
    def one_by_one(self) -> Iterator[None]:
        """The first process of each machine does what is inside before the others do."""
        if self._accelerator is None:
            yield
            return
        with self._accelerator.local_main_process_first():
            yield

    def share(self, module: nn.Module) -> nn.Module:
        """The module with gradients that all processes share, and batch norm over all of them."""
        if self._accelerator is None:
            return module
        share_batch_norm(module)
        shared: nn.Module = self._accelerator.prepare_model(module, device_placement=False)
        return shared

    def without_sharing(self, shared: nn.Module) -> AbstractContextManager[None]:
        """Gradients inside are kept to be shared later."""
        if self._accelerator is None:
            return nullcontext()
        context: AbstractContextManager[None] = self._accelerator.no_sync(shared)
        return context

    def any(self, here: bool) -> bool:
        """Whether it is so in any of the processes: they must all leave after the same step."""
        if self._accelerator is None:
            return here
        count = torch.tensor(float(here), device=self.device)
        return bool(self._accelerator.reduce(count, "sum") > 0)

    def mean(self, losses: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
        """Of the losses of all parts, in all processes."""
        values = torch.stack([torch.stack(list(part.values())) for part in losses]).mean(dim=0)
        if self._accelerator is not None:
            values = self._accelerator.reduce(values, "mean")
        return dict(zip(losses[0], values.tolist(), strict=True))

    def wait(self) -> None:
        """Until all are here."""
        if self._accelerator is not None:
            self._accelerator.wait_for_everyone()


def _accelerator(device: torch.device) -> Any:
    """
    Raises:
        ConfigError: accelerate is missing.
    """
    try:  # not on every machine that runs the rest
        from accelerate import Accelerator, DistributedDataParallelKwargs
    except ImportError as error:
        raise ConfigError("accelerate is missing: install the extra `train`") from error
    # An indication or a kind of view may be in no study of a step.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(cpu=device.type == "cpu", kwargs_handlers=[unused])
