"""How the energy of the inputs of WCNet's layers is distributed over the wavelet sub-bands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F

from hsi.datasets.scene import Scene
from hsi.explain.layers import layers_of
from hsi.explain.probe import Probe, choose_pixels, patches_of
from hsi.figures.style import COLUMN_INCHES, STYLE, Picture, draw_table
from hsi.inference.run import Run
from hsi.models.device import choose_device
from hsi.models.wavelet import SUBBANDS
from hsi.models.wcnet import WaveletConv3d

_ROW_INCHES, _MARGIN_INCHES = 0.17, 0.75
_GAMMA = 0.5  # makes small shares distinguishable


def draw_wavelet_energy(
    share: NDArray[np.float64], sub_bands: Sequence[str], layers: Sequence[str]
) -> Figure:
    """Draw fractions ``(L, levels, B)`` as a heat map in percent: a row for each layer and level.

    Levels that a layer lacks (NaN) are left out.
    """
    rows = [(i, j) for i, j in np.ndindex(share.shape[:2]) if np.isfinite(share[i, j]).all()]
    values = 100 * np.array([share[row] for row in rows]).reshape(-1, len(sub_bands))
    several = share.shape[1] > 1
    names = [f"{layers[i]}, level {j + 1}" if several else layers[i] for i, j in rows]
    with rc_context(STYLE):
        height = max(1, len(rows)) * _ROW_INCHES + _MARGIN_INCHES
        figure = Picture(figsize=(COLUMN_INCHES, height), layout="constrained")
        axes = figure.subplots()
        texts = np.array([f"{value:.1f}" for value in values.ravel()]).reshape(values.shape)
        draw_table(axes, values, texts, PowerNorm(_GAMMA, vmin=0, vmax=100), size=6)
        axes.set_xticks(range(len(sub_bands)), sub_bands)
        axes.set_yticks(range(len(rows)), names)
        axes.set_xlabel("Sub-band, " + ("D H W" if len(sub_bands) == 8 else "H W") + " (% of the energy)")
        axes.set_ylabel("Block.layer")
    return figure


@dataclass(frozen=True, eq=False)
class WaveletEnergy:
    """Shares of energy (sum of squares), of the input of each wavelet layer.

    Attributes
    ----------
    share
        ``(L, levels, B)`` fractions that sum to 1 over the B sub-bands: mean over the pixels' patches. NaN
        where a layer has fewer levels, or its input is zero.
    sub_bands
        Names of the B sub-bands: "L" (low) or "H" (high) for each of D (spectral), H and W, or of H and W.
    layers
        Names of the L layers: "1.4" is the fourth of the first block.
    pixels
        Number of pixels in the mean.
    """

    share: NDArray[np.float64]
    sub_bands: tuple[str, ...]
    layers: tuple[str, ...]
    pixels: int

    def figure(self) -> Figure:
        """Draw the shares as a heat map, a row for each layer and level."""
        return draw_wavelet_energy(self.share, self.sub_bands, self.layers)


def wavelet_energy(
    run: Run, pixels: ArrayLike | None = None, *, scene: Scene | None = None, device: str = "auto"
) -> WaveletEnergy:
    """Return the share of each sub-band in the energy of the input of each wavelet layer.

    The sub-bands are the inputs of the layer's convolutions (arXiv 2504.10795; `hsi.models.wcnet`); each
    level decomposes the low band of the one before. The Haar transform preserves energy, so shares are of
    the level's input. Along an axis of one voxel low and high have half each.

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
        by_level = torch.stack([_shares(bands) for bands in module.sub_bands(x)], dim=1)
        return F.pad(by_level, (0, 0, 0, levels - module.levels), value=math.nan).flatten(1)

    probe, where = Probe(layers, shares), choose_device(device)
    with torch.inference_mode():
        rows = [probe(patches).cpu().double() for patches in patches_of(run, scene, chosen, where)]
    mean = torch.cat(rows).nanmean(dim=0).view(len(layers.modules), levels, len(names))
    letters = tuple(name.upper().replace("D", "H").replace("A", "L") for name in names)
    return WaveletEnergy(mean.numpy(), letters, layers.names, len(chosen))


def _shares(bands: Tensor) -> Tensor:
    """Sub-bands ``(N, C, B, d, h, w)`` to their shares of the energy ``(N, B)``; NaN where there is none."""
    energy = bands.square().sum(dim=(1, 3, 4, 5))
    return energy / energy.sum(dim=1, keepdim=True)
