"""Plots of scores: training curves, confusion matrix, accuracy against distance to the training pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from hsi.errors import InputError
from hsi.figures.style import (
    COLORS,
    COLUMN_INCHES,
    COLUMN_MM,
    MARKERS,
    MM_PER_INCH,
    PAGE_MM,
    STYLE,
    Picture,
    draw_grid,
    draw_table,
)
from hsi.scoring.distance import DistanceBin

_HEIGHT_INCHES = 3.4
_MAX_MARKED = 20  # with more epochs there are no markers


def draw_curves(
    history: Sequence[Mapping[str, float]], *, kept: int | None = None, width_mm: float = COLUMN_MM
) -> Figure:
    """Draw loss and OA on train and val pixels against the epoch, counted from 1.

    Parameters
    ----------
    history
        Rows as in ``Run.history``.
    kept
        The 0-based epoch whose weights were kept; it is marked.

    Raises
    ------
    InputError
        When there are no losses, as for a classifier fitted without epochs.
    """
    if not any(math.isfinite(row["train_loss"]) for row in history):
        raise InputError("There are no curves to draw: this classifier was fitted at once, without epochs.")
    epochs = [row["epoch"] + 1 for row in history]
    with rc_context(STYLE):
        figure = Picture(figsize=(width_mm / MM_PER_INCH, _HEIGHT_INCHES), layout="constrained")
        loss, accuracy = figure.subplots(2, 1, sharex=True)
        for axes, name, scale, title in ((loss, "loss", 1, "Loss"), (accuracy, "oa", 100, "OA (%)")):
            for number, subset in enumerate(("train", "val")):
                axes.plot(
                    epochs,
                    [scale * row[f"{subset}_{name}"] for row in history],
                    color=COLORS[number],
                    linestyle=("-", "--")[number],
                    marker=("o", "s")[number] if len(epochs) <= _MAX_MARKED else None,
                    label=("Training pixels", "Validation pixels")[number],
                )
            if kept is not None:
                axes.axvline(kept + 1, color="0.5", linestyle=":", zorder=0, label=f"Kept: epoch {kept + 1}")
            axes.set_ylabel(title)
            draw_grid(axes)
        accuracy.set_xlabel("Epoch")
        accuracy.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(*loss.get_legend_handles_labels(), loc="outside upper left", ncols=3, frameon=False)
    return figure


MAX_COLUMN_CLASSES = 9
"""With more classes than this a confusion matrix has the width of the page by default."""


def draw_confusion(
    confusion: ArrayLike, class_names: Sequence[str], *, width_mm: float | None = None
) -> Figure:
    """Draw a confusion matrix ``(C, C)`` of counts, true classes as rows.

    Cells show percentages of their row, "<1" below half a percent, nothing without pixels; the number of
    pixels of each row is on the right. The default width is one column, or the page for more than
    `MAX_COLUMN_CLASSES` classes.

    Raises
    ------
    InputError
        When the matrix is not square, or has another number of classes than there are names.
    """
    counts = np.asarray(confusion)
    classes = len(class_names)
    if counts.shape != (classes, classes):
        raise InputError(f"A confusion matrix of {classes} classes cannot be of shape {counts.shape}.")
    support = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, support, out=np.zeros(counts.shape), where=support > 0)
    width = (width_mm or (PAGE_MM if classes > MAX_COLUMN_CLASSES else COLUMN_MM)) / MM_PER_INCH
    longest = max(len(name) for name in class_names)
    margin = min(width / 2, 0.45 + 0.055 * longest)  # of the class names, in inches
    percentages = np.array([f"{100 * share:.0f}" if share >= 0.005 else "<1" for share in shares.ravel()])
    texts = np.where(counts != 0, percentages.reshape(counts.shape), "")
    with rc_context(STYLE):
        height = (width - margin) + 0.15 + 0.055 * longest
        figure = Picture(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
        size = min(7.0, 0.36 * 72 * (width - margin) / classes)
        draw_table(axes, shares, texts, Normalize(0, 1), size=size)
        numbers = range(classes)
        labels = [f"{name} {number}" for number, name in enumerate(class_names, start=1)]
        axes.set_xticks(numbers, labels, rotation=90)
        axes.set_yticks(numbers, labels)
        axes.set_xlabel("Predicted class (% of the true class)")
        axes.set_ylabel("True class")
        right = axes.secondary_yaxis("right")
        right.set_yticks(numbers, [str(int(number)) for number in support.ravel()])
        right.tick_params(length=0)
        right.spines[:].set_visible(False)
        right.set_ylabel("Pixels")
    return figure


_MARKERS_WIDTH, _BARS_WIDTH = 0.5, 0.8  # of all runs together, in bins
_DASHES = ("--", ":", "-.")
_COLUMNS = 2  # of the legend
_PANELS_INCHES, _ROW_INCHES = 2.7, 0.15  # height of the panels, and of a row of the legend


def draw_distance(curves: Mapping[str, Sequence[DistanceBin]], half_widths: Iterable[int]) -> Figure:
    """Draw accuracy, with its intervals, above the share of test pixels, for each bin of distances.

    Bins are drawn equally wide, although their width in pixels doubles.

    Parameters
    ----------
    curves
        Bins of each run by name, as from `hsi.accuracy_by_distance`; later bins may be missing.
    half_widths
        ``(P - 1) / 2`` of the runs' patches, in pixels; marked, since up to that distance a test pixel lies
        in a training patch.

    Raises
    ------
    InputError
        When there is nothing to draw.
    """
    longest = max(curves.values(), key=len, default=())
    if not longest:
        raise InputError("There are no distances to draw: no run has test pixels.")
    halves = sorted(set(half_widths))
    names = [_bin_name(one) for one in longest]
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
            position = float(np.interp(half + 0.5, edges, np.arange(len(edges)) - 0.5))
            dashes = _DASHES[number % len(_DASHES)]
            for axes in (below, above):
                line = axes.axvline(position, color="0.4", linestyle=dashes, linewidth=0.8, zorder=0)
            marks.append(line)
        above.set_ylabel("Overall accuracy (%)")
        draw_grid(above)
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
    """Draw the markers and bars of run `number`, shifted sideways; return the markers."""
    color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
    shift = (number + 0.5) / runs - 0.5
    positions, accuracy, low, high = [], [], [], []
    for index, one in enumerate(bins):
        if one.oa is not None and one.interval is not None:
            positions.append(index + shift * _MARKERS_WIDTH)
            accuracy.append(100 * one.oa)
            low.append(max(0.0, 100 * (one.oa - one.interval[0])))
            high.append(max(0.0, 100 * (one.interval[1] - one.oa)))
    marks = above.errorbar(
        positions,
        accuracy,
        yerr=(low, high),
        color=color,
        marker=marker,
        capsize=1.5,
        elinewidth=0.8,
    )
    total = sum(one.pixels for one in bins)
    below.bar(
        [index + shift * _BARS_WIDTH for index in range(len(bins))],
        [100 * one.pixels / total for one in bins],
        width=_BARS_WIDTH / runs,
        color=color,
    )
    return marks


def _bin_name(one: DistanceBin) -> str:
    if one.farthest is None:
        return f"≥{one.nearest}"
    return str(one.nearest) if one.nearest == one.farthest else f"{one.nearest}–{one.farthest}"
