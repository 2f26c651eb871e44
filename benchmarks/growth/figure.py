"""The figure of growth: time and memory against size on logarithmic axes, one row of panels per axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from benchmarks.growth.fit import LEAST_MB, Exponent, Growth
from hsi.errors import InputError
from hsi.figures.style import COLORS, MARKERS, MM_PER_INCH, PAGE_MM, SVG_STYLE, Picture

_ROW_INCHES = 1.6
_FEW_TICKS = 4
_LEAST_SPAN = 5.0  # largest value over smallest of an axis
_AXIS_LABELS = {
    "bands": "Bands",
    "patch": "Patch width P (pixels)",
    "labelled pixels": "Labelled pixels",
    "scene area": "Scene area (pixels)",
    "ranks": "Processes",
}


def draw_growth(growths: Sequence[Growth]) -> Figure:
    """Draw the smallest time of the repeats, and the peak memory, of every series.

    Thin dotted lines are the counted work, through the last point of each series: a line steeper than its
    dotted one grows faster than its work. The legend gives the fitted exponents of time and memory. Memory
    below `LEAST_MB` is a hollow mark at that height, joined to no other.

    Raises
    ------
    InputError
        When there is nothing to draw.
    """
    if not growths:
        raise InputError("There is nothing to draw: no series has two sizes.")
    groups: dict[tuple[str, str], list[Growth]] = {}
    for growth in growths:
        _, _, kind = growth.series.rpartition(", ")
        groups.setdefault((growth.axis, kind if kind in ("training", "inference") else ""), []).append(growth)
    with rc_context(SVG_STYLE):
        figure = Picture(
            figsize=(PAGE_MM / MM_PER_INCH, _ROW_INCHES * len(groups) + 0.2), layout="constrained"
        )
        rows = figure.subplots(len(groups), 2, squeeze=False)
        for (left, right), ((axis, kind), members) in zip(rows, groups.items(), strict=True):
            for number, growth in enumerate(members):
                look = {"color": COLORS[number % len(COLORS)], "marker": MARKERS[number % len(MARKERS)]}
                _draw_time(left, growth, look)
                _draw_memory(right, growth, look)
            left.set_ylabel("Seconds")
            right.set_ylabel("Peak memory (MB)")
            left.set_title(f"{_AXIS_LABELS.get(axis, axis)}{f': {kind}' if kind else ''}", loc="left")
            for panel in (left, right):
                _logarithmic(panel, members, _AXIS_LABELS.get(axis, axis))
            handles, labels = left.get_legend_handles_labels()
            right.legend(
                handles,
                labels,
                title="exponents of time, memory",
                title_fontsize=7,
                alignment="left",
                loc="center left",
                bbox_to_anchor=(1.02, 0.5),
                frameon=False,
                borderaxespad=0,
            )
        note = f"Dotted: as the work. Hollow: less than {LEAST_MB:g} MB, drawn there."
        figure.supxlabel(note, fontsize=7, x=0.01, ha="left")
    return figure


def _draw_time(panel: Axes, growth: Growth, look: dict[str, Any]) -> None:
    values = [point.value for point in growth.points]
    seconds = [point.seconds_min for point in growth.points]
    last = growth.points[-1]
    panel.plot(
        values,
        [last.seconds_min * point.work / last.work for point in growth.points],
        color=look["color"],
        linestyle=":",
        linewidth=0.7,
    )
    name = growth.series.removesuffix(", training").removesuffix(", inference")
    panel.plot(values, seconds, **look, label=f"{name}: {_slope(growth.time)}, {_slope(growth.memory)}")


def _draw_memory(panel: Axes, growth: Growth, look: dict[str, Any]) -> None:
    known = [(point.value, point.peak_memory_mb) for point in growth.points if point.peak_memory_mb]
    if known:
        enough = [memory if memory >= LEAST_MB else math.nan for _, memory in known]
        panel.plot([value for value, _ in known], enough, **look)
    low = [value for value, memory in known if memory < LEAST_MB]
    if low:
        panel.plot(low, [LEAST_MB] * len(low), **look, linestyle="", markerfacecolor="white")


def _slope(exponent: Exponent | None) -> str:
    return "-" if exponent is None else f"{exponent.slope:.2f}"


def _logarithmic(panel: Axes, members: Sequence[Growth], label: str) -> None:
    panel.set_xscale("log")
    panel.set_yscale("log")
    values = sorted({point.value for growth in members for point in growth.points})
    shown = values if len(values) < _FEW_TICKS else [values[0], values[len(values) // 2], values[-1]]
    panel.xaxis.set_major_locator(FixedLocator(shown))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(value):,}"))
    low, high = panel.get_ylim()
    if high < _LEAST_SPAN * low:  # so that noise does not look like growth, and a tick is visible
        middle = math.sqrt(low * high)
        low, high = middle / math.sqrt(_LEAST_SPAN), middle * math.sqrt(_LEAST_SPAN)
        panel.set_ylim(low, high)
    panel.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high > _LEAST_SPAN**2 * low else (1.0, 2.0, 5.0)))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.set_xlabel(label)
    panel.grid(linewidth=0.3, color="0.88")
    panel.set_axisbelow(True)
