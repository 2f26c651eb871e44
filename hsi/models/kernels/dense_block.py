"""A whole dense block of the plain network as one operator on one growing map; and average pooling by 2.

As modules, each layer recomputes statistics of earlier channels, copies all channels for the concatenation,
and adds up gradients of all channels. Here

* one channels-last map holds all channels; each layer reads the first C of a row and writes the next k;
* each channel's mean and variance are computed once;
* the backward pass of a batch norm is ``scale * g + p * x + q``; p and q are added up over all layers and
  applied once, when a channel's gradient is used;
* activations are computed in chunks of samples and recomputed in the backward pass (memory-efficient
  DenseNets, Pleiss et al., arXiv 1707.06990).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hsi.models.kernels.grouped_conv import GroupedConv3d, from_group_major, to_group_major
from hsi.models.kernels.matrix_product import matrix_product
from hsi.models.kernels.norm_conv import (
    ChannelMoments,
    NormConvStage,
    NormPass,
    chunk_slices,
    uses_batch_statistics,
)


def halve(x: Tensor) -> Tensor:
    """Return ``avg_pool3d(x, 2)``, channels-last: ten times as fast there as PyTorch's (one core)."""
    result: Tensor = _Halve.apply(x)
    return result


class _Halve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        samples, channels, *size = x.shape
        depth, height, width = (2 * (n // 2) for n in size)
        rows = x.permute(0, 2, 3, 4, 1)
        out = x.new_empty(samples, depth // 2, height // 2, width // 2, channels)
        for sample, mean in zip(rows, out, strict=True):  # a sample's sums stay in cache
            half = sample[0:depth:2] + sample[1:depth:2]
            quarter = half[:, 0:height:2] + half[:, 1:height:2]
            torch.add(quarter[:, :, 0:width:2], quarter[:, :, 1:width:2], out=mean)
        return out.mul_(0.125).permute(0, 4, 1, 2, 3)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        samples, channels, *size = ctx.shape
        depth, height, width = (n // 2 for n in size)
        out = grad.new_empty(samples, *size, channels)
        if any(n % 2 for n in size):
            out.zero_()  # the last voxel of an odd axis is not pooled
        covered = out[:, : 2 * depth, : 2 * height, : 2 * width]
        pairs = covered.view(samples, depth, 2, height, 2, width, 2, channels)
        rows = (grad * 0.125).permute(0, 2, 3, 4, 1)
        pairs.copy_(rows.view(samples, depth, 1, height, 1, width, 1, channels).expand_as(pairs))
        return out.permute(0, 4, 1, 2, 3)


@dataclass(frozen=True)
class LayerModules:
    """The four modules of one layer that hold parameters: BN, 1x1x1 convolution, BN, 3x3x3 convolution."""

    norm1: nn.BatchNorm3d
    conv1: nn.Conv3d
    norm2: nn.BatchNorm3d
    conv2: nn.Conv3d

    def parameters(self) -> tuple[Tensor, ...]:
        """The six parameters in the order of use."""
        return (
            self.norm1.weight,
            self.norm1.bias,
            self.conv1.weight,
            self.norm2.weight,
            self.norm2.bias,
            self.conv2.weight,
        )


def dense_block(x: Tensor, layers: Sequence[LayerModules]) -> Tensor:
    """Run dense layers ``x -> concat([x, conv2(relu(norm2(conv1(relu(norm1(x))))))])`` in turn.

    `x` is ``(N, C, D, H, W)`` on a CPU, float32 or float64; conv1 is 1x1x1, conv2 3x3x3 with padding 1 and
    groups, both without bias. Returns all channels, ``(N, C + added, D, H, W)``, channels-last.
    """
    parameters = [tensor for layer in layers for tensor in layer.parameters()]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *parameters)):
        result: Tensor = _DenseBlock.apply(x, tuple(layers), *parameters)
        return result
    return _Run(x, layers, parameters).forward(x, keep=False).permute(0, 4, 1, 2, 3)


class _Layer:
    """One layer during one pass: BN, ReLU, 1x1x1 convolution on rows of channels, then a `NormConvStage`."""

    def __init__(self, modules: LayerModules, tensors: Sequence[Tensor], size: Sequence[int]) -> None:
        self.norm = modules.norm1
        self.gain, self.bias, point, gain2, bias2, kernel = tensors
        self.inputs, self.outputs = point.shape[1], kernel.shape[0]
        self.point = point.view(point.shape[:2])
        depth, height, width = size
        self.groups = modules.conv2.groups
        self.bottleneck_size = (depth, height, self.groups, width, point.shape[0] // self.groups)
        conv = GroupedConv3d(kernel, self.groups, depth, height, width)
        self.stage = NormConvStage(modules.norm2, gain2, bias2, conv)

    def use_running_averages(self) -> None:
        """Set up the batch norms that use their running averages."""
        if not uses_batch_statistics(self.norm):
            self.first = NormPass(self.norm, self.gain, self.bias, None)
        self.stage.use_running_averages()

    def use_batch_statistics(self, moments: tuple[Tensor, Tensor, int] | None) -> None:
        """Set up the first batch norm, if it uses the statistics of the batch."""
        if uses_batch_statistics(self.norm):
            self.first = NormPass(self.norm, self.gain, self.bias, moments)

    def activate(self, rows: Tensor, scratch: Tensor) -> Tensor:
        """Return ReLU(BN(x)) of rows ``(R, C)``."""
        a = scratch[: rows.numel()].view(rows.shape)
        return torch.addcmul(self.first.shift, rows, self.first.scale, out=a).clamp_min_(0)

    def squeeze(self, rows: Tensor, out: Tensor, scratch: Tensor) -> None:
        """Write the bottleneck of rows ``(R, C)`` into `out` ``(n, D, H, g, W, c)``."""
        y = matrix_product(self.activate(rows, scratch), self.point.t())
        to_group_major(_as_maps(y, out), out)

    def unsqueeze(
        self, dy: Tensor, rows: Tensor, scratch1: Tensor, scratch2: Tensor, sums: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Backward pass of `squeeze`: return the gradients of BN's output and of the 1x1x1 weight.

        `sums` ``(2, C)`` accumulates what the batch norm's gradients need.
        """
        flat = scratch1[: dy.numel()].view(rows.shape[0], -1)
        from_group_major(dy, _as_maps(flat, dy))
        a = self.activate(rows, scratch2)
        weight = matrix_product(flat.t(), a)
        grad = matrix_product(flat, self.point)
        torch.ops.aten.threshold_backward.grad_input(grad, a, 0, grad_input=grad)
        sums[0] += grad.sum(0)
        sums[1] += torch.mul(grad, rows, out=a).sum(0)
        return grad, weight


def _as_maps(rows: Tensor, like: Tensor) -> Tensor:
    """View rows ``(R, C)`` as ``(n, D, H, W, C)``, with the sizes of a group-major map."""
    samples, depth, height, _, width, _ = like.shape
    return rows.view(samples, depth, height, width, -1)


class _Run:
    """One forward pass through a block, and its backward pass."""

    def __init__(self, x: Tensor, modules: Sequence[LayerModules], parameters: Sequence[Tensor]) -> None:
        self.samples, self.channels, *self.size = x.shape
        self.layers = [_Layer(m, parameters[6 * i : 6 * i + 6], self.size) for i, m in enumerate(modules)]
        self.total = self.channels + sum(layer.outputs for layer in self.layers)
        self.pixels = self.size[0] * self.size[1] * self.size[2]
        self.width = max(layer.point.shape[0] for layer in self.layers)
        self.parts = list(chunk_slices(self.samples, self.pixels * self.width))
        self.bottlenecks: list[Tensor] = []

    def forward(self, x: Tensor, keep: bool) -> Tensor:
        """Return the block's output ``(N, D, H, W, C)``; `keep` the bottlenecks for `backward`."""
        scratch1, scratch2 = self._scratch(x)
        out = x.new_empty(self.samples, *self.size, self.total)
        batch = any(
            uses_batch_statistics(norm) for layer in self.layers for norm in (layer.norm, layer.stage.norm)
        )
        # With running averages alone, a chunk goes through all layers while it is in cache.
        sweeps = [self.parts] if batch else [[part] for part in self.parts]
        held = self.samples if batch or keep else self.parts[0].stop  # samples whose bottlenecks are held
        if keep:
            self.bottlenecks = [x.new_empty(held, *layer.bottleneck_size) for layer in self.layers]
        else:
            shared = x.new_empty(held * self.pixels * self.width)
            self.bottlenecks = [
                shared[: held * self.pixels * layer.point.shape[0]].view(held, *layer.bottleneck_size)
                for layer in self.layers
            ]
        for layer in self.layers:
            layer.use_running_averages()
        source = x.permute(0, 2, 3, 4, 1)
        for parts in sweeps:
            for part in parts:
                out[part][..., : self.channels].copy_(source[part])
            known = self._moments(out[..., : self.channels], parts, scratch2) if batch else None
            for layer, bottleneck in zip(self.layers, self.bottlenecks, strict=True):
                stop = layer.inputs
                layer.use_batch_statistics(known)
                for part in parts:
                    place = slice(part.start % held, part.start % held + part.stop - part.start)
                    layer.squeeze(out[part][..., :stop].flatten(0, 3), bottleneck[place], scratch2)
                    layer.stage.add_to_statistics(bottleneck[place], scratch1)
                layer.stage.use_batch_statistics()
                new = out[..., stop : stop + layer.outputs]
                for part in reversed(parts):  # what was written last is still in cache
                    place = slice(part.start % held, part.start % held + part.stop - part.start)
                    from_group_major(layer.stage.forward(bottleneck[place], scratch1), new[part])
                if known is not None and layer is not self.layers[-1]:
                    more = self._moments(new, parts, scratch2)
                    known = (torch.cat([known[0], more[0]]), torch.cat([known[1], more[1]]), more[2])
        return out

    @staticmethod
    def _moments(maps: Tensor, parts: Sequence[slice], scratch: Tensor) -> tuple[Tensor, Tensor, int]:
        """Return mean, biased variance and number of values of each channel of ``(N, D, H, W, C)``."""
        moments = ChannelMoments()
        for part in parts:
            moments.add(maps[part].flatten(0, 3), scratch)
        return moments.result()

    def backward(self, out: Tensor, grad: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the gradients of the block's input ``(N, D, H, W, C)`` and of its parameters."""
        scratch1, scratch2 = self._scratch(out)
        running = torch.empty_like(out)
        # p * x + q is still to be added to the gradient of each channel.
        p, q = out.new_zeros(self.total), out.new_zeros(self.total)
        shared = out.new_empty(self.samples * self.pixels * self.width)
        gradients: list[Tensor] = []
        stop = self.total
        for layer, bottleneck in zip(reversed(self.layers), reversed(self.bottlenecks), strict=True):
            inner = shared[: bottleneck.numel()].view(bottleneck.shape)
            new = slice(stop - layer.outputs, stop)
            for part in self.parts:
                rows = torch.addcmul(q[new], out[part][..., new], p[new]).add_(grad[part][..., new])
                new_grad = to_group_major(
                    rows, out.new_empty(*inner[part].shape[:-1], layer.stage.conv.outputs)
                )
                layer.stage.start_backward(new_grad, bottleneck[part], scratch1, inner[part])
            gain2, bias2, kernel = layer.stage.finish_backward()
            stop -= layer.outputs
            sums = out.new_zeros(2, stop)
            point = torch.zeros_like(layer.point)
            for part in reversed(self.parts):
                dy = layer.stage.input_gradient(inner[part], bottleneck[part], scratch2)
                g, weight = layer.unsqueeze(dy, out[part][..., :stop].flatten(0, 3), scratch1, scratch2, sums)
                point += weight
                before = grad[part][..., :stop]
                torch.addcmul(before, _as_maps(g, dy), layer.first.scale, out=running[part][..., :stop])
            grad = running
            gain, bias, more_p, more_q = layer.first.gradients(sums[0], sums[1])
            p[:stop] += more_p
            q[:stop] += more_q
            gradients = [gain, bias, point.view(*point.shape, 1, 1, 1), gain2, bias2, kernel, *gradients]
        first = slice(0, self.channels)
        return torch.addcmul(q[first], out[..., first], p[first]).add_(grad[..., first]), gradients

    def _scratch(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Memory for a chunk of the bottleneck, and for a chunk of the bottleneck or of all channels."""
        rows = self.parts[0].stop * self.pixels
        return like.new_empty(rows * self.width), like.new_empty(rows * max(self.total, self.width))


class _DenseBlock(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, modules: Sequence[LayerModules], *parameters: Tensor) -> Tensor:
        run = _Run(x, modules, parameters)
        out = run.forward(x, keep=True).permute(0, 4, 1, 2, 3)
        ctx.save_for_backward(out, *run.bottlenecks, *parameters)
        run.bottlenecks = []
        ctx.run = run
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        run: _Run = ctx.run
        out, *saved = ctx.saved_tensors
        run.bottlenecks = saved[: len(run.layers)]
        x, gradients = run.backward(out.permute(0, 2, 3, 4, 1), grad.permute(0, 2, 3, 4, 1))
        run.bottlenecks = []
        return x.permute(0, 4, 1, 2, 3), None, *gradients
