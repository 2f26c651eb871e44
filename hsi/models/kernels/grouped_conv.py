"""The backbone's 3x3x3 convolution in small groups, as a two-dimensional one that fills the vector lanes.

Groups of 2 to 8 output channels leave most of a CPU's vector lanes empty, and grouped kernels in three
dimensions are the slowest that CPU libraries have. Here the width axis joins the channels: a row of W pixels
with c channels becomes W c channels, and the three taps along W become one banded (Toeplitz) matrix from W c
to W o channels. What is left is a 3x3 convolution over D and H with W times wider groups. It does W^2 / (3 W
- 2) times the products, 2.25 times at 6 pixels, and is still faster than the three-dimensional one up to
`WIDEST` pixels. Taps that could only meet padding, on axes of size 1, are left out.

Source: our own; the function is that of ``nn.Conv3d(kernel_size=3, padding=1, groups=g, bias=False)``.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

WIDEST = 16
"""Widest map, in pixels, for which folding the width pays: at 16 pixels the gain is 15 %, at 6 it is 2.4
times (forward and backward, float32, one AVX-512 core)."""

_SHORT_RUN = 32
"""Bytes of a run of channels from which on copying by index is twice as fast (measured)."""


def banded_kernel(weight: Tensor, groups: int, width: int) -> Tensor:
    """Return the folded convolution's kernel ``(g W o, W c, 3, 3)`` for ``weight`` ``(g o, c, 3, 3, 3)``.

    Input pixel ``v`` meets output pixel ``w`` through tap ``v - w + 1``, if there is one.
    """
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    kernel = weight.new_zeros(groups, width, outputs, width, inputs, 3, 3)
    taps = weight.view(groups, outputs, inputs, 3, 3, 3)
    for tap, band in _bands(kernel):
        band.copy_(taps[..., tap].unsqueeze(-1).expand_as(band))
    return kernel.view(groups * width * outputs, width * inputs, 3, 3)


def banded_kernel_gradient(grad: Tensor, groups: int, width: int) -> Tensor:
    """Return the gradient ``(g o, c, 3, 3, 3)`` of the weight from that of `banded_kernel`."""
    outputs, inputs = grad.shape[0] // (groups * width), grad.shape[1] // width
    kernel = grad.reshape(groups, width, outputs, width, inputs, 3, 3)
    out = grad.new_zeros(groups, outputs, inputs, 3, 3, 3)
    for tap, band in _bands(kernel):
        out[..., tap] = band.sum(-1)
    return out.view(groups * outputs, inputs, 3, 3, 3)


def _bands(kernel: Tensor) -> list[tuple[int, Tensor]]:
    """Return each tap along W with its diagonal, a view ``(g, o, c, 3, 3, length)`` of the folded kernel."""
    width = kernel.shape[1]
    return [(tap, kernel.diagonal(tap - 1, 1, 3)) for tap in range(3) if abs(tap - 1) < width]


class FoldedConv3d:
    """One 3x3x3 grouped convolution on width-folded maps, with its two gradients.

    A folded map is a contiguous tensor ``(N, D, H, g, W, c)``: `fold` makes one from rows of channels
    ``(N, D, H, W, g c)``, and `unfold` goes back.

    Parameters
    ----------
    weight
        ``(g o, c, 3, 3, 3)``, as ``nn.Conv3d`` has it.
    groups
        Number of groups g.
    depth, height, width
        Sizes of the map.
    """

    def __init__(self, weight: Tensor, groups: int, depth: int, height: int, width: int) -> None:
        self.groups, self.width = groups, width
        self.inputs, self.outputs = weight.shape[1], weight.shape[0] // groups
        # An axis of size 1 meets only the centre tap; the others see nothing but padding.
        self._taps = [slice(1, 2) if size == 1 else slice(0, 3) for size in (depth, height)]
        self._padding = [int(size > 1) for size in (depth, height)]
        kernel = banded_kernel(weight, groups, width)[:, :, self._taps[0], self._taps[1]]
        self._kernel = kernel.contiguous(memory_format=torch.channels_last)
        self._gradients: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """Folded ``(N, D, H, g, W, c)`` to folded ``(N, D, H, g, W, o)``."""
        y = torch.conv2d(_channels_first(x), self._kernel, padding=self._padding, groups=self.groups)
        return self._refold(y, self.outputs)

    def backward(self, grad: Tensor, x: Tensor) -> Tensor:
        """Return the folded input gradient; keep the weight's share for `weight_gradient`."""
        dx, dw, _ = torch.ops.aten.convolution_backward(
            _channels_first(grad),
            _channels_first(x),
            self._kernel,
            None,
            [1, 1],
            self._padding,
            [1, 1],
            False,
            [0, 0],
            self.groups,
            [True, True, False],
        )
        self._gradients.append(dw)
        return self._refold(dx, self.inputs)

    def weight_gradient(self) -> Tensor:
        """Return the gradient ``(g o, c, 3, 3, 3)``, summed over the calls of `backward` since the last."""
        grad = self._kernel.new_zeros(*self._kernel.shape[:2], 3, 3)
        grad[:, :, self._taps[0], self._taps[1]] = torch.stack(self._gradients).sum(0)
        self._gradients.clear()
        return banded_kernel_gradient(grad, self.groups, self.width)

    def _refold(self, y: Tensor, channels: int) -> Tensor:
        y = y.permute(0, 2, 3, 1).contiguous()
        return y.view(*y.shape[:3], self.groups, self.width, channels)


def fold(rows: Tensor, folded: Tensor) -> Tensor:
    """Copy rows of channels ``(n, D, H, W, g c)`` into a map ``(n, D, H, g, W, c)``; return the map."""
    groups, width, channels = folded.shape[3:]
    if _by_index(rows, channels):
        order = _swap(folded.numel() // (groups * width * channels), width, groups)
        torch.index_select(rows.view(-1, channels), 0, order, out=folded.view(-1, channels))
    else:
        pairs = _widest(rows, folded)
        pairs[1].copy_(pairs[0].transpose(3, 4))
    return folded


def unfold(folded: Tensor, rows: Tensor) -> Tensor:
    """Copy a map ``(n, D, H, g, W, c)`` into rows of channels ``(n, D, H, W, g c)``; return the rows."""
    groups, width, channels = folded.shape[3:]
    if _by_index(rows, channels):
        order = _swap(folded.numel() // (groups * width * channels), groups, width)
        torch.index_select(folded.view(-1, channels), 0, order, out=rows.view(-1, channels))
    else:
        pairs = _widest(rows, folded)
        pairs[0].copy_(pairs[1].transpose(3, 4))
    return rows


def _by_index(rows: Tensor, channels: int) -> bool:
    return channels * rows.element_size() >= _SHORT_RUN and rows.is_contiguous()


@functools.lru_cache(maxsize=16)
def _swap(blocks: int, first: int, second: int) -> Tensor:
    """Return the index that swaps the last two axes of ``(blocks, first, second)``."""
    count = torch.arange(blocks * first * second, dtype=torch.int32)
    return count.view(blocks, first, second).transpose(1, 2).reshape(-1)


def _widest(rows: Tensor, folded: Tensor) -> tuple[Tensor, Tensor]:
    """View both with the groups apart, and with as many channels in an element as fit.

    A strided copy takes as long for an element of 16 bytes as for one of 4.
    """
    groups, _, channels = folded.shape[3:]
    for dtype in (torch.complex128, torch.float64):
        ratio = dtype.itemsize // rows.element_size()
        numbers = (channels, rows.storage_offset(), folded.storage_offset(), *rows.stride()[:-1])
        if ratio > 1 and rows.stride(-1) == 1 and not any(number % ratio for number in numbers):
            rows, folded = rows.view(dtype), folded.view(dtype)
            break
    return rows.view(*rows.shape[:-1], groups, -1), folded


def _channels_first(folded: Tensor) -> Tensor:
    """View a folded map as ``(N, g W c, D, H)`` in channels-last memory."""
    return folded.flatten(3).permute(0, 3, 1, 2)
