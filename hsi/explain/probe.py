"""Patches of chosen pixels as a run's network sees them, and measurements of the inputs of its layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from hsi.datasets.cube import Window
from hsi.datasets.patches import PatchCutter
from hsi.datasets.scene import Scene
from hsi.errors import ConfigError, SceneError
from hsi.explain.layers import Layers
from hsi.inference.classify import classify_scene
from hsi.inference.run import Run
from hsi.inference.tiles import SceneBlocks
from hsi.models.device import choose_device

DEFAULT_SAMPLES = 256
"""Pixels that are used by default."""

BATCH = 32


def choose_pixels(run: Run, scene: Scene, pixels: ArrayLike | None) -> NDArray[np.int64]:
    """Return `pixels` as checked flat indices; for None at most `DEFAULT_SAMPLES` test pixels, evenly spread.

    Raises
    ------
    ConfigError
        When `pixels` are not a list of at least one integer.
    SceneError
        When a pixel lies outside the scene.
    SplitError
        When `pixels` is None and the scene is not that of the run.
    """
    if pixels is None:
        run.split.check(scene)
        test = run.split.test
        return test[np.linspace(0, len(test) - 1, min(DEFAULT_SAMPLES, len(test))).round().astype(np.int64)]
    chosen = np.asarray(pixels)
    if chosen.ndim != 1 or not len(chosen) or chosen.dtype.kind not in "iu":
        raise ConfigError("pixels must be a list of row-major flat indices, at least one.")
    outside = chosen[(chosen < 0) | (chosen >= scene.rows * scene.cols)]
    if len(outside):
        raise SceneError(
            f"Pixel {outside[0]} lies outside the scene: the row-major flat indices of {scene.rows} x "
            f"{scene.cols} pixels go from 0 to {scene.rows * scene.cols - 1}."
        )
    return chosen.astype(np.int64)


def patches_of(
    run: Run, scene: Scene, pixels: NDArray[np.int64], device: torch.device, batch: int = BATCH
) -> Iterator[Tensor]:
    """Yield batches of the patches ``(n, features, P, P)`` of the pixels, prepared as for a whole-scene map.

    Raises
    ------
    RunError
        When the scene's bands do not fit.
    """
    blocks = run.blocks(scene)
    for start in range(0, len(pixels), batch):
        yield torch.cat([_cut(blocks, int(pixel)) for pixel in pixels[start : start + batch]]).to(device)


def _cut(blocks: SceneBlocks, pixel: int) -> Tensor:
    row, col = divmod(pixel, blocks.cols)
    block = blocks.read(Window(row, row + 1, col, col + 1))
    cutter = PatchCutter(block.values, blocks.patch, regions=block.regions)
    return cutter([blocks.margin * (blocks.patch + 1)])  # the pixel in the middle


Measure = Callable[[Any, Tensor], Tensor]
"""From a layer and its input ``(N, C, D, H, W)`` to measurements ``(N, width)``."""

Watch = Callable[[int, int], object]
"""Called with the number of finished pixels and of all pixels, after each tile."""


class Probe(nn.Module):
    """Runs a network and returns measurements of the inputs of L layers instead of logits."""

    def __init__(self, layers: Layers[Any], measure: Measure) -> None:
        super().__init__()
        self.network, self._layers, self._measure = layers.network, layers, measure

    def forward(self, patches: Tensor) -> Tensor:
        """``(N, features, P, P)`` to ``(N, L * width)``, layer after layer."""
        measured: dict[nn.Module, Tensor] = {}

        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            measured[module] = self._measure(module, inputs[0])

        handles = [module.register_forward_pre_hook(hook) for module in self._layers.modules]
        try:
            self.network(patches)
        finally:
            for handle in handles:
                handle.remove()
        return torch.cat([measured[module] for module in self._layers.modules], dim=1)


@dataclass(frozen=True, eq=False)
class SceneValues:
    """Measurements for every pixel of a scene.

    Attributes
    ----------
    values
        ``(rows, cols, width)`` float32: the mean over the layers; NaN for pixels without data.
    by_layer
        ``(L, width)`` float64: the mean over the pixels.
    """

    values: NDArray[np.float32]
    by_layer: NDArray[np.float64]


def measure_scene(
    run: Run,
    scene: Scene | None,
    layers: Layers[Any],
    measure: Measure,
    *,
    device: str = "auto",
    watch: Watch = lambda done, pixels: None,
) -> SceneValues:
    """Measure the layers for every pixel of a scene (None: that of the run), prepared as for a map.

    Values are float32 from one view of each patch, even if the run classifies several views or in half
    precision. `device` is where the layers are.

    Raises
    ------
    RunError
        When the scene's bands do not fit.
    """
    scene = scene or run.load_scene()
    blocks = run.blocks(scene)
    probe, where, count = Probe(layers, measure), choose_device(device), len(layers.modules)
    empty = torch.zeros(1, blocks.features, blocks.patch, blocks.patch, device=where)
    with torch.inference_mode():
        total = probe(empty).shape[1]
    values = np.full((scene.rows, scene.cols, total // count), np.nan, np.float32)
    sums, done, good = np.zeros((count, total // count)), 0, 0
    for window, found, missing in classify_scene(probe, blocks, total, device=where):
        each = found.reshape(*found.shape[:2], count, -1)
        here = values[window.top : window.bottom, window.left : window.right]
        here[...] = np.where(missing[..., None], np.nan, each.mean(axis=2))
        sums += each[~missing].sum(axis=0, dtype=np.float64)
        good += int(np.count_nonzero(~missing))
        done += missing.size
        watch(done, scene.rows * scene.cols)
    return SceneValues(values, sums / good if good else np.full_like(sums, np.nan))
