"""Checks of a cube: element type, non-finite values, wrapped negatives, constant bands, no-data values."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import Cube, can_mark
from hsi.errors import SceneError

_WRAPPED_FROM = 65_000  # KSC has negatives as 65525..65535; no sensor value of the scenes comes near
_STRIP_VALUES = 1 << 22
_MOST_LACKING = 0.5  # share of the pixels from which on a band without data is left out instead of the pixels
_FILL_SHARE = 1e-3  # share of the pixels from which on a value that fills whole pixels is reported


def check_cube(cube: Cube, where: str) -> None:
    """Raise SceneError unless `cube` is 3-D, not empty and holds real numbers."""
    if cube.ndim != 3 or 0 in cube.shape:
        raise SceneError(f"{where} has shape {cube.shape}; a cube is 3-D (rows, cols, bands) and not empty.")
    if cube.dtype.kind not in "iuf":
        raise SceneError(
            f"{where} holds {cube.dtype} values; a cube needs integers or floating-point numbers."
        )


def bands_left(count: int, dropped: Collection[int], where: str) -> NDArray[np.int64]:
    """Return the numbers (from 0) of the `count` bands that are left without the dropped ones."""
    wrong = [band for band in dropped if not 0 <= band < count]
    if wrong:
        raise SceneError(f"{where} has bands 0 to {count - 1}; there is no band {wrong[0]} to drop.")
    left = np.setdiff1d(np.arange(count), list(dropped))
    if not len(left):
        raise SceneError(f"All {count} bands of {where} are dropped; keep at least one.")
    return left


def take_bands(cube: NDArray[Any], bands: NDArray[np.int64]) -> NDArray[Any]:
    """Return some bands of a cube, in rising order: a view where they are adjacent."""
    if len(bands) == cube.shape[2]:
        return cube
    if bands[-1] - bands[0] + 1 == len(bands):
        return cube[:, :, bands[0] : bands[-1] + 1]
    return cube[:, :, bands]


def unwrap_negatives(cube: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """Return the cube with values just below 65536 turned into the small negatives they are, and a note.

    A uint16 cube is reinterpreted as int16, without a copy, unless it has other values beyond int16. The
    public KSC file has 139 such values in 90 labelled pixels, which spoil the mean and scale of their bands.
    """
    if not _WRAPPED_FROM <= cube.max() <= 65_535:
        return cube, ""
    wrapped = int(np.count_nonzero(cube >= _WRAPPED_FROM))
    note = f"{wrapped} values from 65,000 to 65,535 are small negatives wrapped into 16 bits; corrected."
    if cube.dtype == np.uint16 and not np.any((cube > 32_767) & (cube < _WRAPPED_FROM)):
        return cube.view(np.int16), note
    corrected = cube.astype(np.int32 if cube.dtype.kind in "iu" else cube.dtype)
    corrected[corrected >= _WRAPPED_FROM] -= 65_536
    return corrected, note


@dataclass(frozen=True)
class UselessBands:
    """Bands, counted from 0, that hold no data, and those that hold a single value."""

    without_data: NDArray[np.int64]
    constant: NDArray[np.int64]

    @property
    def all(self) -> NDArray[np.int64]:
        """Both, sorted."""
        return np.union1d(self.without_data, self.constant)


def find_useless_bands(cube: Cube, no_data: float | None, rows: Sequence[int] | None = None) -> UselessBands:
    """Return the bands of a cube from which nothing can be learnt.

    A band is without data if it holds the no-data value, or values that are not finite, in most of the pixels
    that have data in some band: keeping it would cost those pixels.

    Parameters
    ----------
    no_data
        Value that marks pixels without data, or None. Dark bands measure 0 too, so 0 marks none.
    rows
        Rows to look at; None: all, a few MB at a time.
    """
    bands, cols = cube.shape[2], cube.shape[1]
    low, high = np.full(bands, np.inf), np.full(bands, -np.inf)
    lacking, empty, pixels = np.zeros(bands, np.int64), 0, 0
    step = max(1, _STRIP_VALUES // (cols * bands)) if rows is None else 1
    for row in range(0, cube.shape[0], step) if rows is None else rows:
        strip = cube[row : row + step].reshape(-1, bands)
        pixels += len(strip)
        marked = _marked(strip, no_data)
        if marked is not None:
            lacking += marked.sum(axis=0)
            empty += int(marked.all(axis=1).sum())
            strip = np.ma.masked_array(strip, marked)
        low = np.fmin(low, np.ma.filled(strip.min(axis=0).astype(np.float64), np.inf))
        high = np.fmax(high, np.ma.filled(strip.max(axis=0).astype(np.float64), -np.inf))
    seen = pixels - empty
    without = (lacking - empty > seen * _MOST_LACKING) if seen else lacking == pixels
    return UselessBands(np.flatnonzero(without), np.flatnonzero(~without & (low >= high)))


def _marked(values: NDArray[Any], no_data: float | None) -> NDArray[np.bool_] | None:
    """Return where values mean "no data", or None where none does."""
    marked = None
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        marked = ~np.isfinite(values)
    if no_data and not np.isnan(no_data) and can_mark(no_data, values.dtype):
        equal = values == (no_data if values.dtype.kind == "f" else int(no_data))
        marked = equal if marked is None else marked | equal
    return marked if marked is not None and marked.any() else None


def check_values(cube: NDArray[Any], where: str) -> list[str]:
    """Return a note on each oddity of a cube's values.

    Raises
    ------
    SceneError
        For values that are not finite, with their number and the first place.
    """
    if cube.dtype.kind == "f":  # row by row: no mask of the whole cube in memory
        counts = [cube[row].size - int(np.isfinite(cube[row]).sum()) for row in range(cube.shape[0])]
        if sum(counts):
            row = next(row for row, count in enumerate(counts) if count)
            col, band = np.argwhere(~np.isfinite(cube[row]))[0]
            raise SceneError(
                f"{where} has {sum(counts)} values that are NaN or infinite, the first at row {row}, "
                f"column {col}, band {band}; write 'no_data = nan' into a scene.toml to leave such pixels "
                "out, or correct the file."
            )
    notes = []
    if cube.dtype == np.uint16 and cube.max() >= _WRAPPED_FROM:
        few = int(np.count_nonzero(cube >= _WRAPPED_FROM))
        if few < cube.size // 1000:
            notes.append(
                f"{few} values lie between 65,000 and 65,535: saturation, no-data, or negatives wrapped "
                "into 16 bits ('no_data' and 'wrapped_negatives' in a scene.toml correct the last two)."
            )
    return notes


@dataclass(frozen=True)
class Anomalies:
    """Values of a cube, in its own units, that may mean "no data"."""

    low: float
    """Smallest finite value."""
    high: float
    """Largest finite value."""
    not_finite: int
    """Pixels with a value that is NaN or infinite in some band."""
    filled: dict[float, int]
    """Value -> number of pixels that hold it in every band, most frequent first."""

    @property
    def no_data(self) -> float | None:
        """The likely "no data" value: NaN if there is any, else what fills most pixels."""
        if self.not_finite:
            return float("nan")
        return next(iter(self.filled), None)


def find_anomalies(cube: Cube) -> Anomalies:
    """Find likely "no data" values of ``(rows, cols, bands)``, read row by row to spare memory.

    A value that fills at least one pixel in a thousand in every band is listed: spectra are not flat by
    chance.
    """
    low, high, not_finite = np.inf, -np.inf, 0
    filled: dict[float, int] = {}
    for number in range(cube.shape[0]):
        row = cube[number]
        finite = np.isfinite(row) if row.dtype.kind == "f" else np.ones(row.shape, bool)
        not_finite += int((~finite.all(axis=1)).sum())
        if finite.any():
            low, high = min(low, float(row[finite].min())), max(high, float(row[finite].max()))
        flat = row[(row == row[:, :1]).all(axis=1), 0] if row.shape[1] > 1 else row[:0, 0]
        for value, count in zip(*np.unique(flat, return_counts=True), strict=True):
            filled[float(value)] = filled.get(float(value), 0) + int(count)
    least = _FILL_SHARE * cube.shape[0] * cube.shape[1]
    many = sorted(((value, n) for value, n in filled.items() if n >= least), key=lambda pair: -pair[1])
    return Anomalies(float(low), float(high), not_finite, dict(many))
