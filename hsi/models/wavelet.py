"""Discrete wavelet transform of the last three axes, in differentiable torch operations.

`dwt3d` and `idwt3d` equal ``pywt.dwtn`` and ``pywt.idwtn`` (one level) for every discrete wavelet of
PyWavelets and the boundary modes in `MODES`. Definitions: Mallat, A Wavelet Tour of Signal Processing;
alignment and boundaries: PyWavelets (Lee et al., JOSS 2019).

Sub-bands are in the order of PyWavelets' sorted keys, one letter per transformed axis in the order D, H, W,
``a`` low-pass and ``d`` high-pass: aaa, aad, ada, add, daa, dad, dda, ddd (LLL, LLH, ... HHH).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from hsi.errors import ModelError, near_miss, unknown

MODES = ("zero", "constant", "symmetric", "reflect", "periodic", "periodization")
"""Boundary modes, as in PyWavelets."""

AXES = {"dhw": (-3, -2, -1), "hw": (-2, -1)}
"""Transformed axes of ``(..., D, H, W)``."""

SUBBANDS = {
    name: tuple("".join(key) for key in product("ad", repeat=len(axes))) for name, axes in AXES.items()
}
"""PyWavelets' keys of the sub-bands, in the order of the sub-band axis."""


def dwt3d(x: Tensor, wavelet: Any = "haar", mode: str = "symmetric", axes: str = "dhw") -> Tensor:
    """One level of the separable discrete wavelet transform.

    Parameters
    ----------
    x
        ``(..., D, H, W)``, floating point, no axis empty.
    wavelet
        Name of a discrete wavelet of PyWavelets, such as "haar", "db2", "bior2.2", a ``pywt.Wavelet``, or a
        `FilterBank`.
    mode
        Boundary mode, one of `MODES`. An axis of n samples and a filter of L taps give ``(n + L - 1) // 2``
        coefficients; "periodization" gives ``ceil(n / 2)``.
    axes
        "dhw" transforms all three axes (8 sub-bands), "hw" only the last two (4 sub-bands).

    Returns
    -------
    Tensor
        ``(..., B, d, h, w)`` with the B sub-bands in the order of ``SUBBANDS[axes]``.

    Raises
    ------
    ModelError
        For an unknown wavelet, mode or axes, an integer tensor, one with fewer than three axes, or
        "reflect" on an axis of one sample.
    """
    _check(x, mode, axes, least=3)
    if mode == "reflect" and any(x.shape[axis] == 1 for axis in AXES[axes]):
        raise ModelError("Mode 'reflect' needs 2 samples or more on each transformed axis; use 'symmetric'.")
    bank = wavelet_filters(wavelet)
    bands = [x]
    for axis in AXES[axes]:
        bands = [part for band in bands for part in _analyse(band, axis, bank, mode)]
    return torch.stack(bands, dim=-4)


def idwt3d(
    bands: Tensor,
    wavelet: Any = "haar",
    mode: str = "symmetric",
    axes: str = "dhw",
    *,
    size: Sequence[int] | None = None,
) -> Tensor:
    """Inverse of `dwt3d`.

    Parameters
    ----------
    bands
        ``(..., B, d, h, w)`` as `dwt3d` returns them; B is 8 for "dhw" and 4 for "hw".
    wavelet, mode, axes
        As given to `dwt3d`.
    size
        The (D, H, W) to return. n and n + 1 samples have the same number of coefficients; with `size` the
        surplus sample at the end is cropped. Default: keep it, as PyWavelets does.

    Returns
    -------
    Tensor
        ``(..., D, H, W)``.

    Raises
    ------
    ModelError
        As `dwt3d`; also for a wrong number of sub-bands, too few coefficients, or a `size` that does not fit.
    """
    _check(bands, mode, axes, least=4)
    bank = wavelet_filters(wavelet)
    if bands.shape[-4] != len(SUBBANDS[axes]):
        raise ModelError(
            f"axes='{axes}' needs {len(SUBBANDS[axes])} sub-bands on axis -4; got {bands.shape[-4]} there."
        )
    parts = list(bands.unbind(-4))
    for axis in reversed(AXES[axes]):
        parts = [_synthesise(a, d, axis, bank, mode) for a, d in zip(parts[::2], parts[1::2], strict=True)]
    x = parts[0]
    if size is not None:
        if len(size) != 3 or any(not 0 <= n - want <= 1 for n, want in zip(x.shape[-3:], size, strict=True)):
            raise ModelError(
                f"size must be (D, H, W), each equal to {tuple(x.shape[-3:])} or one less; got {tuple(size)}."
            )
        x = x[..., : size[0], : size[1], : size[2]]
    return x


class FilterBank(NamedTuple):
    """The four filters of a wavelet, all of the same even length, taps as in PyWavelets."""

    dec_lo: tuple[float, ...]
    dec_hi: tuple[float, ...]
    rec_lo: tuple[float, ...]
    rec_hi: tuple[float, ...]


_S = math.sqrt(0.5)
HAAR = FilterBank((_S, _S), (-_S, _S), (_S, _S), (_S, -_S))


def wavelet_filters(wavelet: Any) -> FilterBank:
    """Return the filters of a discrete wavelet: a name, a ``pywt.Wavelet``, or the filters themselves."""
    if isinstance(wavelet, FilterBank):
        return wavelet
    if isinstance(wavelet, str) and wavelet in ("haar", "db1"):  # without importing PyWavelets
        return HAAR
    import pywt

    if not isinstance(wavelet, pywt.Wavelet):
        names = pywt.wavelist(kind="discrete")
        if wavelet not in names:
            raise ModelError(
                f"PyWavelets has no discrete wavelet '{wavelet}'.{near_miss(str(wavelet), names)} "
                "Names are such as haar, db2, sym4, coif1, bior2.2."
            )
        wavelet = pywt.Wavelet(wavelet)
    bank = FilterBank(*(tuple(float(tap) for tap in taps) for taps in wavelet.filter_bank))
    if len({len(taps) for taps in bank}) != 1 or len(bank.dec_lo) % 2:
        raise ModelError("The four filters of a wavelet must have one even length; pad them with zeros.")
    return bank


def is_haar(bank: FilterBank) -> bool:
    """Tell whether the filters are those of the Haar wavelet."""
    return all(
        len(ours) == 2 and all(math.isclose(s, t, abs_tol=1e-12) for s, t in zip(ours, haar, strict=True))
        for ours, haar in zip(bank, HAAR, strict=True)
    )


def _check(x: Tensor, mode: str, axes: str, least: int) -> None:
    if mode not in MODES:
        raise ModelError(unknown("boundary mode", mode, MODES))
    check_axes(axes)
    if x.dim() < least or not x.is_floating_point() or 0 in x.shape[-3:]:
        raise ModelError(
            f"The wavelet transform needs a floating-point tensor of at least {least} axes that end in D, H, "
            f"W, none of them empty; got {x.dtype} {tuple(x.shape)}."
        )


def check_axes(axes: str) -> None:
    """Raise ModelError unless `axes` is one of `AXES`."""
    if axes not in AXES:
        raise ModelError(f"axes must be 'dhw' (three axes) or 'hw' (the two image axes), not '{axes}'.")


def _analyse(x: Tensor, axis: int, bank: FilterBank, mode: str) -> tuple[Tensor, Tensor]:
    """One axis: coefficient k is sum_j filter[j] * x[2k + 1 - j], with x extended by `mode`."""
    n, taps = x.shape[axis], len(bank.dec_lo)
    count = (n + 1) // 2 if mode == "periodization" else (n + taps - 1) // 2
    if mode == "zero":
        x = F.pad(x, [0] * (-2 * axis - 2) + [taps - 2, 2 * count - n])
    elif mode == "periodization":
        extra = taps // 2 - 1
        x = _take(x, axis, [min(i % (2 * count), n - 1) for i in range(-extra, 2 * count + extra)])
    else:
        x = _take(x, axis, [_extended_index(i, n, mode) for i in range(2 - taps, 2 * count)])
    parts = [_every_second(x, axis, taps - 1 - j, count) for j in range(taps)]
    return _weighted_sum(parts, bank.dec_lo), _weighted_sum(parts, bank.dec_hi)


def _synthesise(a: Tensor, d: Tensor, axis: int, bank: FilterBank, mode: str) -> Tensor:
    """One axis: the even samples use the filters' even taps, the odd samples the odd taps."""
    half, count = len(bank.rec_lo) // 2, a.shape[axis]
    start, length = 0, 2 * (count - half + 1)
    if mode == "periodization":  # one period plus the filter's support
        left = half // 2
        start, length = 2 * left - half + 1, 2 * count
        index = [i % count for i in range(-left, count + half - 1 + start - left)]
        a, d = _take(a, axis, index), _take(d, axis, index)
    elif count < half:
        raise ModelError(
            f"A filter of {2 * half} taps needs at least {half} coefficients on each axis; got {count}."
        )
    outputs = a.shape[axis] - half + 1
    shifted = [band.narrow(axis, half - 1 - i, outputs) for band in (a, d) for i in range(half)]
    phases = [_weighted_sum(shifted, [*bank.rec_lo[phase::2], *bank.rec_hi[phase::2]]) for phase in (0, 1)]
    dim = a.dim() + axis  # axis is negative
    return torch.stack(phases, dim=dim + 1).flatten(dim, dim + 1).narrow(dim, start, length)


def _extended_index(i: int, n: int, mode: str) -> int:
    """Index of the sample at position `i` of the extension of a signal of `n` samples."""
    if mode == "constant":
        return min(max(i, 0), n - 1)
    if mode == "periodic":
        return i % n
    last = 2 * n - 1 if mode == "symmetric" else 2 * n - 2  # "reflect" does not repeat the end sample
    i %= last + 1 if mode == "symmetric" else last
    return min(i, last - i)


def _take(x: Tensor, axis: int, index: list[int]) -> Tensor:
    return x.index_select(axis, torch.tensor(index, device=x.device))


def _every_second(x: Tensor, axis: int, start: int, count: int) -> Tensor:
    """``x[start::2]`` along `axis`, `count` samples."""
    return x.movedim(axis, 0)[start : start + 2 * count - 1 : 2].movedim(0, axis)


def _weighted_sum(parts: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    total = parts[0] * weights[0]
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        total = torch.add(total, part, alpha=weight)
    return total
