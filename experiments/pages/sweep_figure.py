"""The two pictures of an experiment: models as lines from a leaking split to unseen land, and all scores.

Scenes are panels on one scale. Protocols are named by their scheme of split and stand in the order of their
leakage, so that lines fall as less of the test part was seen in training.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.pages.overview import PLAIN
from experiments.pages.table import Cell
from hsi.errors import InputError
from hsi.figures.style import COLORS, MARKERS, PAGE_INCHES, SVG_STYLE, Picture

SPLITS = {
    "random": "random split",
    "paper": "the papers' random split",
    "per-class": "so many of each class",
    "mask": "published mask",
    "disjoint": "separate regions",
}
GREYS = {"baseline": ("0.62", "-", "other networks"), "classical": ("0.62", ":", "no network")}
_DODGE = 0.03  # between the networks at one protocol, of the distance of two protocols
_LINES_INCHES, _ROW_INCHES, _AROUND_INCHES = 3.5, 0.17, 1.1


def drawn_scenes(cells: Sequence[Cell]) -> list[str]:
    """Return the scenes with more than one protocol: the hardest under its last protocol first."""
    scenes = [scene for scene in dict.fromkeys(cell.scene for cell in cells) if len(places(cells, scene)) > 1]
    return sorted(scenes, key=lambda scene: _mean_at(cells, scene, places(cells, scene)[-1]))


def places(cells: Sequence[Cell], scene: str) -> list[str]:
    """Return the protocols of a scene, the one that leaks most first."""
    leaks: dict[str, list[float]] = {}
    for cell in cells:
        if cell.scene == scene:
            leaks.setdefault(cell.protocol, []).append(cell.mean("leakage_centre"))
    return sorted(leaks, key=lambda protocol: -statistics.fmean(leaks[protocol]))


def draw_lines(cells: Sequence[Cell]) -> Figure:
    """Draw the mean OA of each model as a line over the protocols of a scene, most leakage first.

    Networks of the project are coloured, with the sample standard deviation over their runs; baselines grey.
    Models of which a label ends in ``-plain`` are left out, as are scenes with one protocol.

    Raises
    ------
    InputError
        When no scene has two protocols.
    """
    scenes = drawn_scenes(cells)
    if not scenes:
        raise InputError("There is nothing to draw: no scene was run under two protocols.")
    shown = [cell for cell in cells if cell.scene in scenes and not cell.label.endswith(PLAIN)]
    colors = _colors(shown)
    with rc_context(SVG_STYLE):
        figure = Picture(figsize=(PAGE_INCHES, _LINES_INCHES), layout="constrained")
        panels = figure.subplots(1, len(scenes), squeeze=False, sharey=True)[0]
        for panel, scene in zip(panels, scenes, strict=True):
            _draw_lines(panel, [cell for cell in shown if cell.scene == scene], places(cells, scene), colors)
            panel.set_title(scene, loc="left")
            panel.grid(axis="y", linewidth=0.3, color="0.85")
            panel.set_axisbelow(True)
        panels[0].set_ylabel("OA (%)")
        handles: list[Any] = [
            Line2D([], [], color=color, marker=marker, label=label)
            for label, (color, marker) in colors.items()
        ]
        handles += [
            Line2D([], [], color=color, linestyle=dashes, label=name)
            for kind, (color, dashes, name) in GREYS.items()
            if any(cell.kind == kind for cell in shown)
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _draw_lines(panel: Axes, cells: Sequence[Cell], protocols: list[str], colors: dict[str, Any]) -> None:
    number_of = {label: number for number, label in enumerate(colors)}
    for label in dict.fromkeys(cell.label for cell in cells):
        members = sorted(
            (cell for cell in cells if cell.label == label), key=lambda cell: protocols.index(cell.protocol)
        )
        x = [float(protocols.index(cell.protocol)) for cell in members]
        y = [100 * cell.mean("oa") for cell in members]
        if label not in colors:
            color, dashes, _ = GREYS.get(members[0].kind, GREYS["baseline"])
            panel.plot(x, y, color=color, linestyle=dashes, linewidth=0.8, zorder=1)
            continue
        color, marker = colors[label]
        shift = _DODGE * (number_of[label] - (len(colors) - 1) / 2) * (len(protocols) - 1)
        panel.errorbar(
            [one + shift for one in x],
            y,
            yerr=[100 * (cell.mean_and_std("oa")[1] or 0.0) for cell in members],
            color=color,
            marker=marker,
            markersize=3.5,
            elinewidth=0.7,
            zorder=2,
        )
    leakage = {cell.protocol: cell.mean("leakage_centre") for cell in cells}
    names = protocol_names(cells)
    panel.set_xticks(
        range(len(protocols)),
        [f"{_two_lines(names[one])}\n{100 * leakage[one]:.0f} % leak" for one in protocols],
        fontsize=6,
    )
    panel.set_xlim(-0.18 * len(protocols), len(protocols) - 1 + 0.18 * len(protocols))


def draw_models(cells: Sequence[Cell]) -> Figure:
    """Draw the mean OA over the runs, with the sample standard deviation as a line, for each model.

    Models stand in one order on all scenes: the best under the protocols that leak least on top. Those of the
    project are blue. A hollow mark is the model whose label ends in ``-plain``. Scenes with one model are
    left out.

    Raises
    ------
    InputError
        When no scene has two models.
    """
    scenes = [
        scene
        for scene in dict.fromkeys(cell.scene for cell in cells)
        if len({cell.label for cell in cells if cell.scene == scene}) > 1
    ]
    if not scenes:
        raise InputError("There is nothing to draw: no scene was run with two models.")
    shown = [cell for cell in cells if cell.scene in scenes]
    labels = _order(shown)
    names = protocol_names(shown)
    marks = {
        name: (COLORS[n % len(COLORS)], MARKERS[n % len(MARKERS)])
        for n, name in enumerate(dict.fromkeys(names.values()))
    }
    ours = {cell.label for cell in shown if cell.kind == "network"}
    with rc_context(SVG_STYLE):
        height = len(labels) * _ROW_INCHES + _AROUND_INCHES
        figure = Picture(figsize=(PAGE_INCHES, height), layout="constrained")
        panels = figure.subplots(1, len(scenes), squeeze=False, sharex=True, sharey=True)[0]
        for panel, scene in zip(panels, scenes, strict=True):
            for cell in (cell for cell in shown if cell.scene == scene):
                color, marker = marks[names[cell.protocol]]
                plain = cell.label.endswith(PLAIN)
                mean, std = cell.mean_and_std("oa")
                panel.errorbar(
                    [100 * mean],
                    [labels.index(cell.label.removesuffix(PLAIN)) - 0.28 * plain],
                    xerr=None if std is None else [100 * std],
                    color=color,
                    marker=marker,
                    markersize=2.8 if plain else 4,
                    markerfacecolor="white" if plain else color,
                    elinewidth=0.4 if plain else 0.8,
                )
            panel.set_title(scene, loc="left", fontsize=7)
            panel.set_xlabel("OA (%)")
            panel.grid(linewidth=0.3, color="0.85")
            panel.set_axisbelow(True)
        panels[0].set_yticks(range(len(labels)), labels)
        for tick, label in zip(panels[0].get_yticklabels(), labels, strict=True):
            if label in ours:
                tick.set(color=COLORS[0], fontweight="bold")
        panels[0].set_ylim(-0.6, len(labels) - 0.4)
        right = panels[0].get_xlim()[1]
        panels[0].set_xlim(right=min(right, 101.0))
        handles = [
            Line2D([], [], color=color, marker=marker, linestyle="", label=name)
            for name, (color, marker) in marks.items()
        ]
        if any(cell.label.endswith(PLAIN) for cell in shown):
            hollow = {"marker": "o", "markersize": 2.8, "markerfacecolor": "white", "linestyle": ""}
            handles.append(Line2D([], [], color="0.3", label=f"hollow: A{PLAIN}", **hollow))
        figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
    return figure


def protocol_names(cells: Sequence[Cell]) -> dict[str, str]:
    """Return the words for each protocol: its scheme of split, with the name of a mask.

    Where two protocols of one scene would have the same words, the name of the protocol follows them.
    """
    words = {cell.protocol: _words(cell) for cell in cells}
    for scene in {cell.scene for cell in cells}:
        here = [words[protocol] for protocol in places(cells, scene)]
        if len(set(here)) < len(here):
            return {protocol: f"{text} ({protocol})" for protocol, text in words.items()}
    return words


def _words(cell: Cell) -> str:
    text = SPLITS.get(cell.rows[0]["scheme"], cell.protocol)
    mask = cell.rows[0]["split_mask"]
    return f"{text} {mask}" if mask else text


def _two_lines(text: str) -> str:
    first, _, rest = text.partition(" ")
    return f"{first}\n{rest}"


def _colors(cells: Sequence[Cell]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each network of the project, in the order of the cells."""
    labels = dict.fromkeys(cell.label for cell in cells if cell.kind == "network")
    return {
        label: (COLORS[n % len(COLORS)], MARKERS[n % len(MARKERS)]) for n, label in enumerate(sorted(labels))
    }


def _mean_at(cells: Sequence[Cell], scene: str, protocol: str) -> float:
    return statistics.fmean(
        cell.mean("oa") for cell in cells if (cell.scene, cell.protocol) == (scene, protocol)
    )


def _order(cells: Sequence[Cell]) -> list[str]:
    """Return the models without their plain selves, by OA under the last protocols, the best last.

    A model that was not run on all scenes is judged by how far it is from the mean of a scene.
    """
    gains: dict[str, list[float]] = {}
    for scene in dict.fromkeys(cell.scene for cell in cells):
        last = places(cells, scene)[-1]
        mean = _mean_at(cells, scene, last)
        for cell in cells:
            label = cell.label.removesuffix(PLAIN)
            gains.setdefault(label, [])
            if (cell.scene, cell.protocol, cell.label) == (scene, last, label):
                gains[label].append(cell.mean("oa") - mean)
    return sorted(gains, key=lambda label: (statistics.fmean(gains[label] or [0.0]), label))
