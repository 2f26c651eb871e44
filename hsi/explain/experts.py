"""Which experts EKGNet mixes its kernels from, over a scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from hsi.datasets.scene import Scene
from hsi.explain.layers import layers_of
from hsi.explain.probe import Watch, measure_scene
from hsi.figures.scene_values import draw_scene_values
from hsi.models.ekgnet import ExpertKernelConv3d
from hsi.runs.folder import Run


@dataclass(frozen=True, eq=False)
class ExpertWeights:
    """The shares alpha of the K experts in the kernel of each pixel's patch; they sum to 1.

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

    Experts of different layers have nothing to do with each other, so a map of one layer says more than the
    mean of all.

    Parameters
    ----------
    run
        A finished run of EKGNet.
    scene
        Any scene with the run's bands; its own if None.
    layer
        One layer, counted from 0; None for the mean of all.
    device, watch
        As in `hsi.map_scene`.

    Raises
    ------
    ModelError
        For a run of a network without experts.
    ConfigError
        When there is no such layer.
    RunError
        When the scene's bands do not fit.
    """
    layers = layers_of(run, ExpertKernelConv3d, "expert_weights", device).only(layer)
    found = measure_scene(run, scene, layers, _weights, device=device, watch=watch)
    return ExpertWeights(found.values, found.by_layer, layers.names)


def _weights(module: ExpertKernelConv3d, x: Tensor) -> Tensor:
    return module.expert_weights(x)
