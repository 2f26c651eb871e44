"""The picture of an experiment on options: what each changes, split by split, in the same model."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.pages.overview import PLAIN, PLUS
from experiments.pages.table import Cell
from hsi.errors import InputError
from hsi.figures.style import COLORS, PAGE_INCHES, SVG_STYLE, Picture

_ROW_INCHES, _AROUND_INCHES = 0.2, 1.0


def is_of_options(cells: Sequence[Cell]) -> bool:
    """Tell whether an experiment has models with one option more."""
    return any(PLUS in cell.label for cell in cells)


def draw_options(cells: Sequence[Cell], settings: Mapping[str, str]) -> Figure:
    """Draw the difference of OA to the model without the option, on each split and in the mean.

    Parameters
    ----------
    cells
        Models labelled *A+b* and *A-plain* beside *A*, on one or more scenes.
    settings
        What a label changes, in words, if known.

    Raises
    ------
    InputError
        When no model has a partner on a split.
    """
    at = {(cell.scene, cell.protocol, cell.label): cell for cell in cells}
    found: dict[str, dict[str, list[float]]] = {}
    for scene, protocol, label in at:
        base = label.rpartition(PLUS)[0] if PLUS in label else label.removesuffix(PLAIN)
        if base == label or (scene, protocol, base) not in at:
            continue
        more, less = (at[scene, protocol, one].by_split("oa") for one in (label, base))
        gains = [100 * (more[split] - less[split]) for split in more if split in less]
        if gains:
            found.setdefault(label, {}).setdefault(scene, []).extend(gains)
    if not found:
        raise InputError("There is nothing to draw: no model was run with and without an option.")
    labels = sorted(found, key=lambda label: statistics.fmean(map(statistics.fmean, found[label].values())))
    scenes = list(dict.fromkeys(cell.scene for cell in cells))
    with rc_context(SVG_STYLE):
        height = len(labels) * _ROW_INCHES + _AROUND_INCHES
        figure = Picture(figsize=(PAGE_INCHES, height), layout="constrained")
        panels = figure.subplots(1, len(scenes), squeeze=False, sharex=True, sharey=True)[0]
        for panel, scene in zip(panels, scenes, strict=True):
            panel.axvline(0, color="0.4", linewidth=0.8)
            for row, label in enumerate(labels):
                gains = found[label].get(scene, [])
                panel.plot(gains, [row] * len(gains), "o", color="0.55", fillstyle="none", markersize=3.5)
                if gains:
                    panel.plot([statistics.fmean(gains)], [row], "D", color=COLORS[0], markersize=5)
            panel.set_title(scene, loc="left")
            panel.set_xlabel("OA, points more than without")
            panel.grid(linewidth=0.3, color="0.85")
            panel.set_axisbelow(True)
        panels[0].set_yticks(range(len(labels)), [settings.get(label) or label for label in labels])
        panels[0].set_ylim(-0.6, len(labels) - 0.4)
        handles = [
            Line2D([], [], color=COLORS[0], marker="D", linestyle="", label="mean of the splits"),
            Line2D([], [], color="0.55", marker="o", fillstyle="none", linestyle="", label="one split"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure
