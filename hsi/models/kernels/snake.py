"""Dynamic snake convolution in three dimensions: K points on an axis, all but the centre free to leave it.

Source: Qi et al., "Dynamic Snake Convolution based on Topological Geometric Constraints for Tubular
Structure Segmentation" (DSCNet, ICCV 2023, arXiv 2307.08388): points at -c..c on one axis, displacements
summed outward from a fixed centre, linear interpolation, positions clamped to the volume.

Interpolation and the sum over input channels are both linear and commute: the K pointwise products are
computed first, on the undeformed grid, and only their few output channels are interpolated. On the view's
own axis every point lies on a voxel, so bilinear interpolation in the plane of the two other axes replaces
the trilinear one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from hsi.errors import ModelError
from hsi.models.kernels.dispatch import is_exporting

AXES = {"d": 1, "h": 2, "w": 3}
"""Dimension of each axis in rows ``(N, D, H, W, C)``."""


def plane_of(rows: Tensor, axis: str) -> Tensor:
    """View ``(N, D, H, W, k)`` as ``(N, V, A, B, k)``: the snake's axis, then the plane it moves in."""
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
    """Return the sampling grid ``(N * V, A, B, 2)`` in [-1, 1] for offsets ``(N, D, H, W, 2)``; its scale."""
    plane = plane_of(offsets, axis).contiguous()
    height, width = (int(n) for n in plane.shape[2:4])
    # An axis of one voxel allows no displacement; 2 / (n - 1) would be infinite.
    scale = plane.new_tensor([2 / (n - 1) if n > 1 else 0.0 for n in (width, height)])
    ticks = [torch.linspace(-1, 1, n, dtype=plane.dtype, device=plane.device) for n in (height, width)]
    down, across = torch.meshgrid(*ticks, indexing="ij")
    return torch.addcmul(torch.stack((across, down), -1), plane, scale).flatten(0, 1), scale


def snake_rows_unchunked(
    x: Tensor,
    centre: Tensor,
    bias: Tensor,
    outer: Tensor,
    offsets: Tensor | None,
    views: tuple[View, ...],
) -> Tensor:
    """Compute `snake_rows` for the whole batch without in-place writes: a graph for any batch size."""
    width = _width(outer, views)
    dtype = _sampling_dtype(x)
    out = F.linear(x, centre, bias).to(dtype)
    maps = F.linear(x, outer).to(dtype)
    first, column = out.shape[-1] - width * len(views), 0
    parts = [out[..., :first]]
    for view in views:
        target = plane_of(out[..., first : first + width], view.axis)
        for i, distance in enumerate(_distances(view.points)):
            source = _shifted_by_cat(plane_of(maps[..., column : column + width], view.axis), distance)
            if view.slot is not None and offsets is not None:
                grid, _ = sampler_grid(offsets.select(-2, view.slot + i), view.axis)
                source = as_rows(torch.grid_sampler_2d(as_images(source), grid, *_SAMPLER), target)
            target = target + source
            column += width
        parts.append(target.movedim(1, AXES[view.axis]))
        first += width
    return torch.cat(parts, dim=-1).to(x.dtype)


def _shifted_by_cat(plane: Tensor, distance: int) -> Tensor:
    """Do what `shifted` does, without in-place writes."""
    size = int(plane.shape[1])
    step = min(abs(distance), size - 1)
    if distance > 0:
        return torch.cat([plane[:, step:], plane[:, -1:].expand(-1, step, -1, -1, -1)], dim=1)
    return torch.cat([plane[:, :1].expand(-1, step, -1, -1, -1), plane[:, : size - step]], dim=1)


CHUNK_VOXELS = 16384  # on a CPU: temporaries of about 3 MB, which fit the cache

_SAMPLER = (0, 1, True)  # bilinear, padding_mode="border", align_corners=True


class View(NamedTuple):
    """One snake: its axis, its number of points K, and the index of its first offset.

    ``slot`` is None where both other axes have one voxel: the points then stay on the axis.
    """

    axis: str
    points: int
    slot: int | None


def check_points(points: int) -> None:
    """Raise ModelError unless `points` is an odd number of at least 3."""
    if points < 3 or points % 2 == 0:
        raise ModelError(
            f"A snake needs an odd number of points, at least 3, for a fixed centre; got {points}."
        )


def check_axis(axis: str) -> None:
    """Raise ModelError unless `axis` is "w", "h" or "d"."""
    if axis not in AXES:
        raise ModelError(f"The axis of a snake must be 'w', 'h' or 'd'; got '{axis}'.")


def snake_conv3d(
    x: Tensor, offsets: Tensor, weight: Tensor, bias: Tensor | None = None, *, axis: str = "w"
) -> Tensor:
    """Convolve along `axis` with kernel points that are displaced in the two other axes.

    Parameters
    ----------
    x
        ``(N, C, D, H, W)``, any strides; channels-last is fastest.
    offsets
        ``(N, K - 1, 2, D, H, W)``, in voxels: displacement of each point but the centre, in the order of
        `weight`, along the two other axes in the order D, H, W; not summed outward (see `outward_sum`).
    weight, bias
        ``(out, C, K)`` with K odd, and ``(out,)`` or None. Point j is at distance ``j - K // 2`` on the axis.
    axis
        "w", "h" or "d" (the spectral axis).

    Returns
    -------
    ``(N, out, D, H, W)``, channels-last in memory. Positions outside the volume are clamped to its border.

    Raises
    ------
    ModelError
        For an unknown axis, an even number of points, or shapes that do not fit.

    Notes
    -----
    The derivative in an offset is that of bilinear interpolation: one-sided at whole positions (rounding may
    choose the side), zero where the position is clamped. Differentiable once.
    """
    check_axis(axis)
    if x.ndim != 5 or weight.ndim != 3:
        raise ModelError(
            f"snake_conv3d needs x as (N, C, D, H, W) and weight as (out, C, K); got {tuple(x.shape)} and "
            f"{tuple(weight.shape)}."
        )
    points = weight.shape[2]
    check_points(points)
    expected = (x.shape[0], points - 1, 2, *x.shape[2:])
    if offsets.shape != expected or weight.shape[1] != x.shape[1]:
        raise ModelError(
            f"For x {tuple(x.shape)} and {points} points the offsets must be {expected} and the weight must "
            f"have {x.shape[1]} input channels; got {tuple(offsets.shape)} and {weight.shape[1]}."
        )
    if bias is None:
        bias = weight.new_zeros(weight.shape[0])
    centre, outer = split_points(weight)
    displaced = offsets.permute(0, 3, 4, 5, 1, 2).flip(-1)
    rows = snake_rows(x.permute(0, 2, 3, 4, 1), centre, bias, outer, displaced, (View(axis, points, 0),))
    return rows.permute(0, 4, 1, 2, 3)


def split_points(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Split ``(out, C, K)`` into the centre ``(out, C)`` and the other points ``((K - 1) * out, C)``."""
    middle = weight.shape[2] // 2
    outer = torch.cat((weight[:, :, :middle], weight[:, :, middle + 1 :]), dim=2)
    return weight[:, :, middle], outer.permute(2, 0, 1).flatten(0, 1)


def outward_sum(steps: Tensor, dim: int) -> Tensor:
    """Cumulative sum of the steps of the K - 1 moving points, outward from the centre on each side.

    With steps in [-1, 1] a point at distance c is displaced by at most c (DSCNet's continuity constraint).
    """
    half = steps.shape[dim] // 2
    if half == 1:
        return steps
    before, after = torch.split(steps, half, dim)
    return torch.cat((before.flip(dim).cumsum(dim).flip(dim), after.cumsum(dim)), dim)


def snake_rows(
    x: Tensor, centre: Tensor, bias: Tensor, outer: Tensor, offsets: Tensor | None, views: tuple[View, ...]
) -> Tensor:
    """Compute the snakes of several views together: ``(N, D, H, W, C)`` to ``(N, D, H, W, R)``.

    Parameters
    ----------
    centre, bias
        ``(R, C)`` and ``(R,)``: pointwise products without displacement. The last rows are the centres of the
        snakes, k for each view in turn; rows before them belong to no snake.
    outer
        ``(sum of (K - 1) * k, C)``: the moving points of each view in turn.
    offsets
        ``(N, D, H, W, slots, 2)`` in voxels, the later of the two other axes first, as in
        ``F.grid_sample``. None when no view moves.
    """
    if offsets is not None:
        offsets = offsets.to(_sampling_dtype(x))
    if is_exporting():
        return snake_rows_unchunked(x, centre, bias, outer, offsets, views)
    rows: Tensor = _SnakeRows.apply(x, centre, bias, outer, offsets, views)
    return rows


class _SnakeRows(torch.autograd.Function):
    """`snake_rows` in chunks of samples; the backward pass recomputes the outer pointwise products."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        centre: Tensor,
        bias: Tensor,
        outer: Tensor,
        offsets: Tensor | None,
        views: tuple[View, ...],
    ) -> Tensor:
        ctx.save_for_backward(x, centre, outer, offsets)
        ctx.views = views
        width = _width(outer, views)
        out = F.linear(x, centre, bias).to(_sampling_dtype(x))
        for part in _chunks(x):
            maps = F.linear(x[part], outer).to(out.dtype)
            first, column = out.shape[-1] - width * len(views), 0
            for view in views:
                target = plane_of(out[part].narrow(-1, first, width), view.axis)
                for i, distance in enumerate(_distances(view.points)):
                    source = shifted(plane_of(maps.narrow(-1, column, width), view.axis), distance)
                    if view.slot is not None and offsets is not None:
                        grid, _ = sampler_grid(offsets[part].select(-2, view.slot + i), view.axis)
                        source = as_rows(torch.grid_sampler_2d(as_images(source), grid, *_SAMPLER), target)
                    target += source
                    column += width
                first += width
        return out.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, centre, outer, offsets = ctx.saved_tensors
        views: tuple[View, ...] = ctx.views
        width = _width(outer, views)
        dtype = _sampling_dtype(x)
        flat_grad, channels = grad.reshape(-1, grad.shape[-1]), x.shape[-1]
        d_x = torch.mm(flat_grad, centre).view(x.shape)
        d_centre = torch.mm(flat_grad.t(), x.reshape(-1, channels))
        d_bias = flat_grad.sum(0)
        d_outer = torch.zeros_like(outer, dtype=dtype)
        d_offsets = None if offsets is None else torch.zeros_like(offsets)
        for part in _chunks(x):
            maps = F.linear(x[part], outer).to(dtype)
            d_maps = torch.empty_like(maps)
            first, column = grad.shape[-1] - width * len(views), 0
            for view in views:
                d_target = plane_of(grad[part].narrow(-1, first, width).to(dtype), view.axis)
                moves = view.slot is not None and offsets is not None
                images = as_images(d_target).contiguous() if moves else d_target
                for i, distance in enumerate(_distances(view.points)):
                    d_source = d_target
                    if view.slot is not None and offsets is not None and d_offsets is not None:
                        source = shifted(plane_of(maps.narrow(-1, column, width), view.axis), distance)
                        grid, scale = sampler_grid(offsets[part].select(-2, view.slot + i), view.axis)
                        d_images, d_grid = torch.ops.aten.grid_sampler_2d_backward(
                            images, as_images(source), grid, *_SAMPLER, [True, True]
                        )
                        d_source = as_rows(d_images, d_target)
                        d_slot = plane_of(d_offsets[part].select(-2, view.slot + i), view.axis)
                        d_slot.copy_(d_grid.view(d_slot.shape)).mul_(scale)
                    unshift(d_source, plane_of(d_maps.narrow(-1, column, width), view.axis), distance)
                    column += width
                first += width
            flat_maps = d_maps.view(-1, outer.shape[0]).to(x.dtype)
            d_x[part].view(-1, channels).addmm_(flat_maps, outer)
            d_outer += torch.mm(flat_maps.t(), x[part].reshape(-1, channels))
        return d_x, d_centre, d_bias, d_outer.to(outer.dtype), d_offsets, None


def _sampling_dtype(x: Tensor) -> torch.dtype:
    """float32 or more: half precision is too coarse for positions."""
    return torch.promote_types(x.dtype, torch.float32)


def _width(outer: Tensor, views: tuple[View, ...]) -> int:
    """Output channels of one view."""
    return outer.shape[0] // sum(view.points - 1 for view in views)


def _chunks(x: Tensor) -> list[slice]:
    """Slices of samples whose temporaries fit the cache of a CPU."""
    samples = x.shape[0]
    voxels = x.shape[1] * x.shape[2] * x.shape[3]
    size = max(1, CHUNK_VOXELS // voxels if x.device.type == "cpu" else samples)
    return [slice(start, start + size) for start in range(0, samples, size)]


def _distances(points: int) -> list[int]:
    """Positions on the axis of the moving points: all but the centre."""
    return [distance for distance in range(-(points // 2), points // 2 + 1) if distance]
