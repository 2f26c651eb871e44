"""The picture of snakes: where kernels sample the patches of a scene."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import rc_context
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from hsi.errors import InputError
from hsi.figures.style import MM_PER_INCH, PAGE_MM, STYLE, Picture

MOST_PIXELS = 6
"""Pixels that a figure has room for."""

_LINE, _CENTRE = "#ffd400", "#ff3b30"  # to be seen on dark and on bright ground
_TITLES_INCHES = 0.5


def draw_snakes(
    points: Mapping[str, NDArray[np.float32]], images: NDArray[np.uint8], corners: NDArray[np.int64]
) -> Figure:
    """Draw each patch once for each view, with the snake of every voxel as a line through its points.

    Parameters
    ----------
    points
        Name of a view -> ``(n, K, 2, H, W)`` rows and columns on the scene.
    images, corners
        ``(n, P, P, 3)`` bytes, and row and column of each patch's first pixel.

    Raises
    ------
    InputError
        For more pixels than there is room for.
    """
    count, width = images.shape[0], images.shape[2]
    if count > MOST_PIXELS:
        raise InputError(f"A figure has room for the snakes of {MOST_PIXELS} pixels, not of {count}.")
    side = PAGE_MM / MM_PER_INCH / 3
    with rc_context(STYLE):
        size = (side * len(points), side * count + _TITLES_INCHES)
        figure = Picture(figsize=size, layout="constrained")
        panels = figure.subplots(count, len(points), squeeze=False)
        for number, (row, col) in enumerate(corners):
            for panel, (view, places) in zip(panels[number], points.items(), strict=True):
                panel.imshow(
                    images[number],
                    extent=(col - 0.5, col + width - 0.5, row + width - 0.5, row - 0.5),
                    interpolation="nearest",
                    alpha=0.8,
                )
                lines = places[number].transpose(2, 3, 0, 1).reshape(-1, places.shape[1], 2)[..., ::-1]
                panel.add_collection(LineCollection(list(lines), colors=_LINE, linewidths=0.9))
                ends = lines[:, [0, -1]].reshape(-1, 2)
                middle = lines[:, places.shape[1] // 2]
                panel.plot(*ends.T, color=_LINE, linestyle="none", marker=".", markersize=2)
                panel.plot(*middle.T, color=_CENTRE, linestyle="none", marker=".", markersize=2.5)
                panel.set_xlim(col - 0.5, col + width - 0.5)
                panel.set_ylim(row + width - 0.5, row - 0.5)
                panel.tick_params(labelsize=6)
                if number == 0:
                    panel.set_title(view)
        marks = [
            Line2D([], [], color=_CENTRE, linestyle="none", marker=".", markersize=5),
            Line2D([], [], color=_LINE, marker=".", markersize=4),
        ]
        names = ["Voxel", "Its snake"]
        figure.legend(marks, names, loc="outside lower right", ncols=2, frameon=False)
        figure.supxlabel("Column", fontsize=8)
        figure.supylabel("Row", fontsize=8)
    return figure
