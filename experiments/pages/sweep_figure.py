"""The picture of an experiment: overall accuracy of each model, a panel for each scene, a mark a protocol."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.pages.table import Cell
from hsi.errors import InputError
from hsi.figures.style import COLORS, COLUMN_INCHES, MARKERS, SVG_STYLE, Picture

_PANELS_A_ROW = 2
_LINE_INCHES, _AROUND_INCHES = 0.17, 0.75  # height of a model's line; of title, axis and legend of a panel


def draw_sweep(cells: Sequence[Cell]) -> Figure:
    """Draw the mean OA over the runs, with the sample standard deviation as a line, for each model.

    Raises
    ------
    InputError
        When there is nothing to draw.
    """
    if not cells:
        raise InputError("There is nothing to draw: the experiment has no finished run.")
    scenes = list(dict.fromkeys(cell.scene for cell in cells))
    protocols = list(dict.fromkeys(cell.protocol for cell in cells))
    columns = min(_PANELS_A_ROW, len(scenes))
    rows = math.ceil(len(scenes) / columns)
    most = max(len(_labels(cells, scene)) for scene in scenes)
    with rc_context(SVG_STYLE):
        height = rows * (most * _LINE_INCHES + _AROUND_INCHES) + 0.3
        figure = Picture(figsize=(COLUMN_INCHES * columns, height), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel, scene in zip(panels, scenes, strict=False):
            _draw_scene(panel, [cell for cell in cells if cell.scene == scene], scene, protocols)
        for panel in panels[len(scenes) :]:
            panel.set_axis_off()
        marks: dict[str, Any] = {}
        for panel in panels:
            handles, labels = panel.get_legend_handles_labels()
            marks.update(zip(map(str, labels), handles, strict=True))
        figure.legend(
            [marks[name] for name in protocols], protocols, loc="outside lower center", ncols=4, frameon=False
        )
    return figure


def _labels(cells: Sequence[Cell], scene: str) -> list[str]:
    """Return the models of a scene, the best in its hardest protocol last, so that it stands at the top."""
    means: dict[str, list[float]] = {}
    for cell in cells:
        if cell.scene == scene:
            means.setdefault(cell.label, []).append(cell.mean("oa"))
    return sorted(means, key=lambda label: (min(means[label]), label))


def _draw_scene(panel: Axes, cells: Sequence[Cell], scene: str, protocols: Sequence[str]) -> None:
    labels = _labels(cells, scene)
    for number, protocol in enumerate(protocols):
        here = [cell for cell in cells if cell.protocol == protocol]
        if not here:
            continue
        spreads = [cell.mean_and_std("oa") for cell in here]
        panel.errorbar(
            [100 * mean for mean, _ in spreads],
            [labels.index(cell.label) for cell in here],
            xerr=[100 * (std or 0.0) for _, std in spreads],
            fmt=MARKERS[number % len(MARKERS)],
            color=COLORS[number % len(COLORS)],
            elinewidth=0.8,
            label=protocol,
        )
    left, right = panel.get_xlim()
    # Room for half a mark at 100 %, none for more.
    panel.set_xlim(left, min(right, 100 + 0.03 * (100 - left)))
    panel.set_yticks(range(len(labels)), labels)
    panel.set_ylim(-0.6, len(labels) - 0.4)
    panel.grid(axis="x", linewidth=0.3, color="0.85")
    panel.set_axisbelow(True)
    panel.set_title(scene, loc="left")
    panel.set_xlabel("OA (%)")
