"""Batch normalisation in parts, so that it can be computed chunk by chunk inside a fused operator.

The function, the running averages and the gradients are those of ``nn.BatchNorm3d`` (Ioffe and Szegedy, arXiv
1502.03167). Chunks are merged with the update of Chan, Golub and LeVeque (Updating formulae and a pairwise
algorithm for computing sample variances, 1979), which does not cancel when a mean is large.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ChannelMoments:
    """Mean and variance of each channel over rows that come chunk by chunk.

    Parameters
    ----------
    groups, width
        A row holds ``(g, W, c)`` values of ``g c`` channels; (1, 1) for plain rows of channels.
    """

    def __init__(self, groups: int = 1, width: int = 1) -> None:
        self.groups, self.width = groups, width
        self._counts: list[int] = []
        self._means: list[Tensor] = []
        self._squares: list[Tensor] = []

    def add(self, rows: Tensor, scratch: Tensor) -> None:
        """Add a chunk ``(R, g W c)``; `scratch` is overwritten and has at least as many elements."""
        count = rows.shape[0] * self.width
        mean = per_channel(rows.sum(0), self.groups, self.width) / count
        centred = scratch.view(-1)[: rows.numel()].view(rows.shape)
        torch.sub(rows, per_column(mean, self.groups, self.width), out=centred)
        self._counts.append(count)
        self._means.append(mean)
        self._squares.append(per_channel(centred.square_().sum(0), self.groups, self.width))

    def result(self) -> tuple[Tensor, Tensor, int]:
        """Return mean and biased variance of each channel, ``(C,)``, and how many values of it there were."""
        means = torch.stack(self._means)
        counts = means.new_tensor(self._counts).unsqueeze(1)
        count = sum(self._counts)
        mean = (means * counts).sum(0) / count
        between = ((means - mean).square() * counts).sum(0)
        return mean, (torch.stack(self._squares).sum(0) + between) / count, count


def per_channel(columns: Tensor, groups: int, width: int) -> Tensor:
    """Add up the columns ``(g W c,)`` of each channel: ``(g c,)``."""
    return columns.view(groups, width, -1).sum(1).view(-1)


def per_column(channels: Tensor, groups: int, width: int) -> Tensor:
    """Repeat a value of each channel ``(g c,)`` for its columns: ``(g W c,)``."""
    return channels.view(groups, 1, -1).expand(-1, width, -1).reshape(-1)


class NormPass:
    """One use of a batch norm: ``y = scale * x + shift`` forward, and what its gradient needs.

    Parameters
    ----------
    norm
        The module, for its switches and running averages.
    weight, bias
        Its parameters, ``(C,)``.
    moments
        Mean, biased variance and number of values of the batch. In training mode they are added to the
        running averages. None to use the running averages.
    """

    def __init__(
        self, norm: nn.BatchNorm3d, weight: Tensor, bias: Tensor, moments: tuple[Tensor, Tensor, int] | None
    ) -> None:
        if moments is None:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            self.mean, variance, self.count = norm.running_mean.clone(), norm.running_var, 0
        else:
            self.mean, variance, self.count = moments
            if norm.training:
                _track(norm, self.mean, variance, self.count)
        self.inverse_std = torch.rsqrt(variance + norm.eps)
        self.scale = weight * self.inverse_std
        self.shift = bias - self.mean * self.scale

    def gradients(self, total: Tensor, product: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the gradients of weight and bias, and the terms ``p, q`` of the input's.

        Parameters
        ----------
        total, product
            Sums over all rows of the output gradient g, and of g times the input x, ``(C,)``.

        Returns
        -------
        tuple
            ``(d weight, d bias, p, q)``; the input gradient is ``scale * g + p * x + q``.
        """
        weight_gradient = (product - self.mean * total) * self.inverse_std
        if not self.count:  # the statistics are constants
            zero = torch.zeros_like(total)
            return weight_gradient, total, zero, zero
        p = -self.scale * self.inverse_std * weight_gradient / self.count
        q = -self.scale * total / self.count - p * self.mean
        return weight_gradient, total, p, q


def uses_batch(norm: nn.BatchNorm3d) -> bool:
    """Tell whether the module normalises with the batch's own statistics."""
    return norm.training or norm.running_mean is None


def count_batch(norm: nn.BatchNorm3d) -> float:
    """Count one more batch; return its share in the running averages: an equal one where momentum is None."""
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    return 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum


def _track(norm: nn.BatchNorm3d, mean: Tensor, variance: Tensor, count: int) -> None:
    """Update the running averages as ``nn.BatchNorm3d`` does; the variance kept is the unbiased one."""
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    momentum = count_batch(norm)
    norm.running_mean.lerp_(mean, momentum)
    norm.running_var.lerp_(variance * (count / (count - 1)), momentum)
