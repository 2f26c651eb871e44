"""The picture of accuracy against the distance to the nearest training pixel."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hsi.errors import InputError
from hsi.figures.style import COLORS, COLUMN_INCHES, MARKERS, STYLE, Picture
from hsi.scoring.distance import DistanceBin

_SPREAD = 0.5  # width that the marks of all runs take in a bin, in bins
_BARS = 0.8  # the same for the bars of the lower panel
_DASHES = ("--", ":", "-.")
_COLUMNS = 2  # of the legend
_PANELS_INCHES, _ROW_INCHES = 2.7, 0.15  # height of the panels, and of a row of the legend


def draw_distance(curves: Mapping[str, Sequence[DistanceBin]], half_widths: Iterable[int]) -> Figure:
    """Draw accuracy, with its intervals, above the share of test pixels, for each bin of distances.

    Bins are equally wide in the picture; they double in pixels.

    Parameters
    ----------
    curves
        Name of a run -> its bins, as from `hsi.accuracy_by_distance`; all with the same bins, as far as they
        go.
    half_widths
        Half-widths of the runs' patches in pixels, ``(P - 1) / 2``, to be marked: up to that distance, a test
        pixel lies in a training patch.

    Raises
    ------
    InputError
        When there is nothing to draw.
    """
    longest = max(curves.values(), key=len, default=())
    if not longest:
        raise InputError("There are no distances to draw: no run has test pixels.")
    halves = sorted(set(half_widths))
    names = [_range(one) for one in longest]
    legend = [*curves, *(f"Patch half-width, {half} px" for half in halves)]
    marks: list[Any] = []
    with rc_context(STYLE):
        height = _PANELS_INCHES + _ROW_INCHES * math.ceil(len(legend) / _COLUMNS)
        figure = Picture(figsize=(COLUMN_INCHES, height), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        for number, bins in enumerate(curves.values()):
            marks.append(_draw_run(above, below, bins, number, len(curves)))
        last = longest[-1].farthest or 2 * longest[-1].nearest
        edges = np.array([*(one.nearest for one in longest), last + 1]) - 0.5
        for number, half in enumerate(halves):
            place = float(np.interp(half + 0.5, edges, np.arange(len(edges)) - 0.5))
            dashes = _DASHES[number % len(_DASHES)]
            for axes in (below, above):
                line = axes.axvline(place, color="0.4", linestyle=dashes, linewidth=0.8, zorder=0)
            marks.append(line)
        above.set_ylabel("Overall accuracy (%)")
        above.grid(axis="y", color="0.9", linewidth=0.5)
        above.set_axisbelow(True)
        below.set_ylabel("Pixels (%)")
        below.set_xlabel("Distance to the nearest training pixel (px)")
        below.set_xticks(range(len(names)), names)
        below.set_xlim(-0.5, len(names) - 0.5)
        figure.legend(
            marks,
            legend,
            loc="outside upper left",
            ncols=_COLUMNS,
            frameon=False,
            handlelength=1.8,
            columnspacing=1.2,
        )
    return figure


def _draw_run(above: Axes, below: Axes, bins: Sequence[DistanceBin], number: int, runs: int) -> Any:
    """Draw one run's marks and bars, beside those of the others; return the marks."""
    color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
    beside = (number + 0.5) / runs - 0.5
    places, accuracy, low, high = [], [], [], []
    for place, one in enumerate(bins):
        if one.oa is not None and one.interval is not None:
            places.append(place + beside * _SPREAD)
            accuracy.append(100 * one.oa)
            low.append(max(0.0, 100 * (one.oa - one.interval[0])))
            high.append(max(0.0, 100 * (one.interval[1] - one.oa)))
    marks = above.errorbar(
        places,
        accuracy,
        yerr=(low, high),
        color=color,
        marker=marker,
        capsize=1.5,
        elinewidth=0.8,
    )
    total = sum(one.pixels for one in bins)
    below.bar(
        [place + beside * _BARS for place in range(len(bins))],
        [100 * one.pixels / total for one in bins],
        width=_BARS / runs,
        color=color,
    )
    return marks


def _range(one: DistanceBin) -> str:
    """Return how an axis names a bin."""
    if one.farthest is None:
        return f"≥{one.nearest}"
    return str(one.nearest) if one.nearest == one.farthest else f"{one.nearest}–{one.farthest}"
