"""Dynamic snake convolution as DSCNet's three-dimensional code computes it: by trilinear sampling."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hsi.models.sgdscnet import SnakeTemplates

AXES = "dhw"


class SampledSnakes(nn.Module):
    """Each view on its own: offset head, K sampled points a voxel, strided convolution, group norm, ReLU.

    Qi et al., "Dynamic Snake Convolution based on Topological Geometric Constraints for Tubular Structure
    Segmentation" (arXiv 2307.08388). All input channels are sampled at all points, from the eight voxels
    round each, and laid side by side along the view's axis.
    """

    def __init__(self, ours: SnakeTemplates) -> None:
        super().__init__()
        self.ours = ours

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, D, H, W)`` to ``(N, views * width, D, H, W)``."""
        return torch.cat([self._view(x, view) for view in range(len(self.ours.views))], dim=1)

    def _view(self, x: Tensor, view: int) -> Tensor:
        ours = self.ours
        axis, points = AXES.index(ours.views[view]), ours.points[view]
        sampled = sample(x, positions(self._offsets(x, view), axis))  # (N, C, K, D, H, W)
        sampled = sampled.movedim(2, 3 + axis).flatten(2 + axis, 3 + axis)  # points side by side on the axis
        stride = [points if place == axis else 1 for place in range(3)]
        width = len(ours.weights[view])
        part = slice(view * width, (view + 1) * width)
        y = F.conv3d(sampled, ours.weights[view].view(width, -1, *stride), ours.bias[part], stride=stride)
        groups = ours.norm.num_groups // len(ours.views)
        return F.relu(F.group_norm(y, groups, ours.norm.weight[part], ours.norm.bias[part], ours.norm.eps))

    def _offsets(self, x: Tensor, view: int) -> Tensor:
        """Offsets ``(N, K, 2, D, H, W)`` in voxels along the two other axes, in the order D, H, W."""
        head, points = self.ours.offsets, self.ours.points[view]
        # Our head has the channels of the moving points of all views first, then those of the fixed centres.
        first, fixed = sum(self.ours.channels[:view]), sum(self.ours.channels) + 2 * view
        moving = list(range(first, first + self.ours.channels[view]))
        middle = len(moving) // 2
        rows = [*moving[:middle], fixed, fixed + 1, *moving[middle:]]
        assert head.conv.bias is not None
        y = F.conv3d(x, head.conv.weight[rows], head.conv.bias[rows], padding=1)
        y = F.batch_norm(
            y, None, None, head.norm.weight[rows], head.norm.bias[rows], training=True, eps=head.norm.eps
        )
        steps = torch.tanh(y).view(len(x), points, 2, *x.shape[2:]).flip(2)  # ours has the later axis first
        offsets = [torch.zeros_like(steps[:, 0])] * points
        for distance in range(1, points // 2 + 1):
            for place, sign in ((points // 2 + distance, 1), (points // 2 - distance, -1)):
                offsets[place] = offsets[place - sign] + steps[:, place]
        return torch.stack(offsets, dim=1)


def positions(offsets: Tensor, axis: int) -> list[Tensor]:
    """Positions ``(N, K, D, H, W)`` of all points on each of the three axes, in voxels."""
    points, sizes = offsets.shape[1], offsets.shape[3:]
    ticks = [torch.arange(size, dtype=offsets.dtype, device=offsets.device) for size in sizes]
    along = torch.arange(points, dtype=offsets.dtype, device=offsets.device) - points // 2
    moved = iter(offsets.unbind(2))
    places = []
    for place, grid in enumerate(torch.meshgrid(*ticks, indexing="ij")):
        shift = along.view(-1, 1, 1, 1) if place == axis else next(moved)
        places.append((grid + shift).expand(len(offsets), points, *sizes))
    return places


def sample(x: Tensor, places: list[Tensor]) -> Tensor:
    """Interpolate ``(N, C, D, H, W)`` trilinearly at clamped positions: ``(N, C, K, D, H, W)``."""
    samples, channels, *sizes = x.shape
    voxels = x.permute(0, 2, 3, 4, 1).reshape(-1, channels)
    places = [place.clamp(0, size - 1) for place, size in zip(places, sizes, strict=True)]
    lows = [place.floor() for place in places]
    start = torch.arange(samples, device=x.device).view(-1, 1, 1, 1, 1) * (len(voxels) // samples)
    total = torch.zeros((), dtype=x.dtype, device=x.device)
    for corner in itertools.product((0, 1), repeat=3):
        index, weight = start, torch.ones((), dtype=x.dtype, device=x.device)
        for place, low, upper, size, step in zip(
            places, lows, corner, sizes, (sizes[1] * sizes[2], sizes[2], 1), strict=True
        ):
            index = index + (low.long() + upper).clamp(max=size - 1) * step
            weight = weight * ((place - low) if upper else (1 - place + low))
        total = total + voxels[index] * weight.unsqueeze(-1)
    return total.movedim(-1, 1)
