"""B-spline basis functions on non-uniform knots, one knot row per channel; knots that adapt to data.

Definition: the Cox-de Boor recursion over half-open intervals (de Boor, A Practical Guide to Splines, 1978).
The recursion here is on the sums S_j = N_j + N_(j+1) + ... of basis functions, where all terms but one
cancel and a linear interpolation is left:

    S_j^k = S_(j+1)^(k-1) + (x - t_j) / (t_(j+k) - t_j) * (S_j^(k-1) - S_(j+1)^(k-1)),    N_j = S_j - S_(j+1).

S^0 is the step at t_j, S^1 the ramp from t_j to t_(j+1). Each S is in [0, 1], so nothing large cancels, and
N_j is exactly 0 outside its support. In float32 it is as accurate as the usual recursion.

The adaptive knots, a blend of a uniform and a quantile grid, are those of KANet (Li and Ye, arXiv
2504.15155), whose released code has them from efficient-kan.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from hsi.errors import ModelError

ORDERS = range(1, 6)
CHANNEL_CHUNK = 32  # channels refitted at a time


def bspline_basis(x: Tensor, knots: Tensor, order: int) -> Tensor:
    """Evaluate all B-spline basis functions of one order; differentiable in x.

    Parameters
    ----------
    x
        Points ``(..., C)``; any shape with a single knot row. Half precision is computed in float32.
    knots
        Non-decreasing, ``(C, K)`` or ``(K,)`` for all points. With G intervals and `order` extra knots on
        either side K is G + 2 order + 1. Repeated knots are allowed.
    order
        Polynomial degree, 1 to 5 (the KAN papers call it spline order).

    Returns
    -------
    Tensor
        ``(..., C, K - order - 1)``: G + order values per point, which sum to 1 between ``knots[order]`` and
        ``knots[-order - 1]``; 0 at the last knot and outside all knots.

    Raises
    ------
    ModelError
        For an order out of range, or shapes that do not fit.
    """
    check_order(order)
    if knots.dim() not in (1, 2) or knots.shape[-1] < order + 2:
        raise ModelError(
            f"knots must be (K,) or (channels, K), with K at least {order + 2} for order {order}; "
            f"got {tuple(knots.shape)}."
        )
    if knots.dim() == 2 and (x.dim() == 0 or x.shape[-1] != knots.shape[0]):
        raise ModelError(
            f"The last axis of x must have {knots.shape[0]} channels, as knots has; got {tuple(x.shape)}."
        )
    dtype = torch.promote_types(x.dtype, torch.float32)
    knots = knots.to(dtype)
    offset = torch.clamp(x.to(dtype), *_clamp_bounds(knots)).unsqueeze(-1) - knots
    right = (offset >= 0).to(dtype)
    for k in range(1, order + 1):
        right = torch.lerp(right[..., 1:], right[..., :-1], offset[..., :-k] * inverse_gaps(knots, k))
    return right[..., :-1] - right[..., 1:]


def check_order(order: int) -> None:
    """Raise ModelError unless `order` is 1 to 5."""
    if order not in ORDERS:
        raise ModelError(f"The spline order must be 1, 2, 3, 4 or 5; got {order}.")


def inverse_gaps(knots: Tensor, k: int) -> Tensor:
    """Return ``1 / (t_(j+k) - t_j)``, or 0 where these knots coincide: (..., K) to (..., K - k)."""
    gaps = knots[..., k:] - knots[..., :-k]
    return torch.where(gaps > 0, 1 / gaps, torch.zeros_like(gaps))


def _clamp_bounds(knots: Tensor) -> tuple[Tensor, Tensor]:
    """Return finite bounds well outside the knots, where all basis functions are 0."""
    first, last = knots[..., 0], knots[..., -1]
    return 2 * first - last, 2 * last - first


class BasisPlanes:
    """SiLU and all basis functions of a chunk of points, plane by plane in reused memory; no autograd.

    Arrays are ``(n, planes, C, r)``, points last: each operation runs over contiguous memory with one
    constant (a knot or an inverse gap) per row, several times faster than with basis functions last.

    Parameters
    ----------
    knots
        ``(C, K)``, strictly increasing, in the dtype to compute in.
    samples, points
        n and r, the size of a chunk.
    memory
        ``(like, count)`` to a flat tensor for exclusive use.

    Attributes
    ----------
    values
        After `fill`: SiLU(x), then the K - order - 1 basis functions.
    """

    def __init__(
        self,
        knots: Tensor,
        order: int,
        samples: int,
        points: int,
        memory: Callable[[Tensor, int], Tensor] = Tensor.new_empty,
    ) -> None:
        channels, count = knots.shape
        rows = knots.t().unsqueeze(-1).contiguous()  # (K, C, 1)
        self._order = order
        self._knots = rows
        self._inverse = [inverse_gaps(knots, k).t().unsqueeze(-1).contiguous() for k in range(1, order + 1)]
        self._ends = [end.unsqueeze(-1) for end in _clamp_bounds(knots)]
        # Three arrays of `count` planes alternate: with a fourth, a training step takes 7 % longer (cache).
        planes = (1, 1, count, count, count, count - order)
        sizes = [(samples, each, channels, points) for each in planes]
        numbers = [math.prod(size) for size in sizes]
        parts = memory(knots, sum(numbers)).split(numbers)
        arrays = [part.view(size) for part, size in zip(parts, sizes, strict=True)]
        self._x, self._near, self._offset, self._sums, self._spare, self.values = arrays
        self._below, self._spent = self._spare, self._sums

    def fill(self, x: Tensor) -> Tensor:
        """Compute `values` for x ``(n, C, r)``, of any strides and dtype, and return them."""
        self._x[:, 0].copy_(x)
        torch.ops.aten.silu.out(self._x, out=self.values[:, :1])
        torch.clamp(self._x, *self._ends, out=self._near)
        offset = torch.sub(self._near, self._knots, out=self._offset)
        count = self._knots.shape[0] - 1
        sums, free = self._sums, self._spare
        torch.mul(offset[:, :count], self._inverse[0], out=sums[:, :count]).clamp_(0, 1)
        for inverse in self._inverse[1:-1]:
            count -= 1
            self._raise_order(sums, inverse, count, free)
            sums, free = free, sums
        if self._order == 1:
            top, self._below, self._spent = sums, free, sums
        else:
            count -= 1
            self._raise_order(sums, self._inverse[-1], count, offset)
            top, self._below, self._spent = offset, sums, free
        torch.sub(top[:, : count - 1], top[:, 1:count], out=self.values[:, 1:])
        return self.values

    def _raise_order(self, sums: Tensor, inverse: Tensor, count: int, out: Tensor) -> None:
        """Write `count` sums of the next order into `out`, which may be the offsets."""
        weight = torch.mul(self._offset[:, :count], inverse, out=out[:, :count])
        torch.lerp(sums[:, 1 : count + 1], sums[:, :count], weight, out=weight)

    def backward(self, grad: Tensor) -> Tensor:
        """Return the gradient of x ``(n, C, r)``, given that of `values`; once after each `fill`."""
        count = self._knots.shape[0] - self._order
        below = self._below  # the sums of the next lower order
        if self._order == 1:
            torch.ge(self._offset, 0, out=below)
        scaled = torch.sub(below[:, :count], below[:, 1 : count + 1], out=self._spent[:, :count])
        scaled.mul_(self._order * self._inverse[-1])
        slopes = torch.sub(scaled[:, :-1], scaled[:, 1:], out=below[:, : count - 1])
        through_spline = slopes.mul_(grad[:, 1:]).sum(dim=1)
        return through_spline.add_(torch.ops.aten.silu_backward(grad[:, 0], self._x[:, 0]))


def adaptive_knots(
    rows: Tensor, intervals: int, order: int, *, blend: float = 0.02, margin: float = 0.01
) -> Tensor:
    """Place knots where the data are.

    The inner knots are ``blend * uniform + (1 - blend) * adaptive``. The uniform grid covers the data's range
    plus a margin; the adaptive grid is evenly spaced order statistics. `order` more knots at the uniform step
    follow on either side.

    Parameters
    ----------
    rows
        Data ``(n, C)``, finite, n >= 1.
    intervals, order
        G and p.
    blend
        Share of the uniform grid, above 0: it keeps knots apart where data repeat.
    margin
        Least margin of the uniform grid; a thousandth of the channel's largest absolute value if that is
        more, since less could not be resolved in float32.

    Returns
    -------
    Tensor
        ``(C, G + 2p + 1)``, strictly increasing.
    """
    values = rows.sort(dim=0).values
    index = torch.linspace(0, rows.shape[0] - 1, intervals + 1, dtype=torch.float64).long().to(rows.device)
    adaptive = values[index]  # (G + 1, C)
    low, high = values[0], values[-1]
    margins = torch.clamp(1e-3 * rows.abs().amax(dim=0), min=margin)
    step = (high - low + 2 * margins) / intervals
    count = torch.arange(intervals + 1, dtype=rows.dtype, device=rows.device).unsqueeze(1)
    inner = blend * (low - margins + step * count) + (1 - blend) * adaptive
    outer = torch.arange(1, order + 1, dtype=rows.dtype, device=rows.device).unsqueeze(1) * step
    return torch.cat([inner[:1] - outer.flip(0), inner, inner[-1:] + outer]).t().contiguous()


def refit(rows: Tensor, old: Tensor, new: Tensor, order: int, *, ridge: float = 1e-12) -> Tensor:
    """Return, per channel, the matrix from coefficients on the old knots to those on the new ones.

    The new spline is the least-squares fit to the old one over the data. Where the data do not determine a
    coefficient (few points, constant channels), a small ridge draws it to the old spline's value at its
    Greville abscissa. The matrix depends on knots and data alone, so it serves all outputs.

    Parameters
    ----------
    rows
        Data ``(n, C)``, like the knots preferably float64.
    old, new
        Strictly increasing knots ``(C, G + 2p + 1)``.
    ridge
        Weight of the ridge, relative to the number of rows.

    Returns
    -------
    Tensor
        ``(C, G + p, G + p)``: ``new_coefficients[c] = matrix[c] @ old_coefficients[c]``.
    """
    chunks = zip(
        rows.split(CHANNEL_CHUNK, dim=1), old.split(CHANNEL_CHUNK), new.split(CHANNEL_CHUNK), strict=True
    )
    return torch.cat([_refit_channels(r, a, b, order, ridge) for r, a, b in chunks])


def _refit_channels(rows: Tensor, old: Tensor, new: Tensor, order: int, ridge: float) -> Tensor:
    points = rows.t().unsqueeze(0)  # (1, C, n)
    before, after = (
        BasisPlanes(knots, order, 1, rows.shape[0]).fill(points)[0, 1:].transpose(0, 1)
        for knots in (old, new)
    )  # (C, G + p, n)
    count = after.shape[1]
    greville = torch.stack([new[:, i + 1 : i + 1 + order].mean(dim=1) for i in range(count)])  # (G + p, C)
    start = bspline_basis(greville, old, order).transpose(0, 1)  # (C, G + p, G + p)
    gram = after @ after.transpose(1, 2)
    right = after @ before.transpose(1, 2) - gram @ start
    gram.diagonal(dim1=1, dim2=2).add_(ridge * rows.shape[0])
    return start + torch.cholesky_solve(right, torch.linalg.cholesky(gram))
