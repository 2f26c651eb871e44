"""The picture of how energy is shared among wavelet sub-bands, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hsi.figures.style import COLUMN_INCHES, STYLE, Picture

_ROW_INCHES, _AROUND_INCHES = 0.17, 0.75
_GAMMA = 0.5  # small shares should be told apart too


def draw_wavelet_energy(
    share: NDArray[np.float64], sub_bands: Sequence[str], layers: Sequence[str]
) -> Figure:
    """Draw the shares as a table in colours: a column for each sub-band, a row for each layer and level.

    Parameters
    ----------
    share
        ``(L, levels, B)`` fractions, shown as percent; levels that a layer lacks (NaN) are left out.
    sub_bands, layers
        The names of the B sub-bands and of the L layers.
    """
    rows = [(i, j) for i, j in np.ndindex(share.shape[:2]) if np.isfinite(share[i, j]).all()]
    values = 100 * np.array([share[row] for row in rows]).reshape(-1, len(sub_bands))
    several = share.shape[1] > 1
    names = [f"{layers[i]}, level {j + 1}" if several else layers[i] for i, j in rows]
    with rc_context(STYLE):
        height = max(1, len(rows)) * _ROW_INCHES + _AROUND_INCHES
        figure = Picture(figsize=(COLUMN_INCHES, height), layout="constrained")
        axes = figure.subplots()
        norm = PowerNorm(_GAMMA, vmin=0, vmax=100)
        axes.imshow(values, cmap=colormaps["Blues"], norm=norm, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            axes.text(
                column,
                row,
                f"{value:.1f}",
                ha="center",
                va="center",
                fontsize=6,
                color="white" if norm(value) > 0.6 else "black",
            )
        axes.set_xticks(range(len(sub_bands)), sub_bands)
        axes.set_yticks(range(len(rows)), names)
        axes.set_xlabel("Sub-band, " + ("D H W" if len(sub_bands) == 8 else "H W") + " (% of the energy)")
        axes.set_ylabel("Block.layer")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return figure
