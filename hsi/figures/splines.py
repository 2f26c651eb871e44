"""Pictures of learned splines, and of knots that have moved."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import NDArray

from hsi.figures.style import COLORS, COLUMN_INCHES, MM_PER_INCH, PAGE_MM, STYLE, Picture

_COLUMNS = 4
_PANEL_INCHES, _LEGEND_INCHES = 1.35, 0.35
_LAYER_INCHES, _AROUND_INCHES = 0.2, 1.0
_LINEAR = 0.1  # about here the axis of knots turns from linear to logarithmic
_TICKS = (-1000, -100, -10, -1, -0.1, 0.1, 1, 10, 100, 1000)
_SPREAD = (5, 95)  # percentiles over the channels


def draw_splines(
    x: NDArray[np.float64],
    base: NDArray[np.float64],
    spline: NDArray[np.float64],
    knots: NDArray[np.float64],
    titles: Sequence[str],
) -> Figure:
    """Draw a panel for each of E functions: base + spline, the two alone, and the knots on the axis.

    Parameters
    ----------
    x, base, spline
        ``(E, points)``.
    knots
        ``(E, G + 1)``, those inside the grid.
    titles
        One text for each function.
    """
    columns = min(_COLUMNS, len(x))
    rows = math.ceil(len(x) / columns)
    with rc_context(STYLE):
        size = (PAGE_MM / MM_PER_INCH, rows * _PANEL_INCHES + _LEGEND_INCHES)
        figure = Picture(figsize=size, layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for number, panel in enumerate(panels):
            if number >= len(x):
                panel.set_axis_off()
                continue
            panel.axhline(0, color="0.85", linewidth=0.6, zorder=0)
            lines = [
                panel.plot(x[number], base[number], color=COLORS[1], linestyle="--", linewidth=0.9)[0],
                panel.plot(x[number], spline[number], color=COLORS[0], linestyle="-.", linewidth=0.9)[0],
                panel.plot(x[number], (base + spline)[number], color="black", linewidth=1.3)[0],
            ]
            (ticks,) = panel.plot(
                knots[number],
                np.zeros(knots.shape[1]),
                color="0.3",
                linestyle="none",
                marker="|",
                markersize=8,
                transform=panel.get_xaxis_transform(),
                clip_on=False,
            )
            panel.set_title(titles[number], loc="left", fontsize=6.5)
            panel.tick_params(labelsize=6)
        names = ["Base: w SiLU(x)", "Spline", "Their sum", "Knots"]
        figure.legend([*lines, ticks], names, loc="outside upper left", ncols=4, frameon=False)
    return figure


def draw_knots(
    knots: Sequence[NDArray[np.float64]], start: Sequence[NDArray[np.float64]], layers: Sequence[str]
) -> Figure:
    """Draw, for each layer, where the knots lie now and where they lay at the start.

    A mark is the median over the channels, a line goes from the 5th to the 95th percentile.

    Parameters
    ----------
    knots, start
        For each layer ``(C, G + 1)``, those inside the grid.
    layers
        The names of the layers, the first at the top.
    """
    with rc_context(STYLE):
        height = len(layers) * _LAYER_INCHES + _AROUND_INCHES
        figure = Picture(figsize=(COLUMN_INCHES, height), layout="constrained")
        axes = figure.subplots()
        for row, (now, then) in enumerate(zip(knots, start, strict=True)):
            low, high = np.percentile(now, _SPREAD, axis=0)
            count = now.shape[1]
            # Their spreads overlap, so each knot has a line of its own.
            lines = row + np.linspace(-0.25, 0.25, count)
            axes.hlines(lines, low, high, color=COLORS[0], linewidth=0.8, alpha=0.6)
            axes.plot(np.median(now, axis=0), lines, "o", color=COLORS[0], markersize=2)
            axes.plot(np.median(then, axis=0), [row] * count, "|", color=COLORS[1], zorder=0)
        # Knots gather where data do, and the outermost ones lie far away.
        axes.set_xscale("asinh", linear_width=_LINEAR)
        axes.set_xlim(*axes.get_xlim())
        axes.xaxis.set_major_locator(FixedLocator(_TICKS))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_yticks(range(len(layers)), layers)
        axes.set_ylim(len(layers) - 0.4, -0.6)
        axes.set_ylabel("Block.layer")
        axes.set_xlabel("Input of the layer")
        marks = [
            Line2D([], [], color=COLORS[0], marker="o", markersize=2, linewidth=0.8),
            Line2D([], [], color=COLORS[1], marker="|", linestyle="none"),
        ]
        names = ["Knots now: median, 5 to 95 % of channels", "At the start"]
        figure.legend(marks, names, loc="outside upper left", ncols=1, frameon=False)
    return figure
