"""Patches as an exported file takes them: the scene's own values, NaN for pixels that are not there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsi.datasets.patches import PatchCutter


def raw_patches(
    cube: NDArray[Any],
    patch: int,
    pixels: ArrayLike,
    *,
    regions: ArrayLike | None = None,
    padding: str = "zeros",
) -> NDArray[np.float32]:
    """Cut patches ``(N, bands, P, P)`` float32 from a scene as it was measured.

    What stands as zeros in a patch of the preprocessed scene is NaN here: pixels beyond the edge of the scene
    (with padding "zeros") or of the centre's area. An exported file turns NaN back into those zeros.

    Parameters
    ----------
    cube
        ``(rows, cols, bands)``, the scene's own values.
    patch
        Odd patch width P.
    pixels
        ``(N,)`` row-major flat indices of the centres.
    regions, padding
        As for `hsi.datasets.patches.PatchCutter`; on the run's own scene they are ``run.split.patch_regions``
        and ``run.config.padding``, on any other scene there are no regions.
    """
    there = np.ones((*cube.shape[:2], 1), np.float32)
    inside = PatchCutter(there, patch, regions=regions, padding=padding)(pixels).numpy() > 0
    values = PatchCutter(np.asarray(cube, np.float32), patch, regions=regions, padding=padding)(pixels)
    return np.where(inside, values.numpy(), np.float32(np.nan))
