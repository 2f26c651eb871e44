"""The picture of a training: loss and accuracy, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hsi.errors import InputError
from hsi.figures.style import COLORS, COLUMN_MM, MM_PER_INCH, STYLE, Picture

_HEIGHT_INCHES = 3.4
_FEW = 20  # epochs, up to which each is marked


def draw_curves(
    history: Sequence[Mapping[str, float]], *, kept: int | None = None, width_mm: float = COLUMN_MM
) -> Figure:
    """Draw loss and OA on train and val pixels against the epoch, counted from 1.

    Parameters
    ----------
    history
        Rows as in ``Run.history``.
    kept
        The 0-based epoch whose weights were kept, to be marked.
    width_mm
        Width of the figure.

    Raises
    ------
    InputError
        When there are no losses to draw, as for a classifier that is fitted at once.
    """
    if not any(math.isfinite(row["train_loss"]) for row in history):
        raise InputError("There are no curves to draw: this classifier was fitted at once, without epochs.")
    epochs = [row["epoch"] + 1 for row in history]
    with rc_context(STYLE):
        figure = Picture(figsize=(width_mm / MM_PER_INCH, _HEIGHT_INCHES), layout="constrained")
        loss, accuracy = figure.subplots(2, 1, sharex=True)
        for axes, name, scale, title in ((loss, "loss", 1, "Loss"), (accuracy, "oa", 100, "OA (%)")):
            for number, part in enumerate(("train", "val")):
                axes.plot(
                    epochs,
                    [scale * row[f"{part}_{name}"] for row in history],
                    color=COLORS[number],
                    linestyle=("-", "--")[number],
                    marker=("o", "s")[number] if len(epochs) <= _FEW else None,
                    label=("Training pixels", "Validation pixels")[number],
                )
            if kept is not None:
                axes.axvline(kept + 1, color="0.5", linestyle=":", zorder=0, label=f"Kept: epoch {kept + 1}")
            axes.set_ylabel(title)
            axes.grid(axis="y", color="0.9", linewidth=0.5)
            axes.set_axisbelow(True)
        accuracy.set_xlabel("Epoch")
        accuracy.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(*loss.get_legend_handles_labels(), loc="outside upper left", ncols=3, frameon=False)
    return figure
