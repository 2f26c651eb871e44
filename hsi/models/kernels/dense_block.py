"""Average pooling by 2 in all three axes for channels-last maps, by additions of whole rows.

A whole dense block of the plain network as one operator on one growing map.

As modules, each layer takes statistics of channels whose statistics are known, copies all channels for the
concatenation, and adds up gradients of all channels. Here

* one channels-last map holds all channels; each layer reads the first C of a row and writes the next k;
* each channel's mean and variance are computed once;
* what a batch norm's backward adds besides ``scale * g`` is a number times x and a number, for each channel;
  over all layers these two are added up and applied once, when a channel's gradient is used;
* activations are made chunk by chunk of samples, and made again in the backward pass rather than kept (the
  idea of memory-efficient DenseNets, Pleiss et al., arXiv 1707.06990).

Source: our own; the function is that of the modules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hsi.models.kernels.grouped_conv import FoldedConv3d, fold, unfold
from hsi.models.kernels.matrix_product import matrix_product
from hsi.models.kernels.norm_conv import ChannelMoments, NormConvStage, NormPass, chunks, uses_batch


def halve(x: Tensor) -> Tensor:
    """Return ``avg_pool3d(x, 2)`` in channels-last memory: half of each of D, H, W, rounded down.

    Source: our own; ten times as fast on channels-last maps as PyTorch's (measured on one core).
    """
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
            out.zero_()  # the last of an odd number of pixels is left out
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
        """Six tensors in the order of use."""
        return (
            self.norm1.weight,
            self.norm1.bias,
            self.conv1.weight,
            self.norm2.weight,
            self.norm2.bias,
            self.conv2.weight,
        )


def dense_block(x: Tensor, layers: Sequence[LayerModules]) -> Tensor:
    """Run dense layers ``x -> concat([x, conv2(relu(norm2(conv1(relu(norm1(x))))))])`` one after the other.

    Parameters
    ----------
    x
        ``(N, C, D, H, W)`` on a CPU, float32 or float64.
    layers
        Modules of each layer: conv1 1x1x1, conv2 3x3x3 with padding 1 and groups, both without bias.

    Returns
    -------
    Tensor
        ``(N, C + sum of all conv2.out_channels, D, H, W)`` in channels-last memory.
    """
    parameters = [tensor for layer in layers for tensor in layer.parameters()]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *parameters)):
        result: Tensor = _DenseBlock.apply(x, tuple(layers), *parameters)
        return result
    return _Run(x, layers, parameters).forward(x, keep=False).permute(0, 4, 1, 2, 3)


class _Layer:
    """One layer during one run: BN, ReLU, 1x1x1 convolution on rows of channels, then a `NormConvStage`."""

    def __init__(self, modules: LayerModules, tensors: Sequence[Tensor], size: Sequence[int]) -> None:
        self.norm = modules.norm1
        self.gain, self.bias, point, gain2, bias2, kernel = tensors
        self.inputs, self.outputs = point.shape[1], kernel.shape[0]
        self.point = point.view(point.shape[:2])
        depth, height, width = size
        self.groups = modules.conv2.groups
        self.folded = (depth, height, self.groups, width, point.shape[0] // self.groups)
        conv = FoldedConv3d(kernel, self.groups, depth, height, width)
        self.stage = NormConvStage(modules.norm2, gain2, bias2, conv)

    def settle_constants(self) -> None:
        """Fix the statistics of the batch norms that use their running averages."""
        if not uses_batch(self.norm):
            self.first = NormPass(self.norm, self.gain, self.bias, None)
        self.stage.settle_constants()

    def settle(self, moments: tuple[Tensor, Tensor, int] | None) -> None:
        """Fix the statistics of the first batch norm, if it uses those of the batch."""
        if uses_batch(self.norm):
            self.first = NormPass(self.norm, self.gain, self.bias, moments)

    def activate(self, rows: Tensor, scratch: Tensor) -> Tensor:
        """Return ReLU(BN(x)) of rows ``(R, C)``."""
        a = scratch[: rows.numel()].view(rows.shape)
        return torch.addcmul(self.first.shift, rows, self.first.scale, out=a).clamp_min_(0)

    def squeeze(self, rows: Tensor, out: Tensor, scratch: Tensor) -> None:
        """Write the bottleneck of rows ``(R, C)``, folded, into `out` ``(n, D, H, g, W, c)``."""
        y = matrix_product(self.activate(rows, scratch), self.point.t())
        fold(_maps(y, out), out)

    def unsqueeze(
        self, dy: Tensor, rows: Tensor, one: Tensor, two: Tensor, sums: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Take the gradient of a bottleneck, folded, through the first half.

        Adds up ``(2, C)`` sums for the batch norm; returns the gradient of BN's output, and the weight's.
        """
        flat = one[: dy.numel()].view(rows.shape[0], -1)
        unfold(dy, _maps(flat, dy))
        a = self.activate(rows, two)
        weight = matrix_product(flat.t(), a)
        grad = matrix_product(flat, self.point)
        torch.ops.aten.threshold_backward.grad_input(grad, a, 0, grad_input=grad)
        sums[0] += grad.sum(0)
        sums[1] += torch.mul(grad, rows, out=a).sum(0)
        return grad, weight


def _maps(rows: Tensor, folded: Tensor) -> Tensor:
    """View rows ``(R, C)`` with the sizes of a folded map as ``(n, D, H, W, C)``."""
    samples, depth, height, _, width, _ = folded.shape
    return rows.view(samples, depth, height, width, -1)


class _Run:
    """One forward pass through a block, and what its backward pass needs."""

    def __init__(self, x: Tensor, modules: Sequence[LayerModules], parameters: Sequence[Tensor]) -> None:
        self.samples, self.channels, *self.size = x.shape
        self.layers = [_Layer(m, parameters[6 * i : 6 * i + 6], self.size) for i, m in enumerate(modules)]
        self.total = self.channels + sum(layer.outputs for layer in self.layers)
        self.pixels = self.size[0] * self.size[1] * self.size[2]
        self.width = max(layer.point.shape[0] for layer in self.layers)
        self.parts = list(chunks(self.samples, self.pixels * self.width))
        self.bottlenecks: list[Tensor] = []

    def forward(self, x: Tensor, keep: bool) -> Tensor:
        """Return the block's output ``(N, D, H, W, C)``; `keep` the bottlenecks for `backward`."""
        one, two = self._scratch(x)
        out = x.new_empty(self.samples, *self.size, self.total)
        batch = any(uses_batch(norm) for layer in self.layers for norm in (layer.norm, layer.stage.norm))
        # Where nothing depends on the batch, a chunk goes through all layers while it is in cache.
        sweeps = [self.parts] if batch else [[part] for part in self.parts]
        room = self.samples if batch or keep else self.parts[0].stop
        if keep:
            self.bottlenecks = [x.new_empty(room, *layer.folded) for layer in self.layers]
        else:
            shared = x.new_empty(room * self.pixels * self.width)
            self.bottlenecks = [
                shared[: room * self.pixels * layer.point.shape[0]].view(room, *layer.folded)
                for layer in self.layers
            ]
        for layer in self.layers:
            layer.settle_constants()
        source = x.permute(0, 2, 3, 4, 1)
        for parts in sweeps:
            for part in parts:
                out[part][..., : self.channels].copy_(source[part])
            known = self._moments(out[..., : self.channels], parts, two) if batch else None
            for layer, bottleneck in zip(self.layers, self.bottlenecks, strict=True):
                stop = layer.inputs
                layer.settle(known)
                for part in parts:
                    place = slice(part.start % room, part.start % room + part.stop - part.start)
                    layer.squeeze(out[part][..., :stop].flatten(0, 3), bottleneck[place], two)
                    layer.stage.collect(bottleneck[place], one)
                layer.stage.settle()
                new = out[..., stop : stop + layer.outputs]
                for part in reversed(parts):  # what was written last is still in cache
                    place = slice(part.start % room, part.start % room + part.stop - part.start)
                    unfold(layer.stage.forward(bottleneck[place], one), new[part])
                if known is not None and layer is not self.layers[-1]:
                    more = self._moments(new, parts, two)
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
        one, two = self._scratch(out)
        running = torch.empty_like(out)
        # Of the gradient of each channel: p * x + q is still to be added.
        p, q = out.new_zeros(self.total), out.new_zeros(self.total)
        shared = out.new_empty(self.samples * self.pixels * self.width)
        gradients: list[Tensor] = []
        stop = self.total
        for layer, bottleneck in zip(reversed(self.layers), reversed(self.bottlenecks), strict=True):
            inner = shared[: bottleneck.numel()].view(bottleneck.shape)
            new = slice(stop - layer.outputs, stop)
            for part in self.parts:
                rows = torch.addcmul(q[new], out[part][..., new], p[new]).add_(grad[part][..., new])
                folded = fold(rows, out.new_empty(*inner[part].shape[:-1], layer.stage.conv.outputs))
                layer.stage.start_backward(folded, bottleneck[part], one, inner[part])
            gain2, bias2, kernel = layer.stage.settle_backward()
            stop -= layer.outputs
            sums = out.new_zeros(2, stop)
            point = torch.zeros_like(layer.point)
            for part in reversed(self.parts):
                dy = layer.stage.input_gradient(inner[part], bottleneck[part], two)
                g, weight = layer.unsqueeze(dy, out[part][..., :stop].flatten(0, 3), one, two, sums)
                point += weight
                before = grad[part][..., :stop]
                torch.addcmul(before, _maps(g, dy), layer.first.scale, out=running[part][..., :stop])
            grad = running
            gain, bias, more_p, more_q = layer.first.gradients(sums[0], sums[1])
            p[:stop] += more_p
            q[:stop] += more_q
            gradients = [gain, bias, point.view(*point.shape, 1, 1, 1), gain2, bias2, kernel, *gradients]
        first = slice(0, self.channels)
        return torch.addcmul(q[first], out[..., first], p[first]).add_(grad[..., first]), gradients

    def _scratch(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Room for a chunk of the bottleneck, and for a chunk of the bottleneck or of all channels."""
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
