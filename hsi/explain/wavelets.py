"""The picture of how energy is shared among wavelet sub-bands, layer by layer.

How the energy of what WCNet's layers see is shared among wavelet sub-bands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib import colormaps, rc_context
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F

from hsi.datasets.scene import Scene
from hsi.explain.layers import layers_of
from hsi.explain.probe import Probe, choose_pixels, patches_of
from hsi.figures.style import COLUMN_INCHES, STYLE, Picture
from hsi.inference.run import Run
from hsi.models.device import choose_device
from hsi.models.wavelet import SUBBANDS
from hsi.models.wcnet import WaveletConv3d

_ROW_INCHES, _AROUND_INCHES = 0.17, 0.75
_GAMMA = 0.5  # small shares should be told apart too


def draw_wavelet_energy(
    share: NDArray[np.float64], sub_bands: Sequence[str], layers: Sequence[str]
) -> Figure:
    """Draw the shares as a table in colours: a column for each sub-band, a row for each layer and level.

    Parameters
    ----------
    share
        ``(L, levels, B)`` fractions, shown as percent; levels that a layer lacks (NaN) are left out.
    sub_bands, layers
        The names of the B sub-bands and of the L layers.
    """
    rows = [(i, j) for i, j in np.ndindex(share.shape[:2]) if np.isfinite(share[i, j]).all()]
    values = 100 * np.array([share[row] for row in rows]).reshape(-1, len(sub_bands))
    several = share.shape[1] > 1
    names = [f"{layers[i]}, level {j + 1}" if several else layers[i] for i, j in rows]
    with rc_context(STYLE):
        height = max(1, len(rows)) * _ROW_INCHES + _AROUND_INCHES
        figure = Picture(figsize=(COLUMN_INCHES, height), layout="constrained")
        axes = figure.subplots()
        norm = PowerNorm(_GAMMA, vmin=0, vmax=100)
        axes.imshow(values, cmap=colormaps["Blues"], norm=norm, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            axes.text(
                column,
                row,
                f"{value:.1f}",
                ha="center",
                va="center",
                fontsize=6,
                color="white" if norm(value) > 0.6 else "black",
            )
        axes.set_xticks(range(len(sub_bands)), sub_bands)
        axes.set_yticks(range(len(rows)), names)
        axes.set_xlabel("Sub-band, " + ("D H W" if len(sub_bands) == 8 else "H W") + " (% of the energy)")
        axes.set_ylabel("Block.layer")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return figure


@dataclass(frozen=True, eq=False)
class WaveletEnergy:
    """Shares of energy (sum of squares), of the input of each wavelet layer.

    Attributes
    ----------
    share
        ``(L, levels, B)`` fractions that sum to 1 over the B sub-bands: mean over the pixels' patches. NaN
        where a layer has fewer levels, or only zeros come in.
    sub_bands
        The names of the B sub-bands: a letter for each of D (spectral), H, W, or for H and W; "L" low, "H"
        high.
    layers
        The names of the L layers: "1.4" is the fourth of the first block.
    pixels
        Number of pixels in the mean.
    """

    share: NDArray[np.float64]
    sub_bands: tuple[str, ...]
    layers: tuple[str, ...]
    pixels: int

    def figure(self) -> Figure:
        """Draw the shares as a table in colours, a row for each layer and level."""
        return draw_wavelet_energy(self.share, self.sub_bands, self.layers)


def wavelet_energy(
    run: Run, pixels: ArrayLike | None = None, *, scene: Scene | None = None, device: str = "auto"
) -> WaveletEnergy:
    """Return which share of its input's energy each wavelet layer finds in each sub-band.

    The sub-bands are those that the layer's convolutions get (arXiv 2504.10795; `hsi.models.wcnet`). A level
    decomposes the low band of the level before it. The transform of Haar's filters keeps the energy, so their
    shares are of the level's input. Along an axis of one voxel low and high hold half each.

    Parameters
    ----------
    run
        A finished run of WCNet.
    pixels
        Row-major flat indices; None for up to 256 test pixels, evenly spread.
    scene
        The scene that `pixels` count in; that of the run if None.
    device
        "auto", "cpu", "cuda" or "mps".

    Raises
    ------
    ModelError
        For a run of a network without wavelets.
    ConfigError, SceneError, SplitError
        For pixels that are not whole numbers, not in the scene, or not named for another scene.
    RunError
        When the scene's bands do not fit.
    """
    layers = layers_of(run, WaveletConv3d, "wavelet_energy", device)
    scene = scene or run.load_scene()
    chosen = choose_pixels(run, scene, pixels)
    names = SUBBANDS[layers.modules[0].axes]
    levels = max(module.levels for module in layers.modules)

    def shares(module: WaveletConv3d, x: Tensor) -> Tensor:
        found = torch.stack([_shares(parts) for parts in module.sub_bands(x)], dim=1)
        return F.pad(found, (0, 0, 0, levels - module.levels), value=math.nan).flatten(1)

    probe, where = Probe(layers, shares), choose_device(device)
    with torch.inference_mode():
        rows = [probe(patches).cpu().double() for patches in patches_of(run, scene, chosen, where)]
    mean = torch.cat(rows).nanmean(dim=0).view(len(layers.modules), levels, len(names))
    letters = tuple(name.upper().replace("D", "H").replace("A", "L") for name in names)
    return WaveletEnergy(mean.numpy(), letters, layers.names, len(chosen))


def _shares(parts: Tensor) -> Tensor:
    """Sub-bands ``(N, C, B, d, h, w)`` to their shares of the energy ``(N, B)``; NaN where there is none."""
    energy = parts.square().sum(dim=(1, 3, 4, 5))
    return energy / energy.sum(dim=1, keepdim=True)
