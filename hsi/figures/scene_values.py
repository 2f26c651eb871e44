"""Maps of numbers, side by side with one colour scale, and how the layers of a network differ in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hsi.errors import InputError
from hsi.figures.style import COLORS, COLUMN_MM, MARKERS, MM_PER_INCH, PAGE_MM, STYLE, Picture

AMOUNT_COLORS, BALANCE_COLORS = "cividis", "PuOr_r"
"""Colour scales of an amount, and of a balance between two sides."""

_MISSING = "0.35"
_TALLEST_INCHES = 6.0  # of the maps
_TITLE_INCHES, _BAR_INCHES, _LAYERS_INCHES = 0.25, 0.5, 1.5


def draw_scene_values(
    values: NDArray[Any],
    by_layer: NDArray[Any],
    layers: Sequence[str],
    *,
    titles: Sequence[str],
    label: str,
    scale: float = 1.0,
    middle: float | None = None,
    colors: str = AMOUNT_COLORS,
) -> Figure:
    """Draw n maps with one colour scale and, where there are several layers, the mean of each below.

    The figure takes a column for one map, else the page.

    Parameters
    ----------
    values
        ``(rows, cols, n)``; pixels that are NaN are grey.
    by_layer, layers
        ``(L, n)`` and the L names of the layers.
    titles
        What each of the n maps shows; an empty text for none.
    label, scale
        Title of the colour scale, and what the numbers are multiplied by for it.
    middle
        Where the colour scale has its middle, after scaling; None for no such place.
    colors
        The name of a colour map.

    Raises
    ------
    InputError
        When no pixel has a number.
    """
    shown = np.asarray(values, np.float64) * scale
    if not np.isfinite(shown).any():
        raise InputError("There is nothing to draw: no pixel of the scene has data.")
    rows, cols, count = shown.shape
    low, high = _limits(shown, middle)
    width = (COLUMN_MM if count == 1 else PAGE_MM) / MM_PER_INCH
    height = min(_TALLEST_INCHES, width / count * rows / cols)
    several = len(layers) > 1
    parts = [height + _TITLE_INCHES * any(titles), _BAR_INCHES, *([_LAYERS_INCHES] if several else [])]
    with rc_context(STYLE):
        figure = Picture(figsize=(width, sum(parts)), layout="constrained")
        sections = figure.subfigures(len(parts), 1, height_ratios=parts, squeeze=False)[:, 0]
        panels = sections[0].subplots(1, count, squeeze=False)[0]
        painter = colormaps[colors].with_extremes(bad=_MISSING)
        for number, (panel, title) in enumerate(zip(panels, titles, strict=True)):
            image = panel.imshow(
                shown[..., number], cmap=painter, vmin=low, vmax=high, interpolation="nearest"
            )
            panel.set_title(title)
            panel.set_axis_off()
        bar = sections[1].add_axes((0.15, 0.75, 0.7, 0.17))
        sections[1].colorbar(image, cax=bar, orientation="horizontal", label=label)
        if several:
            _draw_layers(sections[2].subplots(), np.asarray(by_layer) * scale, layers, titles, label)
    return figure


def _limits(shown: NDArray[np.float64], middle: float | None) -> tuple[float, float]:
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    if middle is None:
        return low, high
    reach = max(high - middle, middle - low)
    return middle - reach, middle + reach


def _draw_layers(
    axes: Axes, means: NDArray[np.float64], layers: Sequence[str], titles: Sequence[str], label: str
) -> None:
    for number, title in enumerate(titles):
        axes.plot(
            range(len(layers)),
            means[:, number],
            color=COLORS[number % len(COLORS)],
            marker=MARKERS[number % len(MARKERS)],
            linestyle="none",
            label=title,
        )
    axes.set_xticks(range(len(layers)), layers, rotation=90 if len(layers) > 8 else 0)
    axes.set_xlabel("Block.layer")
    axes.set_ylabel(label)
    axes.grid(axis="y", color="0.9", linewidth=0.5)
    axes.set_axisbelow(True)
    if any(titles):
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
