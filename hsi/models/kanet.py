"""KANet: the 3D-DenseNet with Kolmogorov-Arnold convolutions.

Paper: "Dynamic 3D KAN Convolution with Adaptive Grid Optimization for Hyperspectral Image Classification",
Guandong Li and Mengxia Ye, 2025, arXiv 2504.15155. Each weight of the convolution is a learned function of
one variable:

    y_o = sum_i phi_oi(x_i),    phi_oi(x) = w_oi SiLU(x) + s_oi sum_j c_oij N_j(x),

where i runs over the flattened neighbourhood and N_j are B-splines on the knots of i's channel. There is no
bias.

* From the paper: the spline convolution, and knots that blend a uniform with an adaptive grid.
* From the released code: the form of phi, the initialisation, G = 5, cubic splines, knots over [-1, 1],
  kernel 1x1x1, no normalisation before it. Parameters are named and shaped as in efficient-kan's KANLinear,
  so weights can be exchanged.
* Not from either: the knots do adapt, once an epoch (the released training code never calls its update), and
  the refit does not apply the scaler s twice, as efficient-kan's does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsi.errors import ModelError
from hsi.models.bspline import adaptive_knots, bspline_basis, check_order, refit
from hsi.models.densenet3d import GROWTH, LAYERS, DenseNet3D
from hsi.models.kernels.kan_product import convolution, row_product, runs_chunked
from hsi.models.registry import as_triple, register_model

Size3D = int | tuple[int, int, int]

FIRST_UPDATE, LAST_UPDATE = 1, 20
"""Epochs, counted from 0, in which KANet adapts its knots."""


class KANConv3d(nn.Module):
    """3D convolution whose weights are functions: SiLU plus a B-spline for each pair of output and input.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding
        As in ``nn.Conv3d``. Zeros are padded before the functions are applied, so padding contributes phi(0).
    grid, order
        G intervals and spline order p (1 to 5): G + p basis functions on G + 2p + 1 knots.
    grid_range
        Initial range of the G intervals.
    noise
        Initial size of the splines.

    Attributes
    ----------
    base_weight, spline_scaler
        w and s, ``(out, in * kD * kH * kW)``.
    spline_weight
        c, ``(out, in * kD * kH * kW, G + p)``.
    grid
        The knots, ``(in, G + 2p + 1)``, one strictly increasing row per input channel; a buffer.

    Notes
    -----
    ``(N, in, D, H, W)`` of any strides (channels-last is fastest) to channels-last output. Basis functions
    are computed once per element, chunk by chunk (see `hsi.models.kernels.kan_product`); under
    ``torch.compile``, export and FLOP counters by plain operations.
    """

    grid: Tensor
    mechanism = "splines"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size3D = 1,
        stride: Size3D = 1,
        padding: Size3D = 0,
        *,
        grid: int = 5,
        order: int = 3,
        grid_range: tuple[float, float] = (-1.0, 1.0),
        noise: float = 0.1,
    ) -> None:
        super().__init__()
        check_order(order)
        if min(in_channels, out_channels) < 1:
            raise ModelError(
                f"KANConv3d needs at least one channel in and out; got {in_channels}, {out_channels}."
            )
        if grid < 1:
            raise ModelError(f"grid, the number of spline intervals, must be at least 1; got {grid}.")
        if len(grid_range) != 2 or not grid_range[0] < grid_range[1]:
            raise ModelError(f"grid_range must be two numbers, the lower one first; got {tuple(grid_range)}.")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = as_triple("kernel_size", kernel_size, 1)
        self.stride = as_triple("stride", stride, 1)
        self.padding = as_triple("padding", padding, 0)
        self.order, self.noise = order, noise
        features = in_channels * math.prod(self.kernel_size)
        self.base_weight = nn.Parameter(torch.empty(out_channels, features))
        self.spline_weight = nn.Parameter(torch.empty(out_channels, features, grid + order))
        self.spline_scaler = nn.Parameter(torch.empty(out_channels, features))
        step = (grid_range[1] - grid_range[0]) / grid
        knots = grid_range[0] + step * torch.arange(-order, grid + order + 1, dtype=torch.float64)
        self.register_buffer("grid", knots.to(self.base_weight.dtype).repeat(in_channels, 1))
        self._update_rows = 0
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise as the released code: w, s Kaiming-uniform; c fits noise at the inner knots."""
        nn.init.kaiming_uniform_(self.base_weight, a=math.sqrt(5))
        nn.init.kaiming_uniform_(self.spline_scaler, a=math.sqrt(5))
        knots = self.grid[0].double()
        inner = knots[self.order : len(knots) - self.order]
        fit = torch.linalg.pinv(bspline_basis(inner, knots, self.order)).to(self.spline_weight)
        half = 0.5 * self.noise / (len(inner) - 1)
        samples = self.spline_weight.new_empty(*self.base_weight.shape, len(inner)).uniform_(-half, half)
        with torch.no_grad():
            self.spline_weight.copy_(samples @ fit.t())

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in, D, H, W)`` to ``(N, out, D', H', W')``; in training after a requested grid update."""
        if x.dim() != 5 or x.shape[1] != self.in_channels:
            raise ModelError(f"KANConv3d takes (N, {self.in_channels}, D, H, W); got {tuple(x.shape)}.")
        if any(self.padding):
            x = F.pad(x, [pad for size in reversed(self.padding) for pad in (size, size)])
        if any(size < k for size, k in zip(x.shape[2:], self.kernel_size, strict=True)):
            raise ModelError(
                f"The padded input {tuple(x.shape[2:])} is smaller than the kernel {self.kernel_size}."
            )
        if self._update_rows and self.training:
            rows, self._update_rows = self._update_rows, 0
            if torch.compiler.is_compiling():
                # As a decorator it would import the compiler with this file, a second at every start.
                torch.compiler.disable(self._update_grid)(x, rows)
            else:
                self._update_grid(x, rows)
        weight = torch.cat(
            [self.base_weight.unsqueeze(-1), self.spline_weight * self.spline_scaler.unsqueeze(-1)], dim=-1
        )  # (out, in * kernel, planes); the planes are SiLU and the basis functions
        if x.device.type != "meta" and torch.is_autocast_enabled(x.device.type):
            weight = weight.to(torch.get_autocast_dtype(x.device.type))
        if not runs_chunked(x):
            return self._plain(x, weight)
        if self.kernel_size != (1, 1, 1):
            weight = weight.view(self.out_channels, self.in_channels, *self.kernel_size, -1).permute(
                0, 5, 1, 2, 3, 4
            )
            return convolution(x, weight.flatten(1, 2), self.grid, self.order, self.stride)
        if self.stride != (1, 1, 1):
            x = x[:, :, :: self.stride[0], :: self.stride[1], :: self.stride[2]]
        last = x.permute(0, 2, 3, 4, 1)
        weight = weight.permute(0, 2, 1).flatten(1)
        y = row_product(last.reshape(-1, self.in_channels), weight, self.grid, self.order)
        return y.view(*last.shape[:-1], self.out_channels).permute(0, 4, 1, 2, 3)

    def _plain(self, x: Tensor, weight: Tensor) -> Tensor:
        """Compute the same with plain operations, for compilers and exporters."""
        last = x.movedim(1, -1)
        values = bspline_basis(last, self.grid, self.order)
        values = torch.cat([F.silu(last.to(values.dtype)).unsqueeze(-1), values], dim=-1)
        values = values.flatten(-2).to(weight.dtype).movedim(-1, 1)  # (N, in * planes, D, H, W)
        weight = weight.view(self.out_channels, self.in_channels, *self.kernel_size, -1).movedim(-1, 2)
        return F.conv3d(values, weight.flatten(1, 2), stride=self.stride)

    def request_grid_update(self, rows: int = 4096) -> None:
        """Adapt the knots to the input of the next forward pass in training mode, before that pass.

        The coefficients are refitted to keep the function on this input (see `hsi.models.bspline`). At most
        `rows` evenly spaced positions are used; input with NaN or infinities changes nothing. The request is
        not in the state dict. Under torch.distributed all ranks must request it; all take the result of
        rank 0.
        """
        self._update_rows = rows

    def switch_parameters(self) -> tuple[Tensor]:
        """Return the scalers, without which a layer is linear in SiLU(x); see `Switchable`."""
        return (self.spline_scaler,)

    @torch.no_grad()
    def _update_grid(self, x: Tensor, count: int) -> None:
        rows = x.detach().movedim(1, -1).reshape(-1, self.in_channels)
        if len(rows) > count:
            rows = rows[torch.arange(count, device=x.device) * len(rows) // count]
        device = torch.device("cpu") if x.device.type == "mps" else x.device  # mps has no float64
        rows = rows.to(device, torch.float64)
        if len(rows) and bool(torch.isfinite(rows).all()):
            out, features, size = self.spline_weight.shape
            knots = adaptive_knots(rows, size - self.order, self.order).to(self.grid.dtype)
            if bool((knots[:, 1:] > knots[:, :-1]).all()):  # else this dtype is too coarse for these data
                matrix = refit(rows, self.grid.to(device, torch.float64), knots.double(), self.order)
                old = self.spline_weight.to(device, torch.float64).view(out, self.in_channels, -1, size)
                self.spline_weight.copy_(
                    torch.einsum("cij,ockj->ocki", matrix, old).reshape(out, features, size)
                )
                self.grid.copy_(knots)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            for tensor in (self.grid, self.spline_weight.data):
                torch.distributed.broadcast(tensor, src=0)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        knots = state_dict.get(prefix + "grid")
        if isinstance(knots, Tensor) and not bool((knots[..., 1:] > knots[..., :-1]).all()):
            raise ModelError(
                f"The knots '{prefix}grid' must increase strictly; save these weights with a valid grid."
            )
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        """Return the sizes, for ``print(model)``."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, grid={self.spline_weight.shape[-1] - self.order}, order={self.order}"
        )


class KANet(DenseNet3D):
    """The 3D-DenseNet with a KANConv3d first in each dense layer; `kanet` builds it."""

    grid_update = True
    """Whether `start_epoch` requests grid updates."""

    def start_epoch(self, epoch: int) -> None:
        """Request a grid update of each KANConv3d in epochs 1 to 20, counted from 0."""
        if self.grid_update and FIRST_UPDATE <= epoch <= LAST_UPDATE:
            for module in self.modules():
                if isinstance(module, KANConv3d):
                    module.request_grid_update()


@register_model(
    "kanet",
    title="KANet: dynamic 3D KAN convolution",
    paper="Li and Ye, 2025, arXiv 2504.15155",
    provenance="released code",
    aliases=("kan",),
)
def kanet(
    bands: int,
    classes: int,
    patch: int,
    *,
    kernel_size: int = 1,
    grid: int = 5,
    order: int = 3,
    grid_range: tuple[float, float] = (-1.0, 1.0),
    grid_update: bool = True,
    pre_norm: bool = False,
    layers: Sequence[int] = LAYERS,
    growth: Sequence[int] = GROWTH,
    init: str = "released",
    downsampling: str = "released",
) -> KANet:
    """Build KANet: 3,275,488 parameters on Indian Pines (200 bands, 16 classes).

    Parameters
    ----------
    bands, classes, patch, layers, growth, init
        See DenseNet3D.
    kernel_size
        Odd width of the KAN convolution: 1 as in the released code, 3 as in the paper's text (27 times the
        weights).
    grid, order, grid_range
        See KANConv3d.
    grid_update
        Adapt the knots at the start of epochs 1 to 20; False as in the released code.
    pre_norm
        Put a BatchNorm3d before each KAN convolution, so that its input fits the knots; the released code has
        none.
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ModelError(f"kernel_size must be odd, so that maps keep their size: got {kernel_size}.")

    def mixer(in_channels: int, out_channels: int) -> nn.Module:
        kan = KANConv3d(
            in_channels,
            out_channels,
            kernel_size,
            padding=kernel_size // 2,
            grid=grid,
            order=order,
            grid_range=grid_range,
        )
        return nn.Sequential(nn.BatchNorm3d(in_channels), kan) if pre_norm else kan

    model = KANet(
        bands,
        classes,
        patch,
        mixer=mixer,
        layers=layers,
        growth=growth,
        init=init,
        downsampling=downsampling,
    )
    model.grid_update = grid_update
    return model
