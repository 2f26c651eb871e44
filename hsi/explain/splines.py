"""The functions that KANet has learned, and how its adaptive knots have moved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import ArrayLike, NDArray
from torch.nn import functional as F

from hsi.errors import ConfigError
from hsi.explain.layers import layers_of
from hsi.figures.style import COLORS, COLUMN_INCHES, PAGE_INCHES, STYLE, Picture
from hsi.inference.predict import build_network
from hsi.inference.run import Run
from hsi.models.bspline import bspline_basis
from hsi.models.kanet import KANConv3d

_COLUMNS = 4
_PANEL_INCHES, _LEGEND_INCHES = 1.35, 0.35
_LAYER_INCHES, _MARGIN_INCHES = 0.2, 1.0
_LINEAR = 0.1  # where the asinh axis of knots turns from linear to logarithmic
_TICKS = (-1000, -100, -10, -1, -0.1, 0.1, 1, 10, 100, 1000)
_PERCENTILES = (5, 95)  # over the channels


def draw_splines(
    x: NDArray[np.float64],
    base: NDArray[np.float64],
    spline: NDArray[np.float64],
    knots: NDArray[np.float64],
    titles: Sequence[str],
) -> Figure:
    """Draw a panel for each of E functions: base, spline and their sum ``(E, points)``, and the knots.

    `knots` are those inside the grid, ``(E, G + 1)``.
    """
    columns = min(_COLUMNS, len(x))
    rows = math.ceil(len(x) / columns)
    with rc_context(STYLE):
        size = (PAGE_INCHES, rows * _PANEL_INCHES + _LEGEND_INCHES)
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
    """Draw the knots inside the grid, ``(C, G + 1)`` for each layer, after and before training.

    Markers are medians over the channels, lines reach from the 5th to the 95th percentile.
    """
    with rc_context(STYLE):
        height = len(layers) * _LAYER_INCHES + _MARGIN_INCHES
        figure = Picture(figsize=(COLUMN_INCHES, height), layout="constrained")
        axes = figure.subplots()
        for row, (now, then) in enumerate(zip(knots, start, strict=True)):
            low, high = np.percentile(now, _PERCENTILES, axis=0)
            count = now.shape[1]
            # Percentile ranges overlap, so each knot has its own line.
            lines = row + np.linspace(-0.25, 0.25, count)
            axes.hlines(lines, low, high, color=COLORS[0], linewidth=0.8, alpha=0.6)
            axes.plot(np.median(now, axis=0), lines, "o", color=COLORS[0], markersize=2)
            axes.plot(np.median(then, axis=0), [row] * count, "|", color=COLORS[1], zorder=0)
        # Knots are dense where the data are; the outermost ones are far away.
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


DEFAULT_EDGES = 12

DEFAULT_POINTS = 201


@dataclass(frozen=True, eq=False)
class Splines:
    """Functions phi(x) = base + spline of E edges of one layer, over the range of their grids.

    Attributes
    ----------
    edges
        ``(E, 2)``: output channel and input of each edge. Inputs are flat indices of (channel, kD, kH, kW).
    x, base, spline
        ``(E, points)``: w SiLU(x), and s sum_j c_j N_j(x).
    knots, start
        ``(E, G + 2p + 1)``: the knots of each edge's channel now, and before training.
    order
        Order p of the splines.
    layer
        Name of the layer: "1.4" is the fourth of the first block.
    """

    edges: NDArray[np.int64]
    x: NDArray[np.float64]
    base: NDArray[np.float64]
    spline: NDArray[np.float64]
    knots: NDArray[np.float64]
    start: NDArray[np.float64]
    order: int
    layer: str

    @property
    def phi(self) -> NDArray[np.float64]:
        """``(E, points)``: base + spline."""
        return self.base + self.spline

    def figure(self) -> Figure:
        """Draw a panel for each edge: the function, its two parts, and its knots."""
        inner = self.knots[:, self.order : -self.order]
        titles = [f"input {i} to output {o}" for o, i in self.edges]
        return draw_splines(self.x, self.base, self.spline, inner, titles)


@dataclass(frozen=True, eq=False)
class GridShift:
    """The knots of every KAN layer, now and before training.

    Attributes
    ----------
    knots, start
        For each of the L layers ``(C, G + 2p + 1)``, C the layer's input channels.
    orders
        Order p of each layer's splines; p knots on either side are outside the grid.
    layers
        Names of the L layers: "1.4" is the fourth of the first block.
    """

    knots: tuple[NDArray[np.float64], ...]
    start: tuple[NDArray[np.float64], ...]
    orders: tuple[int, ...]
    layers: tuple[str, ...]

    @property
    def moved(self) -> NDArray[np.float64]:
        """``(L,)``: mean displacement of the knots inside the grid, over knots and channels."""
        return np.array([np.abs(now - then).mean() for now, then in self._pairs()])

    @property
    def widened(self) -> NDArray[np.float64]:
        """``(L,)``: grid width after over before training, median over channels."""
        return np.array(
            [np.median((now[:, -1] - now[:, 0]) / (then[:, -1] - then[:, 0])) for now, then in self._pairs()]
        )

    def _pairs(self) -> zip[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        return zip(self.inner(self.knots), self.inner(self.start), strict=True)

    def inner(self, knots: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
        """Return the knots inside the grid, ``(C, G + 1)`` for each layer."""
        return [rows[:, p:-p] for rows, p in zip(knots, self.orders, strict=True)]

    def figure(self) -> Figure:
        """Draw the knots of each layer after and before training."""
        return draw_knots(self.inner(self.knots), self.inner(self.start), self.layers)


def splines(
    run: Run, layer: int = 0, edges: ArrayLike | None = None, *, points: int = DEFAULT_POINTS
) -> Splines:
    """Evaluate the learned functions of one KAN layer (arXiv 2504.15155; `hsi.models.kanet`).

    Parameters
    ----------
    run
        A finished run of KANet.
    layer
        Index of the KAN layer, from 0.
    edges
        Pairs (output, input), ``(E, 2)``; None for the 12 whose spline has the largest standard deviation.
    points
        Number of points at which each is evaluated, at least 2.

    Raises
    ------
    ModelError
        For a run of a network without KAN layers.
    ConfigError
        When a layer or an edge does not exist, or for fewer than 2 points.
    """
    if points < 2:
        raise ConfigError(f"points must be at least 2, not {points}.")
    found = layers_of(run, KANConv3d, "splines", "cpu").only(layer)
    module, start = found.modules[0], _start_knots(run)[layer]
    outputs, inputs = module.base_weight.shape
    if edges is None:
        every = np.stack([part.ravel() for part in np.indices((outputs, inputs))], axis=1)
        _, _, spline = _curves(module, every, points=21)
        most = np.argsort(-spline.std(axis=1), kind="stable")
        chosen = every[most[:DEFAULT_EDGES]]
    else:
        chosen = np.asarray(edges)
        if chosen.ndim != 2 or chosen.shape[1] != 2 or not len(chosen) or chosen.dtype.kind not in "iu":
            raise ConfigError("edges must be pairs (output, input) of whole numbers, at least one.")
        if (chosen < 0).any() or (chosen >= (outputs, inputs)).any():
            raise ConfigError(
                f"Edges of this layer go from (0, 0) to ({outputs - 1}, {inputs - 1}): output, input."
            )
    x, base, spline = _curves(module, chosen, points)
    channels = chosen[:, 1] // (inputs // module.in_channels)
    knots = module.grid.double().numpy()[channels]
    return Splines(
        chosen.astype(np.int64), x, base, spline, knots, start[channels], module.order, found.names[0]
    )


def grid_shift(run: Run) -> GridShift:
    """Return the adaptive knots of a finished run of KANet, after and before training.

    Raises
    ------
    ModelError
        For a run of a network without KAN layers.
    """
    found = layers_of(run, KANConv3d, "grid_shift", "cpu")
    return GridShift(
        tuple(module.grid.double().numpy() for module in found.modules),
        tuple(_start_knots(run)),
        tuple(module.order for module in found.modules),
        found.names,
    )


def _start_knots(run: Run) -> list[NDArray[np.float64]]:
    """Return the knots of each layer before training."""
    with torch.random.fork_rng(devices=[]):
        network = build_network(run.config, run.preprocess.bands, len(run.metrics["class_names"]))
    return [module.grid.double().numpy() for module in network.modules() if isinstance(module, KANConv3d)]


def _curves(
    module: KANConv3d, edges: NDArray[np.int64], points: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return x, base and spline of edges, each ``(E, points)``, in float64."""
    output, source = torch.from_numpy(edges[:, 0]), torch.from_numpy(edges[:, 1])
    size = module.base_weight.shape[1] // module.in_channels
    knots = module.grid.double()[source // size]  # (E, G + 2p + 1)
    low, high = knots[:, module.order], knots[:, -module.order - 1]
    x = torch.lerp(low, high, torch.linspace(0, 1, points, dtype=torch.float64).unsqueeze(1))  # (points, E)
    basis = bspline_basis(x, knots, module.order)  # (points, E, G + p)
    weights = (
        module.spline_weight.double()[output, source] * module.spline_scaler.double()[output, source, None]
    )
    base = module.base_weight.double()[output, source] * F.silu(x)
    spline = (basis * weights).sum(dim=2)
    return x.t().numpy(), base.t().numpy(), spline.t().numpy()
