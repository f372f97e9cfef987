"""Batch normalization over all processes that share a step.

torch's SyncBatchNorm runs on CUDA alone. This one is the same by all-reduce, on any device: what
several processes learn is then what one would that sees their studies together.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn import functional as F  # noqa: N812 (the name everyone knows it by)
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["SharedBatchNorm", "share_batch_norm"]


class SharedBatchNorm(nn.Module):
    """Takes the place of a batch norm, with its weights, buffers and their names."""

    weight: nn.Parameter | None
    bias: nn.Parameter | None
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        self.eps, self.momentum = norm.eps, norm.momentum
        for name, parameter in norm.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, buffer in norm.named_buffers(recurse=False):
            self.register_buffer(name, buffer)
        # timm's norms hold the activation that follows them.
        for name, child in norm.named_children():
            self.add_module(name, child)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, ...) of this process -> the same, normalized over all processes."""
        given = features.dtype
        features = features.float()
        if self.training:
            mean, variance = self._statistics(features)
        else:
            mean, variance = self.running_mean, self.running_var
        normalized = F.batch_norm(
            features, mean, variance, self.weight, self.bias, False, 0.0, self.eps
        )
        after: Any
        for after in self.children():
            normalized = after(normalized)
        return normalized.to(given)

    def _statistics(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased variance per channel, which the running ones follow."""
        dimensions = [0, *range(2, features.ndim)]
        count = features.new_tensor([features.numel() / features.shape[1]])
        sums = torch.cat((features.sum(dimensions), count))
        total, whole = all_reduce(sums).split([features.shape[1], 1])
        mean = total / whole
        shape = (1, -1, *[1] * (features.ndim - 2))
        # From the shared mean: a sum of squares would lose the digits of a small variance.
        variance = all_reduce(((features - mean.view(shape)) ** 2).sum(dimensions)) / whole
        with torch.no_grad():
            self.num_batches_tracked += 1
            share = self.momentum or 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(variance * whole / (whole - 1), share)
        return mean, variance


def share_batch_norm(module: nn.Module) -> None:
    """Replace every batch norm inside a module."""
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, SharedBatchNorm(child))
        else:
            share_batch_norm(child)
