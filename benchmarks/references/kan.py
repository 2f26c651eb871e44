"""KAN convolution as efficient-kan computes a KAN layer, on unfolded rows."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from hsi.models.kanet import KANConv3d


def cox_de_boor(x: Tensor, knots: Tensor, order: int) -> Tensor:
    """Rows ``(n, C)`` and knots ``(C, K)`` to basis functions ``(n, C, K - order - 1)``, by recursion."""
    x = x.unsqueeze(-1)
    basis = ((x >= knots[:, :-1]) & (x < knots[:, 1:])).to(x.dtype)
    for k in range(1, order + 1):
        rising = (x - knots[:, : -(k + 1)]) / (knots[:, k:-1] - knots[:, : -(k + 1)])
        falling = (knots[:, k + 1 :] - x) / (knots[:, k + 1 :] - knots[:, 1:-k])
        basis = rising * basis[:, :, :-1] + falling * basis[:, :, 1:]
    return basis


class RecursiveKANConv3d(nn.Module):
    """Unfold neighbourhoods to rows, evaluate the basis on every element of every row, then two linear maps.

    "Dynamic 3D KAN Convolution with Adaptive Grid Optimization" (Li and Ye, arXiv 2504.15155), whose layer is
    that of efficient-kan: SiLU and a base weight, B-splines and a scaled spline weight.
    """

    grid: Tensor

    def __init__(self, ours: KANConv3d) -> None:
        super().__init__()
        self.base_weight = nn.Parameter(ours.base_weight.detach().clone())
        self.spline_weight = nn.Parameter(ours.spline_weight.detach().clone())
        self.spline_scaler = nn.Parameter(ours.spline_scaler.detach().clone())
        self.register_buffer("grid", ours.grid.clone())
        self.order = ours.order
        self.kernel_size, self.stride, self.padding = ours.kernel_size, ours.stride, ours.padding

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in, D, H, W)`` to ``(N, out, D', H', W')``."""
        samples, channels = x.shape[:2]
        windows = F.pad(x, [pad for size in reversed(self.padding) for pad in (size, size)])
        for axis, (size, step) in enumerate(zip(self.kernel_size, self.stride, strict=True), start=2):
            windows = windows.unfold(axis, size, step)
        sizes = windows.shape[2:5]
        taps = math.prod(self.kernel_size)
        rows = windows.permute(0, 2, 3, 4, 1, 5, 6, 7).reshape(-1, channels * taps)
        basis = cox_de_boor(rows, self.grid.repeat_interleave(taps, dim=0), self.order)
        scaled = self.spline_weight * self.spline_scaler.unsqueeze(-1)
        y = F.linear(F.silu(rows), self.base_weight) + F.linear(basis.flatten(1), scaled.flatten(1))
        return y.view(samples, *sizes, -1).permute(0, 4, 1, 2, 3).contiguous()
