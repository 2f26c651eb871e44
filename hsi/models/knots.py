"""Knots that follow the data, and spline coefficients for the new knots.

The rule for the knots, a blend of a uniform and an adaptive grid, is that of "Dynamic 3D KAN Convolution with
Adaptive Grid Optimization for Hyperspectral Image Classification" (Li and Ye, arXiv 2504.15155), whose
released code has it from efficient-kan. How the coefficients are refitted is our decision.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hsi.models.bspline import BasisPlanes, bspline_basis

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
