"""The effective receptive field of a trained network: how much each input value moves its answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from hsi.datasets.scene import Scene
from hsi.errors import ModelError
from hsi.explain.feature_axis import feature_axis
from hsi.explain.layers import find_layers, load_network
from hsi.explain.pixels import choose_pixels, patches_of
from hsi.figures.receptive_field import draw_receptive_field
from hsi.models.densenet3d import DenseLayer
from hsi.runs.device import choose_device
from hsi.runs.folder import Run
from hsi.training.at_once import FitsAtOnce

INSIDE = 1 - 0.9545
"""Share of the centre's gradient from which on a pixel is in the effective receptive field (Luo et al.)."""

_NO_GRADIENTS = "A classifier without gradients has no effective receptive field"


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """Mean |gradient| of an answer with respect to the patch.

    Attributes
    ----------
    gradient
        ``(features, P, P)``: per unit of the features as the network gets them (standardised).
    answer
        What was differentiated, such as "logit of the predicted class".
    places, axis
        ``(features,)`` where each feature lies on an axis, and the axis's title: wavelengths (nm), bands
        counted from 1, or principal components.
    pixels
        Number of pixels in the mean.
    """

    gradient: NDArray[np.float64]
    answer: str
    places: NDArray[np.float64]
    axis: str
    pixels: int

    @property
    def spatial(self) -> NDArray[np.float64]:
        """``(P, P)`` shares of the whole gradient; they sum to 1."""
        return self.gradient.sum(axis=0) / self.gradient.sum()

    @property
    def spectral(self) -> NDArray[np.float64]:
        """``(features,)`` shares of the whole gradient; they sum to 1."""
        return self.gradient.sum(axis=(1, 2)) / self.gradient.sum()

    @property
    def width(self) -> float:
        """Its width in pixels: the root of the number of pixels with 4.55 % of the centre's value or more."""
        middle = self.gradient.shape[1] // 2
        return float(np.sqrt(np.count_nonzero(self.spatial >= INSIDE * self.spatial[middle, middle])))

    def figure(self) -> Figure:
        """Draw the field in space and along the features."""
        title = f"{self.answer}; {self.width:.1f} px wide, mean of {self.pixels} pixels"
        return draw_receptive_field(self.spatial, self.spectral, self.places, self.axis, title)


def receptive_field(
    run: Run,
    pixels: ArrayLike | None = None,
    *,
    scene: Scene | None = None,
    layer: int | None = None,
    device: str = "auto",
) -> ReceptiveField:
    """Measure the effective receptive field of any network that has gradients.

    The definition is that of Luo et al., "Understanding the Effective Receptive Field in Deep Convolutional
    Neural Networks" (NIPS 2016, arXiv 1701.04128): the gradient of an output unit with respect to the input,
    its channels added up, averaged over inputs. The mean of absolute values, and the logit as the unit, are
    our decisions: a classifier that averages over its last map has no central output.

    Parameters
    ----------
    run
        A finished run of any network, so that they can be compared.
    pixels
        Row-major flat indices; None for up to 256 test pixels, evenly spread.
    scene
        The scene that `pixels` count in; that of the run if None.
    layer
        None: the logit of the predicted class. A number, counted from 0: the central voxel of what that dense
        layer adds to the backbone's map.
    device
        "auto", "cpu", "cuda" or "mps".

    Raises
    ------
    ModelError
        For a classifier without gradients; with `layer`, for a network without the backbone's dense layers.
    ConfigError, SceneError, SplitError
        For a layer that is not there, or pixels that are not whole numbers, not in the scene, or not named
        for another scene.
    RunError
        When the scene's bands do not fit.
    """
    network = load_network(run, device)
    if isinstance(network, FitsAtOnce):
        raise ModelError(f"{_NO_GRADIENTS}: '{run.path}' is a run of {run.config.model}.")
    unit: nn.Module | None = None
    answer = "logit of the predicted class"
    if layer is not None:
        dense = find_layers(network, DenseLayer)
        if not dense.modules:
            raise ModelError(f"The network of '{run.path}' has no dense layers; leave layer out.")
        chosen_layer = dense.only(layer)
        unit, answer = chosen_layer.modules[0].conv, f"central voxel of dense layer {chosen_layer.names[0]}"
    scene = scene or run.load_scene()
    chosen = choose_pixels(run, scene, pixels)
    gradient = mean_gradient(network, patches_of(run, scene, chosen, choose_device(device)), unit)
    places, axis = feature_axis(run, scene)
    return ReceptiveField(gradient, answer, places, axis, len(chosen))


def mean_gradient(
    network: nn.Module, batches: Iterable[Tensor], unit: nn.Module | None = None
) -> NDArray[np.float64]:
    """Return the mean over all patches of the absolute gradient of one output, ``(bands, P, P)``.

    Parameters
    ----------
    network
        ``(N, bands, P, P)`` to logits, in evaluation mode.
    batches
        Patches, some at a time.
    unit
        None: the largest logit. A module inside the network: the sum over the channels of the central voxel
        of what it returns, ``(N, C, D, H, W)``.

    Raises
    ------
    ModelError
        When the network has no gradient.
    """
    total: Tensor | None = None
    count = 0
    for batch in batches:
        patches = batch.detach().requires_grad_()
        seen: list[Tensor] = []
        hook = unit.register_forward_hook(lambda _, __, y, seen=seen: seen.append(y)) if unit else None
        try:
            logits = network(patches)
        finally:
            if hook:
                hook.remove()
        output = _centre(seen[0]) if unit else logits.amax(dim=1)
        if not output.requires_grad:
            raise ModelError(f"{_NO_GRADIENTS}.")
        (gradient,) = torch.autograd.grad(output.sum(), patches)
        part = gradient.abs().cpu().double().sum(dim=0)
        total = part if total is None else total + part
        count += len(batch)
    assert total is not None
    mean: NDArray[np.float64] = (total / count).numpy()
    return mean


def _centre(y: Tensor) -> Tensor:
    """Add up the channels of the central voxel."""
    depth, height, width = (n // 2 for n in y.shape[2:])
    return y[:, :, depth, height, width].sum(dim=1)
