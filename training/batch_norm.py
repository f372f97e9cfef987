"""Batch normalization over all processes that share a step.

torch's SyncBatchNorm runs on CUDA alone. This one is the same by all-reduce, on any device: what
several processes learn is then what one would that sees their studies together.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn
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
        self.train(norm.training)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, ...) of this process -> the same, normalized over all processes."""
        given = features.float()
        shape = (1, -1, *[1] * (features.ndim - 2))
        if self.training:
            mean, variance = self._statistics(given, shape)
        else:
            mean, variance = self.running_mean, self.running_var
        normalized = (given - mean.view(shape)) * (variance + self.eps).rsqrt().view(shape)
        if self.weight is not None and self.bias is not None:
            normalized = normalized * self.weight.view(shape) + self.bias.view(shape)
        normalized = normalized.to(features.dtype)
        for after in self.children():
            normalized = after(normalized)
        return normalized

    def _statistics(self, features: Tensor, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Mean and biased variance per channel, which the running ones follow."""
        dimensions = [0, *range(2, features.ndim)]
        count = features.new_tensor([features.numel() / features.shape[1]])
        sums = torch.cat((features.sum(dimensions), count))
        total, whole = _Total.apply(sums).split([features.shape[1], 1])
        mean = total / whole
        # From the shared mean: a sum of squares would lose the digits of a small variance.
        squares = ((features - mean.view(shape)) ** 2).sum(dimensions)
        variance = _Total.apply(squares) / whole
        with torch.no_grad():
            self.num_batches_tracked += 1
            share = self.momentum or 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(variance * whole / (whole - 1), share)
        return mean, variance


class _Total(torch.autograd.Function):
    """The sum of a tensor over all processes; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        total = own.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total


def share_batch_norm(module: nn.Module) -> None:
    """Replace every batch norm inside a module."""
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, SharedBatchNorm(child))
        else:
            share_batch_norm(child)
