"""Maps of STNet's gate between spatial and spectral attention, and of EKGNet's expert weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from hsi.datasets.scene import Scene
from hsi.errors import InputError
from hsi.explain.layers import layers_of
from hsi.explain.probe import Watch, measure_scene
from hsi.figures.style import COLORS, COLUMN_INCHES, MARKERS, PAGE_INCHES, STYLE, Picture, draw_grid
from hsi.inference.run import Run
from hsi.models.ekgnet import ExpertKernelConv3d
from hsi.models.stnet import SpatialSpectralTransformer

SEQUENTIAL, DIVERGING = "cividis", "PuOr_r"  # colour maps
_NO_DATA = "0.35"
_TALLEST_INCHES = 6.0  # of the maps
_TITLE_INCHES, _BAR_INCHES, _LAYERS_INCHES = 0.25, 0.5, 1.5


def draw_scene_values(
    values: NDArray[Any],
    by_layer: NDArray[Any],
    layers: Sequence[str],
    *,
    titles: Sequence[str],
    label: str,
    scale: float = 1.0,
    middle: float | None = None,
    colors: str = SEQUENTIAL,
) -> Figure:
    """Draw n maps with a common colour scale and, for several layers, the mean of each below.

    One map has the width of a column, several that of the page.

    Parameters
    ----------
    values
        ``(rows, cols, n)``; NaN is grey.
    by_layer, layers
        ``(L, n)`` and the names of the L layers.
    titles
        Titles of the n maps, "" for none.
    label, scale
        Title of the colour scale, and a factor for all values.
    middle
        Centre of a diverging colour scale, after scaling.
    colors
        Name of a colour map.

    Raises
    ------
    InputError
        When all values are NaN.
    """
    shown = np.asarray(values, np.float64) * scale
    if not np.isfinite(shown).any():
        raise InputError("There is nothing to draw: no pixel of the scene has data.")
    rows, cols, count = shown.shape
    low, high = _limits(shown, middle)
    width = COLUMN_INCHES if count == 1 else PAGE_INCHES
    height = min(_TALLEST_INCHES, width / count * rows / cols)
    several = len(layers) > 1
    heights = [height + _TITLE_INCHES * any(titles), _BAR_INCHES, *([_LAYERS_INCHES] if several else [])]
    with rc_context(STYLE):
        figure = Picture(figsize=(width, sum(heights)), layout="constrained")
        sections = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        panels = sections[0].subplots(1, count, squeeze=False)[0]
        cmap = colormaps[colors].with_extremes(bad=_NO_DATA)
        for number, (panel, title) in enumerate(zip(panels, titles, strict=True)):
            image = panel.imshow(shown[..., number], cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
            panel.set_title(title)
            panel.set_axis_off()
        bar = sections[1].add_axes((0.15, 0.75, 0.7, 0.17))
        sections[1].colorbar(image, cax=bar, orientation="horizontal", label=label)
        if several:
            _draw_layers(sections[2].subplots(), np.asarray(by_layer) * scale, layers, titles, label)
    return figure


def _limits(shown: NDArray[np.float64], middle: float | None) -> tuple[float, float]:
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    if middle is None:
        return low, high
    reach = max(high - middle, middle - low)
    return middle - reach, middle + reach


def _draw_layers(
    axes: Axes, means: NDArray[np.float64], layers: Sequence[str], titles: Sequence[str], label: str
) -> None:
    for number, title in enumerate(titles):
        axes.plot(
            range(len(layers)),
            means[:, number],
            color=COLORS[number % len(COLORS)],
            marker=MARKERS[number % len(MARKERS)],
            linestyle="none",
            label=title,
        )
    axes.set_xticks(range(len(layers)), layers, rotation=90 if len(layers) > 8 else 0)
    axes.set_xlabel("Block.layer")
    axes.set_ylabel(label)
    draw_grid(axes)
    if any(titles):
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


@dataclass(frozen=True, eq=False)
class GateMap:
    """The gate g of STNet: 1 is spatial attention alone, 0 spectral attention alone.

    Attributes
    ----------
    share
        ``(rows, cols)`` float32 fraction: mean over the channels and tokens of the pixel's patch, and over
        the layers; NaN for pixels without data.
    by_layer
        ``(L,)`` fraction: the mean over the pixels.
    layers
        The names of the L layers: "1.4" is the fourth of the first block.
    """

    share: NDArray[np.float32]
    by_layer: NDArray[np.float64]
    layers: tuple[str, ...]

    def figure(self) -> Figure:
        """Draw the map, and the mean of each layer where there are several."""
        return draw_scene_values(
            self.share[..., None],
            self.by_layer[:, None],
            self.layers,
            titles=[""],
            label="Spatial share (%)",
            scale=100.0,
            middle=50.0,
            colors=DIVERGING,
        )


def gate(
    run: Run,
    scene: Scene | None = None,
    *,
    layer: int | None = None,
    device: str = "auto",
    watch: Watch = lambda done, pixels: None,
) -> GateMap:
    """Map the share of spatial attention for every pixel of a scene.

    The gate g of A = g * A_spatial + (1 - g) * A_spectral (`hsi.models.stnet`), averaged over channels and
    tokens.

    Parameters
    ----------
    run
        A finished run of STNet.
    scene
        Any scene with the run's bands; its own if None.
    layer
        One layer, counted from 0; None for the mean of all.
    device, watch
        As in `hsi.map_scene`.

    Raises
    ------
    ModelError
        For a run of a network without such a gate.
    ConfigError
        When there is no such layer.
    RunError
        When the scene's bands do not fit.
    """
    layers = layers_of(run, SpatialSpectralTransformer, "gate", device).only(layer)
    found = measure_scene(run, scene, layers, mean_share, device=device, watch=watch)
    return GateMap(found.values[..., 0], found.by_layer[:, 0], layers.names)


def mean_share(module: SpatialSpectralTransformer, x: Tensor) -> Tensor:
    """Return the mean gate of each sample over channels and tokens, ``(N, 1)``."""
    share = module.gate_map(x)  # a scalar for gate="scalar"
    return share.expand(len(x), 1) if share.dim() == 0 else share.flatten(1).mean(dim=1, keepdim=True)


@dataclass(frozen=True, eq=False)
class ExpertWeights:
    """The weights alpha of the K experts in the kernel of each pixel's patch; they sum to 1.

    Attributes
    ----------
    weights
        ``(rows, cols, K)`` float32 fractions, mean over the layers; NaN for pixels without data.
    by_layer
        ``(L, K)`` fractions: the mean over the pixels.
    layers
        The names of the L layers: "1.4" is the fourth of the first block.
    """

    weights: NDArray[np.float32]
    by_layer: NDArray[np.float64]
    layers: tuple[str, ...]

    def figure(self) -> Figure:
        """Draw a map of each expert, and the mean of each layer where there are several."""
        return draw_scene_values(
            self.weights,
            self.by_layer,
            self.layers,
            titles=[f"Expert {number}" for number in range(1, self.weights.shape[2] + 1)],
            label="Weight (%)",
            scale=100.0,
        )


def expert_weights(
    run: Run,
    scene: Scene | None = None,
    *,
    layer: int | None = None,
    device: str = "auto",
    watch: Watch = lambda done, pixels: None,
) -> ExpertWeights:
    """Map the weights of the experts for every pixel of a scene: the softmax of arXiv 2504.13045.

    Experts of different layers are unrelated, so look at one layer rather than the mean of all.

    Parameters and errors are those of `gate`; the run is one of EKGNet.
    """
    layers = layers_of(run, ExpertKernelConv3d, "expert_weights", device).only(layer)
    found = measure_scene(run, scene, layers, ExpertKernelConv3d.expert_weights, device=device, watch=watch)
    return ExpertWeights(found.values, found.by_layer, layers.names)
