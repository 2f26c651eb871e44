"""B-spline basis functions on non-uniform knots, exact, with one knot row per channel.

Definition: the Cox-de Boor recursion over half-open intervals (de Boor, A Practical Guide to Splines, 1978).

The evaluation is our decision. We recur not on the basis functions N but on their sums to the right, S_j =
N_j + N_(j+1) + ... . There all terms of the recursion but one cancel, and a linear interpolation is left:

    S_j^k = S_(j+1)^(k-1) + (x - t_j) / (t_(j+k) - t_j) * (S_j^(k-1) - S_(j+1)^(k-1)),    N_j = S_j - S_(j+1).

S^0 is the step at t_j, S^1 the ramp from t_j to t_(j+1). Each S lies in [0, 1], so nothing large cancels, and
outside its support N_j is exactly 0. In float32 the largest error is no more than that of the usual
recursion.

Knots that follow the data, and spline coefficients for the new knots.

The rule for the knots, a blend of a uniform and an adaptive grid, is that of "Dynamic 3D KAN Convolution with
Adaptive Grid Optimization for Hyperspectral Image Classification" (Li and Ye, arXiv 2504.15155), whose
released code has it from efficient-kan. How the coefficients are refitted is our decision.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from hsi.errors import ModelError

ORDERS = range(1, 6)


def bspline_basis(x: Tensor, knots: Tensor, order: int) -> Tensor:
    """Evaluate all B-spline basis functions of one order; differentiable in x.

    Parameters
    ----------
    x
        Points ``(..., C)``; any shape with a single knot row. Half precision is computed in float32.
    knots
        Knots in non-decreasing order: ``(C, K)``, one row per channel, or ``(K,)`` for all points. With G
        intervals and `order` extra knots on either side K is G + 2 order + 1. Repeated knots are allowed.
    order
        Polynomial degree, 1 to 5 (the KAN papers call it spline order).

    Returns
    -------
    Tensor
        ``(..., C, K - order - 1)``, that is G + order values a point, which sum to 1 between ``knots[order]``
        and ``knots[-order - 1]``. Intervals are half-open: at the last knot, and outside all knots, values
        are 0.

    Raises
    ------
    ModelError
        For an order that is not offered, or shapes that do not fit.
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
    offset = torch.clamp(x.to(dtype), *_far_ends(knots)).unsqueeze(-1) - knots
    right = (offset >= 0).to(dtype)
    for k in range(1, order + 1):
        right = torch.lerp(right[..., 1:], right[..., :-1], offset[..., :-k] * inverse_gaps(knots, k))
    return right[..., :-1] - right[..., 1:]


def check_order(order: int) -> None:
    """Raise ModelError for a spline order that is not offered."""
    if order not in ORDERS:
        raise ModelError(f"The spline order must be 1, 2, 3, 4 or 5; got {order}.")


def inverse_gaps(knots: Tensor, k: int) -> Tensor:
    """Return ``1 / (t_(j+k) - t_j)``, and 0 where these two knots are one: (..., K) to (..., K - k)."""
    gaps = knots[..., k:] - knots[..., :-k]
    return torch.where(gaps > 0, 1 / gaps, torch.zeros_like(gaps))


def _far_ends(knots: Tensor) -> tuple[Tensor, Tensor]:
    """Return bounds well outside the knots: no infinity within them, and nothing changes beyond them."""
    first, last = knots[..., 0], knots[..., -1]
    return 2 * first - last, 2 * last - first


class BasisPlanes:
    """SiLU and all basis functions of a chunk of points, plane by plane in memory that is used again.

    Arrays have the shape ``(n, planes, C, r)`` with the points last: each operation then runs over contiguous
    memory with one constant (a knot, or an inverse gap) a row, several times faster than with basis functions
    on the last axis. Autograd does not see it; :meth:`backward` has the derivatives. Knots must increase
    strictly.

    Parameters
    ----------
    knots
        ``(C, K)``, in the number type to compute in.
    order
        1 to 5.
    samples, points
        n and r, the size of a chunk.
    memory
        Returns so many numbers, flat, like a tensor; what it returns must be used by nobody else meanwhile.

    Attributes
    ----------
    values
        After :meth:`fill`: SiLU(x), then the K - order - 1 basis functions.
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
        self._ends = [end.unsqueeze(-1) for end in _far_ends(knots)]
        # The three of `count` planes take turns: with one more, less of them stays in cache, and a training
        # step takes 7 % longer.
        planes = (1, 1, count, count, count, count - order)
        sizes = [(samples, each, channels, points) for each in planes]
        numbers = [math.prod(size) for size in sizes]
        parts = memory(knots, sum(numbers)).split(numbers)
        arrays = [part.view(size) for part, size in zip(parts, sizes, strict=True)]
        self._x, self._near, self._offset, self._sums, self._spare, self.values = arrays
        self._below, self._spent = self._spare, self._sums

    def fill(self, x: Tensor) -> Tensor:
        """Compute `values` for x ``(n, C, r)``, of any strides and number type, and return them."""
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
        """Write `count` sums of the next order into `out`, which may be the offsets, over their weights."""
        weight = torch.mul(self._offset[:, :count], inverse, out=out[:, :count])
        torch.lerp(sums[:, 1 : count + 1], sums[:, :count], weight, out=weight)

    def backward(self, grad: Tensor) -> Tensor:
        """Return the gradient of x ``(n, C, r)``, given that of `values`; once after each :meth:`fill`."""
        count = self._knots.shape[0] - self._order
        below = self._below  # the sums of one order less than those of `values`
        if self._order == 1:
            torch.ge(self._offset, 0, out=below)
        scaled = torch.sub(below[:, :count], below[:, 1 : count + 1], out=self._spent[:, :count])
        scaled.mul_(self._order * self._inverse[-1])
        slopes = torch.sub(scaled[:, :-1], scaled[:, 1:], out=below[:, : count - 1])
        through_spline = slopes.mul_(grad[:, 1:]).sum(dim=1)
        return through_spline.add_(torch.ops.aten.silu_backward(grad[:, 0], self._x[:, 0]))


CHANNELS_AT_ONCE = 32


def adaptive_knots(
    rows: Tensor, intervals: int, order: int, *, blend: float = 0.02, margin: float = 0.01
) -> Tensor:
    """Place knots where the data are.

    The inner knots are ``blend * uniform + (1 - blend) * adaptive``. The uniform grid covers the data's range
    and `margin` on either side; the adaptive grid is evenly spaced order statistics. On either side `order`
    more knots follow at the uniform step.

    Parameters
    ----------
    rows
        Data ``(n, C)``, finite, n >= 1.
    intervals, order
        G and p.
    blend
        Share of the uniform grid, over 0: it keeps knots apart where data repeat.
    margin
        How far the uniform grid reaches past the data. It grows to a thousandth of the largest absolute value
        in a channel (our decision): less could not be told apart in float32.

    Returns
    -------
    Tensor
        ``(C, G + 2p + 1)``, strictly increasing.
    """
    values = rows.sort(dim=0).values
    index = torch.linspace(0, rows.shape[0] - 1, intervals + 1, dtype=torch.float64).long().to(rows.device)
    adaptive = values[index]  # (G + 1, C)
    low, high = values[0], values[-1]
    wide = torch.clamp(1e-3 * rows.abs().amax(dim=0), min=margin)
    step = (high - low + 2 * wide) / intervals
    count = torch.arange(intervals + 1, dtype=rows.dtype, device=rows.device).unsqueeze(1)
    inner = blend * (low - wide + step * count) + (1 - blend) * adaptive
    outer = torch.arange(1, order + 1, dtype=rows.dtype, device=rows.device).unsqueeze(1) * step
    return torch.cat([inner[:1] - outer.flip(0), inner, inner[-1:] + outer]).t().contiguous()


def refit(rows: Tensor, old: Tensor, new: Tensor, order: int, *, ridge: float = 1e-12) -> Tensor:
    """Return, per channel, the matrix that turns coefficients on the old knots into those on the new ones.

    The new spline is the least-squares fit to the old one over the data. Where data leave a coefficient open
    (few points, constant channels), a small ridge draws it to the old spline's value at the coefficient's
    Greville abscissa, so that the curve keeps its shape there too. The result depends on knots and data
    alone, so one matrix serves all outputs, and a factor on the spline (KAN's scaler) does not enter.

    Parameters
    ----------
    rows
        Data ``(n, C)``; float64 is advised, as for the knots.
    old, new
        Strictly increasing knots ``(C, G + 2p + 1)``.
    order
        p.
    ridge
        Weight of the ridge, relative to the number of rows.

    Returns
    -------
    Tensor
        ``(C, G + p, G + p)``: ``new_coefficients[c] = matrix[c] @ old_coefficients[c]``. On the data both
        splines agree to rounding if the new basis can express the old spline there, as when the knots are the
        same, or when all data are in one old interval. Else the new one is the nearest that its knots allow.
    """
    return torch.cat(
        [
            _refit_channels(r, a, b, order, ridge)
            for r, a, b in zip(
                torch.split(rows, CHANNELS_AT_ONCE, dim=1),
                torch.split(old, CHANNELS_AT_ONCE),
                torch.split(new, CHANNELS_AT_ONCE),
                strict=True,
            )
        ]
    )


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
    wanted = after @ before.transpose(1, 2) - gram @ start
    gram.diagonal(dim1=1, dim2=2).add_(ridge * rows.shape[0])
    return start + torch.cholesky_solve(wanted, torch.linalg.cholesky(gram))
