"""Batch normalisation in parts, so that it can be computed chunk by chunk inside a fused operator.

The function, the running averages and the gradients are those of ``nn.BatchNorm3d`` (Ioffe and Szegedy, arXiv
1502.03167). Chunks are merged with the update of Chan, Golub and LeVeque (Updating formulae and a pairwise
algorithm for computing sample variances, 1979), which does not cancel when a mean is large.

Batch norm, ReLU and the grouped 3x3x3 convolution as one operator that keeps one map for backward.

As modules these three read and write the bottleneck's map, the widest of a dense layer, about ten times in a
training step and keep it three times. Here it is folded once (see `hsi.models.kernels.grouped_conv`) and kept; what
lies between is made chunk by chunk of samples, small enough to stay in cache, and made again in the backward
pass.

Source: our own; the function is that of the three modules.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hsi.models.kernels.grouped_conv import FoldedConv3d, fold, unfold


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


CHUNK = 1 << 20
"""Values of the bottleneck's map that are worked on at a time: 4 MB in float32.

Half of it is as fast on one thread, but has every thread wait for the others twice as often."""


class NormConvStage:
    """ReLU(BN(y)) and the convolution for chunks of a folded map, forward and backward.

    Call order: `settle_constants`, `collect` for all chunks, `settle`, `forward` for all chunks; then
    `start_backward` for all chunks, `settle_backward`, `input_gradient` for all chunks.
    """

    def __init__(self, norm: nn.BatchNorm3d, weight: Tensor, bias: Tensor, conv: FoldedConv3d) -> None:
        self.norm, self.weight, self.bias, self.conv = norm, weight, bias, conv
        self._layout = (conv.groups, conv.width)
        self._moments = ChannelMoments(*self._layout)
        self._total: Tensor | None = None
        self._product: Tensor | None = None

    def collect(self, y: Tensor, scratch: Tensor) -> None:
        """Add a chunk ``(n, D, H, g, W, c)`` to the statistics, if the batch's are used."""
        if uses_batch(self.norm):
            self._moments.add(y.flatten(3).flatten(0, 2), scratch)

    def settle_constants(self) -> None:
        """Fix the statistics, if they are the running averages; this may come before `collect`."""
        if not uses_batch(self.norm):
            self._settle(None)

    def settle(self) -> None:
        """Fix the statistics, if they are the batch's."""
        if uses_batch(self.norm):
            self._settle(self._moments.result())

    def _settle(self, moments: tuple[Tensor, Tensor, int] | None) -> None:
        self.norm_pass = NormPass(self.norm, self.weight, self.bias, moments)
        self._scale = per_column(self.norm_pass.scale, *self._layout)
        self._shift = per_column(self.norm_pass.shift, *self._layout)

    def forward(self, y: Tensor, scratch: Tensor) -> Tensor:
        """Return the folded output ``(n, D, H, g, W, o)`` of a chunk."""
        return self.conv.forward(self._activate(y, scratch))

    def _activate(self, y: Tensor, scratch: Tensor) -> Tensor:
        z = scratch.view(-1)[: y.numel()].view(y.shape)
        torch.addcmul(self._shift, y.flatten(3), self._scale, out=z.flatten(3)).clamp_min_(0)
        return z

    def start_backward(self, grad: Tensor, y: Tensor, scratch: Tensor, out: Tensor) -> None:
        """Write the gradient of BN's output for one chunk into `out` and add it to the sums that BN needs."""
        z = self._activate(y, scratch)
        torch.ops.aten.threshold_backward.grad_input(self.conv.backward(grad, z), z, 0, grad_input=out)
        total = out.flatten(3).sum((0, 1, 2))
        product = torch.mul(out, y, out=z).flatten(3).sum((0, 1, 2))
        self._total = total if self._total is None else self._total.add_(total)
        self._product = product if self._product is None else self._product.add_(product)

    def settle_backward(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of BN's weight and bias and of the convolution's weight."""
        assert self._total is not None
        assert self._product is not None
        total, product = per_channel(self._total, *self._layout), per_channel(self._product, *self._layout)
        self._total = self._product = None  # the graph may be run backward again
        weight, bias, p, q = self.norm_pass.gradients(total, product)
        self._p, self._q = per_column(p, *self._layout), per_column(q, *self._layout)
        return weight, bias, self.conv.weight_gradient()

    def input_gradient(self, grad: Tensor, y: Tensor, scratch: Tensor) -> Tensor:
        """Return the gradient of a chunk of y, folded, from what `start_backward` wrote."""
        dy = scratch.view(-1)[: y.numel()].view(y.shape)
        torch.addcmul(self._q, y.flatten(3), self._p, out=dy.flatten(3))
        dy.flatten(3).addcmul_(grad.flatten(3), self._scale)
        return dy


def chunks(samples: int, values: int) -> Iterator[slice]:
    """Cut a batch into slices of about `CHUNK` values, where a sample has `values`."""
    size = max(1, round(CHUNK / values))
    size = -(-samples // max(1, round(samples / size)))
    for start in range(0, samples, size):
        yield slice(start, min(start + size, samples))


def scratch_for(like: Tensor, samples: int, values: int) -> Tensor:
    """Return room for the largest chunk, the first, of a batch whose samples have `values` values."""
    return like.new_empty(next(chunks(samples, values)).stop * values)


def norm_relu_conv(y: Tensor, norm: nn.BatchNorm3d, conv: nn.Conv3d) -> Tensor:
    """Return ``conv(relu(norm(y)))``.

    Parameters
    ----------
    y
        ``(N, C, D, H, W)`` on a CPU, float32 or float64; fastest in channels-last memory.
    norm
        A batch norm with weight and bias; its running averages are updated as if it had been called.
    conv
        Kernel 3, stride 1, padding 1, any number of groups, no bias.

    Returns
    -------
    Tensor
        ``(N, conv.out_channels, D, H, W)`` in channels-last memory.
    """
    parameters = (norm.weight, norm.bias, conv.weight)
    result: Tensor = _NormReluConv.apply(y, norm, conv.groups, *parameters)
    return result


class _NormReluConv(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, y: Tensor, norm: nn.BatchNorm3d, groups: int, gain: Tensor, bias: Tensor, weight: Tensor
    ) -> Tensor:
        samples, channels, *size = y.shape
        values = y[0].numel()
        rows = y.permute(0, 2, 3, 4, 1)
        folded = y.new_empty(samples, *size[:2], groups, size[2], channels // groups)
        out = y.new_empty(samples, *size, weight.shape[0])
        scratch = scratch_for(y, samples, values)
        stage = NormConvStage(norm, gain, bias, FoldedConv3d(weight, groups, *size))
        stage.settle_constants()
        for part in chunks(samples, values):
            fold(rows[part].contiguous(), folded[part])
            stage.collect(folded[part], scratch)
        stage.settle()
        for part in reversed(list(chunks(samples, values))):  # what was written last is still in cache
            unfold(stage.forward(folded[part], scratch), out[part])
        ctx.save_for_backward(folded, gain, bias, weight)
        ctx.stage = stage
        return out.permute(0, 4, 1, 2, 3)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        folded = ctx.saved_tensors[0]
        stage: NormConvStage = ctx.stage
        samples, values = folded.shape[0], folded[0].numel()
        scratch = scratch_for(folded, samples, values)
        rows = grad.permute(0, 2, 3, 4, 1)
        inner = torch.empty_like(folded)
        for part in chunks(samples, values):
            outer = folded.new_empty(*inner[part].shape[:-1], stage.conv.outputs)
            stage.start_backward(fold(rows[part], outer), folded[part], scratch, inner[part])
        gain, bias, weight = stage.settle_backward()
        out = folded.new_empty(*folded.shape[:3], folded.shape[4], folded.shape[3] * folded.shape[5])
        for part in reversed(list(chunks(samples, values))):
            unfold(stage.input_gradient(inner[part], folded[part], scratch), out[part])
        return out.permute(0, 4, 1, 2, 3), None, None, gain, bias, weight
