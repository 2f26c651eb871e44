"""How STNet shares its attention between space and spectrum, over a scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from hsi.datasets.scene import Scene
from hsi.explain.layers import layers_of
from hsi.explain.probe import Watch, measure_scene
from hsi.figures.scene_values import BALANCE_COLORS, draw_scene_values
from hsi.models.stnet import SpatialSpectralTransformer
from hsi.runs.folder import Run


@dataclass(frozen=True, eq=False)
class GateMap:
    """The gate g of STNet; 1 is all spatial, 0 all spectral.

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
            colors=BALANCE_COLORS,
        )


def gate(
    run: Run,
    scene: Scene | None = None,
    *,
    layer: int | None = None,
    device: str = "auto",
    watch: Watch = lambda done, pixels: None,
) -> GateMap:
    """Map how much of the fused attention is spatial, for every pixel of a scene.

    The gate is that of the equations in `hsi.models.stnet`: A = g * A_spatial + (1 - g) * A_spectral.
    Averaging it over channels and tokens is our decision.

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
    """Return the mean gate of each sample ``(N, 1)``, over its channels and tokens."""
    share = module.gate_map(x)  # a layer's gate may be one number
    return share.expand(len(x), 1) if share.dim() == 0 else share.flatten(1).mean(dim=1, keepdim=True)
