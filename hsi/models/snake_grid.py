"""The geometry of a snake: the plane that a view moves in, shifts along its axis, positions of the sampler.

Source: our decision; see `hsi.models.snake`.
"""

from __future__ import annotations

import torch
from torch import Tensor

AXES = {"d": 1, "h": 2, "w": 3}
"""Where each axis stands in rows ``(N, D, H, W, C)``."""


def plane_of(rows: Tensor, axis: str) -> Tensor:
    """``(N, D, H, W, k)`` as ``(N, V, A, B, k)``: the view's axis, then the plane it moves in; no copy."""
    return rows.movedim(AXES[axis], 1)


def as_images(plane: Tensor) -> Tensor:
    """``(N, V, A, B, k)`` as images ``(N * V, k, A, B)``."""
    return plane.flatten(0, 1).permute(0, 3, 1, 2)


def as_rows(images: Tensor, plane: Tensor) -> Tensor:
    """Images as ``(N, V, A, B, k)``, sizes as in `plane`."""
    return images.permute(0, 2, 3, 1).view(plane.shape)


def shifted(plane: Tensor, distance: int) -> Tensor:
    """Copy `plane` with ``[:, v]`` taken from ``v + distance``, clamped to the border."""
    size = plane.shape[1]
    step = min(abs(distance), size - 1)
    out = plane.new_empty(plane.shape)
    if distance > 0:
        out[:, : size - step] = plane[:, step:]
        out[:, size - step :] = plane[:, -1:]
    else:
        out[:, step:] = plane[:, : size - step]
        out[:, :step] = plane[:, :1]
    return out


def unshift(d_shifted: Tensor, d_plane: Tensor, distance: int) -> None:
    """Write the gradient of `shifted` into `d_plane`."""
    size = d_plane.shape[1]
    step = min(abs(distance), size - 1)
    if distance > 0:
        d_plane[:, step:] = d_shifted[:, : size - step]
        d_plane[:, :step] = 0
        d_plane[:, -1] += d_shifted[:, size - step :].sum(1)
    else:
        d_plane[:, : size - step] = d_shifted[:, step:]
        d_plane[:, size - step :] = 0
        d_plane[:, 0] += d_shifted[:, :step].sum(1)


def sampler_grid(offsets: Tensor, axis: str) -> tuple[Tensor, Tensor]:
    """Turn offsets ``(N, D, H, W, 2)`` into positions ``(N * V, A, B, 2)`` and their scale in [-1, 1]."""
    plane = plane_of(offsets, axis).contiguous()
    height, width = (int(n) for n in plane.shape[2:4])
    # On an axis of one voxel there is nowhere to go; 2 / (n - 1) would be infinite.
    scale = plane.new_tensor([2 / (n - 1) if n > 1 else 0.0 for n in (width, height)])
    ticks = [torch.linspace(-1, 1, n, dtype=plane.dtype, device=plane.device) for n in (height, width)]
    down, across = torch.meshgrid(*ticks, indexing="ij")
    return torch.addcmul(torch.stack((across, down), -1), plane, scale).flatten(0, 1), scale
