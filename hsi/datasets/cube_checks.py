"""Checks of a cube: element type, values that are not numbers, wrapped negatives, constant bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.errors import SceneError

# KSC: 65525..65535 are small negatives in uint16. No 16-bit sensor value of these scenes comes near the
# limit.
_WRAPPED_FROM = 65_000


def check_cube(cube: NDArray[Any], where: str) -> None:
    """Raise SceneError unless `cube` is 3-D, not empty and holds real numbers."""
    if cube.ndim != 3 or 0 in cube.shape:
        raise SceneError(f"{where} has shape {cube.shape}; a cube is 3-D (rows, cols, bands) and not empty.")
    if cube.dtype.kind not in "iuf":
        raise SceneError(
            f"{where} holds {cube.dtype} values; a cube needs integers or floating-point numbers."
        )


def drop_bands(cube: NDArray[Any], bands: Sequence[int], where: str) -> NDArray[Any]:
    """Return `cube` without the given bands, counted from 0: a view where those left stand side by side."""
    wrong = [band for band in bands if not 0 <= band < cube.shape[2]]
    if wrong:
        raise SceneError(f"{where} has bands 0 to {cube.shape[2] - 1}; there is no band {wrong[0]} to drop.")
    keep = np.setdiff1d(np.arange(cube.shape[2]), bands)
    if not len(keep):
        raise SceneError(f"All {cube.shape[2]} bands of {where} are dropped; keep at least one.")
    if len(keep) == cube.shape[2]:
        return cube
    if keep[-1] - keep[0] + 1 == len(keep):
        return cube[:, :, keep[0] : keep[-1] + 1]
    return cube[:, :, keep]


def unwrap_negatives(cube: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """Return the cube with values just below 65536 turned into the small negatives they are, and a note.

    A uint16 cube is reinterpreted as int16, without a copy, unless it has other values beyond int16. Known of
    the public KSC file (139 values of 65525 to 65535 in 90 labelled pixels); left alone they wreck the mean
    and the scale of their band.
    """
    if not _WRAPPED_FROM <= cube.max() <= 65_535:
        return cube, ""
    wrapped = int(np.count_nonzero(cube >= _WRAPPED_FROM))
    note = f"{wrapped} values from 65,000 to 65,535 are small negatives wrapped into 16 bits; mended."
    if cube.dtype == np.uint16 and not np.any((cube > 32_767) & (cube < _WRAPPED_FROM)):
        return cube.view(np.int16), note
    mended = cube.astype(np.int32 if cube.dtype.kind in "iu" else cube.dtype)
    mended[mended >= _WRAPPED_FROM] -= 65_536
    return mended, note


def fill_no_data(
    cube: NDArray[Any], no_data: float, where: str
) -> tuple[NDArray[Any], NDArray[np.bool_] | None, str]:
    """Give pixels without data the mean spectrum of the others; return cube, map (rows, cols) of them, note.

    A pixel has no data where any band equals `no_data` (or is not a finite number, for ``nan``). Of 0, which
    dark bands measure too, a pixel without data holds nothing else. The mean keeps scaling and PCA unharmed
    (both our decisions); the caller takes the labels away.
    """
    if np.isnan(no_data):
        if cube.dtype.kind != "f":
            return cube, None, ""
        missing = ~np.isfinite(cube).all(axis=2)
    elif no_data == 0:
        missing = ~cube.any(axis=2)
    elif cube.dtype.kind == "f":
        missing = (cube == no_data).any(axis=2)
    elif no_data.is_integer():
        missing = (cube == int(no_data)).any(
            axis=2
        )  # integers are compared as such: no float copy of the cube
    else:
        return cube, None, ""
    pixels = int(missing.sum())
    if not pixels:
        return cube, None, ""
    if pixels == missing.size:
        raise SceneError(f"Every pixel of {where} has no data ({no_data:g}); check the no-data value.")
    mean = cube[~missing].mean(axis=0, dtype=np.float64)
    cube = cube if cube.flags.writeable else cube.copy()
    cube[missing] = mean.astype(cube.dtype)
    return cube, missing, f"{pixels} pixels have no data; they are unlabelled and hold the mean spectrum."


def check_values(cube: NDArray[Any], where: str) -> list[str]:
    """Name what a cube's values show; return one sentence a finding.

    Raises
    ------
    SceneError
        For values that are not finite, with their number and the first place; for a cube of one value.
    """
    if cube.dtype.kind == "f":
        # Row by row, so that no mask of the whole cube is made.
        counts = [cube[row].size - int(np.isfinite(cube[row]).sum()) for row in range(cube.shape[0])]
        if sum(counts):
            row = next(row for row, count in enumerate(counts) if count)
            col, band = np.argwhere(~np.isfinite(cube[row]))[0]
            raise SceneError(
                f"{where} has {sum(counts)} values that are NaN or infinite, the first at row {row}, column "
                f"{col}, "
                f"band {band}; write 'no_data = nan' into a scene.toml to leave such pixels out, or mend "
                "the file."
            )
    low, high = cube.min(axis=(0, 1)), cube.max(axis=(0, 1))
    constant = np.flatnonzero(low == high)
    notes = []
    if len(constant) == cube.shape[2]:
        raise SceneError(f"Every band of {where} holds a single value; there is nothing to learn from it.")
    if len(constant):
        named = ", ".join(map(str, constant[:8])) + (", ..." if len(constant) > 8 else "")
        bands = f"Band {named} holds" if len(constant) == 1 else f"{len(constant)} bands hold"
        listed = "" if len(constant) == 1 else f" (bands {named})"
        notes.append(f"{bands} a single value{listed}, counted from 0; such bands carry no information.")
    if cube.dtype == np.uint16 and high.max() >= _WRAPPED_FROM:
        few = int(np.count_nonzero(cube >= _WRAPPED_FROM))
        if few < cube.size // 1000:
            notes.append(
                f"{few} values lie between 65,000 and 65,535: saturation, no-data, or negatives wrapped "
                "into 16 bits "
                "('no_data' and 'wrapped_negatives' in a scene.toml mend the last two)."
            )
    return notes
