"""Where the snake kernels of SG-DSCNet sample a scene, and how far they bend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from hsi.datasets.scene import Scene
from hsi.errors import InputError, ModelError
from hsi.explain.layers import dense_block_of, layers_of
from hsi.explain.probe import Probe, Watch, choose_pixels, measure_scene, patches_of
from hsi.explain.scene_values import draw_scene_values
from hsi.figures.maps import false_color
from hsi.figures.style import PAGE_INCHES, STYLE, Picture
from hsi.inference.run import Run
from hsi.models.densenet3d import DenseNet3D
from hsi.models.device import choose_device
from hsi.models.sgdscnet import SnakeTemplates

MAX_PIXELS = 6
"""Pixels that fit into a figure."""

_LINE, _CENTRE = "#ffd400", "#ff3b30"  # visible on dark and on bright ground
_TITLES_INCHES = 0.5


def draw_snakes(
    points: Mapping[str, NDArray[np.float32]], images: NDArray[np.uint8], corners: NDArray[np.int64]
) -> Figure:
    """Draw each patch once per view, with the snake of every voxel as a line through its points.

    Parameters
    ----------
    points
        By name of the view ``(n, K, 2, H, W)``: rows and columns of the scene.
    images, corners
        ``(n, P, P, 3)`` bytes, and row and column of the first pixel of each patch.

    Raises
    ------
    InputError
        For more than `MAX_PIXELS` pixels.
    """
    count, width = images.shape[0], images.shape[2]
    if count > MAX_PIXELS:
        raise InputError(f"A figure has room for the snakes of {MAX_PIXELS} pixels, not of {count}.")
    side = PAGE_INCHES / 3
    with rc_context(STYLE):
        size = (side * len(points), side * count + _TITLES_INCHES)
        figure = Picture(figsize=size, layout="constrained")
        panels = figure.subplots(count, len(points), squeeze=False)
        for number, (row, col) in enumerate(corners):
            for panel, (view, places) in zip(panels[number], points.items(), strict=True):
                panel.imshow(
                    images[number],
                    extent=(col - 0.5, col + width - 0.5, row + width - 0.5, row - 0.5),
                    interpolation="nearest",
                    alpha=0.8,
                )
                lines = places[number].transpose(2, 3, 0, 1).reshape(-1, places.shape[1], 2)[..., ::-1]
                panel.add_collection(LineCollection(list(lines), colors=_LINE, linewidths=0.9))
                ends = lines[:, [0, -1]].reshape(-1, 2)
                middle = lines[:, places.shape[1] // 2]
                panel.plot(*ends.T, color=_LINE, linestyle="none", marker=".", markersize=2)
                panel.plot(*middle.T, color=_CENTRE, linestyle="none", marker=".", markersize=2.5)
                panel.set_xlim(col - 0.5, col + width - 0.5)
                panel.set_ylim(row + width - 0.5, row - 0.5)
                panel.tick_params(labelsize=6)
                if number == 0:
                    panel.set_title(view)
        marks = [
            Line2D([], [], color=_CENTRE, linestyle="none", marker=".", markersize=5),
            Line2D([], [], color=_LINE, marker=".", markersize=4),
        ]
        names = ["Voxel", "Its snake"]
        figure.legend(marks, names, loc="outside lower right", ncols=2, frameon=False)
        figure.supxlabel("Column", fontsize=8)
        figure.supylabel("Row", fontsize=8)
    return figure


VIEW_NAMES = {"w": "Along columns", "h": "Along rows", "d": "Along the spectrum"}


@dataclass(frozen=True, eq=False)
class SnakeOffsets:
    """Where the snakes of one layer sample the patches of n pixels.

    Attributes
    ----------
    points
        By view ("w", "h", "d": the axis of its snakes) ``(n, K, 3, D, H, W)`` float32: feature, row and
        column of the scene, from 0, of the K points of the snake of each voxel. Points beyond the scene are
        in the padding.
    pixels
        ``(n,)`` row-major flat indices.
    images
        ``(n, P, P, 3)`` bytes: the patches in false colour, black beyond the scene.
    corners
        ``(n, 2)``: row and column of the first pixel of each patch.
    layer
        The name of the layer: "1.4" is the fourth of the first block.
    """

    points: Mapping[str, NDArray[np.float32]]
    pixels: NDArray[np.int64]
    images: NDArray[np.uint8]
    corners: NDArray[np.int64]
    layer: str

    def figure(self, depth: int | None = None) -> Figure:
        """Draw the snakes of one spectral index on each patch, by default the middle one.

        Raises
        ------
        InputError
            When the index does not exist, or for more than 6 pixels.
        """
        count = next(iter(self.points.values())).shape[3]
        chosen = count // 2 if depth is None else depth
        if not 0 <= chosen < count:
            raise InputError(f"depth must be from 0 to {count - 1} in this layer, not {depth}.")
        flat = {VIEW_NAMES[view]: at[:, :, 1:, chosen] for view, at in self.points.items()}
        return draw_snakes(flat, self.images, self.corners)


@dataclass(frozen=True, eq=False)
class SnakeMagnitude:
    """Mean displacement of snake points from those of a straight kernel, in voxels of the layer.

    Attributes
    ----------
    distance
        ``(rows, cols, V)`` float32 for V views: mean over the moving points and voxels of the pixel's patch,
        and over the layers; NaN for pixels without data.
    by_layer
        ``(L, V)``: the mean over the pixels.
    views
        The V views, such as "whd".
    layers
        The names of the L layers: "1.4" is the fourth of the first block.
    """

    distance: NDArray[np.float32]
    by_layer: NDArray[np.float64]
    views: str
    layers: tuple[str, ...]

    def figure(self) -> Figure:
        """Draw a map of each view, and the mean of each layer where there are several."""
        titles = [VIEW_NAMES[view] for view in self.views]
        return draw_scene_values(
            self.distance, self.by_layer, self.layers, titles=titles, label="Displacement (voxels)"
        )


def snake_offsets(
    run: Run, pixels: ArrayLike, *, scene: Scene | None = None, layer: int = 0, device: str = "auto"
) -> SnakeOffsets:
    """Return where the snakes of one layer sample the patches around some pixels.

    Positions are those of `hsi.models.kernels.snake`, clamped to the patch's map and converted from voxels to
    pixels of the scene (`voxel_grid`).

    Parameters
    ----------
    run
        A finished run of SG-DSCNet.
    pixels
        Row-major flat indices.
    scene
        The scene of `pixels`; that of the run if None.
    layer
        Index of the snake layer, from 0.
    device
        "auto", "cpu", "cuda" or "mps".

    Raises
    ------
    ModelError
        For a run of a network without snakes in the dense blocks of the backbone.
    ConfigError, SceneError
        For an unknown layer, or pixels that are not integers or outside the scene.
    RunError
        When the scene's bands do not fit.
    """
    layers = layers_of(run, SnakeTemplates, "snake_offsets", device).only(layer)
    templates, block = layers.modules[0], dense_block_of(layers.paths[0])
    if block is None or not isinstance(layers.network, DenseNet3D):
        raise ModelError(
            f"The snakes of '{run.path}' are not in a dense block of the backbone, so their voxels have no "
            "known position on the scene."
        )
    scene = scene or run.load_scene()
    chosen = choose_pixels(run, scene, pixels)
    shapes: list[torch.Size] = []

    def positions(module: SnakeTemplates, x: Tensor) -> Tensor:
        views = list(module.positions(x))
        shapes[:] = [view.shape[1:] for view in views]
        return torch.cat([view.flatten(1) for view in views], dim=1)

    probe, where = Probe(layers, positions), choose_device(device)
    with torch.inference_mode():
        rows = torch.cat([probe(patches).cpu() for patches in patches_of(run, scene, chosen, where, batch=4)])
    half = run.config.patch // 2
    corners = np.stack(np.divmod(chosen, scene.cols), axis=1) - half
    stride, first = voxel_grid(block)
    points = {}
    for view, part, shape in zip(
        templates.views, rows.split([shape.numel() for shape in shapes], dim=1), shapes, strict=True
    ):
        at = part.view(-1, *shape).numpy() * stride + first
        at[:, :, 1:] += corners[:, None, :, None, None, None]
        points[view] = at.astype(np.float32)
    return SnakeOffsets(points, chosen, _images(scene, corners, run.config.patch), corners, layers.names[0])


def snake_magnitude(
    run: Run,
    scene: Scene | None = None,
    *,
    layer: int | None = None,
    device: str = "auto",
    watch: Watch = lambda done, pixels: None,
) -> SnakeMagnitude:
    """Map how far the snakes bend, for every pixel of a scene.

    A point that is clamped to the border counts with its clamped displacement.

    Parameters and errors are those of `hsi.explain.gate`; the run is one of SG-DSCNet.
    """
    layers = layers_of(run, SnakeTemplates, "snake_magnitude", device).only(layer)
    found = measure_scene(run, scene, layers, mean_distance, device=device, watch=watch)
    return SnakeMagnitude(found.values, found.by_layer, layers.modules[0].views, layers.names)


def mean_distance(module: SnakeTemplates, x: Tensor) -> Tensor:
    """Return the mean displacement of the moving points from a straight kernel, ``(N, views)``, in voxels."""
    straight = [torch.arange(n, device=x.device).view(-1, *[1] * (2 - i)) for i, n in enumerate(x.shape[2:])]
    means = []
    for view, points, positions in zip(module.views, module.points, module.positions(x), strict=True):
        across = [axis for axis in range(3) if "dhw"[axis] != view]
        away = torch.hypot(*(positions[:, :, axis] - straight[axis] for axis in across))  # 0 at the centre
        means.append(away.flatten(1).mean(dim=1) * points / (points - 1))
    return torch.stack(means, dim=1)


def voxel_grid(block: int) -> tuple[int, float]:
    """Return stride and start: voxel i of dense block `block` (from 0) is centred at ``stride * i + start``.

    The unit is a pixel or feature of the patch. The stem (kernel 3, stride 2, padding 1) is centred on every
    second one; each pooling averages two voxels.
    """
    stride, start = 2, 0.0
    for _ in range(block):
        stride, start = 2 * stride, start + stride / 2
    return stride, start


def _images(scene: Scene, corners: NDArray[np.int64], patch: int) -> NDArray[np.uint8]:
    colors = np.pad(false_color(scene), ((patch, patch), (patch, patch), (0, 0)))
    return np.stack([colors[r + patch : r + 2 * patch, c + patch : c + 2 * patch] for r, c in corners])
