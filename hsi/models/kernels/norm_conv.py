"""Batch norm, ReLU and the grouped 3x3x3 convolution as one operator that keeps one map for backward.

As modules these three read and write the bottleneck's map, the widest of a dense layer, about ten times in a
training step and keep it three times. Here it is converted once to group-major layout (see
`hsi.models.kernels.grouped_conv`) and kept; activations are computed in chunks of samples that fit the cache,
and recomputed in the backward pass.

Batch statistics are merged over chunks with the update of Chan, Golub and LeVeque ("Updating formulae and a
pairwise algorithm for computing sample variances", 1979), which does not cancel when a mean is large.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hsi.models.kernels.grouped_conv import GroupedConv3d, from_group_major, to_group_major


class ChannelMoments:
    """Mean and variance per channel over chunks of rows, each row ``(g, W, c)`` or, by default, ``(c,)``."""

    def __init__(self, groups: int = 1, width: int = 1) -> None:
        self.groups, self.width = groups, width
        self._counts: list[int] = []
        self._means: list[Tensor] = []
        self._squares: list[Tensor] = []

    def add(self, rows: Tensor, scratch: Tensor) -> None:
        """Add a chunk ``(R, g W c)``; `scratch`, of at least as many elements, is overwritten."""
        count = rows.shape[0] * self.width
        mean = per_channel(rows.sum(0), self.groups, self.width) / count
        centred = scratch.view(-1)[: rows.numel()].view(rows.shape)
        torch.sub(rows, per_column(mean, self.groups, self.width), out=centred)
        self._counts.append(count)
        self._means.append(mean)
        self._squares.append(per_channel(centred.square_().sum(0), self.groups, self.width))

    def result(self) -> tuple[Tensor, Tensor, int]:
        """Return mean ``(C,)``, biased variance ``(C,)`` and number of values per channel."""
        means = torch.stack(self._means)
        counts = means.new_tensor(self._counts).unsqueeze(1)
        count = sum(self._counts)
        mean = (means * counts).sum(0) / count
        between = ((means - mean).square() * counts).sum(0)
        return mean, (torch.stack(self._squares).sum(0) + between) / count, count


def per_channel(columns: Tensor, groups: int, width: int) -> Tensor:
    """Sum ``(g W c,)`` over W: ``(g c,)``."""
    return columns.view(groups, width, -1).sum(1).view(-1)


def per_column(channels: Tensor, groups: int, width: int) -> Tensor:
    """Repeat ``(g c,)`` along W: ``(g W c,)``."""
    return channels.view(groups, 1, -1).expand(-1, width, -1).reshape(-1)


class NormPass:
    """One use of a batch norm: ``y = scale * x + shift``, and its gradients.

    `moments` are mean, biased variance and number of values of the batch, which in training mode update the
    running averages; None to normalise with the running averages.
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
                _update_running_averages(norm, self.mean, variance, self.count)
        self.inverse_std = torch.rsqrt(variance + norm.eps)
        self.scale = weight * self.inverse_std
        self.shift = bias - self.mean * self.scale

    def gradients(self, total: Tensor, product: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return ``(d weight, d bias, p, q)``; the input gradient is ``scale * g + p * x + q``.

        `total` and `product` ``(C,)`` are the sums over all rows of the output gradient g and of g * x.
        """
        weight_gradient = (product - self.mean * total) * self.inverse_std
        if not self.count:  # the statistics are constants
            zero = torch.zeros_like(total)
            return weight_gradient, total, zero, zero
        p = -self.scale * self.inverse_std * weight_gradient / self.count
        q = -self.scale * total / self.count - p * self.mean
        return weight_gradient, total, p, q


def uses_batch_statistics(norm: nn.BatchNorm3d) -> bool:
    """Tell whether the module normalises with the statistics of the batch."""
    return norm.training or norm.running_mean is None


def count_batch(norm: nn.BatchNorm3d) -> float:
    """Count one batch and return the momentum for it (1 / number of batches if ``momentum=None``)."""
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    return 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum


def _update_running_averages(norm: nn.BatchNorm3d, mean: Tensor, variance: Tensor, count: int) -> None:
    """Update the running averages as ``nn.BatchNorm3d`` does, with the unbiased variance."""
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    momentum = count_batch(norm)
    norm.running_mean.lerp_(mean, momentum)
    norm.running_var.lerp_(variance * (count / (count - 1)), momentum)


CHUNK = 1 << 20
"""Values of the bottleneck's map per chunk: 4 MB in float32. Half is as fast on one thread, but synchronises
threads twice as often."""


class NormConvStage:
    """``conv(relu(norm(y)))`` for chunks of a group-major map, forward and backward.

    Call order: `use_running_averages`, `add_to_statistics` per chunk, `use_batch_statistics`, `forward` per
    chunk; then `start_backward` per chunk, `finish_backward`, `input_gradient` per chunk.
    """

    def __init__(self, norm: nn.BatchNorm3d, weight: Tensor, bias: Tensor, conv: GroupedConv3d) -> None:
        self.norm, self.weight, self.bias, self.conv = norm, weight, bias, conv
        self._layout = (conv.groups, conv.width)
        self._moments = ChannelMoments(*self._layout)
        self._total: Tensor | None = None
        self._product: Tensor | None = None

    def add_to_statistics(self, y: Tensor, scratch: Tensor) -> None:
        """Add a chunk ``(n, D, H, g, W, c)`` to the batch statistics, if they are used."""
        if uses_batch_statistics(self.norm):
            self._moments.add(y.flatten(3).flatten(0, 2), scratch)

    def use_running_averages(self) -> None:
        """Normalise with the running averages, if this batch norm does; no chunk is needed for that."""
        if not uses_batch_statistics(self.norm):
            self._set_statistics(None)

    def use_batch_statistics(self) -> None:
        """Normalise with the statistics of the chunks added so far, if this batch norm does."""
        if uses_batch_statistics(self.norm):
            self._set_statistics(self._moments.result())

    def _set_statistics(self, moments: tuple[Tensor, Tensor, int] | None) -> None:
        self.norm_pass = NormPass(self.norm, self.weight, self.bias, moments)
        self._scale = per_column(self.norm_pass.scale, *self._layout)
        self._shift = per_column(self.norm_pass.shift, *self._layout)

    def forward(self, y: Tensor, scratch: Tensor) -> Tensor:
        """Return the output ``(n, D, H, g, W, o)`` of a chunk."""
        return self.conv.forward(self._activate(y, scratch))

    def _activate(self, y: Tensor, scratch: Tensor) -> Tensor:
        z = scratch.view(-1)[: y.numel()].view(y.shape)
        torch.addcmul(self._shift, y.flatten(3), self._scale, out=z.flatten(3)).clamp_min_(0)
        return z

    def start_backward(self, grad: Tensor, y: Tensor, scratch: Tensor, out: Tensor) -> None:
        """Write the gradient of BN's output for one chunk into `out` and add it to BN's gradient sums."""
        z = self._activate(y, scratch)
        torch.ops.aten.threshold_backward.grad_input(self.conv.backward(grad, z), z, 0, grad_input=out)
        total = out.flatten(3).sum((0, 1, 2))
        product = torch.mul(out, y, out=z).flatten(3).sum((0, 1, 2))
        self._total = total if self._total is None else self._total.add_(total)
        self._product = product if self._product is None else self._product.add_(product)

    def finish_backward(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of BN's weight and bias and of the convolution's weight."""
        assert self._total is not None
        assert self._product is not None
        total, product = per_channel(self._total, *self._layout), per_channel(self._product, *self._layout)
        self._total = self._product = None  # for another backward pass through the same graph
        weight, bias, p, q = self.norm_pass.gradients(total, product)
        self._p, self._q = per_column(p, *self._layout), per_column(q, *self._layout)
        return weight, bias, self.conv.weight_gradient()

    def input_gradient(self, grad: Tensor, y: Tensor, scratch: Tensor) -> Tensor:
        """Return the gradient of a chunk of y; `grad` is what `start_backward` wrote."""
        dy = scratch.view(-1)[: y.numel()].view(y.shape)
        torch.addcmul(self._q, y.flatten(3), self._p, out=dy.flatten(3))
        dy.flatten(3).addcmul_(grad.flatten(3), self._scale)
        return dy


def chunk_slices(samples: int, values: int) -> Iterator[slice]:
    """Yield slices of a batch of about `CHUNK` values each, where a sample has `values`."""
    size = max(1, round(CHUNK / values))
    size = -(-samples // max(1, round(samples / size)))
    for start in range(0, samples, size):
        yield slice(start, min(start + size, samples))


def new_scratch(like: Tensor, samples: int, values: int) -> Tensor:
    """Return scratch memory for the largest chunk, the first."""
    return like.new_empty(next(chunk_slices(samples, values)).stop * values)


def norm_relu_conv(y: Tensor, norm: nn.BatchNorm3d, conv: nn.Conv3d) -> Tensor:
    """Return ``conv(relu(norm(y)))``, channels-last, and update the running averages of `norm`.

    `y` is ``(N, C, D, H, W)`` on a CPU, float32 or float64, fastest in channels-last memory; `norm` has
    weight and bias; `conv` has kernel 3, stride 1, padding 1, any number of groups and no bias.
    """
    result: Tensor = _NormReluConv.apply(y, norm, conv.groups, norm.weight, norm.bias, conv.weight)
    return result


class _NormReluConv(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, y: Tensor, norm: nn.BatchNorm3d, groups: int, gain: Tensor, bias: Tensor, weight: Tensor
    ) -> Tensor:
        samples, channels, *size = y.shape
        values = y[0].numel()
        rows = y.permute(0, 2, 3, 4, 1)
        maps = y.new_empty(samples, *size[:2], groups, size[2], channels // groups)
        out = y.new_empty(samples, *size, weight.shape[0])
        scratch = new_scratch(y, samples, values)
        stage = NormConvStage(norm, gain, bias, GroupedConv3d(weight, groups, *size))
        stage.use_running_averages()
        for part in chunk_slices(samples, values):
            to_group_major(rows[part].contiguous(), maps[part])
            stage.add_to_statistics(maps[part], scratch)
        stage.use_batch_statistics()
        for part in reversed(list(chunk_slices(samples, values))):  # what was written last is still in cache
            from_group_major(stage.forward(maps[part], scratch), out[part])
        ctx.save_for_backward(maps, gain, bias, weight)
        ctx.stage = stage
        return out.permute(0, 4, 1, 2, 3)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        maps = ctx.saved_tensors[0]
        stage: NormConvStage = ctx.stage
        samples, values = maps.shape[0], maps[0].numel()
        scratch = new_scratch(maps, samples, values)
        rows = grad.permute(0, 2, 3, 4, 1)
        inner = torch.empty_like(maps)
        for part in chunk_slices(samples, values):
            outer = maps.new_empty(*inner[part].shape[:-1], stage.conv.outputs)
            stage.start_backward(to_group_major(rows[part], outer), maps[part], scratch, inner[part])
        gain, bias, weight = stage.finish_backward()
        out = maps.new_empty(*maps.shape[:3], maps.shape[4], maps.shape[3] * maps.shape[5])
        for part in reversed(list(chunk_slices(samples, values))):
            from_group_major(stage.input_gradient(inner[part], maps[part], scratch), out[part])
        return out.permute(0, 4, 1, 2, 3), None, None, gain, bias, weight
