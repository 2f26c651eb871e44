"""The effective receptive field of a trained network: the gradient of its output with respect to a patch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from hsi.datasets.preprocess import PCA, BandList
from hsi.datasets.scene import Scene
from hsi.errors import ModelError
from hsi.explain.layers import find_layers, load_network
from hsi.explain.probe import choose_pixels, patches_of
from hsi.figures.spectra import band_axis, gaps
from hsi.figures.style import COLORS, PAGE_INCHES, STYLE, Picture, draw_grid
from hsi.inference.run import Run
from hsi.models.densenet3d import DenseLayer
from hsi.models.device import choose_device
from hsi.models.protocols import Estimator


def feature_axis(run: Run, scene: Scene) -> tuple[NDArray[np.float64], str]:
    """Return the position of each feature on an axis, and the axis title.

    Positions are wavelengths (nm) if known, else numbers of bands or principal components from 1.
    """
    steps = run.preprocess.steps_
    if any(isinstance(step, PCA) for step in steps):
        return np.arange(1.0, run.preprocess.bands + 1), "Principal component"
    places, title = band_axis(scene)
    for step in steps:
        if isinstance(step, BandList):
            places = places[step.keep]
    return places, title


_HEIGHT_INCHES = 2.6
_MAX_MARKED = 40  # with more features there are no markers


def draw_receptive_field(
    spatial: NDArray[np.float64],
    spectral: NDArray[np.float64],
    places: NDArray[np.float64],
    axis: str,
    title: str,
) -> Figure:
    """Draw fractions of the gradient, ``(P, P)`` as an image and ``(features,)`` as a line, in percent."""
    half = spatial.shape[0] // 2
    edge = half + 0.5
    with rc_context(STYLE):
        figure = Picture(figsize=(PAGE_INCHES, _HEIGHT_INCHES), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1, 2))
        image = left.imshow(
            100 * spatial, cmap=colormaps["cividis"], vmin=0, extent=(-edge, edge, edge, -edge)
        )
        left.add_patch(Rectangle((-0.5, -0.5), 1, 1, fill=False, edgecolor="white", linewidth=0.8))
        left.set_xlabel("Columns from the centre (px)")
        left.set_ylabel("Rows from the centre (px)")
        figure.colorbar(image, ax=left, label="Share of the gradient (%)")
        for part in np.split(np.arange(len(places)), gaps(places)):
            right.plot(
                places[part],
                100 * spectral[part],
                color=COLORS[0],
                marker="o" if len(places) <= _MAX_MARKED else None,
                markersize=2.5,
            )
        right.set_ylim(bottom=0)
        right.set_xlabel(axis)
        right.set_ylabel("Share of the gradient (%)")
        draw_grid(right)
        figure.suptitle(title[:1].upper() + title[1:], fontsize=8)
    return figure


MIN_RATIO = 1 - 0.9545
"""Pixels with at least this ratio to the centre's gradient are in the receptive field (Luo et al.)."""

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
        ``(features,)`` positions and the axis title: wavelengths (nm), or bands or principal components
        from 1.
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
        """``(P, P)`` fractions of the gradient; they sum to 1."""
        return self.gradient.sum(axis=0) / self.gradient.sum()

    @property
    def spectral(self) -> NDArray[np.float64]:
        """``(features,)`` fractions of the gradient; they sum to 1."""
        return self.gradient.sum(axis=(1, 2)) / self.gradient.sum()

    @property
    def width(self) -> float:
        """Width in pixels: square root of the number of pixels with at least 4.55 % of the centre's value."""
        middle = self.gradient.shape[1] // 2
        return float(np.sqrt(np.count_nonzero(self.spatial >= MIN_RATIO * self.spatial[middle, middle])))

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
    summed over its channels and averaged over inputs. Here it is the mean of absolute values, and the unit is
    the logit: a classifier with global average pooling has no central output.

    Parameters
    ----------
    run
        A finished run of any network.
    pixels
        Row-major flat indices; None for up to 256 test pixels, evenly spread.
    scene
        The scene of `pixels`; that of the run if None.
    layer
        None: the logit of the predicted class. An index from 0: the central voxel of the features that this
        dense layer of the backbone adds.
    device
        "auto", "cpu", "cuda" or "mps".

    Raises
    ------
    ModelError
        For a classifier without gradients; with `layer`, for a network without the backbone's dense layers.
    ConfigError, SceneError, SplitError
        For an unknown layer, pixels that are not integers or outside the scene, or another scene without
        pixels.
    RunError
        When the scene's bands do not fit.
    """
    network = load_network(run, device)
    if isinstance(network, Estimator):
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
    """Return the mean absolute gradient of an output over batches of patches, ``(features, P, P)``.

    The output is the largest logit, or with `unit`, a module of the network, the sum over the channels of the
    central voxel of its output ``(N, C, D, H, W)``.

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
        output = _central_voxel(seen[0]) if unit else logits.amax(dim=1)
        if not output.requires_grad:
            raise ModelError(f"{_NO_GRADIENTS}.")
        (gradient,) = torch.autograd.grad(output.sum(), patches)
        batch_sum = gradient.abs().cpu().double().sum(dim=0)
        total = batch_sum if total is None else total + batch_sum
        count += len(batch)
    assert total is not None
    mean: NDArray[np.float64] = (total / count).numpy()
    return mean


def _central_voxel(y: Tensor) -> Tensor:
    """Sum the channels of the central voxel."""
    depth, height, width = (n // 2 for n in y.shape[2:])
    return y[:, :, depth, height, width].sum(dim=1)
