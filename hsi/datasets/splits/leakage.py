"""How much of a test set the training patches have seen already."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hsi.errors import SplitError

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Leakage:
    """Shares of the test pixels, as fractions.

    Attributes
    ----------
    centre
        Test pixels that lie in a training patch.
    overlap
        Test pixels whose own patch shares a pixel with a training patch.
    """

    centre: float
    overlap: float


def check_patch(patch: int) -> None:
    """Raise `SplitError` unless `patch` is an odd number of pixels, 1 or more."""
    if isinstance(patch, bool) or not isinstance(patch, int | np.integer) or patch < 1 or patch % 2 == 0:
        raise SplitError(f"The patch width must be an odd number of pixels, 1 or more, not {patch}.")


def measure_leakage(
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    shape: tuple[int, int],
    patch: int,
    *,
    regions: NDArray[np.uint8] | None = None,
) -> Leakage:
    """Measure leakage from `train` into `test` for square patches, as the network sees them.

    The pixels that all training patches see are a dilation of the training mask; a second dilation says which
    test patches reach them. Patches end at the image border. With `regions`, a patch sees only pixels that
    have its centre's area.

    Parameters
    ----------
    train, test
        Flat row-major pixel indices; `test` must not be empty.
    shape
        ``(rows, cols)`` of the scene.
    patch
        Odd patch width in pixels.
    regions
        ``(rows, cols)`` area of each pixel, where patches are masked by areas; None where they are not.

    Raises
    ------
    SplitError
        For an even or non-positive patch width, or an empty test set.
    """
    check_patch(patch)
    if len(test) == 0:
        raise SplitError("Leakage needs test pixels; this split has none.")
    learnt = np.zeros(shape, bool)
    learnt.ravel()[train] = True
    if regions is None:
        seen = _dilate(learnt, patch)
        reached = _dilate(seen, patch)
    else:
        seen, reached = np.zeros(shape, bool), np.zeros(shape, bool)
        for area in np.unique(regions.ravel()[train]):
            inside = regions == area
            seen_here = _dilate(learnt & inside, patch) & inside
            seen |= seen_here
            reached |= _dilate(seen_here, patch) & inside
    return Leakage(float(seen.ravel()[test].mean()), float(reached.ravel()[test].mean()))


def _dilate(mask: Mask, width: int) -> Mask:
    """Grow `mask` by a square of odd `width`, clipped at the border: one running maximum per axis."""
    grown = mask.view(np.uint8)
    for axis in (0, 1):
        grown = ndimage.maximum_filter1d(grown, width, axis=axis, mode="constant")
    return np.asarray(grown, bool)
