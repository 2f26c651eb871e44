"""The picture of a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from hsi.errors import InputError
from hsi.figures.style import COLUMN_MM, MM_PER_INCH, PAGE_MM, STYLE, Picture

WIDE = 9
"""With more classes than this the figure takes the whole page by default."""
_DARK = 0.5  # shares above this have white numbers


def draw_confusion(
    confusion: ArrayLike, class_names: Sequence[str], *, width_mm: float | None = None
) -> Figure:
    """Draw a confusion matrix ``(C, C)`` of counts, true classes as rows.

    Each cell shows which percentage of its row it holds; the pixels of each row stand beside it. Cells
    without pixels stay empty; "<1" is a share below half a percent.

    Parameters
    ----------
    confusion, class_names
        The matrix, and the names of its C classes.
    width_mm
        Width of the figure; by default one column, or the page for more than `WIDE` classes.

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
    width = (width_mm or (PAGE_MM if classes > WIDE else COLUMN_MM)) / MM_PER_INCH
    longest = max(len(name) for name in class_names)
    beside = min(width / 2, 0.45 + 0.055 * longest)
    with rc_context(STYLE):
        figure = Picture(figsize=(width, (width - beside) + 0.35), layout="constrained")
        axes = figure.subplots()
        axes.imshow(shares, cmap=colormaps["Blues"], vmin=0, vmax=1, aspect="auto")
        size = min(7.0, 0.36 * 72 * (width - beside) / classes)
        for row, column in zip(*np.nonzero(counts), strict=True):
            share = shares[row, column]
            axes.text(
                column,
                row,
                f"{100 * share:.0f}" if share >= 0.005 else "<1",
                ha="center",
                va="center",
                fontsize=size,
                color="white" if share > _DARK else "black",
            )
        numbers = range(classes)
        axes.set_xticks(numbers, [str(number + 1) for number in numbers])
        axes.set_yticks(numbers, [f"{name} {number}" for number, name in enumerate(class_names, start=1)])
        axes.set_xlabel("Predicted class (% of the true class)")
        axes.set_ylabel("True class")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        right = axes.secondary_yaxis("right")
        right.set_yticks(numbers, [str(int(number)) for number in support.ravel()])
        right.tick_params(length=0)
        right.spines[:].set_visible(False)
        right.set_ylabel("Pixels")
    return figure
