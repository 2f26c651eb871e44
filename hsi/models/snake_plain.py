"""The snakes of `hsi.models.snake` in plain operations, for graphs that are written to a file.

The same sums as there, whole batches at a time and without writing into tensors, so that a tracer sees a
graph that holds for any number of samples. It needs more memory, and autograd keeps all of it.

Source: our own; see `hsi.models.snake`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from hsi.models.snake_grid import AXES, as_images, as_rows, plane_of, sampler_grid

if TYPE_CHECKING:
    from hsi.models.snake import View


def plain_rows(
    x: Tensor,
    centre: Tensor,
    bias: Tensor,
    outer: Tensor,
    offsets: Tensor | None,
    views: tuple[View, ...],
    sampler: tuple[int, int, bool],
) -> Tensor:
    """Compute what `hsi.models.snake.snake_rows` does; `sampler` are the grid sampler's settings."""
    width = outer.shape[0] // sum(view.points - 1 for view in views)
    dtype = torch.promote_types(x.dtype, torch.float32)
    out = F.linear(x, centre, bias).to(dtype)
    maps = F.linear(x, outer).to(dtype)
    first, column = out.shape[-1] - width * len(views), 0
    parts = [out[..., :first]]
    for view in views:
        target = plane_of(out[..., first : first + width], view.axis)
        for i, distance in enumerate(_distances(view.points)):
            source = _moved(plane_of(maps[..., column : column + width], view.axis), distance)
            if view.slot is not None and offsets is not None:
                grid, _ = sampler_grid(offsets.select(-2, view.slot + i), view.axis)
                source = as_rows(torch.grid_sampler_2d(as_images(source), grid, *sampler), target)
            target = target + source
            column += width
        parts.append(target.movedim(1, AXES[view.axis]))
        first += width
    return torch.cat(parts, dim=-1).to(x.dtype)


def _distances(points: int) -> list[int]:
    return [place for place in range(-(points // 2), points // 2 + 1) if place]


def _moved(plane: Tensor, distance: int) -> Tensor:
    """Take ``[:, v]`` from ``v + distance``, clamped to the border."""
    size = int(plane.shape[1])
    step = min(abs(distance), size - 1)
    if distance > 0:
        return torch.cat([plane[:, step:], plane[:, -1:].expand(-1, step, -1, -1, -1)], dim=1)
    return torch.cat([plane[:, :1].expand(-1, step, -1, -1, -1), plane[:, : size - step]], dim=1)
