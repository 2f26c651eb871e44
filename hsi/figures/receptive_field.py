"""The picture of an effective receptive field: in space, and along the features."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from hsi.figures.spectra import gaps
from hsi.figures.style import COLORS, MM_PER_INCH, PAGE_MM, STYLE, Picture

_HEIGHT_INCHES = 2.6
_FEW = 40  # features, up to which each is marked


def draw_receptive_field(
    spatial: NDArray[np.float64],
    spectral: NDArray[np.float64],
    places: NDArray[np.float64],
    axis: str,
    title: str,
) -> Figure:
    """Draw the shares of the gradient ``(P, P)`` as an image, and ``(features,)`` as a line; in percent.

    Parameters
    ----------
    spatial, spectral
        Fractions that sum to 1.
    places, axis
        Where each feature lies, and the title of that axis.
    title
        What was differentiated.
    """
    half = spatial.shape[0] // 2
    edge = half + 0.5
    with rc_context(STYLE):
        figure = Picture(figsize=(PAGE_MM / MM_PER_INCH, _HEIGHT_INCHES), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1, 2))
        image = left.imshow(
            100 * spatial, cmap=colormaps["cividis"], vmin=0, extent=(-edge, edge, edge, -edge)
        )
        left.add_patch(Rectangle((-0.5, -0.5), 1, 1, fill=False, edgecolor="white", linewidth=0.8))
        left.set_xlabel("Columns from the centre (px)")
        left.set_ylabel("Rows from the centre (px)")
        figure.colorbar(image, ax=left, label="Share of the gradient (%)")
        for part in np.split(np.arange(len(places)), gaps(places)):
            right.plot(
                places[part],
                100 * spectral[part],
                color=COLORS[0],
                marker="o" if len(places) <= _FEW else None,
                markersize=2.5,
            )
        right.set_ylim(bottom=0)
        right.set_xlabel(axis)
        right.set_ylabel("Share of the gradient (%)")
        right.grid(axis="y", color="0.9", linewidth=0.5)
        right.set_axisbelow(True)
        figure.suptitle(title[:1].upper() + title[1:], fontsize=8)
    return figure
